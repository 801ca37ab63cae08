"""README, CONTRIBUTING and docs: their commands do what they say, their links lead somewhere."""

from pathlib import Path

import pytest

from tests.documents import (
    DOCUMENTS,
    KINDS,
    MARKERS,
    ROOT,
    Block,
    anchors,
    blocks,
    links,
    masked,
    same_output,
)

# --- how a document is read, and output compared ------------------------------------------------


def read(folder: Path, text: str) -> list[Block]:
    (folder / "page.md").write_text(text.replace("'''", "```"))
    return blocks(folder / "page.md")


def test_a_block_has_a_kind_a_marker_a_line_and_a_section(tmp_path: Path) -> None:
    page = "# Page\n\n'''sh spark\n# why\nrun it\n'''\n\n## Part\n### Of it\n'''yaml\na: 1\n'''\n"
    first, second = read(tmp_path, page)
    assert (first.kind, first.marker, first.line, first.section) == ("sh", "spark", 3, "Page")
    assert (first.text, first.title) == ("# why\nrun it\n", "run it")
    assert (second.kind, second.marker, second.line, second.section) == ("yaml", "", 10, "Part")


def test_text_right_after_a_command_is_what_it_prints(tmp_path: Path) -> None:
    page = "'''sh\necho 1\n'''\n\n'''text\n1\n'''\n\n'''text\nlater\n'''\n"
    command, illustration = read(tmp_path, page)
    assert (command.shown, command.shown_kind) == ("1\n", "text")
    assert illustration.text == "later\n"


def test_text_after_a_word_is_an_illustration(tmp_path: Path) -> None:
    command, illustration = read(tmp_path, "'''sh\necho 1\n'''\nSo:\n'''json\n1\n'''\n")
    assert (command.shown, command.shown_kind) == ("", "")
    assert illustration.kind == "json"


@pytest.mark.parametrize("page", ["'''sh\necho 1\n", "- a list\n  '''sh\n  echo 1\n  '''\n"])
def test_a_block_that_no_one_would_find_is_an_error(tmp_path: Path, page: str) -> None:
    with pytest.raises(ValueError, match=r"page\.md:\d"):
        read(tmp_path, page)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run 0123456789abcdef0123456789abcdef ends", "run <id> ends"),
        ("models:/m-0123456789abcdef0123456789abcdef", "models:/m-<id>"),
        ("commit 12bea66", "commit <id>"),
        ("decade of 1234567 rows", "decade of 1234567 rows"),
        ("at 2026-11-23T13:45:29Z or 2026-11-23 13:45", "at <time> or <time>"),
        ("in 12 s, 0.31 s, 4 minutes, 5ms", "in <duration>, <duration>, <duration>, <duration>"),
        ("12 splits of 3 hands", "12 splits of 3 hands"),
        ("wrote /tmp/x-1/scored.csv.", "wrote …/scored.csv."),
        ("models:/iris/1 and POST /invocations", "models:/iris/1 and POST /invocations"),
        ("http://127.0.0.1:41231/#/experiments/0 shows it", "<url> shows it"),
        ("numpy==2.5.5, Python 3.12.1", "numpy==<version>, Python <version>"),
        ("a    table \n\n\n  of blanks", "a table\nof blanks"),
        ("10%\r20%\r30% \x1b[32mdone\x1b[0m", "30% done"),
        ("HTTP/1.1 200 OK\r\n\r\n{}", "HTTP/1.1 200 OK\n{}"),
    ],
)
def test_what_differs_from_run_to_run_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    ("found", "shown", "kind"),
    [
        ("f1 0.951 of 30 rows\n", "f1 0.98 of 30 rows", "text"),
        ("p 0.0028, -0.14", "p 0.003, -0.15", "text"),
        ("p 1.2e-05", "p 0.0000", "text"),
        ("p 2.0e-20", "p 2.1e-20", "text"),
        ("loss 0.2", "loss 0.3", "text"),
        ("a\nb\nc\nd\n", "a\n…\nd\n", "text"),
        ("a\n", "a\n…\n", "text"),
        ("iris version 3: chosen by root", "iris version 3: …", "text"),
        ("left 1 right", "left … right", "text"),
        ("/tmp/x/scored.csv: 3 rows", "…/scored.csv: 3 rows", "text"),
        ('{"a": [0.91, "x"]}', '{"a": [0.98, "x"]}', "json"),
        ('{"a": 2.1410348994381197e-20}', '{"a": 2.2e-20}', "json"),
        ('{"a": 0.00027932521066775014}', '{"a": 0.00}', "json"),
        ('{"a": NaN}', '{"a": NaN}', "json"),
        ('{"a": 1}\n{"b": "run 12bea66"}\n', '{"a": 1} {"b": "run 23cfb77"}', "json"),
    ],
)
def test_the_same_output(found: str, shown: str, kind: str) -> None:
    same_output(found, shown, kind)


@pytest.mark.parametrize(
    ("found", "shown", "kind"),
    [
        ("f1 0.951 of 30 rows", "f1 0.751 of 30 rows", "text"),
        ("f1 0.951 of 30 rows", "f1 0.951 of 31 rows", "text"),
        ("p 0.09", "p .003", "text"),
        ("p 0.09", "p 0.003", "text"),
        ("p 1.2e-05", "p 0.003", "text"),
        ("p 0.09", "p 2.1e-20", "text"),
        ("gain -0.1", "gain 0.1", "text"),
        ("loss 0.15", "loss 0.3", "text"),
        ("version 1", "version 1.0", "text"),
        ("a\nb\n", "a\n", "text"),
        ("a\n", "a\nb\n", "text"),
        ("", "a", "text"),
        ("a\nb\n", "a\n…\nc\n", "text"),
        ("a.b", "a+b", "text"),
        ('{"a": 0.5}', '{"a": 0.7}', "json"),
        ('{"a": 0.09}', '{"a": 2.1410348994381197e-20}', "json"),
        ('{"a": 0.00027932521066775014}', '{"a": 2.6447490665209796e-06}', "json"),
        ('{"a": NaN}', '{"a": 0.5}', "json"),
        ('{"a": 1}', '{"a": true}', "json"),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', "json"),
        ('{"a": [1]}', '{"a": [1, 2]}', "json"),
        ("curl: (7)", "{}", "json"),
    ],
)
def test_another_output(found: str, shown: str, kind: str) -> None:
    with pytest.raises(AssertionError):
        same_output(found, shown, kind)


def test_a_difference_is_shown_line_by_line() -> None:
    with pytest.raises(AssertionError) as error:
        same_output("same\nfound it\n", "same\nshown it\n")
    assert str(error.value).splitlines()[-3:] == [" same", "-shown it", "+found it"]


def test_links_and_headings_of_a_file(tmp_path: Path) -> None:
    page = """# `One` of [two](b.md#x): why?
See [a](a.md), ![picture](p.png "title"), <img src="q.png"> and [far](https://example.org/x.md).
```sh
# [no](link.md)
```
and `[no](code.md)`.
## Again
## Again
"""
    (tmp_path / "page.md").write_text(page)
    assert links(tmp_path / "page.md") == ["b.md#x", "a.md", "p.png", "q.png"]
    assert anchors(tmp_path / "page.md") == {"one-of-two-why", "again", "again-1"}


# --- the documents ------------------------------------------------------------------------------

# Blocks that no test can run, by their first command, and why.
ELSEWHERE: dict[str, dict[str, str]] = {
    "CONTRIBUTING.md": {"git push --follow-tags": "it changes the project's own repository"},
    "docs/cluster.md": {
        "mkdir image": "needs a registry of images and a Kubernetes cluster",
        "export MLFLOW_TRACKING_URI=https://mlflow.example.org": "needs a Databricks workspace",
    },
}

document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))


@document
def test_a_block_says_what_it_is(document: Path) -> None:
    for block in blocks(document):
        assert block.kind in KINDS, f"{block.place} is of kind {block.kind!r}"
        markers = MARKERS if block.kind in ("sh", "python") else {""}
        assert block.marker in markers, f"{block.place} is marked {block.marker!r}"


def test_what_no_test_runs_is_known_with_its_reason() -> None:
    found = {
        str(document.relative_to(ROOT)): {
            b.title for b in blocks(document) if b.marker == "elsewhere"
        }
        for document in DOCUMENTS
    }
    assert {name: titles for name, titles in found.items() if titles} == {
        name: set(reasons) for name, reasons in ELSEWHERE.items()
    }


@document
def test_a_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for target in links(document):
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{document.name} links to {target}"


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert not {page for page in DOCUMENTS if page != index} - listed
