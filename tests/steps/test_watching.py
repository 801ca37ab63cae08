"""`evaluate` and `monitor` as commands: what they print, and their exit codes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steps import evaluate, monitor, run_step
from tests.conftest import ROOT, Store
from tests.tables import mixed_table


def code_of(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        run_step(lambda: monitor.main(arguments))
    return ended.value.code


def test_evaluate_prints_each_metric_with_its_interval(served: Store, capsys: Any) -> None:
    evaluate.main(["--rows", "unseen", "--against", "models:/iris/1"])
    out = capsys.readouterr().out
    assert "f1_macro " in out and " to " in out and "gain +0.0000" in out
    assert "nan" not in out
    assert "report.html in run " in out


def test_monitor_tells_by_its_exit_code(served: Store, tmp_path: Path, capsys: Any) -> None:
    model = ["--model", "models:/mixed/1", "--data", str(tmp_path / "t.csv")]
    mixed_table(400, seed=9).to_csv(tmp_path / "t.csv", index=False)
    assert code_of(model) == 0
    assert "fine: no drift in" in capsys.readouterr().out
    mixed_table(12, seed=9).to_csv(tmp_path / "t.csv", index=False)
    assert code_of(model) == 4
    assert code_of(["--data", "irs"]) == 2


def test_the_exit_code_is_that_of_the_process(served: Store, tmp_path: Path) -> None:
    mixed_table(400, seed=9).assign(amount=9.5).to_csv(tmp_path / "t.csv", index=False)
    command = [sys.executable, "-m", "steps.monitor", "--data", str(tmp_path / "t.csv")]
    ended = subprocess.run(
        [*command, "--model", "models:/mixed/Production"],
        cwd=ROOT, env=served.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 3, ended.stderr
    assert "drift: amount (values)" in ended.stdout
    assert ended.stderr == ""
