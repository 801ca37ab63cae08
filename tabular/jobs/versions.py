"""From a chosen configuration to a registered version: fit, evaluate once, log, register."""

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.run import Run
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import classification_report
from threadpoolctl import threadpool_limits

from custom_model.packaging import Packed, log_bundle, to_request
from tabular.drift import profile
from tabular.errors import BadInput, first_line
from tabular.families.pipeline import make_model
from tabular.recipe import calibration
from tabular.recipe.recipe import Recipe
from tabular.report import pages as report
from tabular.report import plots
from tabular.report.assessment import assess
from tabular.report.importance import column_importance, most_important
from tabular.search.cross_validation import MANY_CLASSES
from tabular.stats.metrics import evaluate, f1_per_class, metric_names, predicted
from tabular.store import registry
from tabular.table.dataset import Dataset, digest
from tabular.table.split import ROW_HASH, Split


@dataclass(frozen=True)
class Version:
    """A registered version.

    Args:
        name: of the model.
        number: of the version.
        run_id: of the run that carries its metrics and artifacts.
        metrics: `holdout_*` and `cv_*`.
    """

    name: str
    number: int
    run_id: str
    metrics: dict[str, float]


def fit(dataset: Dataset, split: Split, recipe: Recipe, *, seed: int, jobs: int = 1) -> Any:
    """Fits a recipe on the whole training side.

    Args:
        dataset: the table.
        split: its sides.
        recipe: what to fit.
        seed: of every fit.
        jobs: members of an ensemble fitted side by side, -1 for one per core.

    Returns:
        A fitted scikit-learn classifier of expanded columns: a Pipeline; around pipelines, where
        there are several or they are calibrated, a VotingClassifier; and a CalibratedClassifierCV.

    Raises:
        BadInput: scikit-learn refuses the table with these hyperparameters.
    """
    members = [
        (
            f"t{trial.number:03d}",
            make_model(dataset.columns, trial.classifier, trial.params, seed=seed),
        )
        for trial in recipe.members
    ]
    model = members[0][1]
    if len(members) > 1 or recipe.calibrator:
        model = VotingClassifier(members, voting="soft", weights=recipe.weights, n_jobs=jobs)
    try:
        # threads, as trees and boosting let go of Python's lock and processes take long to start
        with joblib.parallel_config("threading"), threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", MANY_CLASSES, UserWarning)
            model.fit(dataset.expanded[split.train], dataset.codes[split.train])
    except Exception as error:  # scikit-learn's own checks and numpy's errors alike
        raise BadInput(
            f"{recipe.classifier} cannot be fitted to {dataset.source}: {first_line(error)}"
        ) from None
    return calibration.attach(recipe.calibrator, model) if recipe.calibrator else model


def register_version(
    run: Run,
    dataset: Dataset,
    split: Split,
    recipe: Recipe,
    model: Any,
    *,
    model_name: str,
    seed: int,
    tags: Mapping[str, str] | None = None,
) -> Version:
    """Evaluates on the holdout, logs everything to the active run, and registers last.

    Args:
        run: the active run.
        dataset: the table.
        split: its sides.
        recipe: what was fitted, with its cross-validated metrics.
        model: fitted to the training side by this recipe.
        model_name: in the registry.
        seed: of the split and the fit.
        tags: further ones of the version.
    """
    codes = dataset.codes[split.holdout]
    probabilities = model.predict_proba(dataset.expanded[split.holdout])
    said = predicted(probabilities, recipe.threshold)
    metrics = {f"cv_{name}": value for name, value in recipe.metrics.items()}
    found = evaluate(codes, probabilities, said)
    metrics |= {f"holdout_{name}": value for name, value in found.items()}
    per_class = f1_per_class(codes, said, dataset.labels)
    metrics |= {f"holdout_{name}": value for name, value in per_class.items()}
    # the model goes first: MLflow copies every metric that a run has to a model logged after it
    packed = log_bundle(
        model,
        dataset.columns,
        dataset.labels,
        dataset.table_columns,
        dataset.target,
        dataset.typed[split.train][:3],
        threshold=recipe.threshold,
        about={"dataset": dataset.name, "classifier": recipe.name, "seed": seed},
        proof=dataset.typed[split.holdout],
        profile=profile.to_json(
            profile.Profile(
                profile.profile_columns(dataset.typed, dataset.columns, seed=seed),
                profile.profile_answers(
                    codes, said, probabilities, dataset.labels, dataset.row_hashes[split.holdout]
                ),
            )
        ),
    )
    summary = (
        f"{recipe.name} on {dataset.name}: f1_macro {metrics['holdout_f1_macro']:.3f} on "
        f"{split.holdout.sum()} held-out rows, after {split.train.sum()} rows of training with "
        f"{len(dataset.columns)} features and {len(dataset.labels)} classes."
    )
    mlflow.log_metrics(metrics)
    with tempfile.TemporaryDirectory() as folder:
        _write_artifacts(
            Path(folder),
            model,
            dataset,
            split,
            probabilities,
            said,
            metrics,
            summary,
            seed,
            model_name,
        )
        mlflow.log_artifacts(folder)
    number = registry.register(
        model_name,
        model_id=str(packed.info.model_id),
        run_id=run.info.run_id,
        tags=_tags(run, dataset, split, recipe, packed, metrics) | dict(tags or {}),
        description=summary,
    )
    return Version(model_name, number, run.info.run_id, metrics)


def _tags(
    run: Run,
    dataset: Dataset,
    split: Split,
    recipe: Recipe,
    packed: Packed,
    metrics: dict[str, float],
) -> dict[str, str]:
    return {
        "dataset": dataset.name,
        "data_digest": dataset.digest,
        "holdout_digest": digest(dataset, split.holdout),
        "classifier": recipe.classifier,
        "f1_macro": f"{metrics['holdout_f1_macro']:.4f}",
        "bundle_sha256": packed.sha256,
        "git_commit": run.data.tags.get("mlflow.source.git.commit", "unknown"),
    }


def _write_artifacts(
    folder: Path,
    model: Any,
    dataset: Dataset,
    split: Split,
    probabilities: np.ndarray,
    said: np.ndarray,
    metrics: dict[str, float],
    summary: str,
    seed: int,
    model_name: str,
) -> None:
    codes, labels = dataset.codes[split.holdout], dataset.labels
    typed = dataset.typed[split.holdout]
    names, means, spreads = column_importance(model, typed, codes, dataset.columns, seed=seed)
    figures = {
        "confusion_matrix": plots.confusion_matrix(codes, said, labels),
        "roc": plots.roc(codes, probabilities, labels),
        "precision_recall": plots.precision_recall(codes, probabilities, labels),
        "calibration": plots.calibration(codes, probabilities, labels),
        "feature_importance": plots.feature_importance(names, means, spreads),
    }
    pictures = [(name, plots.png(figure)) for name, figure in figures.items()]
    for name, picture in pictures:
        (folder / f"{name}.png").write_bytes(picture)
    present = np.unique(np.concatenate([codes, said]))
    classes = metric_names(labels)
    options: dict[str, Any] = {
        "labels": present, "target_names": [classes[code] for code in present], "zero_division": 0
    }  # fmt: skip
    text = classification_report(codes, said, **options)
    as_dict = classification_report(codes, said, output_dict=True, **options)
    (folder / "classification_report.txt").write_text(text, encoding="utf-8")
    (folder / "classification_report.json").write_text(json.dumps(as_dict, indent=1), "utf-8")
    holdout = dataset.labelled(split.holdout)
    holdout.index = dataset.row_hashes[split.holdout]
    holdout.rename_axis(ROW_HASH).to_parquet(folder / "holdout.parquet")
    rows = pd.DataFrame({ROW_HASH: dataset.row_hashes[split.train]})
    rows.to_parquet(folder / "training_rows.parquet", index=False)
    train, holdout_rows = (
        np.bincount(dataset.codes[rows], minlength=len(labels)).tolist()
        for rows in (split.train, split.holdout)
    )
    page = report.Page(
        title=f"{dataset.name}: {dataset.target}",
        summary=summary,
        target=dataset.target,
        assessment=assess(codes, said, probabilities, labels, typed, dataset.columns, seed=seed),
        here="holdout",
        facts=report.facts(
            dataset, f"{split.train.sum()} in training, {split.holdout.sum()} in the holdout"
        ),
        notes=report.notes(dataset, split),
        pictures=pictures,
        class_counts={"rows in training": train, "rows in the holdout": holdout_rows},
        others={
            "cross-validation": {
                name.removeprefix("cv_"): value
                for name, value in metrics.items()
                if name.startswith("cv_")
            }
        },
        importance=most_important(names, means, spreads),
        model_uri=f"models:/{model_name}/Production",
        example=to_request(typed[:1])[0],
    )
    (folder / "report.html").write_text(report.render(page), encoding="utf-8")
