"""Makes the pictures of the reports in this folder.

    python docs/screenshots.py churn.csv:Churn

Trains iris and the given table in a store of their own, photographs each `report.html` in Chromium,
light and dark, and a drift report of the table with its first numbers raised. Needs `chromium`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mlflow
import pandas as pd
from PIL import Image, ImageChops

ROOT = Path(__file__).resolve().parents[1]
WIDTH, TALLEST = 1000, 6000
COLORS = 128


def photograph(page: Path, picture: Path, *, dark: bool) -> None:
    """Saves the page as a small PNG."""
    subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--window-size={WIDTH},{TALLEST}",
            f"--screenshot={picture}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
    )
    with Image.open(picture) as image:
        whole = image.convert("RGB")
        blank = Image.new("RGB", whole.size, whole.getpixel((0, TALLEST - 1)))
        lowest = ImageChops.difference(whole, blank).getbbox()[3]
        page = whole.crop((0, 0, WIDTH, min(TALLEST, lowest + 30)))
        page.quantize(COLORS, dither=Image.Dither.NONE).save(picture, optimize=True)


def step(name: str, *arguments: str) -> None:
    """Runs a command of the project; drift is an answer, not an error."""
    ended = subprocess.run(
        [sys.executable, "-m", f"steps.{name}", *arguments], cwd=ROOT, check=False
    )
    if ended.returncode not in (0, 3):
        sys.exit(ended.returncode)


def main(table: str) -> None:
    """Trains, photographs."""
    data, _, target = table.rpartition(":")
    data, stem = str(Path(data).resolve()), Path(data).stem
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.environ["MLFLOW_EXPERIMENT_NAME"] = "screenshots"
        mlflow.create_experiment("screenshots", artifact_location=f"{folder}/artifacts")
        step("train")
        step("train", "--data", data, "--target", target, "--model_name", stem)
        for model, name in (("iris", "iris"), (stem, stem)):
            version = mlflow.MlflowClient().get_model_version(model, "1")
            page = mlflow.artifacts.download_artifacts(
                run_id=version.run_id, artifact_path="report.html", dst_path=folder
            )
            for dark in (False, True):
                picture = ROOT / "docs" / f"report-{name}{'-dark' * dark}.png"
                photograph(Path(page), picture, dark=dark)
        later = pd.read_csv(data)
        number = next(n for n in later if later[n].nunique() > 20 and later[n].dtype.kind in "if")
        later[number] += later[number].std() / 2
        later.drop(columns=target).to_csv(f"{folder}/later.csv", index=False)
        step("monitor", "--model", f"models:/{stem}/1", "--data", f"{folder}/later.csv")
        [run] = mlflow.search_runs(
            filter_string="tags.verdict != ''", output_format="list", search_all_experiments=True
        )
        page = mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path="drift.html", dst_path=folder
        )
        photograph(Path(page), ROOT / "docs" / "drift.png", dark=False)


if __name__ == "__main__":
    main(sys.argv[1])
