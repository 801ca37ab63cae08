"""Delimited text read in chunks: encoding, separator and heading are told from the file itself."""

import codecs
import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import charset_normalizer
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from tabular.errors import BadInput
from tabular.table.chunks import Chunk, Unreadable

BLOCK = 8 << 20  # bytes of a chunk
HEAD = 1 << 20  # bytes that are looked at for the layout
LOOKED_AT = 20  # rows that a separator has to fit
SURE = 0.3  # a language that fits less is not known, nor letters of several bytes that are fewer
SAMPLE = 64 << 10  # bytes by which an encoding is recognised
TEXT = pa.large_string()  # as pandas keeps it
_TRAILING = "__after_the_last_separator__"
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}


@dataclass(frozen=True)
class Layout:
    """How a table is written as text.

    Args:
        names: its headings.
        separator: of its cells.
        before: lines before the first row.
        trailing: each row has a separator too many at its end.
        rows: there are any.
        encoding: of its letters, as Python names it.
        blank: there may be blank lines, so that the place of a row does not give its line.
        quoted: there may be quotes, and so line breaks inside of cells.
    """

    names: tuple[str, ...]
    separator: str
    before: int
    trailing: bool
    rows: bool
    encoding: str = "utf-8"
    blank: bool = False
    quoted: bool = True

    @property
    def schema(self) -> pa.Schema:
        """All cells are text."""
        return pa.schema(dict.fromkeys(self.names, TEXT))


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Opens a file, decompressed by its ending: `.gz`, `.bz2`, `.zst`, or `.zip` of one file."""
    ending = path.suffix.lower()
    if ending == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                files = [one for one in archive.infolist() if not one.is_dir()]
                files = [one for one in files if not one.filename.startswith("__MACOSX/")]
                if len(files) != 1:
                    raise BadInput(f"{path} holds {len(files)} files; a table is one file")
                with archive.open(files[0]) as opened:
                    yield cast(BinaryIO, opened)
        except zipfile.BadZipFile as error:
            raise OSError(str(error)) from None
    else:
        with pa.input_stream(str(path), compression=_COMPRESSIONS.get(ending)) as opened:
            yield opened


def encoding_of(path: Path) -> tuple[str, bool, bool]:
    """The encoding of a text file as Python names it, and whether it has blank lines and quotes.

    What is not UTF-8 and has no byte order mark is recognised by charset-normalizer. It is cp1252,
    Windows' Western encoding, where that is as likely as the best guess, or where the letters are
    too few to know their language by.
    """
    blank = quoted = beyond_ascii = False
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_bytes(path) as stream:
        block = stream.read(BLOCK)
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16", True, True
        try:
            while block:
                if b"\0" in block[:SAMPLE]:
                    return _recognised(block[:SAMPLE]), True, True
                if beyond_ascii := beyond_ascii or not block.isascii():
                    decoder.decode(block)
                blank = blank or b"\n\n" in block or b"\n\r\n" in block
                quoted = quoted or b'"' in block
                block = stream.read(BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            start = max(0, block.rfind(b"\n", 0, error.start) + 1 - SAMPLE // 2)
            return _recognised(block[start : start + SAMPLE]), True, True
    return "utf-8", blank, quoted


def _recognised(sample: bytes) -> str:
    matches = charset_normalizer.from_bytes(sample)
    best = matches.best()
    if best is None:
        raise BadInput("its encoding is not recognised; save it as UTF-8")
    equal = [m for m in matches if (m.chaos, m.coherence) == (best.chaos, best.coherence)]
    western = any("cp1252" in match.could_be_from_charset for match in equal)
    if best.coherence < SURE and best.multi_byte_usage < SURE and b"\0" not in sample:
        with suppress(UnicodeDecodeError):
            western = bool(sample.decode("cp1252"))
    return "cp1252" if western else best.encoding


def read_layout(head: str, source: str) -> Layout:
    """The headings and the separator of a table, from the beginning of its text.

    The separator is the one of comma, semicolon, tab and bar that cuts the heading and the first
    rows into equally many cells, and into most.

    Raises:
        BadInput: there is no heading, or it names a column twice.
    """
    separators, before = "\t,;|" if ".tsv" in source.lower()[-8:] else ",;\t|", 0
    head = head.removeprefix("\ufeff")
    while skipped := re.match(r'"?sep=(.)"?(\r\n|\r|\n)|\r\n|\r|\n', head, re.IGNORECASE):
        separators = skipped[1] or separators
        head, before = head[skipped.end() :], before + 1
    if not head:
        raise BadInput(f"{source} cannot be read: it is empty; its first line is the heading")
    cuts = [_cut(head, separator) for separator in separators]
    _, best = max(cuts, key=lambda cut: (cut[0], len(cut[1].names)))
    names = [name or f"Unnamed: {position}" for position, name in enumerate(best.names)]
    if doubled := [name for name, times in Counter(names).items() if times > 1]:
        raise BadInput(f"column {doubled[0]!r} is in {source} more than once; rename one of them")
    return replace(best, names=tuple(names), before=before + best.before)


def _cut(head: str, separator: str) -> tuple[float, Layout]:
    """How well one separator fits, from 0 to 1, and the layout by it."""
    csv.field_size_limit(max(csv.field_size_limit(), BLOCK))
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
    names = next(reader)
    before = reader.line_num
    rows = [row for row in islice(reader, LOOKED_AT) if row]
    longer = [len(row) == len(names) + 1 and not row[-1] for row in rows]
    fitting = sum(one or len(row) == len(names) for row, one in zip(rows, longer, strict=True))
    layout = Layout(tuple(names), separator, before, bool(rows) and all(longer), bool(rows))
    return (fitting + 1) / (len(rows) + 1) if len(names) > 1 else 0.0, layout


def layout_of(path: Path) -> Layout:
    """The layout of a file; see `encoding_of` and `read_layout`."""
    encoding, blank, quoted = encoding_of(path)
    with open_bytes(path) as stream:
        head = stream.read(HEAD)
    # of what is cut off at the end, a letter may be half there
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    if len(head) == HEAD and text.count("\n") > 1:  # else the first row is longer still
        text = text[: text.rindex("\n")]
    return replace(read_layout(text, str(path)), encoding=encoding, blank=blank, quoted=quoted)


def read_rows(path: Path, layout: Layout) -> Iterator[Chunk]:
    """Rows of text, some megabytes at a time; lines that are no rows are told apart."""
    if not layout.rows:
        return
    names = [*layout.names, *([_TRAILING] if layout.trailing else [])]
    skipped: list[Unreadable] = []

    def skip(row: Any) -> str:
        cells = next(csv.reader([row.text], delimiter=layout.separator), [])
        reason = _miscounted(row.actual_columns, layout)
        skipped.append(Unreadable(row.number - layout.before, reason, cells))
        return "skip"

    with open_bytes(path) as stream:
        batches = pyarrow.csv.open_csv(
            stream,
            pyarrow.csv.ReadOptions(
                block_size=BLOCK,
                use_threads=False,  # threads would lose the rows' numbers
                column_names=names,
                skip_rows=layout.before,
                encoding=layout.encoding,
            ),
            pyarrow.csv.ParseOptions(
                delimiter=layout.separator,
                newlines_in_values=layout.quoted,
                invalid_row_handler=skip,
            ),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, TEXT), strings_can_be_null=False
            ),
        )
        done = breaks = 0  # rows, and line breaks inside their cells
        last = pa.RecordBatch.from_pylist([], schema=pa.schema(dict.fromkeys(names, TEXT)))
        for batch in chain(batches, [last]):
            wrong: list[Unreadable] = []
            while skipped and skipped[0].place <= done + batch.num_rows + len(wrong) + 1:
                wrong.append(skipped.pop(0))
            ends = done + batch.num_rows + len(wrong)
            numbers = np.setdiff1d(np.arange(done + 1, ends + 1), [one.place for one in wrong])
            odd = _odd_rows(batch, layout)
            for position, reason in odd.items():
                cells = [str(column[position]) for column in batch.columns]
                wrong.append(Unreadable(int(numbers[position]), reason, cells))
            if batch.num_rows or wrong:
                kept = np.ones(batch.num_rows, dtype=bool)
                kept[list(odd)] = False
                rows = batch.filter(pa.array(kept)) if odd else batch
                lines = _with_lines(wrong, batch, numbers, breaks, layout) if wrong else ()
                yield Chunk(rows.select(list(layout.names)), numbers[kept], lines)
            if layout.quoted:
                breaks += sum(_breaks(column) for column in batch.columns)
            done = ends


def _miscounted(n_cells: int, layout: Layout) -> str:
    return f"has {n_cells} cell{'s' * (n_cells != 1)}, the heading {len(layout.names)}"


def _odd_rows(batch: pa.RecordBatch, layout: Layout) -> dict[int, str]:
    """Why a row with the right number of cells is none, by position: it is the heading again."""
    odd = {}
    if layout.trailing:
        reason = _miscounted(len(layout.names) + 1, layout)
        odd = dict.fromkeys(np.flatnonzero(pc.not_equal(batch.column(-1), "")).tolist(), reason)
    same = pc.equal(batch.column(0), layout.names[0])
    if pc.any(same).as_py():
        for name, cells in zip(layout.names, batch.columns, strict=False):
            same = pc.and_(same, pc.equal(cells, name))
        odd |= dict.fromkeys(np.flatnonzero(same).tolist(), "repeats the heading")
    return odd


def _breaks(cells: pa.Array) -> int:
    """Line breaks inside the cells of a column."""
    data = cells.buffers()[2]
    return data.to_pybytes().count(b"\n") if data else 0


def _with_lines(
    wrong: list[Unreadable],
    batch: pa.RecordBatch,
    numbers: np.ndarray,
    breaks: int,
    layout: Layout,
) -> tuple[Unreadable, ...]:
    """Puts the line, or the place where that cannot be known, before each reason."""
    inside = np.zeros(batch.num_rows, dtype=np.int64)
    for cells in batch.columns:
        inside += pc.count_substring(cells, "\n").to_numpy(zero_copy_only=False)
    located = []
    for one in sorted(wrong):
        line = layout.before + one.place + breaks + int(inside[numbers < one.place].sum())
        where = f"row {one.place}" if layout.blank else f"line {line}"
        located.append(one._replace(reason=f"{where} {one.reason}"))
    return tuple(located)
