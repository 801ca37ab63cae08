"""How often the gate errs: equal challengers that it promotes, better ones that it refuses.

    python -m benchmarks.gate_errors

A simulation with the real `decide` under the default rule, but for 1,000 resamples instead of
2,000. Each row has a class, all equally frequent, and a score for each class: normal noise, plus
the classifier's strength for the true one. Its probabilities are the softmax that makes them
calibrated. A share of the noise's variance is common to the classifiers; at equal strength they
are exchangeable. The strength gives the champion a macro-F1 of 0.80 and the challenger the gain
asked for; both are found by bisection on 200,000 rows. All latencies are equal.

`decide` is called where the check `better` may pass. It cannot where nothing is gained, as then at
least half of the swaps gain as much, or where the same `gain` that it calls refuses; that it does
refuse is asserted on the first of these holdouts in each setting. Seeds are fixed; ± is the
binomial standard error, and the rate in brackets is that of the check `better` alone.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.gate_simulation import (
    CLASSES,
    FEW_CLASSES,
    GAINS,
    OTHER_ROWS,
    PICKED,
    ROWS,
    RULE,
    SHARED,
    Measured,
    disagreement,
    measure,
    settings,
)

ROOT = Path(__file__).resolve().parents[1]


def tables(measured: Measured) -> str:
    """The rates as Markdown."""
    equal, power, others = _parts(measured)
    columns = [(kind, classes) for kind in SHARED for classes in CLASSES]
    lines = ["Disagreement of equal classifiers:", ""]
    lines += _head("errors", [f"{classes} classes" for classes in CLASSES])
    for kind in SHARED:
        lines.append(_line(kind, [f"{disagreement(classes, kind):.0%}" for classes in CLASSES]))
    lines += ["", "Equal challenger promoted (by the check `better` alone):", ""]
    lines += _head("errors, classes", [f"{rows:,} rows" for rows in ROWS])
    for kind, classes in columns:
        found = [r for s, r in equal.items() if (s.dependence, s.classes) == (kind, classes)]
        lines.append(_line(f"{kind}, {classes}", found))
    lines += ["", f"Better challenger promoted, {FEW_CLASSES} classes:", ""]
    lines += _head("errors, true gain", [f"{rows:,} rows" for rows in ROWS])
    for kind in SHARED:
        for points in GAINS:
            found = [r for s, r in power.items() if (s.dependence, s.points) == (kind, points)]
            lines.append(_line(f"{kind}, {points / 100:.2f}", found))
    lines += ["", f"Equal challenger, {OTHER_ROWS} rows, {FEW_CLASSES} classes:", ""]
    heads = [f"best of {picked}, counted as {counted}" for picked, counted in PICKED]
    lines += _head("errors", [*heads, "of a newer table"])
    for kind in SHARED:
        lines.append(_line(kind, [r for s, r in others.items() if s.dependence == kind]))
    return "\n".join(lines)


def _parts(measured: Measured) -> tuple[Measured, Measured, Measured]:
    power = {s: rates for s, rates in measured.items() if s.points}
    others = {s: rates for s, rates in measured.items() if s.picked_from > 1 or s.refreshed}
    equal = {s: r for s, r in measured.items() if s not in power and s not in others}
    return equal, power, others


def _head(first: str, heads: Sequence[str]) -> list[str]:
    return [_line(first, heads), "|---" * (len(heads) + 1) + "|"]


def _line(first: str, cells: Sequence[object]) -> str:
    return f"| {first} | {' | '.join(map(str, cells))} |"


def draw(measured: Measured) -> Figure:
    """False promotions on the left, power on the right."""
    equal, power, _ = _parts(measured)
    figure = Figure(figsize=(14, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_equal(left, equal)
    few = {s: rates for s, rates in equal.items() if s.classes == FEW_CLASSES}
    _draw_power(right, few | power)
    return figure


def _draw_equal(axes: Axes, equal: Measured) -> None:
    width = len(CLASSES) + 1
    for shift, (kind, color) in enumerate(zip(SHARED, ("#3b6ea8", "#c44e52"), strict=True)):
        of_kind = {s: r for s, r in equal.items() if s.dependence == kind}
        places = [
            ROWS.index(s.rows) * width + CLASSES.index(s.classes) - 0.12 + 0.24 * shift
            for s in of_kind
        ]
        heights = [100 * rates.promoted for rates in of_kind.values()]
        errors = [200 * rates.error for rates in of_kind.values()]
        axes.errorbar(places, heights, errors, fmt="o", color=color, capsize=3, label=kind)
    level = 100 * (1 - RULE.confidence)
    axes.axhline(level, color="black", linestyle="--", label=f"stated level, {level:.0f} %")
    ticks = [row * width + place for row in range(len(ROWS)) for place in range(len(CLASSES))]
    axes.set_xticks(ticks, [str(classes) for classes in CLASSES] * len(ROWS))
    for row, rows in enumerate(ROWS):
        middle = row * width + (len(CLASSES) - 1) / 2
        place = axes.get_xaxis_transform()
        axes.text(middle, 0.02, f"{rows:,} rows", ha="center", transform=place)
    axes.set(xlabel="classes", ylabel="promoted, % of holdouts", ylim=(-1, 10))
    axes.set_title("Equal challenger (bars: 2 standard errors)")
    axes.legend(loc="upper left")


def _draw_power(axes: Axes, power: Measured) -> None:
    for rows, color in zip(ROWS, ("#999999", "#dd8452", "#55a868"), strict=True):
        for kind, line in zip(SHARED, ("--", "-"), strict=True):
            found = {
                s.points: r for s, r in power.items() if (s.rows, s.dependence) == (rows, kind)
            }
            axes.errorbar(
                list(found),
                [100 * rates.promoted for rates in found.values()],
                [200 * rates.error for rates in found.values()],
                color=color,
                linestyle=line,
                marker="o",
                capsize=3,
                label=f"{rows:,}, {kind}",
            )
    axes.axhline(100 * (1 - RULE.confidence), color="black", linestyle="--", linewidth=1)
    axes.set_xticks((0, *GAINS))
    axes.set(xlabel="true gain, points of macro-F1", ylabel="promoted, % of holdouts")
    axes.set(ylim=(-3, 103))
    axes.set_title(f"Better challenger, {FEW_CLASSES} classes (bars: 2 standard errors)")
    axes.legend(title="rows, errors", loc="upper left", bbox_to_anchor=(1.02, 1.0))


def main() -> None:
    measured = measure(settings())
    print(tables(measured))
    draw(measured).savefig(ROOT / "docs" / "gate-errors.png", dpi=110)


if __name__ == "__main__":
    main()
