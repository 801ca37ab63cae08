"""Photographs pages with headless Chromium: files, and MLflow's tracking UI."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
from demo import MODEL, Demo
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from scipy.spatial import KDTree

COLORS, PAGE_COLORS = 128, 32  # of views, of the far longer pages
WIDTH = 1400
PATIENCE = 60  # seconds for a page to stand still
NAMES = ("chromium", "chromium-browser", "google-chrome")
OLD_REGISTRY = "_mlflow_user_setting_dismiss_next_model_registry_ui"
EDGE = "[data-component-id='mlflow.experiment_page.table_resizer.collapse']"
# MLflow's assistant opens by itself and hangs over the page; skeletons and spinners mean that
# something is still to come; the others are complaints.
HIDDEN = "[data-assistant-ui]{display:none !important}"
LOADING = "[class*=skeleton]:visible, [class*=spinner]:visible, [role=progressbar]:visible"
COMPLAINTS = "[class*=notification-notice]:visible, [role=alert]:visible"


@dataclass(frozen=True)
class View:
    """A page of the tracking UI.

    Args:
        address: within the UI, with keys of `Demo.names` in braces.
        shows: texts that have to be on it.
        height: of the window, pixels.
        prepare: what to do with the page before its picture is taken.
        old_registry: with the stages, which the UI hides otherwise.
    """

    address: str
    shows: tuple[str, ...]
    height: int = 900
    prepare: Callable[[Page], None] = lambda page: None
    old_registry: bool = False


def _choose_axes(page: Page) -> None:
    """Compares trials by what all of them have."""
    for name in ("C", "alpha"):
        tag = page.locator("[class*=select-selection-item]", has_text=name).first
        tag.locator("[class*=item-remove]").click()
    page.locator("[class*=select-selector]").nth(1).click()
    for name in ("cv_log_loss", "cv_roc_auc"):
        page.locator("[class*=select-item-option]", has_text=name).first.click()
    page.keyboard.press("Escape")


def _close(heading: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("button", name=heading, exact=True).click()


def _widen_list(page: Page) -> None:
    """Drags the edge between the list of runs and the charts, so that names are not cut."""
    edge = page.locator(f"div:has(> .button > {EDGE})").bounding_box()
    if edge:
        x, y = edge["x"] + edge["width"] / 2, edge["y"] + 60
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 125, y, steps=5)
        page.mouse.up()


def _open_schema(page: Page) -> None:
    for side in ("Inputs", "Outputs"):
        page.get_by_role("row", name=side).first.click()


RUNS = "/#/experiments/{experiment}/runs"
VIEWS = {
    "runs": View(RUNS, ("t000 logistic_regression", "best: "), 1010),
    "compare": View(
        '/#/compare-runs?runs=[{trials}]&experiments=["{experiment}"]',
        ("Parallel Coordinates Plot",),
        874,
        _choose_axes,
    ),
    "charts": View(
        f"{RUNS}?compareRunsMode=CHART&searchFilter=tags.rank LIKE '%25'"
        "&orderByKey=metrics.`cv_f1_macro`&orderByAsc=false",
        ("cv_f1_macro", "cv_log_loss"),
        1062,
        _widen_list,
    ),
    "run": View(f"{RUNS}/{{best}}", ("holdout_f1_macro", "Registered models")),
    "artifacts": View(f"{RUNS}/{{best}}/artifacts/confusion_matrix.png", ("Path: ",), 760),
    "history": View(f"{RUNS}/{{sweep}}/artifacts/optimization_history.png", ("Path: ",), 760),
    "promotion": View(f"{RUNS}/{{promotion}}/artifacts/bootstrap.png", ("Path: ",), 760),
    "versions": View(f"/#/models/{MODEL}", ("@ champion", "@ previous"), 1300, _close("Tags")),
    "stages": View(
        f"/#/models/{MODEL}", ("Production", "Archived"), 700, _close("Tags"), old_registry=True
    ),
    "version": View(f"/#/models/{MODEL}/versions/2", ("Outputs",), 1180, _open_schema),
}


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's Chromium, or else playwright's own."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses root without
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=alone)
        yield browser
        browser.close()


def take_file(browser: Browser, file: Path, picture: Path, *, dark: bool, width: int) -> None:
    """Takes a whole page of HTML, however long."""
    page = browser.new_page(
        viewport={"width": width, "height": 300}, color_scheme="dark" if dark else "light"
    )
    page.goto(file.as_uri())
    _save(page.screenshot(full_page=True), picture, PAGE_COLORS)
    page.close()


def take_view(browser: Browser, demo: Demo, view: View, picture: Path) -> None:
    """Takes a page of the tracking UI as soon as it stands still.

    Raises:
        RuntimeError: it complains, or does not come to a rest.
        AssertionError: a text that it has to show is missing.
    """
    page = browser.new_page(viewport={"width": WIDTH, "height": view.height}, locale="en-GB")
    # fonts and telemetry from elsewhere would be waited for on a machine without a way out
    page.route(
        lambda address: not address.startswith((demo.url, "data:", "blob:")),
        lambda route: route.abort(),
    )
    entries = json.dumps(_settings(demo, view))
    page.add_init_script(f"for (const [k, v] of {entries}) localStorage.setItem(k, v)")
    page.goto(demo.url + quote(view.address.format(**demo.names), safe="/#?&=%:,"))
    page.add_style_tag(content=HIDDEN)
    expect.set_options(timeout=PATIENCE * 1000)
    _stand_still(page, view)
    view.prepare(page)
    page.mouse.move(WIDTH - 1, view.height - 1)  # away from what shows more when pointed at
    for text in view.shows:
        expect(page.get_by_text(text).first).to_be_visible()
    _save(_stand_still(page, view), picture, COLORS)
    page.close()


def _stand_still(page: Page, view: View) -> bytes:
    ends = time.monotonic() + PATIENCE
    before = b""
    while time.monotonic() < ends:
        page.wait_for_timeout(700)
        now = page.screenshot()
        if page.locator(COMPLAINTS).count():
            said = page.locator(COMPLAINTS).first.inner_text()
            raise RuntimeError(f"the tracking UI complains on {view.address}: {said}")
        if now == before and not page.locator(LOADING).count():
            return now
        before = now
    raise RuntimeError(f"{view.address} does not come to a rest")


def _settings(demo: Demo, view: View) -> list[tuple[str, str]]:
    """What the UI remembers in the browser: kept there, as it has no address of its own."""
    experiment = demo.names["experiment"]
    columns = {
        "attributes.`Run Name`": 350,
        "runDateAndNestInfo": 130,
        "duration": 75,
        "attributes.`Models`": 140,
        "tags.`rank`": 60,
        "metrics.`cv_f1_macro`": 145,
        "metrics.`holdout_f1_macro`": 150,
    }
    table = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [name for name in columns if "." in name],
        "columnOrder": list(columns),  # without an order the widths are ignored
        "columnWidths": columns,
        "runsExpanded": {demo.names["sweep"]: True},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupsExpanded": {},
        "autoRefreshEnabled": False,
    }
    state = f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment}"]-ReactComponentState'
    return [
        ("mlflow.workflowType_v1", json.dumps("machine_learning")),
        ("mlflow.assistant.panelOpen_v1", "false"),
        ("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true"),
        ("mlflow.telemetry.info.alert.dismissed_v1", "true"),
        (OLD_REGISTRY, json.dumps(view.old_registry)),
        (state, json.dumps(table)),
    ]


def _save(png: bytes, picture: Path, most: int) -> None:
    """Saves with the most frequent colours as they are, and the rest as the nearest of a palette.

    Either alone loses something: the few dots of a curve, or the pale grey of a panel.
    """
    with Image.open(BytesIO(png)) as opened:
        image = opened.convert("RGB")
    rare = image.quantize(most // 2, Image.Quantize.FASTOCTREE).convert("RGB")
    colors, places, counts = np.unique(
        np.asarray(image).reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    frequent = colors[np.argsort(-counts, kind="stable")[: most // 2]]
    palette = np.concatenate([frequent, np.unique(np.asarray(rare).reshape(-1, 3), axis=0)])
    _, nearest = KDTree(palette).query(colors)
    small = Image.frombytes("P", image.size, nearest.astype(np.uint8)[places.ravel()].tobytes())
    small.putpalette(palette.astype(np.uint8).tobytes())
    small.save(picture, optimize=True)
