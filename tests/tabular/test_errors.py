"""What a user reads of an error."""

import pytest

from tabular.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\nb"), "a"),
        (ValueError("\n  a \nb"), "a"),
        (MemoryError(), "MemoryError"),
        (KeyError(), "KeyError"),
        (ValueError(" \n"), "ValueError"),
    ],
)
def test_an_error_has_a_first_line_even_without_a_message(error: Exception, line: str) -> None:
    assert first_line(error) == line
