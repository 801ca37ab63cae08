"""What MLflow's pages say of a version and of a registered model, as Markdown. Pure."""

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from custom_model.served.columns import Column, expanded_names
from tabular.store.history import Move

LONGEST = 5000  # characters that MLflow's databases keep of a description
PROMOTION = 700  # of them, for when and why a version was promoted
LONGEST_CALL = 1200
MOST_COLUMNS, LONGEST_CELL = 30, 60
MOST_MOVES_SHOWN, LONGEST_WHY = 20, 200

_SINCE = " Promoted on "  # what a promotion adds to a version's first paragraph
_SECTION = re.compile(r"^## Production\n\n(?:Nothing yet\.|(?:[|].*(?:\n|$))+)", re.MULTILINE)


def example_of(columns: Sequence[Column], typical: Mapping[str, Any]) -> dict[str, Any]:
    """A row as a client sends it: the typical one.

    Args:
        columns: the features.
        typical: of `served.reasons.typical_row`; it holds no text.

    Returns:
        JSON, by column; None is a missing value.
    """
    row: dict[str, Any] = {}
    for column in columns:
        value = typical[expanded_names(column)[0]]
        if value is None:
            row[column.name] = "words" if column.kind == "text" and column.required else None
        elif column.kind == "date":
            moment = datetime(1970, 1, 1) + timedelta(seconds=round(value * 86400))
            row[column.name] = (moment if column.time else moment.date()).isoformat()
        elif column.kind == "boolean":
            row[column.name] = bool(value)
        elif column.kind == "number":
            row[column.name] = int(value) if float(value).is_integer() else float(value)
        else:
            row[column.name] = str(value)
    return row


def describe_version(
    summary: str, columns: Sequence[Column], example: Mapping[str, Any], model_uri: str, call: str
) -> str:
    """The description of a version: what it is, what it takes, how to ask it.

    Args:
        summary: a sentence.
        columns: the features; the first 30 are shown, fewer where they have long names.
        example: a row, see `example_of`.
        model_uri: as `mlflow models serve` takes it.
        call: a command that asks the server about the example.

    Returns:
        Markdown, short enough for a promotion to add a sentence.
    """
    serve = f"mlflow models serve -m {shlex.quote(model_uri)} --env-manager local"
    if len(call) > LONGEST_CALL or "```" in call:
        call = "# the request is serving_input_example.json among the files of the model"
    end = f"```sh\n{serve}\n{call}\n```"
    text = f"{as_plain(summary, LONGEST_WHY * 3)}\n\n{_heading('column', 'kind', 'example')}"
    rest = "and {} more columns\n\n"
    room = LONGEST - PROMOTION - len(text) - len(end) - len(rest) - len(str(len(columns)))
    shown = 0
    for column in columns[:MOST_COLUMNS]:
        value = example[column.name]
        cell = "" if value is None else _code(str(value))
        row = f"| {_code(column.name)} | {column.kind} | {cell} |\n"
        if len(row) > room:
            break
        text, room, shown = text + row, room - len(row), shown + 1
    more = rest.format(len(columns) - shown) if shown < len(columns) else ""
    return f"{text}\n{more}{end}"


def with_promotion(description: str, move: Move) -> str:
    """A version's description with when and why it was promoted, at the end of its first paragraph.

    Where a person wrote one that leaves no room, it stays as it is.
    """
    first, gap, rest = description.partition("\n\n")
    first = f"{first.split(_SINCE)[0]}{_SINCE}{move.at[:10]}: {as_plain(move.reason)}."
    changed = f"{first}{gap}{rest}"
    return changed if len(changed) <= LONGEST else description


def without_promotion(description: str, name: str, other: str) -> str:
    """The description of a version where it is not promoted yet, and its model has another name."""
    first, gap, rest = description.partition("\n\n")
    rest = rest.replace(f"models:/{name}@", f"models:/{other}@")
    return f"{first.split(_SINCE)[0]}{gap}{rest}"


def describe_model(target: str, labels: Sequence[object], table: str) -> str:
    """The description of a registered model that has no version in production yet."""
    names = ", ".join(_code(str(label)) for label in labels[:10])
    more = f" and {len(labels) - 10} more" if len(labels) > 10 else ""
    sentence = f"Predicts {_code(target)} ({names}{more}) from the table {_code(table)}."
    return f"{sentence}\n\n## Production\n\nNothing yet."


def with_moves(description: str, moves: Sequence[Move]) -> str:
    """A registered model's description with the history of what was in production.

    The section "Production" is replaced, and nothing else. One that a person wrote, and that has no
    such section, stays as it is.

    Args:
        description: as it is.
        moves: oldest first; the newest 20 are shown, fewer where there is no room.
    """
    section = _SECTION.search(description)
    if not moves or (description.strip() and not section):
        return description
    before, after = (
        (description[: section.start()], description[section.end() :]) if section else ("", "")
    )
    text = (
        "## Production\n\n| UTC | by | | from | to | why |\n| --- | --- | --- | --- | --- | --- |\n"
    )
    room = LONGEST - len(before) - len(after) - len(text) - 40
    if room < 0:
        return description
    shown = 0
    for move in list(reversed(moves))[:MOST_MOVES_SHOWN]:
        at, origin = move.at[:16].replace("T", " "), move.source or ""
        who, why = as_plain(move.by, LONGEST_CELL), as_plain(move.reason, LONGEST_WHY)
        row = f"| {at} | {who} | {move.action} | {origin} | {move.target} | {why} |\n"
        if len(row) > room:
            break
        text, room, shown = text + row, room - len(row), shown + 1
    if shown < len(moves):
        text += f"| | | and {len(moves) - shown} before | | | |\n"
    return f"{before}{text}{after}"


def as_plain(text: str, longest: int = LONGEST) -> str:
    """A text in one line of Markdown, read as it stands."""
    return re.sub(r"([\\`*<>\[\]|])", r"\\\1", _line(text, longest))


def _code(text: str) -> str:
    """A text as code in a cell of a table, whatever signs are in it."""
    text = _line(text, LONGEST_CELL)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padded = f" {text} " if text[:1] == "`" or text[-1:] == "`" else text
    return f"{fence}{padded}{fence}".replace("|", "\\|") if text.strip() else ""


def _heading(*names: str) -> str:
    return f"| {' | '.join(names)} |\n|{' --- |' * len(names)}\n"


def _line(text: str, longest: int) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
