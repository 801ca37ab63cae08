"""From a fitted recipe to a registered version: evaluate once, log, register last."""

import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities.run import Run
from sklearn.metrics import classification_report
from threadpoolctl import threadpool_limits

from custom_model.packaging import log_bundle, to_request
from custom_model.served.columns import expand
from custom_model.served.reasons import typical_row
from tabular.drift import profile
from tabular.recipe.recipe import Recipe
from tabular.report import pages as report
from tabular.report import plots
from tabular.report.assessment import assess
from tabular.report.explained import set_sizes, why
from tabular.report.importance import column_importance
from tabular.search.stopping import Deadline
from tabular.stats.by_class import f1_per_class, metric_names
from tabular.stats.compute import compute_metrics, predicted
from tabular.stats.units import units_of
from tabular.store import registry
from tabular.store.descriptions import describe_model, describe_version, example_of
from tabular.store.registry import Version
from tabular.store.runs import log_results
from tabular.store.signing import sign_model
from tabular.table.dataset import Dataset, digest
from tabular.table.split import GROUP_HASH, ROW_HASH, Split
from tabular.table.structure import Roles, to_metadata

ASSESSMENT_SHARE, IMPORTANCE_SHARE = 0.25, 0.5  # of the time that is left when they begin


@dataclass(frozen=True)
class Fitted:
    """A recipe, fitted to the training side, and its predictions for the holdout."""

    dataset: Dataset
    split: Split
    recipe: Recipe
    model: Any
    seed: int

    @cached_property
    def y_true(self) -> np.ndarray:
        """(n_holdout,) classes of the holdout."""
        return np.asarray(self.dataset.codes[self.split.holdout])

    @cached_property
    def proba(self) -> np.ndarray:
        """(n_holdout, n_classes) probabilities for the holdout."""
        return np.asarray(self.model.predict_proba(self.dataset.expanded[self.split.holdout]))

    @cached_property
    def y_pred(self) -> np.ndarray:
        """(n_holdout,) predicted classes of the holdout."""
        return predicted(self.proba, self.recipe.threshold, self.recipe.costs)

    @property
    def roles(self) -> Roles:
        """Groups, moments and weights of the holdout."""
        return self.dataset.roles[self.split.holdout]

    @cached_property
    def typical(self) -> dict[str, Any]:
        """The typical row of the training side."""
        return typical_row(self.dataset.typed[self.split.train], self.dataset.columns)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """`cv_*` and `holdout_*`."""
        weights = self.roles.sample_weight
        on_holdout = compute_metrics(
            self.y_true, self.proba, self.y_pred, costs=self.recipe.costs, sample_weight=weights
        )
        on_holdout |= f1_per_class(self.y_true, self.y_pred, self.dataset.labels, weights)
        return {f"cv_{name}": value for name, value in self.recipe.metrics.items()} | {
            f"holdout_{name}": value for name, value in on_holdout.items()
        }

    @property
    def summary(self) -> str:
        """What the model is and how good, in one sentence."""
        cost = self.metrics.get("holdout_cost")
        return (
            f"{self.recipe.name} on {self.dataset.name}: f1_macro "
            f"{self.metrics['holdout_f1_macro']:.3f} on {self.split.holdout.sum()} held-out rows, "
            f"after {self.split.train.sum()} rows of training with {len(self.dataset.columns)} "
            f"features and {len(self.dataset.labels)} classes."
            + (f" A row costs {cost:.4g}." if cost is not None else "")
        )


def register_version(
    run: Run,
    fitted: Fitted,
    *,
    model_name: str,
    tags: Mapping[str, str] | None = None,
    deadline: Deadline | None = None,
) -> Version:
    """Logs everything to the active run, and registers last.

    Boosting predicts on one thread: others would wait for each other where cores are contended.

    Args:
        run: the active one.
        fitted: what to register.
        model_name: in the registry.
        tags: of the version, besides its own.
        deadline: of the command; what does not fit into its time is left out.
    """
    with threadpool_limits(1):
        return _register(run, fitted, model_name, dict(tags or {}), deadline or Deadline())


def _register(
    run: Run, fitted: Fitted, model_name: str, tags: dict[str, str], deadline: Deadline
) -> Version:
    dataset, split, metrics = fitted.dataset, fitted.split, fitted.metrics
    model_uri = f"models:/{model_name}@champion"
    example = example_of(dataset.columns, fitted.typical)
    # the model goes first: MLflow copies every metric that a run has to a model logged after it
    packed = log_bundle(
        fitted.model,
        dataset.columns,
        dataset.labels,
        dataset.table_columns,
        dataset.target,
        dataset.typed[split.train][:3],
        threshold=fitted.recipe.threshold,
        costs=fitted.recipe.costs,
        at_least=fitted.recipe.at_least,
        sets=fitted.recipe.sets,
        typical=fitted.typical,
        about={"dataset": dataset.name, "classifier": fitted.recipe.name, "seed": fitted.seed},
        proof=dataset.typed[split.holdout],
        profile=profile.to_json(_profile(fitted)),
        metadata=to_metadata(dataset.structure, split.first_moment),
    )
    with tempfile.TemporaryDirectory() as folder:
        _write_rows(Path(folder), fitted)
        _write_classification_report(Path(folder), fitted)
        _write_report(Path(folder), fitted, model_uri, deadline)
        sign_model(packed.info.model_uri, Path(folder))
        log_results(metrics, folder=folder)
    own_tags = {
        "dataset": dataset.name,
        "data_digest": dataset.digest,
        "holdout_digest": digest(dataset, split.holdout),
        "classifier": fitted.recipe.classifier,
        "f1_macro": f"{metrics['holdout_f1_macro']:.4f}",
        "bundle_sha256": packed.sha256,
        "git_commit": run.data.tags.get("mlflow.source.git.commit", "unknown"),
    }
    return registry.register(
        model_name,
        model_id=str(packed.info.model_id),
        run_id=run.info.run_id,
        tags=own_tags | tags,
        description=describe_version(
            fitted.summary, dataset.columns, example, model_uri, report.curl(example)
        ),
        model=describe_model(dataset.target, dataset.labels, dataset.name),
    )


def _profile(fitted: Fitted) -> profile.Profile:
    dataset = fitted.dataset
    roles, of_holdout = dataset.roles, fitted.roles
    hashes = dataset.row_hashes[fitted.split.holdout]
    units = units_of(len(dataset.codes), roles.groups, roles.sample_weight)
    return profile.Profile(
        profile.profile_columns(dataset.typed, dataset.columns, seed=fitted.seed, units=units),
        profile.profile_predictions(
            fitted.y_true,
            fitted.y_pred,
            fitted.proba,
            dataset.labels,
            hashes if of_holdout.groups is None else of_holdout.groups,
            of_holdout.sample_weight,
        ),
    )


def _write_rows(folder: Path, fitted: Fitted) -> None:
    """Which rows the model was trained on, and the holdout for later comparisons."""
    dataset, split = fitted.dataset, fitted.split
    holdout = dataset.labelled(split.holdout)
    holdout.index = dataset.row_hashes[split.holdout]
    holdout.rename_axis(ROW_HASH).to_parquet(folder / "holdout.parquet")
    rows = pd.DataFrame({ROW_HASH: dataset.row_hashes[split.train]})
    if dataset.roles.groups is not None:
        rows[GROUP_HASH] = dataset.roles.groups[split.train]
    rows.to_parquet(folder / "training_rows.parquet", index=False)


def _write_classification_report(folder: Path, fitted: Fitted) -> None:
    present = np.unique(np.concatenate([fitted.y_true, fitted.y_pred]))
    names = metric_names(fitted.dataset.labels)
    for suffix, as_dict in (("txt", False), ("json", True)):
        text = classification_report(
            fitted.y_true,
            fitted.y_pred,
            labels=present,
            target_names=[names[y] for y in present],
            zero_division=0,
            output_dict=as_dict,
            sample_weight=fitted.roles.sample_weight,
        )
        text = json.dumps(text, indent=1) if as_dict else text
        (folder / f"classification_report.{suffix}").write_text(text, encoding="utf-8")


def _write_report(folder: Path, fitted: Fitted, model_uri: str, deadline: Deadline) -> None:
    """The pictures, and the page that shows them."""
    dataset, split, labels = fitted.dataset, fitted.split, fitted.dataset.labels
    y_true, y_pred, proba = fitted.y_true, fitted.y_pred, fitted.proba
    typed = dataset.typed[split.holdout]
    assessment = functools.partial(
        assess,
        y_true,
        y_pred,
        proba,
        labels,
        typed,
        dataset.columns,
        seed=fitted.seed,
        costs=fitted.recipe.costs,
        groups=fitted.roles.groups,
        sample_weight=fitted.roles.sample_weight,
    )
    seconds = ASSESSMENT_SHARE * deadline.left()
    what = "nine tenths of the resamples"
    assessed = deadline.within(what, seconds, assessment, None) or assessment(resamples=100)
    wrong = np.array([one.row - 1 for one in assessed.wrong], dtype=np.intp)
    seconds = IMPORTANCE_SHARE * deadline.left()
    importance = deadline.within(
        "the importance of the columns",
        seconds,
        lambda: column_importance(
            lambda rows: fitted.model.predict_proba(expand(rows, dataset.columns)),
            typed,
            y_true,
            seed=fitted.seed,
            seconds=seconds / 2,
        ),
        None,
    )
    pictures: Mapping[str, bytes] = deadline.within(
        "the pictures",
        deadline.left(),
        lambda: plots.as_png(plots.pictures(y_true, y_pred, proba, labels, importance)),
        {},
    )
    reasons: Sequence[str] = deadline.within(
        "why the most confidently wrong rows are so",
        deadline.left(),
        lambda: why(
            fitted.model.predict_proba,
            fitted.typical,
            typed.iloc[wrong],
            dataset.columns,
            y_pred[wrong],
        ),
        [],
    )
    page = report.Page(
        title=f"{dataset.name}: {dataset.target}",
        summary=fitted.summary,
        dataset=dataset,
        assessment=assessed,
        here="holdout",
        pictures=pictures,
        sides={"rows in training": split.train, "rows in the holdout": split.holdout},
        notes=[*report.notes(dataset, split), *deadline.notes],
        others={"cross-validation": fitted.recipe.metrics},
        importance=importance.most_important if importance else (),
        sets=set_sizes(fitted.recipe.sets, y_true, proba, labels),
        reasons=reasons,
        model_uri=model_uri,
        example=to_request(typed[:1])[0],
    )
    report.write_report(folder, page)
