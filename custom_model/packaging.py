"""Packs a fitted pipeline as an MLflow model.

`bundle.py` and the folder `served` are its code, `pipeline.skops` the pipeline, `bundle.json` the
rest.
"""

import importlib.metadata
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import skops.io
import yaml
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from sklearn.base import ClassifierMixin

from custom_model.artifact import bundle_sha256
from custom_model.served.columns import Column, Label, expand
from custom_model.served.compiled import compile_model
from custom_model.served.encoding import Uncompiled
from custom_model.served.few import Unsure, read_few
from custom_model.served.requests import Refusal, conform
from custom_model.served.trust import load_pipeline

BUNDLE_FILE = Path(__file__).with_name("bundle.py")
SERVED_FOLDER = Path(__file__).with_name("served")

# What the model server needs, at the versions that trained. Named, because MLflow would otherwise
# run the model in a subprocess for twenty seconds to find them out.
_REQUIREMENTS = ("mlflow", "scikit-learn", "numpy", "scipy", "pandas", "skops", "pyarrow")
_FASTER_SERVER = ("uvloop", "httptools")  # uvicorn takes them where they are

MOST_PROVED, MOST_PROVED_CELLS = 2000, 500_000
MOST_CELLS = 20_000  # asked one by one, of a wide table
ONE_BY_ONE = 20
MOST_INDENTED = 1000  # columns
BATCH = 100  # what is compiled for a few rows only must take part in the proof
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Packed:
    """A logged bundle.

    Args:
        info: of MLflow, with `model_uri` and `model_id`.
        sha256: of its files, see `bundle_sha256`.
    """

    info: ModelInfo
    sha256: str


def log_bundle(
    pipeline: ClassifierMixin,
    columns: Sequence[Column],
    labels: Sequence[Label],
    table_columns: Sequence[str],
    target: str,
    example: pd.DataFrame,
    *,
    threshold: float = 0.5,
    costs: np.ndarray | None = None,
    at_least: str = "",
    sets: dict[str, Any] | None = None,
    typical: dict[str, Any] | None = None,
    proof: pd.DataFrame,
    about: dict[str, Any],
    profile: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> Packed:
    """Logs a fitted pipeline as a model of the active run.

    Args:
        pipeline: fitted on expanded columns, with classes 0 to n_classes - 1.
        columns: the features.
        labels: the class names, in the order of the pipeline's classes.
        table_columns: headings of the training table without the target, in its order.
        target: heading of the predicted column.
        example: (n_rows, n_columns) a few typed rows, as a client would send them; `bundle.json`
            has their probabilities, which a model server compares before it takes over.
        threshold: of two classes, the second is predicted where its probability is above it.
        costs: (n_classes, n_classes) of predicting column for row, by which it decides; or None.
        at_least: the rate that the threshold was chosen to hold; "" for none.
        sets: of `served.sets.calibrate`; None where there are no out-of-fold probabilities.
        typical: of `served.reasons.typical_row`; None where no reasons are wanted.
        proof: (n_rows, n_columns) typed rows, the held-out ones say; the server takes the short way
            for a few rows only if it answers to these as the pipeline does, see `prove_compiled`.
        about: further facts for `bundle.json` (data set, classifier, seed).
        profile: JSON of the training table's profile, for `profile.json`.
        metadata: further entries of the metadata in `MLmodel`.
    """
    spec = {
        "columns": [asdict(column) for column in columns],
        "labels": list(labels),
        "table_columns": list(table_columns),
        "target": target,
        "threshold": threshold,
        "costs": None if costs is None else costs.tolist(),
        "at_least": at_least,
        "sets": sets,
        "typical": typical,
        "about": about,
    }
    with tempfile.TemporaryDirectory() as folder:
        names = ("pipeline.skops", "bundle.json", "profile.json", "served", "logged")
        pipeline_file, spec_file, profile_file, served, logged = (Path(folder, n) for n in names)
        # the quickest level: a forest is large
        skops.io.dump(pipeline, pipeline_file, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        loaded = load_pipeline(pipeline_file)  # what cannot be loaded must not be logged
        spec["compiled"] = prove_compiled(loaded, columns, table_columns, target, proof)
        spec["example_proba"] = _proba(loaded, columns, to_request(example)).tolist()
        indent = 1 if len(columns) <= MOST_INDENTED else None  # with it Python writes, not C
        spec_file.write_text(json.dumps(spec, indent=indent, ensure_ascii=False), encoding="utf-8")
        shutil.copytree(SERVED_FOLDER, served, ignore=shutil.ignore_patterns("__pycache__"))
        artifacts = {"pipeline": pipeline_file, "bundle": spec_file, "served": served}
        if profile:
            profile_file.write_text(profile, encoding="utf-8")
            artifacts["profile"] = profile_file
        input_columns = [{"name": c.name, "kind": c.kind, "required": c.required} for c in columns]
        with _compiled_yaml():
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(BUNDLE_FILE),
                artifacts={name: str(file) for name, file in artifacts.items()},
                signature=make_signature(labels, threshold),
                pip_requirements=requirements(),
                metadata={"input_columns": input_columns} | dict(metadata or {}),
                input_example=to_request(example),
            )
        logged.mkdir()
        path = mlflow.artifacts.download_artifacts(info.model_uri, dst_path=str(logged))
        return Packed(info, bundle_sha256(Path(path)))


@contextmanager
def _compiled_yaml() -> Iterator[None]:
    """MLflow takes YAML's Python code, which needs seconds for the columns of a wide table."""
    plain = yaml.SafeLoader, yaml.SafeDumper
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", plain[0])  # type: ignore[misc]
    yaml.SafeDumper = getattr(yaml, "CSafeDumper", plain[1])  # type: ignore[misc]
    try:
        yield
    finally:
        yaml.SafeLoader, yaml.SafeDumper = plain  # type: ignore[misc]


def check_packable(pipeline: ClassifierMixin) -> None:
    """Sees whether a fitted pipeline survives its file.

    Raises:
        MlflowException: it holds a type that is not trusted.
        TypeError: it holds something that skops cannot write.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.skops")
        skops.io.dump(pipeline, file)
        load_pipeline(file)


def prove_compiled(
    pipeline: Any,
    columns: Sequence[Column],
    table_columns: Sequence[str],
    target: str,
    rows: pd.DataFrame,
) -> dict[str, Any]:
    """Compares the short way for a few rows with the pipeline.

    Besides the given rows, each of the first ones is asked with a value missing, where it may be,
    and with a category that nobody has seen; in some columns at once where there are hundreds.
    Rows are asked one by one and many at once.

    Args:
        pipeline: as loaded from its file.
        columns: the features.
        table_columns: headings of the training table without the target.
        target: heading of the predicted column.
        rows: (n_rows, n_columns) typed; the first 2,000 are asked, fewer of a wide table.

    Returns:
        `proved`: whether all labels are the same and no probability differs by more than 1e-9;
        then `rows`, how many were compared, and the `largest_difference` of a probability; else
        the `reason`.
    """
    records = to_request(
        rows[: min(MOST_PROVED, max(ONE_BY_ONE, MOST_PROVED_CELLS // len(columns)))]
    )
    at_once = max(1, 6 * len(columns) ** 2 // MOST_PROVED_CELLS)
    for place in range(0, len(columns), at_once):
        some = columns[place : place + at_once]
        absent: dict[str, Any] = {column.name: None for column in some if not column.required}
        unseen: dict[str, Any] = {
            column.name: "seen by nobody" for column in some if column.kind == "category"
        }
        for unusual in filter(None, (absent, unseen)):
            records += [{**record, **unusual} for record in records[:3]]
    one_by_one = min(ONE_BY_ONE, max(2, MOST_CELLS // len(columns)), len(records))
    alone = [records[row : row + 1] for row in range(one_by_one)]
    together = [records[row : row + BATCH] for row in range(0, len(records), BATCH)]
    compared, largest = 0, 0.0
    try:
        compiled = compile_model(pipeline)
        for asked in alone + together:
            expected = _proba(pipeline, columns, asked)
            proba = compiled(read_few(asked, columns, table_columns, target))
            difference = float(np.abs(proba - expected).max())
            if not difference <= TOLERANCE:
                return _unproved(f"a probability differs by {difference:.3g}")
            if (proba.argmax(axis=1) != expected.argmax(axis=1)).any():
                return _unproved("a label differs")
            compared, largest = compared + len(asked), max(largest, difference)
    except Uncompiled as reason:
        return _unproved(str(reason))
    except (Unsure, Refusal):
        return _unproved("the rows to prove it with are not plain")
    if not compared:
        return _unproved("no rows to prove it with")
    return {"proved": True, "rows": compared, "largest_difference": largest}


def _proba(
    pipeline: Any, columns: Sequence[Column], records: Sequence[Mapping[str, Any]]
) -> np.ndarray:
    frame = pd.DataFrame(records, columns=[column.name for column in columns])
    return pipeline.predict_proba(expand(conform(frame, columns), columns))


def _unproved(reason: str) -> dict[str, Any]:
    return {"proved": False, "reason": reason}


def to_request(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Typed rows as the list of JSON objects that `{"inputs": ...}` takes."""
    records: list[dict[str, Any]] = json.loads(
        rows.to_json(orient="records", date_format="iso", date_unit="us", double_precision=15)
    )
    return records


def make_signature(labels: Sequence[Label], threshold: float = 0.5) -> ModelSignature:
    """Outputs only: named inputs would make MLflow coerce a request before the model sees it.

    It would turn true into 1.0 and "5.1" into 5.1, and refuse a null. What the model takes stands
    in its metadata under `input_columns`.

    Args:
        labels: the class names.
        threshold: that applies where a request names none.
    """
    types = {str: DataType.string, bool: DataType.boolean, int: DataType.long}
    of_label = types.get(type(labels[0]), DataType.double)
    outputs: list[ColSpec | TensorSpec] = [ColSpec(of_label, "prediction")]
    outputs += [ColSpec(DataType.double, f"probability_{label}") for label in labels]
    params = [
        ParamSpec("coverage", DataType.double, default=0.0),
        ParamSpec("reasons", DataType.long, default=0),
        ParamSpec("reasons_for", of_label, default=None),
    ]
    if len(labels) == 2:
        params.append(ParamSpec("threshold", DataType.double, default=threshold))
    return ModelSignature(outputs=Schema(outputs), params=ParamSchema(params))


def requirements() -> list[str]:
    """Pinned requirements of the model server: the versions in use now."""
    names = [*_REQUIREMENTS, *(_FASTER_SERVER if sys.platform != "win32" else ())]
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]
