"""Promotion without the proof by a server."""

import pytest

from tabular.jobs import promote as promotion


@pytest.fixture
def unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the model server, whose proof has tests of its own."""
    monkeypatch.setattr(promotion, "prove", lambda *_: None)
