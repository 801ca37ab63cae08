"""Pictures of a classifier on held-out rows. Each takes arrays and returns a Figure."""

from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

from custom_model.served.columns import Label
from tabular.drift.checks import Check

MOST_CURVES = 10
MOST_CELLS_WITH_NUMBERS = 30
LONGEST_NAME = 24


def png(figure: Figure) -> bytes:
    """The picture as a PNG file."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def of_predictions(
    y_true: np.ndarray, y_pred: np.ndarray, proba: np.ndarray | None, labels: Sequence[Label]
) -> dict[str, Figure]:
    """The figures of a classifier, by the names of their files.

    Args:
        y_true: (n_rows,) true classes.
        y_pred: (n_rows,) predicted classes.
        proba: (n_rows, n_classes); None where the model gives none.
        labels: the classes.
    """
    figures = {"confusion_matrix": confusion_matrix(y_true, y_pred, labels)}
    if proba is not None:
        figures["roc"] = roc(y_true, proba, labels)
        figures["precision_recall"] = precision_recall(y_true, proba, labels)
        figures["calibration"] = calibration(y_true, proba, labels)
    return figures


def confusion_matrix(codes: np.ndarray, said: np.ndarray, labels: Sequence[Label]) -> Figure:
    """Rows by true and predicted class.

    Args:
        codes: (n_rows,) true classes.
        said: (n_rows,) predicted classes.
        labels: the classes.
    """
    n_classes = len(labels)
    side = min(16.0, 4.0 + 0.45 * n_classes)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    ConfusionMatrixDisplay.from_predictions(
        codes,
        said,
        labels=np.arange(n_classes),
        display_labels=[_short(label) for label in labels],
        include_values=n_classes <= MOST_CELLS_WITH_NUMBERS,
        xticks_rotation="vertical" if n_classes > 4 else "horizontal",
        cmap="Blues",
        ax=axes,
    )
    axes.set_title("Confusion matrix")
    return figure


def roc(codes: np.ndarray, probabilities: np.ndarray, labels: Sequence[Label]) -> Figure:
    """Receiver operating characteristic of each class against the rest.

    Args:
        codes: (n_rows,) true classes.
        probabilities: (n_rows, n_classes).
        labels: the classes.
    """
    figure = _curves(codes, probabilities, labels, RocCurveDisplay.from_predictions, "ROC")
    figure.axes[0].axline((0, 0), slope=1, color="grey", linewidth=1, linestyle=":")
    return figure


def precision_recall(
    codes: np.ndarray, probabilities: np.ndarray, labels: Sequence[Label]
) -> Figure:
    """Precision against recall of each class against the rest.

    Args:
        codes: (n_rows,) true classes.
        probabilities: (n_rows, n_classes).
        labels: the classes.
    """
    draw = PrecisionRecallDisplay.from_predictions
    return _curves(codes, probabilities, labels, draw, "Precision and recall")


def calibration(codes: np.ndarray, probabilities: np.ndarray, labels: Sequence[Label]) -> Figure:
    """How often a class is true where it was given a probability, in ten bins of equal width.

    Args:
        codes: (n_rows,) true classes.
        probabilities: (n_rows, n_classes).
        labels: the classes.
    """

    def draw(truth: np.ndarray, scores: np.ndarray, **options: object) -> None:
        CalibrationDisplay.from_predictions(truth, np.clip(scores, 0, 1), n_bins=10, **options)

    return _curves(codes, probabilities, labels, draw, "Calibration")


def _curves(
    codes: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[Label],
    draw: Callable[..., object],
    title: str,
) -> Figure:
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes: Axes = figure.subplots()
    counts = np.bincount(codes, minlength=len(labels))
    drawable = [int(c) for c in np.argsort(-counts, kind="stable") if 0 < counts[c] < len(codes)]
    if len(labels) == 2:
        drawable = [int(c) for c in drawable if c == 1]
    for code in drawable[:MOST_CURVES]:
        draw(codes == code, probabilities[:, code], name=_short(labels[code]), ax=axes)
    left_out = len(drawable) - MOST_CURVES
    axes.set_title(title + (f" (the {MOST_CURVES} most frequent classes)" if left_out > 0 else ""))
    axes.set_xlabel(axes.get_xlabel().split(" (Positive")[0].split(" (positive")[0])
    axes.set_ylabel(axes.get_ylabel().split(" (Positive")[0].split(" (positive")[0])
    if not drawable:
        axes.text(0.5, 0.5, "undefined: one class only", ha="center", transform=axes.transAxes)
    return figure


def feature_importance(names: Sequence[str], means: np.ndarray, spreads: np.ndarray) -> Figure:
    """Rise of the log loss when a column is shuffled, the largest twenty.

    Args:
        names: headings of the columns.
        means: (n_columns,) rise of the log loss, mean over the shuffles.
        spreads: (n_columns,) its standard deviation.
    """
    order = np.argsort(means)[-20:]
    figure = Figure(figsize=(8, 1.5 + 0.32 * len(order)), layout="constrained")
    axes = figure.subplots()
    axes.barh([_short(names[i]) for i in order], means[order], xerr=spreads[order], color="#3b6ea8")
    axes.set_xlabel("rise of the log loss when the column is shuffled")
    axes.set_title("Permutation importance")
    return figure


def bootstrap(resampled: np.ndarray, value: float, metric: str) -> Figure:
    """How much better the challenger is, over the resamples of the paired bootstrap.

    Args:
        resampled: (n_resamples,) gains.
        value: the gain on the rows as they are.
        metric: its name.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.hist(resampled, bins=50, color="#3b6ea8")
    axes.axvline(0, color="black", linewidth=1, label="no gain")
    axes.axvline(value, color="#c44e52", linewidth=2, label=f"gain {value:+.4f}")
    axes.set_xlabel(f"gain in {metric} over the version in production")
    axes.set_ylabel("resamples")
    axes.set_title("Paired bootstrap on rows that neither was trained on")
    axes.legend()
    return figure


def drifted(check: Check) -> Figure:
    """Shares of the rows by bin, in the training table and now."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(check.bins))
    sides = (("training table", check.reference, -0.2), ("this table", check.current, 0.2))
    for (name, counts, shift), color in zip(sides, ("#3b6ea8", "#e08214"), strict=True):
        total = max(1.0, sum(counts))
        axes.bar(places + shift, np.array(counts) / total, 0.4, label=name, color=color)
    axes.set_xticks(places, [_short(name) for name in check.bins], rotation=45, ha="right")
    axes.set_ylabel("share of the rows")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title(f"{_short(check.column or 'answers')}: {check.about}, index {check.effect:.3f}")
    axes.legend()
    return figure


def effects(checks: Sequence[Check]) -> Figure:
    """Population stability index of each column, the largest thirty."""
    shown = sorted(checks, key=lambda check: check.effect)[-30:]
    figure = Figure(figsize=(8, 1.5 + 0.32 * max(1, len(shown))), layout="constrained")
    axes = figure.subplots()
    colors = ["#c44e52" if check.drift else "#3b6ea8" for check in shown]
    names = [_short(check.column) for check in shown]
    axes.barh(np.arange(len(shown)), [check.effect for check in shown], color=colors)
    axes.set_yticks(np.arange(len(shown)), names)
    if shown:
        axes.axvline(shown[0].limit, color="black", linewidth=1, linestyle="--")
    axes.set_xlabel("population stability index (red: drift; dashed: what matters)")
    axes.set_title("Change of each column since training")
    return figure


def _short(label: Label) -> str:
    text = str(label).replace("$", r"\$")  # matplotlib reads $ as mathematics
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
