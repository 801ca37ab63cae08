"""The tracked comparison of a table with the profile inside a model."""

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from custom_model.served.cells import read_cells
from tabular.drift.checks import Answered, Check, DriftRule
from tabular.drift.profile import from_json
from tabular.drift.verdict import LARGE_SHIFT, Drift, Verdict, compare
from tabular.errors import BadInput, choices
from tabular.jobs.preparation import Say
from tabular.models.load import Subject, align, ask, key, load_subject
from tabular.report import pages as report
from tabular.report import plots
from tabular.report.pages import share
from tabular.store.artifacts import download
from tabular.store.runs import start_run
from tabular.table.files import read_table
from tabular.table.reading import true_labels

MOST_SHOWN = 100  # checks in the report; the table has all
PANELS = 12  # pictures of single columns
FEWEST_PANELS = 4  # of columns that have not drifted, those that changed most


@dataclass(frozen=True)
class Watch:
    """What a look at a table came to.

    Args:
        run_id: of its run.
        drift: the comparison.
        sentence: the verdict in words.
    """

    run_id: str
    drift: Drift
    sentence: str


def monitor(*, model: str, data: str, ignore: Sequence[str], rule: DriftRule, say: Say) -> Watch:
    """Compares a table with the one that a model was trained on.

    Args:
        model: URI of a bundle of this project.
        data: see `load_dataset`; labels are used where the table has them.
        ignore: columns that may change, such as the date of a row.
        rule: what counts as drift.
        say: takes each line of progress.

    Raises:
        BadInput: the model carries no profile, or the table cannot be read; no run is opened then.
    """
    table = read_table(data, download)
    raw = table.frame
    subject = load_subject(model)
    if not subject.profile:
        raise BadInput(
            f"{model} carries no profile of its training table; train it again with this project"
        )
    profile = from_json(subject.profile)
    names = [column.name for column in profile.columns]
    for name in ignore:
        if name not in names:
            raise BadInput(f"column {name!r} to ignore is not a feature; {choices(name, names)}")
    read = read_cells(raw, subject.columns, as_text=True)
    required = {column.name for column in subject.columns if column.required}
    gone = [name for name in read.absent if name in required]
    left_out = {*ignore, *read.absent}
    typed = read.typed.drop(columns=list(left_out))
    answered = _answers(subject, raw, read.typed, ~read.refused)
    found = compare(profile, typed, read.unreadable, answered, rule)
    absent = tuple(
        Check(name, "column is not in the table", 1.0, 0.0, 0.0, drift=name in required)
        for name in read.absent
        if name not in ignore
    )
    verdict: Verdict = "drift" if any(check.drift for check in absent) else found.verdict
    found = dataclasses.replace(found, checks=(*absent, *found.checks), verdict=verdict)
    cautions = list(table.notes)
    if gone:
        cautions.append(f"No row can be scored: column {gone[0]!r} is not in the table.")
    elif read.refused.any():
        cautions.append(
            f"{read.refused.sum()} of {len(raw)} rows cannot be scored; the first: "
            f"{read.first_reason()}."
        )
    sentence = _sentence(found, rule)
    given = {"model": model, "data": data, "ignore": ",".join(ignore)} | dataclasses.asdict(rule)
    name = table.name
    with start_run(f"monitor {name}", given) as run:
        mlflow.set_tags({"verdict": found.verdict, "watched_model": model})
        mlflow.log_metrics(_metrics(found, read.refused))
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), found, rule, f"{name}: {found.verdict}", sentence, cautions)
            mlflow.log_artifacts(folder)
        mlflow.log_table(_table(found.checks), "drift.json")
        for line in (*cautions, sentence):
            say(line)
        return Watch(run.info.run_id, found, sentence)


def _answers(
    subject: Subject, raw: pd.DataFrame, typed: pd.DataFrame, scorable: np.ndarray
) -> Answered:
    n_classes = len(subject.labels)
    codes = None
    if subject.target in raw:
        labels = true_labels(raw, subject.target)[scorable]
        known = {key(label): code for code, label in enumerate(subject.labels)}
        codes = np.array(
            [-1 if label is None else known.get(key(label), n_classes) for label in labels],
            dtype=np.int64,
        )
        codes = codes if (codes >= 0).any() else None
    if not scorable.any():
        return Answered(np.empty(0, dtype=np.int64), None, None)
    said, shares = ask(subject, typed[scorable].reset_index(drop=True))
    found, probabilities = align(said, shares, subject.labels)
    return Answered(found, probabilities, codes)


def _sentence(found: Drift, rule: DriftRule) -> str:
    drifted = [check for check in found.checks if check.drift]
    if found.verdict == "drift":
        first = ", ".join(f"{check.column or 'answers'} ({check.about})" for check in drifted[:5])
        more = f" and {len(drifted) - 5} more" if len(drifted) > 5 else ""
        return f"drift: {first}{more}"
    power = (
        f"a shift of {found.detectable:.2f} standard deviations of one column would be found in "
        "four of five such tables"
        if math.isfinite(found.detectable)
        else "no shift of one column would be found"
    )
    if found.verdict == "fine":
        return f"fine: no drift in {len(found.checks)} checks of {found.rows} rows; {power}"
    return (
        f"too few rows to tell: no drift is seen in {found.rows} rows against "
        f"{found.reference_rows}, and {power}; {LARGE_SHIFT} is wanted"
    )


def _metrics(found: Drift, refused: np.ndarray) -> dict[str, float]:
    metrics = {
        "rows": float(found.rows),
        "rows_refused": float(refused.sum()),
        "drifted": float(sum(check.drift for check in found.checks)),
    }
    values = [check.effect for check in found.checks if check.about == "values"]
    if values:
        metrics["largest_stability_index"] = max(values)
    if math.isfinite(found.detectable):
        metrics["detectable_shift"] = found.detectable
    if found.fall is not None:
        metrics["metric_fall"] = found.fall.value
        if math.isfinite(found.fall.low):
            metrics |= {"metric_fall_low": found.fall.low, "metric_fall_high": found.fall.high}
    return metrics


def _table(checks: Sequence[Check]) -> pd.DataFrame:
    shown = [field.name for field in fields(Check)][:7]
    return pd.DataFrame([{name: getattr(check, name) for name in shown} for check in checks])


def _write(
    folder: Path,
    found: Drift,
    rule: DriftRule,
    title: str,
    sentence: str,
    cautions: Sequence[str],
) -> None:
    _table(found.checks).to_csv(folder / "drift.csv", index=False)
    drawn = [check for check in found.checks if check.bins]
    answers = [check for check in drawn if not check.column]
    columns = sorted(
        (check for check in drawn if check.column), key=lambda c: (not c.drift, -c.effect)
    )
    changed = max(FEWEST_PANELS, sum(check.drift for check in columns))
    pictures = [
        (f"{check.column or 'answers'}: {check.about}", plots.png(plots.drifted(check)))
        for check in [*answers, *columns[:changed]][:PANELS]
    ]
    (folder / "drift.png").write_bytes(
        plots.png(plots.effects([c for c in found.checks if c.about == "values"]))
    )
    bad, good = "bad", "good"
    tiles = [
        (found.verdict, "is the verdict", {"drift": bad, "fine": good}.get(found.verdict, "")),
        (
            str(sum(check.drift for check in found.checks)),
            f"of {len(found.checks)} checks are drift",
            "",
        ),
        (str(found.rows), f"rows, against {found.reference_rows} of the training table", ""),
    ]
    if found.fall is not None:
        between = (
            f", {found.fall.low:+.4f} to {found.fall.high:+.4f} with {share(1 - rule.level)}"
            if found.fall.low == found.fall.low
            else ""
        )
        tiles.append((f"{found.fall.value:+.4f}", f"fall of {rule.metric}{between}", ""))
    shown = found.checks[:MOST_SHOWN]
    page = report.fill(
        "drift.html",
        title=title,
        summary=sentence[0].upper() + sentence[1:] + ".",
        cautions=cautions,
        tiles=tiles,
        checks=shown,
        more_checks=len(found.checks) - len(shown),
        rule=rule,
        pictures=report.encoded(pictures),
    )
    (folder / "drift.html").write_text(page, encoding="utf-8")
