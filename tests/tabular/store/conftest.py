"""A name that no model has yet, on every kind of registry."""

import pytest


@pytest.fixture
def name(each_registry: str) -> str:
    return each_registry
