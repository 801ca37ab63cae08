"""Any model of MLflow, asked about any rows: loading it, and its answers in one form."""

import re
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from custom_model.served.columns import Column, Label
from tabular.errors import BadInput, first_line
from tabular.table.split import ROW_HASH, hash_rows


@dataclass(frozen=True)
class Subject:
    """A model that is to be asked.

    Args:
        uri: as the user gave it.
        model: of `mlflow.pyfunc`.
        columns: the features of a bundle of this project; empty for any other model.
        labels: its classes; empty where it does not say.
        target: heading of the column it predicts, "" where it does not say.
        table_columns: headings of its training table without the target.
        run_id: of the run that logged it, "" where it does not say.
        profile: text of its `profile.json`, "" without.
        pipeline: of a bundle, None for any other model.
    """

    uri: str
    model: Any
    columns: tuple[Column, ...] = ()
    labels: tuple[Label, ...] = ()
    target: str = ""
    table_columns: tuple[str, ...] = ()
    run_id: str = ""
    profile: str = ""
    pipeline: Any = None


def load_subject(uri: str) -> Subject:
    """Loads a model.

    Args:
        uri: of MLflow: `models:/<name>/<version>`, `models:/<name>@<alias>`, `runs:/...`, a path.

    Raises:
        BadInput: there is no such model, or it cannot be loaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # stages are deprecated
                path = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
            model = mlflow.pyfunc.load_model(str(path))
        except Exception as error:  # stores and flavours raise many kinds
            raise BadInput(
                f"model {uri!r} cannot be loaded: {first_line(error)}; give a URI such as "
                "models:/iris/Production, models:/iris/3 or runs:/<run id>/model"
            ) from None
        run_id = str(getattr(model.metadata, "run_id", "") or "")
        inside = _bundle_of(model)
        if inside is None:
            return Subject(uri, model, run_id=run_id)
        profile = path / "artifacts" / "profile.json"
        return Subject(
            uri,
            model,
            columns=tuple(inside.columns),
            labels=tuple(inside.labels),
            target=inside.target,
            table_columns=tuple(inside.table_columns),
            run_id=run_id,
            profile=profile.read_text(encoding="utf-8") if profile.exists() else "",
            pipeline=inside.pipeline,
        )


def _bundle_of(model: Any) -> Any:
    """The bundle of this project inside a model, None if it is another one."""
    try:
        inside = model.unwrap_python_model()
    except (MlflowException, AttributeError):
        return None
    parts = ("columns", "labels", "table_columns", "target", "pipeline")
    return inside if all(hasattr(inside, part) for part in parts) else None


def ask(subject: Subject, features: pd.DataFrame) -> tuple[list[Label], pd.DataFrame | None]:
    """Asks a model.

    Args:
        subject: the model.
        features: (n_rows, n_columns), none of which it refuses.

    Returns:
        The predicted labels, (n_rows,), and the probabilities, (n_rows, n_classes) by label; None
        where the model gives none.

    Raises:
        BadInput: it does not answer with a label for each row.
    """
    if not subject.columns:
        features = _as_signed(subject.model, features)
    try:
        answer = subject.model.predict(features)
    except Exception as error:  # a bundle refuses with its own class, another model with any
        raise BadInput(f"{subject.uri} cannot score the table: {first_line(error)[:300]}") from None
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        answer = pd.DataFrame(answer)
    shares = None
    if isinstance(answer, pd.DataFrame):
        names = [name for name in answer.columns if str(name).startswith("probability_")]
        if names:
            shares = answer[names].set_axis(
                [str(name).removeprefix("probability_") for name in names], axis=1
            )
        named = [name for name in answer.columns if name not in names]
        label = "prediction" if "prediction" in named else named[0] if len(named) == 1 else None
        if label is None:
            raise BadInput(
                f"{subject.uri} answers with the columns {', '.join(map(str, named[:8]))}; a "
                "classifier's answer has one of labels, and may have probability_<class> for each"
            )
        answer = answer[label]
    elif not subject.columns:
        shares = _shares_of_scikit_learn(subject.model, features)
    labels = np.asarray(answer, dtype=object)
    if labels.shape == (len(features), 1):
        labels = labels[:, 0]
    if labels.shape != (len(features),):
        raise BadInput(
            f"{subject.uri} answers with an array of shape {labels.shape} to {len(features)} rows; "
            "a classifier's answer is one label for each row"
        )
    return [_plain(one) for one in labels], shares


def _shares_of_scikit_learn(model: Any, features: pd.DataFrame) -> pd.DataFrame | None:
    """Probabilities of the classifier inside MLflow's own flavours, which answer with labels."""
    try:
        inside = model.get_raw_model()
        shares = inside.predict_proba(features)
        return pd.DataFrame(shares, columns=[str(key(_plain(one))) for one in inside.classes_])
    except Exception:  # not such a model, or one that gives no probabilities
        return None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def key(label: Any) -> str:
    """What makes two labels the same class, whatever their types: 1, 1.0, "1" and "1.0" are."""
    text = str(label)
    return text.removesuffix(".0") if re.fullmatch(r"-?\d+\.0", text) else text


def align(
    said: Sequence[Label], shares: pd.DataFrame | None, labels: Sequence[Label]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Answers as codes and probabilities of given classes.

    Args:
        said: (n_rows,) predicted labels, each of them one of `labels`.
        shares: (n_rows, some classes) by label, or None.
        labels: the classes; one that the model does not know has probability 0.

    Returns:
        (n_rows,) codes, and (n_rows, n_classes) probabilities or None.
    """
    codes = {key(label): code for code, label in enumerate(labels)}
    found = np.array([codes[key(label)] for label in said], dtype=np.int64)
    if shares is None:
        return found, None
    probabilities = np.zeros((len(found), len(labels)))
    for name in shares.columns:
        if key(name) in codes:
            probabilities[:, codes[key(name)]] = shares[name].to_numpy(dtype=float)
    return found, probabilities


def seen_rows(subject: Subject, raw: pd.DataFrame) -> np.ndarray | None:
    """Which rows the model was trained on, (n_rows,) bool; None where that cannot be told.

    Args:
        subject: the model.
        raw: (n_rows, any columns) the table.
    """
    if not subject.run_id or not set(subject.table_columns) <= set(raw.columns):
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = mlflow.artifacts.download_artifacts(
                run_id=subject.run_id, artifact_path="training_rows.parquet", dst_path=folder
            )
            hashes = pd.read_parquet(path)[ROW_HASH].to_numpy()
        except (MlflowException, OSError, KeyError):
            return None
    return np.isin(hash_rows(raw[list(subject.table_columns)]), hashes)


def _as_signed(model: Any, features: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers as floats where the model's signature has floats; MLflow refuses them."""
    schema = model.metadata.get_input_schema()
    if schema is None or not schema.has_input_names():
        return features
    names = schema.input_names()
    types = {
        str(n): str(getattr(t, "name", t)) for n, t in zip(names, schema.input_types(), strict=True)
    }
    kept = [name for name in map(str, names) if name in features]
    floats = [
        name
        for name in kept
        if types[name] in ("double", "float") and pd.api.types.is_integer_dtype(features[name])
    ]
    return features[kept].astype(dict.fromkeys(floats, np.float64))
