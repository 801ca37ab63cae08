"""What a sweep is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What a sweep was asked for.

    Args:
        data: see `load_dataset`.
        target: column to predict.
        model_name: in the registry; "" for the data set's name.
        trials: how many configurations.
        timeout: seconds for the whole command; 0 for no limit.
        classifiers: families; empty for every one that the table allows.
        metric: the objective, a key of `METRICS`.
        jobs: configurations side by side, -1 for one per core.
        seed: of the split, the sampler and every fit.
        engine: where trials are evaluated: `local` or `spark`.
        register: how many of the best become versions.
        resume: run id of a sweep of the same table to continue, "" for a new one.
        cost: of predicting a class for another one, see `read_costs`; "" for none.
        at_least: a rate to be held, see `read_constraint`; "" for none.
        group: columns of rows that belong together; see `RoleColumns`.
        time: column that says when a row was.
        weight: column that says how much a row counts.
        warm_start: begin with the recipe of the version in production; what is resumed begins as
            it did.
    """

    data: str
    target: str
    model_name: str
    trials: int
    timeout: float
    classifiers: Sequence[str]
    metric: str
    jobs: int
    seed: int
    engine: str
    register: int
    resume: str
    cost: str = ""
    at_least: str = ""
    group: str = ""
    time: str = ""
    weight: str = ""
    warm_start: bool = True


def default_metric(cost: str) -> str:
    """The objective where none is given."""
    return "cost" if cost else "f1_macro"
