"""Writes into docs/reference.md what the code itself knows.

    python -m docs.reference

The page is written by hand, but for these tables: the parameters of the commands, from their
parsers and MLproject; the defaults of the stack, from .env.example; the metrics; the members of
moves, features and checks, from the docstrings of their classes. tests/test_reference.py compares
them with the code, and the rest with what a real store gets.
"""

import importlib
import inspect
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import yaml

from custom_model.served.columns import Column
from steps import Parser
from tabular.drift.checks import DriftCheck
from tabular.stats.metrics import METRICS
from tabular.store.history import Move

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "reference.md"


def page(text: str) -> str:
    """The text of docs/reference.md with the tables as the code has them now.

    Raises:
        ValueError: the place of a table is missing.
    """
    blocks = text.split("\n\n")
    project = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    for step, entry in project.items():
        doc = inspect.getdoc(importlib.import_module(f"steps.{step}")) or ""
        blocks[blocks.index(f"### {step}") + 1] = doc.splitlines()[0]
        default = {name: spec["default"] for name, spec in entry["parameters"].items()}
        others = project["sweep"]["parameters"] if step == "main" else {}  # it takes those too
        texts = parameters(step).items()
        rows = [(name, _code(default[name]), is_) for name, is_ in texts if name not in others]
        _fill(blocks, f"### {step}", ("parameter", "default", "is"), rows)

    default, place = settings(), ("## Environment variables", "in `.env`")
    rows = [(name, _code(default[name]), is_) for name, is_ in described(*place, text).items()]
    _fill(blocks, place[0], (place[1], "default", "is"), rows)
    better = {False: "higher", True: "lower"}
    metrics = [
        (one.name, one.meaning, "{:g} to {:g}".format(*one.range), better[one.lower_is_better])
        for one in METRICS.values()
    ]
    _fill(blocks, "## Metrics", ("metric", "is", "from", "better"), metrics)

    _fill(blocks, "Members of a move:", ("member", "is"), members(Move).items())
    _fill(blocks, "A feature in `columns`:", ("member", "is"), members(Column).items())
    place = ("### drift.csv and drift.json", "column")
    checks = [(name, members(DriftCheck)[name]) for name in described(*place, text)]
    _fill(blocks, place[0], (place[1], "is"), checks)
    return "\n\n".join(blocks)


def described(section: str, head: str, text: str = "") -> dict[str, str]:
    """What a table of the page says: the last cell of each row, by the names in its first one.

    Args:
        section: the line above it, such as a heading; the table is the first with that `head`.
        head: what its first column is called.
        text: of the page; as it is in docs/reference.md if empty.

    Returns:
        Empty where the section has no such table. Names that share a row share the text.
    """
    blocks = (text or FILE.read_text(encoding="utf-8")).split("\n\n")
    found = _find(blocks, section, head)
    texts: dict[str, str] = {}
    for line in blocks[found].splitlines()[2:] if found else ():
        names, *_, last = line.removeprefix("| ").removesuffix(" |").split(" | ")
        texts |= dict.fromkeys(re.findall(r"`([^`]+)`", names), last.replace("\\|", "|"))
    return texts


def parameters(step: str) -> dict[str, str]:
    """The meaning of each parameter of an entry point, from its own parser."""
    seen: list[Parser] = []

    def stop(self: Parser, *_: object, **__: object) -> None:
        seen.append(self)
        raise SystemExit

    module = importlib.import_module(f"steps.{step}")
    with patch.object(Parser, "read", stop), suppress(SystemExit):
        module.main([])
    options = [action for action in seen[0]._actions if action.dest != "help"]
    return {one.dest: (one.help or "").removesuffix(f" ({one.default!r})") for one in options}


def members(kind: type) -> dict[str, str]:
    """The members of a dataclass, as its docstring describes them."""
    text = (inspect.getdoc(kind) or "").partition("Args:\n")[2] + "\n    x: "
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w+: )", text, re.MULTILINE | re.DOTALL)
    return {name: " ".join(meaning.split()).rstrip(".") for name, meaning in found}


def settings() -> dict[str, str]:
    """Values of .env.example; empty for those that are commented out."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    found = re.findall(r"^(# )?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE)
    return {name: "" if comment else value for comment, name, value in found}


def _find(blocks: list[str], section: str, head: str) -> int:
    """Place of a section's first table with this head, 0 if there is none."""
    first = blocks.index(section) + 1
    for place in range(first, len(blocks)):
        if blocks[place].startswith("#"):
            break
        if blocks[place].startswith(f"| {head} |"):
            return place
    return 0


def _fill(
    blocks: list[str], section: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]
) -> None:
    """Puts a table in the place of the one that the section has."""
    place = _find(blocks, section, heads[0])
    if not place:
        raise ValueError(f"docs/reference.md has no table '{heads[0]}' after '{section}'")
    cells = [heads, ("---",) * len(heads), *((_code(name), *rest) for name, *rest in rows)]
    lines = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in cells)
    blocks[place] = "\n".join(f"| {line} |" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    FILE.write_text(page(FILE.read_text(encoding="utf-8")), encoding="utf-8")
