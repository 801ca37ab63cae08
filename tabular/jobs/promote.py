"""The tracked promotion: compare the versions, decide, prove, move; and the way back."""

import dataclasses
import getpass
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabular.errors import BadInput
from tabular.gate.compare import (
    Contender,
    NotComparable,
    compare,
    load_contender,
    with_holdout,
)
from tabular.gate.decide import Decision
from tabular.gate.prove import prove, prove_start
from tabular.gate.rules import Rule
from tabular.jobs.preparation import Say
from tabular.report import plots
from tabular.stats.metrics import rank_key
from tabular.store import production, registry
from tabular.store.registry import Version
from tabular.store.runs import log_results, start_run

MOST_CHALLENGERS = 20
GOLDEN_ROWS = 5
FOREIGN = "was not registered by this project, so its held-out rows are not known"


@dataclass(frozen=True)
class Promotion:
    """What a promotion came to.

    Args:
        version: in production afterwards; in a dry run, that would be.
        moved: it was not there before.
        reason: one sentence.
    """

    version: int | None
    moved: bool
    reason: str


def promote(
    *, model_name: str, rule: Rule, version: int, force: bool, dry_run: bool, say: Say
) -> Promotion:
    """Puts the best challenger into production, if it passes the gate and the proof.

    Args:
        model_name: in the registry.
        rule: of the gate.
        version: the only challenger; 0 for every version that is newer than the champion.
        force: promote although the gate refuses; the proof is never left out.
        dry_run: compare and decide, prove and move nothing.
        say: takes each line of the comparison.

    Raises:
        BadInput: there is no such model or version, or nothing can be compared or served.
    """
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        say(line)

    restored = None if dry_run else production.restore(model_name, by=getpass.getuser())
    if restored:
        tell(f"{restored.reason}; version {restored.target}, the one before it, is put back")
    candidates = registry.candidates(model_name)
    champion = production.champion(model_name)
    judge = max(
        (c for c in candidates if c.number >= (champion or 0) and "holdout_cost" in c.metrics),
        key=lambda candidate: candidate.number,
        default=None,
    )
    rule = dataclasses.replace(rule, metric=rule.metric or ("cost" if judge else "f1_macro"))
    if rule.metric == "cost" and not judge:
        raise BadInput(
            f"no version of {model_name!r} from the one in production on carries costs; sweep with "
            "cost, or take another metric"
        )
    if judge:
        tell(f"costs are those that version {judge.number}, the newest with costs, was made for")
    if dry_run and champion is None and (champion := production.version_before(model_name)):
        tell(f"nothing is in production; version {champion}, the last one there, would be put back")
    _show(candidates, champion, rule.metric, tell)
    for move in production.history(model_name):
        origin = f"{move.source} to " if move.source else ""
        tell(f"{move.at[:19]}  {move.action} {origin}{move.target}, {move.by}: {move.reason}")
    for key in production.unreadable(model_name):
        tell(f"the tag {key} of model {model_name!r} cannot be read and is passed over")
    pool, ranked, reason = _challengers(candidates, champion, version, rule, tell)
    if not pool:
        return Promotion(champion, False, reason)
    given = {"model_name": model_name, "metric": rule.metric, "mode": rule.mode}
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        current = next((c for c in candidates if c.number == champion), None)
        apart = ""
        try:
            challenger, decision = compare(current, pool, ranked, rule, folder, tell, judge)
        except NotComparable as error:
            if not force:
                raise BadInput(f"{error}; force=true promotes without a comparison") from None
            apart = f"not compared, as {error}; "
            challenger, decision = compare(None, pool[:1], 1, rule, folder, tell, judge)
        target = challenger.version.number
        tell(f"version {target}: {decision.reason}")
        passes = decision.promote or force
        if dry_run:
            return Promotion(target if passes else champion, passes, decision.reason)
        compared = time.monotonic()
        with start_run(f"promote {model_name}", given):
            _log(decision, lines)
            if not passes:
                return Promotion(champion, False, decision.reason)
            _prove(challenger)
            proved = time.monotonic()
            forced = "forced: " if apart or not decision.promote else ""
            reason = f"{forced}{apart}{decision.reason}"
            outcome = _move(model_name, champion, target, reason)
        spent = (compared - started, proved - compared, time.monotonic() - proved)
        say("seconds: {:.1f} to compare, {:.1f} to prove, {:.1f} to move".format(*spent))
        return outcome


def rollback(*, model_name: str, say: Say) -> Promotion:
    """Puts the version before back into production, after the proof that it can be served.

    Raises:
        BadInput: there is none, or it cannot be served.
    """
    candidates = registry.candidates(model_name)
    production.repair(model_name)
    target = production.version_before(model_name)
    if target is None:
        raise BadInput(f"model {model_name!r} has no version to go back to; promote another one")
    candidate = next(candidate for candidate in candidates if candidate.number == target)
    with tempfile.TemporaryDirectory() as folder:
        _prove_again(candidate, folder, say)
    with start_run(f"rollback {model_name}", {"model_name": model_name}):
        move = production.put_back(model_name, reason="rolled back by hand", by=getpass.getuser())
        origin, now = str(move.source), str(move.target)
        log_results(tags={"rolled_back_from": origin, "rolled_back_to": now})
    say(f"version {move.source} was in production")
    return Promotion(move.target, True, f"back from version {move.source}")


def _prove_again(version: Version, folder: str, say: Say) -> None:
    """Proves a version that was in production before; where it has no rows, that it starts."""
    contender = load_contender(version, folder)
    try:
        contender = with_holdout(contender)
    except BadInput:
        say(f"version {version.number} has no held-out rows; it is proved to start, no more")
        prove_start(contender.model.path)
    else:
        _prove(contender)


def _challengers(
    candidates: Sequence[Version], champion: int | None, version: int, rule: Rule, say: Say
) -> tuple[list[Version], int, str]:
    """The versions to compare, from how many they were picked, and why there are none."""
    newest = "no version is newer than the one in production"
    if version and version == champion:
        return [], 0, newest
    if version:
        chosen = [candidate for candidate in candidates if candidate.number == version]
        if not chosen:
            known = ", ".join(str(candidate.number) for candidate in candidates[-10:])
            raise BadInput(f"there is no version {version}; possible: {known}")
        if not chosen[0].ours:
            raise BadInput(
                f"version {version} {FOREIGN}; move the alias champion by hand to put it there"
            )
        return chosen, 1, ""
    newer = [c for c in candidates if champion is None or c.number > champion]
    kept = [c for c in newer if "rolled_back_at" not in c.tags]
    reasons = {c.number: _why_not(c, rule.metric) for c in kept}
    left_out = [f"version {number} {why}" for number, why in reasons.items() if why]
    for line in left_out:
        say(f"left out: {line}")
    scored = sorted(
        (c for c in kept if not reasons[c.number]),
        key=lambda c: rank_key(rule.metric, c.metrics, prefix="holdout_"),
    )
    if left_out and not scored:
        reason = f"nothing can be compared: {left_out[-1]}"
        if champion is None:
            raise BadInput(f"{reason}; train or sweep again")
        return [], 0, reason
    return scored[: 1 if champion is None else MOST_CHALLENGERS], len(scored), newest


def _why_not(candidate: Version, metric: str) -> str:
    """Why a version is no challenger, "" if it is one."""
    if not candidate.ours:
        return FOREIGN
    if not candidate.metrics:
        return "has no run in the tracking store: purged, or the registry is of another store"
    return (
        ""
        if metric == "cost" or f"holdout_{metric}" in candidate.metrics
        else f"has no metric holdout_{metric}"
    )


def _prove(challenger: Contender) -> None:
    rows = challenger.holdout.drop(columns=challenger.target)[:GOLDEN_ROWS]
    rows = rows.reset_index(drop=True)
    prove(challenger.model.path, rows, challenger.model.pyfunc.predict(rows))


def _log(decision: Decision, lines: Sequence[str]) -> None:
    evidence = {"promote": decision.promote, "reason": decision.reason, **decision.evidence}
    with tempfile.TemporaryDirectory() as folder:
        written = json.dumps(evidence, indent=1, default=str)
        Path(folder, "promotion.json").write_text(written, encoding="utf-8")
        Path(folder, "comparison.txt").write_text("\n".join(lines), encoding="utf-8")
        if len(decision.resampled):
            metric, value = decision.evidence["rule"]["metric"], decision.evidence["gain"]["value"]
            figure = plots.bootstrap(decision.resampled, value, metric)
            Path(folder, "bootstrap.png").write_bytes(plots.png(figure))
        log_results(folder=folder)


def _move(name: str, champion: int | None, target: int, reason: str) -> Promotion:
    now = production.champion(name)
    if now not in (champion, target):
        raise BadInput(f"version {now} of {name!r} was promoted meanwhile; compare with it again")
    move = production.put_forward(name, target, reason=reason, by=getpass.getuser())
    log_results(tags={"promoted_version": str(target), "promotion_reason": reason})
    return Promotion(target, move is not None, reason)


def _show(candidates: Sequence[Version], champion: int | None, metric: str, say: Say) -> None:
    say(f"{'version':>9}  {metric:>17}  {'log_loss':>9}  {'stage':<11} {'classifier':<23} history")
    for candidate in candidates:
        values = [candidate.metrics.get(f"holdout_{m}", float("nan")) for m in (metric, "log_loss")]
        tags = candidate.tags
        past = f"promoted {tags['promoted_at'][:19]}" if "promoted_at" in tags else ""
        past += f", rolled back {tags['rolled_back_at'][:19]}" if "rolled_back_at" in tags else ""
        say(
            f"{'*' if candidate.number == champion else ' '}{candidate.number:>8}  "
            f"{values[0]:>17.4f}  {values[1]:>9.4f}  {candidate.stage:<11} "
            f"{tags.get('classifier', ''):<23} {past}".rstrip()
        )
