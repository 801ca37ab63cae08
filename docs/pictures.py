"""Makes docs/pictures/: views of real runs in MLflow's UI, pages, terminals, and two drawings.

    pip install playwright pyte
    apt-get install chromium graphviz fonts-dejavu-core
    python docs/pictures.py
    dot -Tsvg docs/layers.dot -o docs/pictures/layers.svg  # a drawing alone

The story, three minutes in a clone of the last commit and a store of its own: a k-neighbours
classifier of the penguins goes into production, a sweep finds a better one, which replaces it, a
third version waits, and a later table is monitored. If a command fails, or a view does not show
what it should, docs/pictures/ stays as it was.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from html import escape
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from urllib.request import urlopen

import pandas as pd
import pyte
from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

PICTURES = Path(__file__).resolve().parent / "pictures"
TABLE, TARGET, MODEL = "examples/penguins_raw.csv", "Sex", "penguins"
PORT, URL = 15023, "http://127.0.0.1:15023"  # below the ports that systems hand out
WIDTH, PATIENCE = 1400, 60  # pixels of a view, seconds until it has to stand still
LINES, COLUMNS = 40, 112  # of a terminal
TERMINAL = """<!doctype html><meta charset=utf-8><style>
body{margin:0;background:#1e1e1e;color:#ddd}
pre{margin:0;padding:14px 18px;font:14px/1.25 'DejaVu Sans Mono',monospace}</style><pre>"""
LOADING = "[class*=skeleton]:visible, [class*=spinner]:visible, [role=progressbar]:visible"
COMPLAINTS = "[class*=notification-notice]:visible, [role=alert]:visible"


def choose_axes(page: Page) -> None:
    """Compares trials by what all of them have, not by hyperparameters of one family."""
    for _ in ("C", "alpha"):  # the classifier stays
        page.locator("[class*=item-remove]").first.click()
    page.locator("[class*=select-selector]").nth(1).click()
    for name in ("cv_log_loss", "cv_roc_auc"):
        page.locator("[class*=select-item-option]", has_text=name).first.click()
    page.keyboard.press("Escape")


def widen_list(page: Page) -> None:
    """Drags the edge between the list of runs and the charts, so that names are not cut."""
    edge = page.locator("[data-component-id='mlflow.experiment_page.table_resizer.collapse']")
    edge.locator("xpath=../..").drag_to(page.locator("body"), target_position={"x": 640, "y": 400})


def close_tags(page: Page) -> None:
    """Closes the tags of the model, which are long."""
    page.get_by_role("button", name="Tags", exact=True).click()


def show_stages(page: Page) -> None:
    """Leaves the new registry for the one that has stages."""
    page.get_by_role("switch").click()
    page.get_by_role("button", name="Disable").click()
    close_tags(page)


def open_schema(page: Page) -> None:
    """Opens both sides of the signature."""
    for side in ("Inputs", "Outputs"):
        page.get_by_role("row", name=side).first.click()


class View(NamedTuple):
    """A page of the tracking UI."""

    address: str  # with ids of `look_up` in braces
    texts: tuple[str, ...]  # that have to be visible
    height: int = 760
    prepare: Callable[[Page], None] = lambda page: None


RUNS, VERSIONS = "/#/experiments/{experiment}/runs", f"/#/models/{MODEL}"
CHARTS = "?compareRunsMode=CHART&searchFilter=tags.rank LIKE '%25'&orderByKey=metrics.`cv_f1_macro`"
COMPARE = '/#/compare-runs?runs=[{trials}]&experiments=["{experiment}"]'
VIEWS = {
    "runs.png": View(RUNS, ("t000 k_neighbors", "best: "), 1010),
    "compare.png": View(COMPARE, ("Parallel Coordinates Plot",), 874, choose_axes),
    "charts.png": View(RUNS + CHARTS, ("cv_f1_macro", "cv_ks"), 1062, widen_list),
    "run.png": View(RUNS + "/{best}", ("holdout_f1_macro", "Registered models"), 900),
    "artifacts.png": View(RUNS + "/{best}/artifacts/confusion_matrix.png", ("Path: ",)),
    "history.png": View(RUNS + "/{sweep}/artifacts/optimization_history.png", ("Path: ",)),
    "promotion.png": View(RUNS + "/{promotion}/artifacts/bootstrap.png", ("Path: ",)),
    "versions.png": View(VERSIONS, ("@ champion", "@ previous"), 1300, close_tags),
    "stages.png": View(VERSIONS, ("Production", "Archived"), 700, show_stages),
    "version.png": View(VERSIONS + "/versions/2", ("Outputs",), 1180, open_schema),
}
# the run, the page among its artifacts, the width in pixels, in the dark
PAGES = {
    "report-iris.png": ("iris", "report.html", 1000, False),
    "report-iris-dark.png": ("iris", "report.html", 1000, True),
    "report-penguins.png": ("best", "report.html", 1300, False),
    "report-penguins-dark.png": ("best", "report.html", 1300, True),
    "drift.png": ("watch", "drift.html", 1000, False),
    "leaderboard.png": ("sweep", "leaderboard.html", 1900, False),
}
TERMINALS = ("terminal-sweep.png", "terminal-sweep-end.png", "terminal-promote.png")
DRAWINGS = ("architecture.svg", "layers.svg")


def tell_story(folder: Path) -> dict[str, str]:
    """Runs the commands in a clone in this folder; returns screens of terminals, by picture."""
    clone = folder / "mlflow-classification-pipeline"
    subprocess.run(["git", "clone", "-q", PICTURES.parents[1], clone], check=True)
    subprocess.run(["git", "checkout", "-q", "-B", "main"], cwd=clone, check=True)
    os.chdir(clone)
    run = "mlflow run . --env-manager local -e"
    penguins = f"-P data={TABLE} -P target={TARGET} -P model_name={MODEL}"
    record(f"{run} train {penguins} -P classifier=k_neighbors")
    record(f"{run} promote -P model_name={MODEL}")
    half, end = record(f"{run} sweep {penguins} -P trials=16", moment="8/16 trials")
    _, promoted = record(f"{run} promote -P model_name={MODEL}")
    record(f"{run} train {penguins} -P classifier=random_forest")
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "iris"
    record(f"{run} train")
    later = pd.read_csv(TABLE).drop(columns=TARGET)
    later.assign(**{"Body Mass (g)": later["Body Mass (g)"] * 1.1}).to_csv("later.csv", index=False)
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "monitoring"
    monitor = f"python -m steps.monitor --model models:/{MODEL}/Production --data later.csv"
    record(monitor, code=3)  # drift, as it should be
    return dict(zip(TERMINALS, (half, end, promoted), strict=True))


def record(command: str, moment: str = "", code: int = 0) -> tuple[str, str]:
    """A command in a terminal: its screen when the text `moment` is on it, and at the end."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (LINES, COLUMNS))
    process = subprocess.Popen(command.split(), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    then, now = "", ""
    with suppress(OSError):  # how Linux says that the other side is closed
        while received := os.read(ours, 4096):
            for part in re.split(rb"(?<=\r)", received):  # a bar draws each state after a return
                stream.feed(part)
                now = "\n".join(line.rstrip() for line in screen.display).rstrip()
                then = then or (now if moment in now else "")
    os.close(ours)
    if process.wait() != code or not then:
        sys.exit(f"{command}\n{now}")
    lines = command.replace(" -P ", " \\\n    -P ", len(command) > COLUMNS)  # once, if too long
    return f"<b>$ {lines}</b>\n{escape(then)}", f"<b>$ {lines}</b>\n{escape(now)}"


def look_up() -> dict[str, str]:
    """Ids of the experiment and of the runs to be shown."""
    client = MlflowClient()
    ids = {one.name: str(one.experiment_id) for one in client.search_experiments()}

    def runs(experiment: str, condition: str = "") -> list[str]:
        return [run.info.run_id for run in client.search_runs([ids[experiment]], condition)]

    good = "tags.rank LIKE '%' AND metrics.cv_f1_macro > 0.8"  # others would press them together
    return {
        "experiment": ids[MODEL],
        "trials": ",".join(f'"{trial}"' for trial in runs(MODEL, good)),
        "sweep": runs(MODEL, "run_name LIKE 'sweep %'")[0],
        "best": runs(MODEL, "run_name LIKE 'best: %'")[0],
        "promotion": runs(MODEL, "tags.promoted_version = '2'")[0],
        "iris": runs("iris")[0],
        "watch": runs("monitoring")[0],
    }


def take_view(browser: Browser, ids: dict[str, str], view: View) -> bytes:
    """A page of the tracking UI as soon as it stands still. A text that is missing is an error."""
    columns = ["attributes.`Run Name`", "runDateAndNestInfo", "duration", "attributes.`Models`"]
    columns += ["tags.`rank`", "metrics.`cv_f1_macro`", "metrics.`holdout_f1_macro`"]
    table = {
        "selectedColumns": [name for name in columns if "." in name],
        "columnOrder": columns,  # without an order the widths are ignored
        "columnWidths": dict(zip(columns, (350, 130, 75, 140, 60, 145, 150), strict=True)),
        "runsExpanded": {ids["sweep"]: True},
    }
    state = f'ExperimentPage-["{ids["experiment"]}"]-ReactComponentState'
    remembered = {  # by the UI in the browser
        f"MLflowLocalStorage-1.1-{state}": json.dumps(table),
        "mlflow.workflowType_v1": '"machine_learning"',
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    }
    with browser.new_page(viewport={"width": WIDTH, "height": view.height}) as page:
        # fonts and telemetry would be waited for on a machine without a way out
        page.route(re.compile(f"^(?!{URL}|data:|blob:)"), lambda route: route.abort())
        page.add_init_script(f"Object.assign(localStorage, {json.dumps(remembered)})")
        page.goto(URL + quote(view.address.format(**ids), safe="/#?&=%:,"))
        stand_still(page)
        view.prepare(page)
        page.mouse.move(WIDTH - 1, view.height - 1)  # away from what shows more when pointed at
        for text in view.texts:
            expect(page.get_by_text(text).first).to_be_visible(timeout=PATIENCE * 1000)
        return stand_still(page)


def stand_still(page: Page) -> bytes:
    """Two pictures in a row are equal, nothing loads, nothing complains."""
    before, end = b"", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        page.wait_for_timeout(700)
        now = page.screenshot(style="[data-assistant-ui] {display: none}")  # it hangs over the page
        if page.locator(COMPLAINTS).count():
            sys.exit(f"{page.url}: {page.locator(COMPLAINTS).first.inner_text()}")
        if now == before and not page.locator(LOADING).count():
            return now
        before = now
    sys.exit(f"{page.url} does not come to a rest")


def take_page(browser: Browser, html: str, width: int, dark: bool) -> bytes:
    """A whole page, however long."""
    with browser.new_page(color_scheme="dark" if dark else "light") as page:
        page.set_viewport_size({"width": width, "height": 300})
        page.set_content(html)
        return page.screenshot(full_page=True)


def photograph(folder: Path, made: Path) -> None:
    """Runs the story and saves pictures of it in `made`."""

    def save(png: bytes, name: str) -> None:
        image = Image.open(BytesIO(png)).convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE, 1)
        image.save(made / name, optimize=True)  # with 128 colours a third of the size
        print(f"docs/pictures/{name}", flush=True)

    screens, ids = tell_story(folder), look_up()
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, view in VIEWS.items():
            save(take_view(browser, ids, view), name)
        for name, (run, page, width, dark) in PAGES.items():
            [file] = (folder / "artifacts").glob(f"*/{ids[run]}/artifacts/{page}")
            save(take_page(browser, file.read_text("utf-8"), width, dark), name)
        for name, screen in screens.items():
            save(take_page(browser, TERMINAL + screen, 1000, dark=True), name)
        browser.close()


def main() -> None:
    """Makes them elsewhere, and puts them into docs/pictures/ when all are there."""
    place = tempfile.TemporaryDirectory()
    folder, made = Path(place.name), Path(place.name, "pictures")
    made.mkdir()
    for name in DRAWINGS:
        source = PICTURES.parent / name.replace("svg", "dot")
        subprocess.run(["dot", "-Tsvg", source, "-o", made / name], check=True)
    socket.create_server(("127.0.0.1", PORT)).close()  # an error, if another has it
    os.environ |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": URL,
        "MLFLOW_EXPERIMENT_NAME": MODEL,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # emoji, for which fonts may be missing
        "LOGNAME": "demo",  # who promoted, instead of the name on this machine
    }
    server = subprocess.Popen(
        f"mlflow server --backend-store-uri sqlite:///{folder}/mlflow.db --artifacts-destination "
        f"{folder}/artifacts --workers 1 --uvicorn-opts --log-level=warning --port {PORT}".split(),
        start_new_session=True,
    )
    try:
        while server.poll() is None:
            with suppress(OSError), urlopen(f"{URL}/health"):
                break
            time.sleep(0.2)
        else:
            sys.exit("mlflow server ended")
        photograph(folder, made)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    shutil.rmtree(PICTURES)
    shutil.copytree(made, PICTURES)


if __name__ == "__main__":
    main()
