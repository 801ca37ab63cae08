"""What a sweep shows while it runs: a bar on a terminal, plain lines elsewhere."""

import math
from collections.abc import Callable
from typing import Self

from tqdm import tqdm

from tabular.search.cross_validation import Trial
from tabular.search.loop import Budget, ranked


class Progress:
    """Trials, best score and time left; `say` takes each line where there is no terminal."""

    def __init__(
        self, say: Callable[[str], None], budget: Budget, metric: str, done: list[Trial]
    ) -> None:
        self.say, self.budget, self.metric = say, budget, metric
        self.best: Trial | None = None
        self.bar = tqdm(
            total=budget.trials,
            initial=len(done),
            disable=None,  # where stderr is no terminal
            unit="trial",
            dynamic_ncols=True,
            bar_format="{n_fmt}/{total_fmt} trials {bar} {elapsed}<{remaining}{postfix}",
        )
        for trial in done:
            self._consider(trial)

    def show(self, trial: Trial) -> None:
        """Shows one more trial."""
        self._consider(trial)
        if self.bar.disable:
            self.say(line(trial, self.metric))
            return
        if trial.error:
            self.bar.write(line(trial, self.metric))
        parts = []
        if self.best:
            score = self.best.metrics[self.metric]
            parts.append(f"best {self.metric}={score:.4f} {self.best.classifier}")
        if math.isfinite(self.budget.deadline):
            parts.append(f"{max(0.0, self.budget.left()):.0f} s left")
        self.bar.set_postfix_str(", ".join(parts), refresh=False)
        self.bar.update()

    def _consider(self, trial: Trial) -> None:
        if trial.metrics:
            self.best = ranked([trial, *([self.best] if self.best else [])], self.metric)[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def line(trial: Trial, metric: str) -> str:
    """One trial that has ended, in one line."""
    if trial.error:
        score = trial.error
    else:
        score = trial.given_up or f"{metric}={trial.metrics[metric]:.4f} ± {trial.spread:.4f}"
    rows = f"  {trial.rows} rows" if trial.rows else ""
    return f"  t{trial.number:03d} {trial.classifier:<24} {score}  {trial.seconds:.1f} s{rows}"
