"""The table of the searches."""

import pytest

from tabular.jobs.preparation import Prepared, prepare


@pytest.fixture(scope="module")
def iris() -> Prepared:
    return prepare("iris", "", seed=42, say=lambda line: None)
