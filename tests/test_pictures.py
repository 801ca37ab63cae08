"""The pictures of the documents: each is made by docs/pictures.py and shown somewhere."""

import re
from html import unescape
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCS = ROOT / "docs"
FILES = sorted((DOCS / "pictures").iterdir())
LARGEST, ALL_TOGETHER = 200_000, 1_500_000  # bytes


def names(pattern: str, *files: Path) -> set[str]:
    return {name for file in files for name in re.findall(pattern, file.read_text("utf-8"))}


def test_every_picture_is_shown_in_a_document_and_every_one_shown_is_there() -> None:
    pattern = r"pictures/([\w-]+\.(?:png|svg))"
    shown = names(pattern, ROOT / "README.md", *DOCS.glob("*.md"))
    assert shown == {file.name for file in FILES}


def test_the_script_names_every_picture() -> None:
    made = names(r'"([\w-]+\.(?:png|svg))"', DOCS / "pictures.py")
    assert made == {file.name for file in FILES}


def test_the_pictures_are_small() -> None:
    sizes = {file.name: file.stat().st_size for file in FILES}
    assert {name for name, size in sizes.items() if size > LARGEST} == set()
    assert sum(sizes.values()) < ALL_TOGETHER


@pytest.mark.parametrize("source", sorted(DOCS.glob("*.dot")), ids=lambda source: source.stem)
def test_a_drawing_says_what_its_source_says(source: Path) -> None:
    text = "\n".join(line for line in source.read_text("utf-8").splitlines() if "invis" not in line)
    svg = unescape((DOCS / "pictures" / f"{source.stem}.svg").read_text("utf-8"))
    again = f"run: dot -Tsvg docs/{source.name} -o docs/pictures/{source.stem}.svg"
    labels = "\\n".join(re.findall(r'label="(.*?)"', text)).split("\\n")
    assert sorted(re.findall(r"<text .*?>(.*?)</text>", svg)) == sorted(labels), again
    edges = set(re.findall(r"(\w+) -> (\w+)", text))
    assert set(re.findall(r"<title>(\w+)->(\w+)</title>", svg)) == edges, again


def test_the_drawing_of_the_layers_has_every_folder_of_tabular() -> None:
    drawn = names(r'label="(?:tabular/)?(\w+)\\n', DOCS / "layers.dot")
    folders = {file.parent.name for file in ROOT.glob("tabular/*/__init__.py")}
    assert folders <= drawn
