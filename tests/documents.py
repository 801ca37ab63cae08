"""The fenced blocks of a Markdown file, and whether a command printed what the file shows.

for block in blocks(ROOT / "docs" / "sweep.md"):
    if block.kind == "sh" and block.shown:
        same_output(run(block.text), block.shown, block.shown_kind)
"""

import difflib
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *(file for name in ("README.md", "CONTRIBUTING.md") if (file := ROOT / name).exists()),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("examples/*.md")),
]
TOLERANCE = Decimal("0.1")  # of the number that is shown
KINDS = {
    "sh", "python",  # are run
    "text", "json",  # right after one of those: what it prints
    "yaml", "toml", "ini", "csv", "diff", "dockerfile", "nginx", "mermaid", "dot",
}  # fmt: skip
MARKERS = {"", "container", "spark", "elsewhere"}

# What two runs of a command never share, in this order.
MASKS = [
    (r"\x1b\[[0-9;]*[A-Za-z]", ""),
    (r"https?://(localhost|127\.0\.0\.1):\d+[^\s'\")]*", "<url>"),
    (r"(?<![\w.:/])(file://)?(/[\w.@+-]+)+/", "…/"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
    (r"\b([0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})\b", "<id>"),
    (r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,}\b", "<id>"),
    (r"\b\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?)?(?!\w)", "<time>"),
    (r"(?<![\w:])\d{1,2}:\d\d(:\d\d)?\b", "<time>"),
    (r"\b\d+(\.\d+)? ?(ms|s|sec|seconds?|min|minutes?|h|hours?)\b", "<duration>"),
    (r"==[\w.]+", "==<version>"),
    (r"\b\d+\.\d+\.\w[\w.]*", "<version>"),
    (r"\s+", " "),
]
DECIMAL = re.compile(r"[-+]?\b\d+(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)\b")


@dataclass(frozen=True)
class Block:
    """A fenced block: ```kind marker.

    Attributes:
        document: the file.
        line: number of the line with the opening fence, from 1.
        kind: `sh`, `python`, `text` …; empty where the fence says nothing.
        marker: `container`, `spark`, `elsewhere` or empty.
        text: what is inside, with its last newline.
        section: the heading of level two (or one) above it.
        shown: of `sh` and `python`, the `text` or `json` right after it: what it prints.
        shown_kind: `text` or `json`, empty where nothing is shown.
    """

    document: Path
    line: int
    kind: str
    marker: str
    text: str
    section: str = ""
    shown: str = ""
    shown_kind: str = ""

    @property
    def place(self) -> str:
        """`scoring.md:12`."""
        return f"{self.document.name}:{self.line}"

    @property
    def title(self) -> str:
        """The first line that is not a comment."""
        lines = [line.strip() for line in self.text.splitlines()]
        return next((line for line in lines if line and not line.startswith("#")), "")


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of a Markdown file, in order.

    Raises:
        ValueError: for a block that does not end, or a fence that does not begin its line.
    """
    found: list[Block] = []
    section, after = "", False  # after a block that can print, with nothing in between
    lines = iter(enumerate(document.read_text(encoding="utf-8").splitlines(keepends=True), start=1))
    for number, line in lines:
        if not line.lstrip().startswith("```"):
            section = line[2:].strip("# \n") if re.match("##? ", line) else section
            after = after and not line.strip()
            continue
        if not line.startswith("```"):
            raise ValueError(f"{document.name}:{number}: a fence has to begin its line")
        kind, marker, text = *line.strip("`\n").partition(" ")[::2], ""
        for _, inside in lines:
            if inside.rstrip() == "```":
                break
            text += inside
        else:
            raise ValueError(f"{document.name}:{number}: the block does not end")
        if after and kind in ("text", "json"):
            last = vars(found[-1]) | {"shown": text, "shown_kind": kind}
            found[-1] = Block(**last)
        else:
            found.append(Block(document, number, kind, marker, text, section))
        after = kind in ("sh", "python")
    return found


def links(document: Path) -> list[str]:
    """Targets of the links and pictures of a Markdown file that are no URLs."""
    found = re.findall(r"\]\(<?([^)>\s]+)|(?:src|href)=\"([^\"]+)\"", _prose(document, code=False))
    targets = [one or other for one, other in found]
    return [target for target in targets if not re.match(r"\w+:", target)]


def anchors(document: Path) -> set[str]:
    """What a link to a heading of a Markdown file may say after `#`, as GitHub makes it."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} (.*)$", _prose(document, code=True), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return set(found)


def _prose(document: Path, *, code: bool) -> str:
    """Without fenced blocks, and without `code` if that is not wanted."""
    text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.M | re.S)
    return text if code else re.sub(r"`[^`\n]*`", "", text)


def masked(text: str) -> str:
    """The text without what differs from run to run.

    Ids, hashes, times, dates, durations, local addresses and versions of packages become names in
    angle brackets, the folders of a path "…"; blanks in a row become one, and empty lines go.
    """
    lines = []
    for line in text.split("\n"):
        line = line.rstrip("\r").rsplit("\r", 1)[-1]  # what a progress bar leaves to be seen
        for pattern, name in MASKS:
            line = re.sub(pattern, name, line)
        lines.append(line.strip())
    return "\n".join(filter(None, lines))


def same_output(found: str, shown: str, kind: str = "text") -> None:
    """Asserts that a command printed what a document shows.

    Args:
        found: what was printed.
        shown: what the document shows.
        kind: `json` compares as data, `text` the masked lines. Whole numbers are equal. A decimal
            may differ by a tenth of the one that is shown, or by one unit of its last digit,
            whichever is more: `0.0` allows 0.1, `0.0030` allows 0.0003, `2.1e-20` allows 2.1e-21.
            In a line of text "…" is anything, and a line "…" is any number of lines.

    Raises:
        AssertionError: with a diff of the masked lines.
    """
    if kind == "json":
        here, there = _data(found), _data(shown)
        if not _same_data(here, there):
            raise AssertionError(
                _diff(*(json.dumps(one, indent=1, ensure_ascii=False, default=float)
                        for one in (here, there)))
            )  # fmt: skip
    elif not _same_lines(masked(found).splitlines(), masked(shown).splitlines()):
        raise AssertionError(_diff(masked(found), masked(shown)))


def _diff(found: str, shown: str) -> str:
    lines = difflib.unified_diff(
        shown.splitlines(), found.splitlines(), "shown", "found", n=100, lineterm=""
    )
    return "\n".join(lines)


def _same_lines(found: list[str], shown: list[str]) -> bool:
    if not shown:
        return not found
    if shown[0] == "…":
        return any(_same_lines(found[n:], shown[1:]) for n in range(len(found) + 1))
    return bool(found) and _same_line(found[0], shown[0]) and _same_lines(found[1:], shown[1:])


def _same_line(found: str, shown: str) -> bool:
    pattern = re.escape(DECIMAL.sub("\0", shown)).replace("…", ".*?")
    match = re.fullmatch(pattern.replace("\0", f"({DECIMAL.pattern})"), found)
    if match is None:
        return False
    numbers = map(Decimal, DECIMAL.findall(shown))
    return all(map(_same_decimal, map(Decimal, match.groups()), numbers))


def _same_decimal(found: Decimal, shown: Decimal) -> bool:
    if not (found.is_finite() and shown.is_finite()):
        return str(found) == str(shown)
    last_digit = Decimal((0, (1,), int(shown.as_tuple().exponent)))
    return abs(found - shown) <= max(abs(shown) * TOLERANCE, last_digit)


def _data(text: str) -> list[Any]:
    """One or more JSON values, one after the other."""
    decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=Decimal)
    values, text = [], text.strip()
    while text:
        try:
            value, end = decoder.raw_decode(text)
        except json.JSONDecodeError as error:
            raise AssertionError(f"no JSON: {error}\n{text[:2000]}") from None
        values.append(value)
        text = text[end:].strip()
    return values


def _same_data(found: Any, shown: Any) -> bool:
    if isinstance(shown, dict) and isinstance(found, dict):
        return list(found) == list(shown) and all(_same_data(found[k], shown[k]) for k in shown)
    if isinstance(shown, list) and isinstance(found, list):
        return len(found) == len(shown) and all(map(_same_data, found, shown))
    if isinstance(shown, str) and isinstance(found, str):
        return _same_line(masked(found), masked(shown))
    if isinstance(shown, Decimal) and isinstance(found, Decimal):
        return _same_decimal(found, shown)
    return type(found) is type(shown) and found == shown
