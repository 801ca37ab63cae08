"""The one error that reaches a user."""

import difflib
from collections.abc import Iterable


class BadInput(Exception):
    """What the user gave cannot be used; the message says what, what was found, and what to do."""


def first_line(error: BaseException) -> str:
    """What an error says in its first line; its class where it says nothing (`MemoryError()`)."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip()


def choices(found: str, possible: Iterable[str], *, most: int = 12) -> str:
    """The end of a sentence: the name nearest to `found`, if one is near, and what is possible."""
    names = [str(name) for name in possible]
    by_lower = {name.lower(): name for name in names}
    near = [by_lower[name] for name in difflib.get_close_matches(found.lower(), by_lower, n=1)]
    listed = ", ".join(names[:most]) + (f" and {len(names) - most} more" * (len(names) > most))
    guess = f"did you mean {near[0]!r}? " if near and near[0] != found else ""
    return f"{guess}possible: {listed}"
