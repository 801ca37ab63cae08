"""The trials of a sweep in MLflow: a child run each, written and read again."""

import json
import re
import shlex
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param, RunTag
from mlflow.entities.run import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tabular.errors import BadInput
from tabular.families.hyperparameters import literal
from tabular.recipe.recipe import Recipe
from tabular.search.cross_validation import Trial
from tabular.stats.metrics import METRICS

LONGEST_PARAM = 6000  # MLflow's limit
OOF_FILE = "out_of_fold.npz"
WARM_START = "warm_start_from"  # tag of a sweep's run
MOST_OOF_BYTES = 2**26  # more is not kept: a resumed sweep evaluates these trials again


def log_trial(parent: Run, trial: Trial, metric: str) -> str:
    """Logs one trial as a child of the sweep's run, in one batch; returns the child's run id."""
    client = MlflowClient()
    now = int(time.time() * 1000)
    started = now - int(trial.seconds * 1000)
    score = f"{metric}={trial.metrics[metric]:.3f}" if trial.metrics else trial.given_up or "failed"
    child = client.create_run(
        parent.info.experiment_id,
        start_time=started,
        run_name=f"t{trial.number:03d} {trial.classifier} {score}",
        tags={MLFLOW_PARENT_RUN_ID: parent.info.run_id, **_inherited(parent)},
    )
    try:
        _log_batch(client, child.info.run_id, trial, metric, now)
    except BaseException:
        client.set_terminated(child.info.run_id, "KILLED")
        raise
    client.set_terminated(child.info.run_id, "FAILED" if trial.error else "FINISHED", now)
    return str(child.info.run_id)


def _log_batch(client: MlflowClient, run_id: str, trial: Trial, metric: str, now: int) -> None:
    metrics = {f"cv_{name}": value for name, value in trial.metrics.items()}
    tags = {}
    if trial.metrics:
        metrics[f"cv_std_{metric}"] = trial.spread
    if trial.fold_scores:
        tags["fold_scores"] = json.dumps(trial.fold_scores)
    if trial.rows:
        tags["rows"] = str(trial.rows)
    if trial.stopped:
        tags["stopped"] = trial.given_up
    if trial.error:
        tags["error"] = trial.error[:LONGEST_PARAM]
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
        params=[Param(name, str(value)) for name, value in params_of(trial).items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )


def log_ranks(order: Sequence[Trial], run_ids: Mapping[int, str]) -> None:
    """Tags the children of a sweep with their rank; `run_ids` has them by number of the trial."""
    client = MlflowClient()
    for rank, trial in enumerate(order, start=1):
        tags = [RunTag("rank", str(rank)), RunTag("is_best", str(rank == 1).lower())]
        client.log_batch(run_ids[trial.number], tags=tags)


@contextmanager
def recipe_run(parent: Run, recipe: Recipe, metric: str, trial_run: str) -> Iterator[Run]:
    """Opens the child of a sweep that carries what is registered.

    Where the recipe is nothing but one trial, this is `trial_run`, the run of that trial.
    """
    if recipe.bare:
        with mlflow.start_run(run_id=trial_run, nested=True) as run:
            yield run
        return
    name = f"best: {recipe.classifier} {metric}={recipe.metrics[metric]:.3f}"
    rows = {"rows": str(recipe.members[0].rows)} if recipe.members[0].rows else {}
    with mlflow.start_run(run_name=name, nested=True, tags=_inherited(parent) | rows) as run:
        members = [f"t{trial.number:03d}" for trial in recipe.members]
        made_of = dict(zip(members, recipe.weights, strict=True))
        if len(members) == 1:
            mlflow.log_params(params_of(recipe.members[0]))
        else:
            mlflow.log_param("classifier", recipe.classifier)
        mlflow.log_params(
            {
                "members": json.dumps({name: round(w, 4) for name, w in made_of.items()}),
                "calibration": recipe.method or "none",
                "threshold": recipe.threshold,
            }
        )
        yield run


def read_trials(
    run_id: str, metric: str, digest: str, same: Mapping[str, Collection[str]]
) -> dict[str, Trial]:
    """The trials that a sweep has logged, in their order, by the run id of their child.

    Args:
        run_id: of the sweep's run.
        metric: its objective.
        digest: of the table.
        same: parameters that the sweep must have been given, each as one of these texts.

    Raises:
        BadInput: there is no such run, it has no trials, or they are of another table or
            parameter.
    """
    client = MlflowClient()
    try:
        parent = client.get_run(run_id)
    except MlflowException:
        raise BadInput(f"no run {run_id!r} to resume; give the id of a sweep's run") from None
    inputs = parent.inputs.dataset_inputs if parent.inputs else []
    digests = {used.dataset.digest for used in inputs}
    if digests and digests != {digest}:
        raise BadInput(f"run {run_id!r} searched another table; give the same data and target")
    if other := _differing(parent, same):
        raise BadInput(f"run {run_id!r} has {other}; give the same")
    ours = f"tags.{MLFLOW_PARENT_RUN_ID} = '{run_id}'"
    children = mlflow.search_runs([parent.info.experiment_id], ours, output_format="list")
    trials = {}
    for child in children:
        number = re.match(r"t(\d+) ", child.info.run_name or "")
        if child.info.status == "RUNNING":  # its process was killed, in the trial or after it
            logged = {"fold_scores", "error"} & child.data.tags.keys()
            status = "FAILED" if "error" in logged else "FINISHED" if logged else "KILLED"
            client.set_terminated(child.info.run_id, status)
            number = number if logged else None
        if number and child.info.status != "KILLED":
            trials[child.info.run_id] = _trial(int(number[1]), child)
    trials = dict(sorted(trials.items(), key=lambda item: item[1].number))
    if [trial.number for trial in trials.values()] != list(range(len(trials))) or not trials:
        raise BadInput(f"run {run_id!r} has no complete series of trials; start a new sweep")
    if not any(metric in trial.metrics for trial in trials.values()):
        raise BadInput(f"the trials of run {run_id!r} have no {metric!r}; name its own metric")
    return trials


def _differing(run: Run, same: Mapping[str, Collection[str]]) -> str:
    """The first parameter of a run that is none of these texts, in words; "" if all are."""
    for name, values in same.items():
        given = run.data.params.get(name, "")
        if given not in {*values, *map(shlex.quote, values)}:  # as the run of a project logs it
            return f"no {name}" if given in ("", shlex.quote("")) else f"{name} {given}"
    return ""


def sweep_had(run_id: str, same: Mapping[str, Collection[str]]) -> bool:
    """Whether a sweep's run is there and was given these parameters, each as one of the texts."""
    try:
        return not _differing(MlflowClient().get_run(run_id), same)
    except MlflowException:
        return False


def warm_start_of(run_id: str) -> str:
    """The version whose recipe a sweep began with, as `models:/<name>/<n>`; "" without."""
    try:
        return str(MlflowClient().get_run(run_id).data.tags.get(WARM_START, ""))
    except MlflowException:
        return ""


def read_members(run_id: str) -> list[Trial]:
    """The trials that a version was made of, from its run.

    Raises:
        BadInput: its run, or that of a trial, is gone.
    """
    client = MlflowClient()
    try:
        run = client.get_run(run_id)
    except MlflowException:
        raise BadInput("its run is gone") from None
    if run.info.lifecycle_stage == LifecycleStage.DELETED:
        raise BadInput("its run was deleted")
    if run.data.params.get("classifier") != "ensemble":
        return [_trial(0, run)]
    parent = run.data.tags.get(MLFLOW_PARENT_RUN_ID, "")
    ours = f"tags.{MLFLOW_PARENT_RUN_ID} = '{parent}'"
    children = mlflow.search_runs([run.info.experiment_id], ours, output_format="list")
    by_name = {(child.info.run_name or "").split(" ")[0]: child for child in children}
    names = list(json.loads(run.data.params.get("members", "{}")))
    if gone := [name for name in names if name not in by_name]:
        raise BadInput(f"the run of its trial {gone[0]} is gone")
    return [_trial(int(name[1:]), by_name[name]) for name in names]


def _trial(number: int, child: Run) -> Trial:
    params = {name: literal(text) for name, text in child.data.params.items()}
    metrics = child.data.metrics
    return Trial(
        number,
        classifier=str(params.pop("classifier", "")),
        params=params,
        metrics={name: metrics[f"cv_{name}"] for name in METRICS if f"cv_{name}" in metrics},
        fold_scores=tuple(json.loads(child.data.tags.get("fold_scores", "[]"))),
        stopped="stopped" in child.data.tags,
        seconds=((child.info.end_time or child.info.start_time) - child.info.start_time) / 1000,
        error=child.data.tags.get("error", ""),
        rows=int(child.data.tags.get("rows", 0)),
    )


def log_oof(trials: Sequence[Trial]) -> None:
    """Keeps the out-of-fold probabilities of trials as an artifact of the active run."""
    arrays = {f"t{trial.number:03d}": trial.oof for trial in trials if trial.oof is not None}
    if sum(oof.nbytes for oof in arrays.values()) <= MOST_OOF_BYTES:
        with TemporaryDirectory() as folder:
            np.savez(Path(folder, OOF_FILE), allow_pickle=False, **arrays)
            mlflow.log_artifacts(folder)


def read_oof(run_id: str) -> dict[int, np.ndarray]:
    """What `log_oof` has kept in a run, by the trial's number; empty where it has not."""
    try:
        with TemporaryDirectory() as folder:
            file = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=OOF_FILE, dst_path=folder
            )
            with np.load(file, allow_pickle=False) as arrays:
                return {int(name[1:]): arrays[name] for name in arrays.files}
    except (MlflowException, OSError, ValueError, EOFError, BadZipFile):
        return {}


def params_of(trial: Trial) -> dict[str, Any]:
    """What a run of this trial logs as its parameters."""
    return {"classifier": trial.classifier, **trial.params}


def _inherited(parent: Run) -> dict[str, str]:
    keys = ("mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit")
    return {key: parent.data.tags[key] for key in keys if key in parent.data.tags}
