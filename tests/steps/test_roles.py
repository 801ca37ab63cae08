"""Columns with a role travel with the model."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from steps import train
from tabular.errors import BadInput
from tabular.models.load import load_model
from tabular.table.structure import Structure


def write(folder: Path, y: np.ndarray) -> str:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=120) + y, "person": np.arange(120) // 4})
    table.assign(day=np.arange(120) // 2, times=1 + np.arange(120) % 2, y=y).to_csv(
        folder / "t.csv", index=False
    )
    return str(folder / "t.csv")


@pytest.mark.usefixtures("store")
def test_a_later_version_has_the_structure_of_the_one_before(tmp_path: Path) -> None:
    options = ["--data", write(tmp_path, np.arange(120) % 2), "--target", "y"]
    train.main([*options, "--group", "person", "--time", "day", "--weight", "times"])
    train.main(options)
    train.main([*options, "--group", "none", "--time", "none"])
    found = [load_model(f"models:/t/{n}", str(tmp_path)) for n in (1, 2, 3)]
    assert found[0].structure == found[1].structure == Structure(("person",), "day", "times")
    assert found[0].cut == found[1].cut == "48.0"
    assert found[2].structure == Structure((), "", "times")
    run_id = found[0].run_id
    file = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="holdout.parquet")
    rows = pd.read_parquet(file)
    assert list(rows) == ["x", "y", "person", "day", "times"]
    assert (rows["day"] >= 48).all()


@pytest.mark.usefixtures("store")
def test_a_class_that_only_the_newest_rows_have_is_refused(tmp_path: Path) -> None:
    y = np.where(np.arange(120) >= 110, 2, np.arange(120) % 2)
    with pytest.raises(BadInput, match=r"no rows of class 2 before 48.0 in 'day'"):
        train.main(["--data", write(tmp_path, y), "--target", "y", "--time", "day"])
