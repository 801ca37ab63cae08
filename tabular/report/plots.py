"""Pictures of a classifier on held-out rows. Each function takes arrays and returns a Figure."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

from custom_model.served.columns import Label
from tabular.drift.checks import DriftCheck
from tabular.report.importance import Importance
from tabular.stats.intervals import Estimate

MOST_CURVES = 10
MOST_CELLS_WITH_NUMBERS = 30
MOST_BARS = 30
MOST_TICKS = 16
LONGEST_NAME = 24
BLUE, RED, ORANGE = "#3b6ea8", "#c44e52", "#e08214"


def png(figure: Figure) -> bytes:
    """The picture as a PNG file."""
    buffer = BytesIO()
    figure.set_dpi(100)
    FigureCanvasAgg(figure).print_png(buffer)  # `savefig` draws it twice
    return buffer.getvalue()


def as_png(figures: Mapping[str, Figure]) -> dict[str, bytes]:
    """The same pictures as PNG files."""
    return {name: png(figure) for name, figure in figures.items()}


def empty(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def bars(
    names: Sequence[str], values: Sequence[float] | np.ndarray, **options: Any
) -> tuple[Figure, Axes]:
    """Horizontal bars from below, and their axes; `options` are those of `Axes.barh`."""
    figure, axes = empty(8, 1.5 + 0.32 * max(1, len(names)))
    axes.barh(np.arange(len(names)), values, **{"color": BLUE, **options})
    axes.set_yticks(np.arange(len(names)), names)
    return figure, axes


def pictures(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    proba: np.ndarray | None,
    labels: Sequence[Label],
    importance: Importance | None = None,
) -> dict[str, Figure]:
    """The pictures of a classifier, by the names of their files.

    Args:
        y_true: (n_rows,) true classes.
        y_pred: (n_rows,) predicted classes.
        proba: (n_rows, n_classes); None where the model gives none.
        labels: the classes.
        importance: of its columns.
    """
    figures = {"confusion_matrix": _confusion_matrix(y_true, y_pred, labels)}
    if proba is not None:
        figures |= {kind: _curves(kind, y_true, proba, labels) for kind in CURVES}
    if importance:
        figures["feature_importance"] = _importance(importance)
    return figures


def _confusion_matrix(y_true: np.ndarray, y_pred: np.ndarray, labels: Sequence[Label]) -> Figure:
    n_classes = len(labels)
    side = min(16.0, 4.0 + 0.45 * n_classes)
    figure, axes = empty(side + 1, side)
    ConfusionMatrixDisplay.from_predictions(
        y_true,
        y_pred,
        labels=np.arange(n_classes),
        display_labels=[_short(label) for label in labels],
        include_values=n_classes <= MOST_CELLS_WITH_NUMBERS,
        xticks_rotation="vertical" if n_classes > 4 else "horizontal",
        cmap="Blues",
        ax=axes,
    )
    axes.set_title("Confusion matrix")
    return figure


def _calibration(y_true: np.ndarray, scores: np.ndarray, **options: Any) -> None:
    CalibrationDisplay.from_predictions(y_true, np.clip(scores, 0, 1), n_bins=10, **options)


# title, and what draws the curve of one class against the rest
CURVES: dict[str, tuple[str, Callable[..., object]]] = {
    "roc": ("ROC", RocCurveDisplay.from_predictions),
    "precision_recall": ("Precision and recall", PrecisionRecallDisplay.from_predictions),
    "calibration": ("Calibration", _calibration),
}


def _curves(kind: str, y_true: np.ndarray, proba: np.ndarray, labels: Sequence[Label]) -> Figure:
    """A curve of each frequent class against the rest; of two classes the second's alone."""
    title, draw = CURVES[kind]
    figure, axes = empty(7, 6)
    counts = np.bincount(y_true, minlength=len(labels))
    drawable = [int(y) for y in np.argsort(-counts, kind="stable") if 0 < counts[y] < len(y_true)]
    if len(labels) == 2:
        drawable = [y for y in drawable if y == 1]
    for y in drawable[:MOST_CURVES]:
        draw(y_true == y, proba[:, y], name=_short(labels[y]), ax=axes)
    if len(drawable) > MOST_CURVES:
        title += f" (the {MOST_CURVES} most frequent classes)"
    # scikit-learn adds which label counts as positive
    xlabel, ylabel = (
        text.split(" (Positive")[0].split(" (positive")[0]
        for text in (axes.get_xlabel(), axes.get_ylabel())
    )
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if not drawable:
        axes.text(0.5, 0.5, "undefined: one class only", ha="center", transform=axes.transAxes)
    if kind == "roc":
        axes.axline((0, 0), slope=1, color="grey", linewidth=1, linestyle=":")
    return figure


def _importance(columns: Importance) -> Figure:
    """The largest twenty."""
    order = np.argsort(columns.means)[-20:]
    names = [_short(columns.names[i]) for i in order]
    figure, axes = bars(names, columns.means[order], xerr=columns.spreads[order])
    axes.set(
        title="Permutation importance", xlabel="rise of the log loss when the column is shuffled"
    )
    return figure


def bootstrap(resampled: np.ndarray, value: float, metric: str) -> Figure:
    """How much better the challenger is, over the (n_resamples,) gains of the paired bootstrap."""
    figure, axes = empty(7, 4)
    axes.hist(resampled, bins=50, color=BLUE)
    axes.axvline(0, color="black", linewidth=1, label="no gain")
    axes.axvline(value, color=RED, linewidth=2, label=f"gain {value:+.4f}")
    axes.set(
        title="Paired bootstrap on rows that neither was trained on",
        xlabel=f"gain in {metric} over the version in production",
        ylabel="resamples",
    )
    axes.legend()
    return figure


def compared_bins(check: DriftCheck) -> Figure:
    """Shares of the rows by bin, in the training table and now."""
    figure, axes = empty(6.4, 3.6)
    places = np.arange(len(check.bins))
    for name, counts, shift, color in (
        ("training table", check.reference, -0.2, BLUE),
        ("this table", check.current, 0.2, ORANGE),
    ):
        shares = np.array(counts) / max(1.0, sum(counts))
        axes.bar(places + shift, shares, 0.4, label=name, color=color)
    axes.set_xticks(places, [_short(name) for name in check.bins], rotation=45, ha="right")
    axes.set_ylabel("share of the rows")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title(f"{_short(check.column or 'answers')}: {check.about}, index {check.effect:.3f}")
    axes.legend()
    return figure


def effects(checks: Sequence[DriftCheck]) -> Figure:
    """Population stability index of each column, the largest thirty."""
    shown = sorted(checks, key=lambda check: check.effect)[-MOST_BARS:]
    figure, axes = bars(
        [_short(check.column) for check in shown],
        [check.effect for check in shown],
        color=[RED if check.drift else BLUE for check in shown],
    )
    if shown:
        axes.axvline(shown[0].limit, color="black", linewidth=1, linestyle="--")
    axes.set(
        title="Change of each column since training",
        xlabel="population stability index (red: drift; dashed: what matters)",
    )
    return figure


def by_period(
    names: Sequence[str], places: Sequence[int], values: Sequence[Estimate], metric: str
) -> Figure:
    """A metric by period with its intervals.

    Args:
        names: (n_periods,) in words.
        places: (n_periods,) number of each; where one is left out, there is a gap.
        values: (n_periods,) of the metric.
        metric: its name.
    """
    figure, axes = empty(8, 4)
    middle = np.array([one.value for one in values])
    ends = np.array([(one.value - one.low, one.high - one.value) for one in values])
    lengths = np.nan_to_num(np.maximum(ends, 0)).T
    axes.errorbar(places, middle, lengths, fmt="o-", color=BLUE, ecolor=ORANGE, capsize=3)
    step = -(-len(names) // MOST_TICKS)
    axes.set_xticks(
        places[::step], [_short(name) for name in names[::step]], rotation=45, ha="right"
    )
    axes.set(title=f"{metric} over time, with its intervals", ylabel=metric)
    return figure


def _short(label: Label) -> str:
    """A name in a picture."""
    text = str(label).replace("$", r"\$")  # matplotlib reads $ as mathematics
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
