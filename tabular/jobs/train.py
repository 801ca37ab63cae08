"""The tracked training of one classifier."""

from typing import Any

from custom_model.packaging import check_packable
from tabular.errors import BadInput, first_line
from tabular.jobs.preparation import RoleColumns, Say, check_weighed, prepare
from tabular.jobs.versions import Fitted, register_version
from tabular.recipe.fit import fit
from tabular.recipe.recipe import as_it_is
from tabular.search.cross_validation import Task, Trial, evaluate_configuration
from tabular.store.registry import Version
from tabular.store.runs import log_dataset, start_run
from tabular.store.trials import params_of


def train(
    *,
    data: str,
    target: str,
    model_name: str,
    classifier: str,
    seed: int,
    hyperparameters: dict[str, Any],
    group: str = "",
    time: str = "",
    weight: str = "",
    say: Say,
) -> Version:
    """Trains one classifier and registers it.

    Args:
        data: see `load_dataset`.
        target: column to predict.
        model_name: in the registry; "" for the data set's name.
        classifier: a key of `CLASSIFIERS`.
        seed: of the split and every fit.
        hyperparameters: of the classifier.
        group: columns of rows that belong together; see `RoleColumns`.
        time: column that says when a row was.
        weight: column that says how much a row counts.
        say: takes each line of progress.

    Raises:
        BadInput: the table or the hyperparameters cannot be used; nothing is registered then.
    """
    asked = RoleColumns(model_name, group, time, weight)
    prepared = prepare(data, target, seed=seed, say=say, asked=asked)
    dataset, split = prepared.dataset, prepared.split
    check_weighed(dataset.structure, [classifier])
    model = fit(dataset, split, as_it_is(Trial(0, classifier, hyperparameters)), seed=seed)
    try:
        check_packable(model)
    except Exception as error:  # skops refuses with many kinds of error
        raise BadInput(
            f"{classifier} with these hyperparameters cannot be saved: {first_line(error)}"
        ) from None
    task = Task(0, classifier, hyperparameters, "f1_macro", seed)
    trial = evaluate_configuration(task, prepared.folds)
    if trial.error:
        raise BadInput(f"{classifier} cannot be cross-validated on {data}: {trial.error}")
    given = {"data": data, "target": target, "model_name": model_name, "seed": seed}
    given |= {"group": group, "time": time, "weight": weight}
    with start_run(f"train {classifier} {dataset.name}", given | params_of(trial)) as run:
        log_dataset(dataset)
        recipe = as_it_is(trial, prepared.folds.y_true)
        fitted = Fitted(dataset, split, recipe, model, seed)
        return register_version(run, fitted, model_name=model_name or dataset.name)
