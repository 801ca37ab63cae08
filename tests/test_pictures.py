"""The pictures of the documents: made from the code as it is, each of them shown somewhere."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

PICTURES = ROOT / "docs" / "pictures"
MADE = json.loads((PICTURES / "made.json").read_text(encoding="utf-8"))
LARGEST, ALL_TOGETHER = 150_000, 1_500_000  # bytes


def check(root: Path) -> subprocess.CompletedProcess[str]:
    script = root / "docs" / "pictures.py"
    command = [sys.executable, str(script), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def reasons(root: Path) -> dict[str, set[str]]:
    """Stale pictures, each with the sources that have changed."""
    pairs = (line.split(" is older than ") for line in check(root).stdout.splitlines())
    return {Path(picture).name: set(sources.split(", ")) for picture, sources in pairs}


def copy_of_sources(folder: Path) -> Path:
    names = {name for sources in MADE.values() for name in sources if "/" in name}
    for name in [*names, "docs/pictures.py", "requirements.txt"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(PICTURES, folder / "docs" / "pictures")
    return folder


def test_no_picture_is_older_than_the_code_that_makes_what_it_shows() -> None:
    checked = check(ROOT)
    assert (checked.returncode, checked.stdout) == (0, ""), "run `python docs/pictures.py`"


def test_every_picture_is_shown_in_a_document_and_every_one_shown_is_there() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in documents)
    files = {file.name for file in PICTURES.glob("*") if file.suffix != ".json"}
    assert files == MADE.keys()
    assert set(re.findall(r"pictures/([\w-]+\.(?:png|svg))", text)) == files


def test_the_pictures_are_small() -> None:
    sizes = {file.name: file.stat().st_size for file in PICTURES.glob("*")}
    assert {name for name, size in sizes.items() if size > LARGEST} == set()
    assert sum(sizes.values()) < ALL_TOGETHER


def test_pictures_of_changed_code_are_stale_but_a_comment_changes_no_picture(
    tmp_path: Path,
) -> None:
    root = copy_of_sources(tmp_path)
    before = reasons(root)
    page = root / "tabular" / "report.py"
    page.write_text(page.read_text("utf-8").replace('"""', '"""Indeed: ', 1) + "# a comment\n")
    assert reasons(root) == before
    page.write_text(page.read_text("utf-8") + "SHOWN = 2\n")
    checked = check(root)
    assert checked.returncode == 1
    stale = {name for name, sources in reasons(root).items() if "tabular/report.py" in sources}
    assert stale == {name for name, sources in MADE.items() if "tabular/report.py" in sources}
    assert "report-iris.png" in stale


def test_pictures_of_the_tracking_ui_are_stale_after_another_mlflow(tmp_path: Path) -> None:
    root = copy_of_sources(tmp_path)
    pins = root / "requirements.txt"
    pins.write_text(re.sub(r"^mlflow==\S+", "mlflow==99.0", pins.read_text(), flags=re.MULTILINE))
    stale = {name for name, sources in reasons(root).items() if "mlflow" in sources}
    assert stale == {name for name, sources in MADE.items() if "mlflow" in sources}
    assert "runs.png" in stale
