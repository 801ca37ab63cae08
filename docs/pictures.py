"""Makes the pictures in docs/pictures/ from real runs, those that are older than their code.

    python docs/pictures.py            # the stale ones
    python docs/pictures.py --all
    python docs/pictures.py --check    # names the stale ones and ends with 1 if there are any

Installs what it needs: playwright and pyte by pip, Chromium and Graphviz by apt-get where they are
missing. `made.json` has, for each picture, the hashes of the files that make what it shows.
"""

import argparse
import ast
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
MADE = PICTURES / "made.json"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
MLFLOW = "mlflow"  # the version in requirements.txt, as a source of what its UI shows

UI = (MLFLOW, "docs/browser.py", "docs/demo.py", "examples/penguins_raw.csv")
TERMINAL = ("docs/terminal.py", "docs/demo.py", "examples/penguins_raw.csv")
SWEEP = ("tabular/sweep.py", "tabular/tracking.py", "tabular/finish.py", "tabular/search.py")
REGISTRY = ("tabular/versions.py", "tabular/registry.py", "tabular/promotion.py")
PAGE = ("tabular/page.html", "docs/demo.py")
REPORT = (*PAGE, "tabular/report.py", "tabular/report.html", "tabular/plots.py")
PENGUINS = (*REPORT, "examples/penguins_raw.csv")
SOURCES: dict[str, tuple[str, ...]] = {
    "terminal-sweep.png": (*TERMINAL, "steps/sweep.py", "tabular/progress.py"),
    "terminal-sweep-end.png": (*TERMINAL, "steps/sweep.py", "tabular/progress.py"),
    "terminal-promote.png": (
        *(*TERMINAL, "steps/promote.py"),
        *("tabular/promotion.py", "tabular/gate.py"),
    ),
    "runs.png": (*UI, *SWEEP),
    "compare.png": (*UI, *SWEEP),
    "charts.png": (*UI, *SWEEP),
    "run.png": (*UI, "tabular/tracking.py", "tabular/versions.py"),
    "artifacts.png": (*UI, "tabular/versions.py", "tabular/plots.py"),
    "history.png": (*UI, "tabular/sweep.py", "tabular/leaderboard.py"),
    "promotion.png": (*UI, "tabular/promotion.py", "tabular/plots.py"),
    "versions.png": (*UI, *REGISTRY),
    "stages.png": (*UI, *REGISTRY),
    "version.png": (*UI, *REGISTRY, "custom_model/packaging.py"),
    "report-iris.png": REPORT,
    "report-iris-dark.png": REPORT,
    "report-penguins.png": PENGUINS,
    "report-penguins-dark.png": PENGUINS,
    "drift.png": (*PAGE, "tabular/drift.html", "tabular/monitoring.py", "tabular/plots.py"),
    "leaderboard.png": (*PAGE, "tabular/leaderboard.html", "tabular/leaderboard.py"),
    "architecture.svg": ("docs/architecture.dot",),
    "layers.svg": ("docs/layers.dot",),
}
# picture: its run in the demo, the page among the run's artifacts, width in pixels
PAGES = {
    "report-iris": ("iris", "report.html", 1000),
    "report-iris-dark": ("iris", "report.html", 1000),
    "report-penguins": ("best", "report.html", 1300),
    "report-penguins-dark": ("best", "report.html", 1300),
    "drift": ("watch", "drift.html", 1000),
    "leaderboard": ("sweep", "leaderboard.html", 1900),
}


def fingerprint(source: str) -> str:
    """Hash of a source; of Python's code without comments and docstrings, which show nowhere."""
    if source == MLFLOW:
        pinned = re.search(r"^mlflow==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
        return pinned[1] if pinned else "unknown"
    content = (ROOT / source).read_bytes().replace(b"\r\n", b"\n")
    if source.endswith(".py"):
        tree = ast.parse(content)
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                value = body[0].value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    body[0] = ast.Expr(ast.Constant(None))
        content = ast.unparse(tree).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def fingerprints(picture: str) -> dict[str, str]:
    """Of all sources of a picture."""
    return {source: fingerprint(source) for source in SOURCES[picture]}


def recorded() -> dict[str, dict[str, str]]:
    """The fingerprints with which each picture was made."""
    if not MADE.exists():
        return {}
    found: dict[str, dict[str, str]] = json.loads(MADE.read_text(encoding="utf-8"))
    return found


def stale() -> dict[str, list[str]]:
    """Pictures that are missing or older than their sources, with what has changed."""
    made = recorded()
    old = {}
    for picture in SOURCES:
        now, then = fingerprints(picture), made.get(picture, {})
        if not (PICTURES / picture).exists():
            old[picture] = ["there is no such file"]
        elif now != then:
            names = [*now, *(name for name in then if name not in now)]
            old[picture] = [name for name in names if now.get(name) != then.get(name)]
    return old


def make(pictures: Sequence[str]) -> None:
    """Makes these and enters each as current."""
    PICTURES.mkdir(exist_ok=True)
    for file in PICTURES.glob("*"):
        if file.name not in SOURCES and file != MADE:
            file.unlink()
    before = {picture: fingerprints(picture) for picture in pictures}
    drawn = [name for name in pictures if name.endswith(".svg")]
    if drawn:
        install_program(("dot",), "graphviz")
    for name in drawn:
        draw(ROOT / SOURCES[name][0], PICTURES / name)
    if len(drawn) < len(pictures):
        install()
        photograph([name.removesuffix(".png") for name in pictures if name.endswith(".png")])
    made = {name: entry for name, entry in recorded().items() if name in SOURCES} | before
    text = json.dumps({name: made[name] for name in SOURCES if name in made}, indent=1)
    MADE.write_text(text + "\n", encoding="utf-8")


def draw(source: Path, picture: Path) -> None:
    """Draws a graph with Graphviz."""
    command = ["dot", "-Tsvg", str(source)]
    svg = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    picture.write_text(re.sub(r"<!-- Generated by.*?-->\n", "", svg, flags=re.DOTALL), "utf-8")


def photograph(names: Sequence[str]) -> None:
    """Runs the demo and takes these pictures of it."""
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    from browser import VIEWS, chromium, take_file, take_view
    from demo import demo

    with demo() as shown, chromium() as browser, tempfile.TemporaryDirectory() as folder:
        for name in names:
            picture = PICTURES / f"{name}.png"
            if name in VIEWS:
                take_view(browser, shown, VIEWS[name], picture)
            elif name in PAGES:
                run, page_name, width = PAGES[name]
                page = shown.artifact(run, page_name)
                take_file(browser, page, picture, dark=name.endswith("-dark"), width=width)
            else:
                page = Path(folder, "terminal.html")
                page.write_text(shown.screens[name], encoding="utf-8")
                take_file(browser, page, picture, dark=True, width=1000)
            print(f"docs/pictures/{name}.png", flush=True)


def install() -> None:
    """Installs playwright, pyte and a Chromium."""
    missing = [name for name in ("playwright", "pyte") if not importlib.util.find_spec(name)]
    if missing:
        pip = [sys.executable, "-m", "pip", "install", "-q"]
        if not importlib.util.find_spec("pip"):  # an environment made by uv
            pip = ["uv", "pip", "install", "-q", "--python", sys.executable]
        subprocess.run([*pip, *missing], check=True)
        importlib.invalidate_caches()
    if not install_program(CHROMIUM, "chromium"):
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def install_program(names: Sequence[str], package: str) -> bool:
    """Whether one of the names is on the PATH, if need be from a package of Debian."""
    if any(map(shutil.which, names)):
        return True
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-qq", "-y", package], check=True)
        return True
    if package == "graphviz":
        sys.exit("error: Graphviz is missing; install it: https://graphviz.org/download/")
    return False


def main(arguments: Sequence[str] | None = None) -> None:
    """Checks or makes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only name the stale pictures")
    parser.add_argument("--all", action="store_true", help="make the current ones again, too")
    options = parser.parse_args(arguments)
    old = stale()
    if options.check:
        for picture, changed in old.items():
            print(f"docs/pictures/{picture} is older than {', '.join(changed)}")
        sys.exit(1 if old else 0)
    if wanted := [name for name in SOURCES if options.all or name in old]:
        make(wanted)


if __name__ == "__main__":
    main()
