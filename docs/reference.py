"""Prints docs/reference.md: commands, settings, metrics, and all that runs and versions carry.

    python docs/reference.py > docs/reference.md

Parameters come from the steps' parsers, defaults from MLproject and .env.example, members from the
docstrings of the classes. What has no such place is described here, and tests/test_reference.py
holds both against what a real store gets.
"""

import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # this file is run by its path

from custom_model.served.columns import Column  # noqa: E402
from steps import Parser  # noqa: E402
from tabular.drift.checks import Check  # noqa: E402
from tabular.families.classifiers import CLASSIFIERS, hyperparameters  # noqa: E402
from tabular.stats.metrics import LOWER_IS_BETTER, MEANING, METRICS  # noqa: E402
from tabular.store.history import Move  # noqa: E402

EXIT_CODES = {
    0: "done; of a sweep also after the first Ctrl-C or SIGTERM, which registers the best so far",
    1: "the store, the network or the disk failed, or something that nobody foresaw",
    2: "the command, the table or the model is not as it has to be; one line says what to do",
    3: "`monitor`: drift",
    4: "`monitor`: too few rows to tell",
    130: "stopped by Ctrl-C",
    143: "stopped by SIGTERM",
}

# --- settings -------------------------------------------------------------------------------------

MLFLOWS = {
    "MLFLOW_TRACKING_URI": "where runs and models are kept; with nothing set `mlflow.db` and "
    "`mlruns` in the working folder",
    "MLFLOW_EXPERIMENT_NAME": "the experiment of the runs; `mlflow run --experiment-name` does the "
    "same",
    "PYSPARK_SUBMIT_ARGS": "Spark's own: the cluster of `engine=spark`, as in `--master "
    "spark://host:7077 pyspark-shell`",
}
"""Settings of MLflow and Spark that are needed most; the project does not read them."""

COMMANDS = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "set to `true` by each command, unless it is set",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "set to `false` by each command, unless it is set",
    "MLFLOW_UV_AUTO_DETECT": "set to `false` by each command, unless it is set: MLflow would put a "
    "`uv.lock` of the working folder into models",
    "SPARK_REMOTE": "refused by `engine=spark`: Spark Connect cannot run its tasks",
    "PYSPARK_PYTHON": "Python of Spark's workers; with nothing set, on this machine alone, the one "
    "of the command",
    "PYTHONPATH": "kept for the worker processes of a sweep, with the project in front",
}

CONTAINER = {
    "MODEL_NAME": "registered model that `docker/serve.py` serves",
    "MLFLOW_MODELS_WORKERS": "its processes",
    "UVICORN_UDS": "Unix socket that it listens on",
    "ROLLOVER_TIMEOUT": "seconds that `docker/rollover.sh` gives each new server",
}

STACK = {
    "POSTGRES_PASSWORD": "of the database; required",
    "SERVING_TOKEN": "clients send it as `Authorization: Bearer <token>`; letters, digits and "
    "`._~+/=-`, at least 16; required",
    "MODEL_NAME": "registered model whose Production version is served",
    "MODEL_WORKERS": "processes of each of the two model servers; each holds the model once",
    "MAX_BODY": "largest body of a request that nginx takes",
    "RATE_LIMIT": "largest rate of requests from one address",
    "BIND": "address that the ports are published on",
    "TRACKING_PORT": "port of the tracking server",
    "SERVING_PORT": "port of nginx",
    "STATUS_PORT": "port of nginx's counters, always on 127.0.0.1",
    "TRACKING_WORKERS": "processes of the tracking server",
    "ALLOWED_HOSTS": "further Host headers that the tracking server answers to, with the port",
    "ARTIFACTS_DESTINATION": "folder in the tracking server's volume, or `s3://bucket/path`",
    "AWS_ACCESS_KEY_ID": "of S3",
    "AWS_SECRET_ACCESS_KEY": "of S3",
    "AWS_DEFAULT_REGION": "of S3",
    "MLFLOW_S3_ENDPOINT_URL": "address of a store that is not Amazon's",
    "POSTGRES_IMAGE": "image, by tag or digest",
    "NGINX_IMAGE": "image, by tag or digest",
    "COMPOSE_FILE": "Compose's own; `docker-compose.yml:docker-compose.auth.yml` switches on "
    "MLflow's authentication, which takes the three below",
    "MLFLOW_TRACKING_USERNAME": "its administrator, as whom the model servers ask it",
    "MLFLOW_TRACKING_PASSWORD": "at least 12 characters",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs the sessions of its web pages",
}

# --- runs -----------------------------------------------------------------------------------------

PLACES = {
    "<metric>": "|".join(METRICS),
    "<objective>": "|".join(METRICS),
    "<class>": r"[\w.\- ]+",
    "<hyperparameter>": "|".join({name for one in CLASSIFIERS for name in hyperparameters(one)}),
    "<time>": r"[0-9T:.Z-]+",
}
"""What may stand where a name below has angle brackets."""


@dataclass(frozen=True)
class Kind:
    """One kind of run.

    Args:
        title: of its section.
        begins: regular expression of the run's name.
        about: a sentence or two.
        params: beyond those of the command, which are logged under their names.
        metrics: by name or pattern.
        tags: beyond MLflow's own.
        artifacts: files.
        command: entry point whose parameters are logged.
        carries: it carries a version: the metrics and artifacts of `VERSION`, too.
    """

    title: str
    begins: str
    about: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    carries: bool = False


CV = {
    "cv_<metric>": "of the out-of-fold predictions of all rows of training at once",
}
SPREAD = {"cv_std_<objective>": "standard deviation of the objective over the folds"}
HOLDOUT = {
    "holdout_<metric>": "on the held-out rows, which nothing was chosen on",
    "holdout_f1_class_<class>": "F1 of one class on the held-out rows; left out where it has none "
    'there. What MLflow does not allow in a name is "_"',
}
PICTURES = {
    "confusion_matrix.png": "true against predicted classes",
    "roc.png": "ROC curve of each class",
    "precision_recall.png": "precision-recall curve of each class",
    "calibration.png": "predicted probabilities against frequencies",
    "feature_importance.png": "fall of the score with one column permuted",
}
REPORT = {"report.html": "all of it on one page without scripts, with intervals and worst slices"}

VERSION = Kind(
    title="What a version's run carries",
    begins="",
    about="The run of `train`, and in a sweep the child that is registered: the trial itself, or a "
    "child `best: …` where an ensemble, a calibration or a threshold was made of trials. The table "
    "is its data set, with the context `training`.",
    metrics=CV | HOLDOUT,
    artifacts=PICTURES
    | {
        "classification_report.txt": "scikit-learn's, on the held-out rows",
        "classification_report.json": "the same as data",
        "holdout.parquet": "the held-out rows, typed, with the target; index `__row_hash__`",
        "training_rows.parquet": "`__row_hash__` of every row of training",
    }
    | REPORT,
)

KINDS = (
    Kind(
        title="`train`",
        begins="train ",
        about="One run, `train <classifier> <data set>`.",
        params={"<hyperparameter>": "each that was given"},
        command="train",
        carries=True,
    ),
    Kind(
        title="`sweep`",
        begins="sweep ",
        about="The parent, `sweep <data set>`, with a child for each trial. Its metrics are those "
        "of the first version that it registered. The table is its data set, with the context "
        "`training`.",
        metrics=CV | HOLDOUT,
        tags={"best_child_run_id": "run of the first version"},
        artifacts={
            "leaderboard.csv": "a row for the first version and for each trial: rank, "
            "configuration, `cv_<metric>`, spread, seconds, state, run_id",
            "leaderboard.html": "the same as a page",
            "optimization_history.png": "score of each trial, and the best so far",
            "hyperparameter_importance.png": "which hyperparameters mattered; left out where no "
            "family was tried often enough",
        },
        command="sweep",
    ),
    Kind(
        title="A trial",
        begins=r"t\d{3,} ",
        about="A child of a sweep, `t<number> <classifier> <objective>=<value>`, or `… given up "
        "after <n> folds`, or `… failed`.",
        params={
            "classifier": "the family",
            "<hyperparameter>": "each that was searched",
        },
        metrics={
            name: f"{text}; left out where it was given up or failed" for name, text in CV.items()
        }
        | SPREAD,
        tags={
            "fold_scores": "objective on each fold, a JSON array; fewer than folds where it was "
            "given up",
            "rank": "place among the trials that were evaluated on every fold, from 1",
            "is_best": "`true` of rank 1, else `false`",
            "stopped": "of one that was given up: when",
            "error": "of one that failed: why",
        },
    ),
    Kind(
        title="A child `best: …`",
        begins="best: ",
        about="A child of a sweep that is registered and is more than one trial as it is.",
        params={
            "members": 'weight of each trial, as JSON: `{"t003": 0.6, "t007": 0.4}`',
            "calibration": "method, or `none`",
            "threshold": "of two classes, the second is predicted above it",
            "classifier": "the family, or `ensemble`",
            "<hyperparameter>": "of its trial, where it is made of one",
        },
        metrics=SPREAD,
        carries=True,
    ),
    Kind(
        title="`promote`",
        begins="promote ",
        about="`promote <model>`, where something was compared; a dry run logs nothing.",
        tags={
            "promoted_version": "version that is in production now; left out where nothing moved",
            "promotion_reason": "the decision in one sentence; left out where nothing moved",
        },
        artifacts={
            "promotion.json": "every number of the decision, see below",
            "comparison.txt": "what was printed",
            "bootstrap.png": "gains under the bootstrap; left out where none was in production",
        },
        command="promote",
    ),
    Kind(
        title="`rollback`",
        begins="rollback ",
        about="`rollback <model>`.",
        tags={
            "rolled_back_from": "version that was in production",
            "rolled_back_to": "version that is now",
        },
        command="rollback",
    ),
    Kind(
        title="`score`",
        begins="score ",
        about="`score <table>`. The table is its data set, with the context `scoring`.",
        metrics={
            "rows_scored": "rows in the output",
            "rows_rejected": "rows in the side file",
            "seconds": "of wall clock, from the first row to the last",
        },
        tags={"model_uri": "the version that scored, whatever stage or alias was asked for"},
        command="score",
    ),
    Kind(
        title="`evaluate`",
        begins="evaluate ",
        about="`evaluate <table>`. The table is its data set, with the context `evaluation`. "
        "`_low` and `_high` are the ends of an interval, left out where there is none. Of a model "
        "without probabilities, `log_loss`, `roc_auc` and `brier` are left out.",
        metrics={
            "<metric>": "of the model",
            "<metric>_low": "",
            "<metric>_high": "",
            "f1_class_<class>": "F1 of one class; left out where it has no row",
            "f1_class_<class>_low": "",
            "f1_class_<class>_high": "",
            "against_<metric>": "of the second model, with `against`",
            "against_<metric>_low": "",
            "against_<metric>_high": "",
            "against_f1_class_<class>": "F1 of one class, of the second model",
            "against_f1_class_<class>_low": "",
            "against_f1_class_<class>_high": "",
            "gain_<metric>": "of the model over the second on the same rows; above 0 is better, "
            "also where lower values are",
            "gain_<metric>_low": "",
            "gain_<metric>_high": "",
        },
        artifacts=PICTURES
        | {
            "evaluation.json": "every figure with its interval, by class and slice; `models`, "
            "`gains`, `cautions`",
            "slices.csv": "where it is wrong more often than elsewhere: column, values, rows, "
            "accuracy, low, high, accuracy_elsewhere, p_value",
        }
        | REPORT,
        command="evaluate",
    ),
    Kind(
        title="`monitor`",
        begins="monitor ",
        about="`monitor <table>`.",
        metrics={
            "rows": "of the table",
            "rows_refused": "that cannot be scored",
            "drifted": "checks that are drift",
            "largest_stability_index": "of a column's values; left out where none is compared",
            "detectable_shift": "standard deviations of one column that would be found in four of "
            "five such tables; left out where none would",
            "metric_fall": "of `metric` since training, above 0 is worse; left out without labels",
            "metric_fall_low": "lower end of its interval; left out where there is none",
            "metric_fall_high": "upper end, likewise",
        },
        tags={
            "verdict": "`fine`, `drift` or `too few rows to tell`",
            "watched_model": "URI that was given",
        },
        artifacts={
            "drift.html": "verdict, checks and pictures on one page without scripts",
            "drift.csv": "every check, see below",
            "drift.json": "the same as a table that MLflow's UI compares across runs",
            "drift.png": "stability index of each column",
        },
        command="monitor",
    ),
)

# --- registry and model ---------------------------------------------------------------------------

VERSION_TAGS = {
    "dataset": "name of the table",
    "data_digest": "16 hex digits of its rows, in any order",
    "holdout_digest": "the same of the held-out rows",
    "classifier": "the family, or `ensemble`",
    "f1_macro": "on the holdout, four decimals",
    "bundle_sha256": "hash over the files of the artifact; checked before a promotion",
    "git_commit": "of the code that trained, or `unknown`",
    "sweep_run_id": "of a sweep: its run",
    "recipe": "of a sweep: what it is made of; tells a resumed sweep what it has registered",
    "promoted_at": "after a promotion: when, UTC",
    "promoted_from": "version that was in production before, empty for none",
    "promotion_reason": "the decision in one sentence",
    "rolled_back_at": "after a rollback: when, UTC; it is no challenger any more",
    "rollback_reason": "why",
}
MODEL_TAGS = {
    "move.<time>": "one change of the version in production, as JSON",
    "move.<time>.repair": "the same, written by a later command because the first was interrupted",
}
ALIASES = {
    "champion": "version in production; the stage `Production` mirrors it, and the one before is "
    "`Archived`",
    "previous": "version that `rollback` would put back",
}
MODEL_FILES = {
    "MLmodel": "MLflow's: signature, metadata, flavor",
    "bundle.py": "the file that MLflow runs, a copy of `custom_model/bundle.py`",
    "artifacts/bundle.json": "columns, classes and threshold, see below",
    "artifacts/pipeline.skops": "the fitted scikit-learn classifier, without pickle",
    "artifacts/served/*.py": "the code that answers, a copy of `custom_model/served`",
    "artifacts/profile.json": "the training table in counts, for `monitor`",
    "input_example.json": "three rows as a client sends them",
    "serving_input_example.json": "the same as a request",
    "requirements.txt": "what the server needs, pinned",
    "conda.yaml": "the same for conda",
    "python_env.yaml": "the same for virtualenv and uv",
}
METADATA = {
    "input_columns": "name, kind and required of each feature; the signature names outputs only",
}
BUNDLE = {
    "columns": "the features, see below",
    "labels": "the classes in their own type, in the order of the probabilities",
    "table_columns": "headings of the training table without the target, for rows without names",
    "target": "heading of the predicted column",
    "threshold": "of two classes, the second is predicted where its probability is above it",
    "about": "`dataset`, `classifier`, `seed`",
    "compiled": "whether a few rows are answered by `served/compiled.py`: `proved`, then "
    "`rows` compared and `largest_difference`, else the `reason`",
}
ANSWER = {
    "prediction": "a class in its own type",
    "probability_<class>": "one for each, in the order of `labels`; they sum to 1",
}
REQUEST_PARAMS = {
    "threshold": "of models of two classes: the second is predicted where its probability is above "
    "it; 0 to 1, by default the version's own"
}
REJECTED = {
    "rejected_row": "place in the table, from 1",
    "rejected_reason": "why it could not be scored; the row's own cells follow",
}
PROMOTION = {
    "promote": "the gate's decision",
    "reason": "it in one sentence",
    "rule": "the parameters it was made with",
    "rows": "common rows that neither version was trained on",
    "challengers": "from how many the challenger was picked; the level is divided by it",
    "challenger": "its metrics on the rows",
    "champion": "those of the version in production; with all below left out where there was none",
    "level": "of each test",
    "gain": "of the metric: `value`, `lower`, `upper`, `p_value`",
    "log_loss_gain": "the same of the log loss",
    "mcnemar_p": "of McNemar's exact test",
    "latency_ms": "for one row, of `champion` and `challenger`",
    "checks": "each rule: `name`, `passed`, `said`",
}
CHECK_COLUMNS = ("column", "about", "effect", "limit", "p_value", "drift", "note")


# --- the page -------------------------------------------------------------------------------------


def parameters(step: str) -> dict[str, str]:
    """The meaning of each parameter of an entry point, from its own parser."""
    seen: list[Parser] = []

    def stop(self: Parser, *_: object, **__: object) -> None:
        seen.append(self)
        raise SystemExit

    module = importlib.import_module(f"steps.{step}")
    with patch.object(Parser, "read", stop), suppress(SystemExit):
        module.main([])
    options = [action for action in seen[0]._actions if action.dest != "help"]
    return {one.dest: (one.help or "").removesuffix(f" ({one.default!r})") for one in options}


def members(described: type) -> dict[str, str]:
    """The members of a dataclass, as its docstring describes them."""
    text = (inspect.getdoc(described) or "").partition("Args:\n")[2] + "\n    x: "
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w+: )", text, re.MULTILINE | re.DOTALL)
    return {name: " ".join(said.split()).rstrip(".") for name, said in found}


def stack_defaults() -> dict[str, str]:
    """Values of .env.example; empty for those that are commented out."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    found = re.findall(r"^(# )?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE)
    return {name: "" if comment else value for comment, name, value in found}


def prose(text: str) -> str:
    """A paragraph in lines of at most 120 characters."""
    words = textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)
    return "\n".join(words) + "\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def described(head: str, names: Mapping[str, str]) -> str:
    """A table of names and meanings; a name without its own is an end of the interval above."""
    rows: list[list[str]] = []
    for name, text in names.items():
        if text:
            rows.append([f"`{name}`", text])
        else:
            rows[-1][0] += f", `{name}`"
    return table([head, "is"], rows)


def page() -> str:
    """The whole of docs/reference.md."""
    project = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    parts = ["# Reference\n", prose(GENERATED), "## Commands\n"]
    for step, entry in project.items():
        doc = inspect.getdoc(importlib.import_module(f"steps.{step}")) or ""
        parts.append(f"### {step}\n\n{doc.splitlines()[0]}\n")
        if step == "main":
            parts.append("Takes the parameters of [sweep](#sweep); promotes by `metric`.\n")
            continue
        values = {name: spec["default"] for name, spec in entry["parameters"].items()}
        rows = [
            [f"`{name}`", f"`{values[name]}`" if values[name] else "", text]
            for name, text in parameters(step).items()
        ]
        parts.append(table(["parameter", "default", "is"], rows))
        if step == "train":
            parts.append(prose(FURTHER))
    codes = [[f"{code}", text] for code, text in EXIT_CODES.items()]
    parts += [
        "### Exit codes\n",
        table(["code", "of `python -m steps.<command>`"], codes),
        prose(RUN),
    ]

    parts += ["## Environment variables\n", described("of the commands", COMMANDS | MLFLOWS)]
    defaults = stack_defaults()
    rows = [[f"`{k}`", f"`{defaults[k]}`" if defaults[k] else "", v] for k, v in STACK.items()]
    parts += [prose(OF_STACK), table(["in `.env`", "default", "is"], rows)]
    parts += [prose(OF_CONTAINER), described("inside", CONTAINER)]

    parts.append("## Metrics\n")
    rows = [
        [f"`{name}`", MEANING[name], "lower" if name in LOWER_IS_BETTER else "higher"]
        for name in METRICS
    ]
    parts += [table(["metric", "is", "better"], rows), prose(LEFT_OUT)]

    parts += ["## Runs\n", prose(OF_RUNS)]
    for kind in (VERSION, *KINDS):
        parts.append(f"### {kind.title}\n\n{prose(kind.about)}")
        if kind.carries:
            parts.append("It carries [a version](#what-a-versions-run-carries).\n")
        for head, names in (
            ("parameter", kind.params),
            ("metric", kind.metrics),
            ("tag", kind.tags),
            ("artifact", kind.artifacts),
        ):
            if names:
                parts.append(described(head, names))
    parts += ["### promotion.json\n", described("member", PROMOTION)]
    checks = {name: text for name, text in members(Check).items() if name in CHECK_COLUMNS}
    parts += ["### drift.csv and drift.json\n", described("column", checks)]

    parts += ["## Registry\n", prose(OF_REGISTRY), described("tag of a version", VERSION_TAGS)]
    parts += [described("alias", ALIASES), described("tag of the model", MODEL_TAGS)]
    parts += ["Members of a move:\n", described("member", members(Move))]

    parts += ["## Model\n", described("file", MODEL_FILES), described("metadata", METADATA)]
    parts += ["### bundle.json\n", described("member", BUNDLE)]
    parts += ["A feature in `columns`:\n", described("member", members(Column))]
    parts += ["### Answers\n", described("column", ANSWER), described("`params`", REQUEST_PARAMS)]
    parts += [prose(OF_SCORED), described("column", REJECTED)]
    return "\n".join(parts)


GENERATED = (
    "Generated from the code by `python docs/reference.py > docs/reference.md`; a test compares "
    "the two, and another one what is said here of runs, versions and models with what a real "
    "store gets. In names, `<metric>` is one of the [metrics](#metrics), `<objective>` the one "
    "that a sweep was asked for, `<class>` a class of the table."
)
FURTHER = (
    "Any further parameter is a hyperparameter of the classifier, by scikit-learn's name: `-P "
    "C=0.1`."
)
RUN = "`mlflow run` itself ends with 1 wherever the command does not end with 0."
OF_STACK = "Of `docker-compose.yml` and `docker-compose.auth.yml`, in `.env`:"
OF_CONTAINER = (
    "In the model servers' containers, set by `docker-compose.yml`; the last one is for the script "
    "on the host:"
)
LEFT_OUT = (
    "A mean over the classes is over those that occur or are predicted. `roc_auc` is left out "
    "where a class has no row. A class that nobody predicts has precision 0."
)
OF_RUNS = (
    "A run has the parameters of its command under their names. Started by `mlflow run`, it has "
    "all of the entry point; started as `python -m steps.promote`, only `model_name`, `metric` and "
    "`mode`. MLflow's own tags (`mlflow.…`) are not listed."
)
OF_REGISTRY = "A version has a sentence of description, to which a promotion adds when and why."
OF_SCORED = (
    "`score` writes the table's own columns and then these; into Parquet's metadata also "
    "`model_uri` and `run_id`. Rows that could not be scored go to a side file, "
    "`<output>.rejected.<ending>`:"
)

if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    print(page(), end="")
