"""One line for every mistake, and nothing left behind."""

import importlib
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from steps import Parser, headings, run_step, train
from tests.conftest import ROOT, Store

STEPS = sorted(p.stem for p in (ROOT / "steps").glob("*.py") if p.stem != "__init__")

MISTAKES: list[tuple[str, list[str], list[str]]] = [
    ("train", ["--data", "irs"], ["'irs' not found", "did you mean 'iris'"]),
    ("train", ["--data", "absent.csv", "--target", "y"], ["'absent.csv' not found"]),
    ("train", ["--target", "specis"], ["'specis' not found", "did you mean 'species'"]),
    ("train", ["--classifier", "svm"], ["unknown value 'svm'", "did you mean 'svc'"]),
    ("train", ["--c", "1"], ["no hyperparameter 'c'", "did you mean 'C'"]),
    ("train", ["--C", "-1"], ["'C' parameter of LogisticRegression must be", "-1"]),
    ("train", ["--C", "ten"], ["'C' parameter", "'ten'"]),
    ("train", ["--seed", "x"], ["expected a whole number, found 'x'"]),
    ("train", ["--seed", "-1"], ["expected 0 to"]),
    ("train", ["--seed"], ["expected one argument"]),
    ("train", ["--model_name", "a/b"], ["without '/', ':' and quotes"]),
    ("train", ["--model_name", "."], ["quotes, found '.'"]),
    ("train", ["--C", "{[]:1}"], ["'C' parameter", "'{[]:1}'"]),
    ("train", ["--class_weight", "{0:1}"], ["class_weight is 'balanced' or None"]),
    ("train", ["--data", f"{'x' * 300}.csv"], ["not found"]),
    ("train", ["--classifier", "k_neighbors", "--metric_params", "{'w':3}"], ["cannot be fitted"]),
    ("sweep", ["--trails", "3"], ["unknown parameter 'trails'", "did you mean 'trials'"]),
    ("sweep", ["--trials", "0"], ["expected 1 to"]),
    ("sweep", ["--timeout", "-5"], ["expected seconds", "'-5'"]),
    ("sweep", ["--metric", "f1"], ["unknown value 'f1'", "possible: f1_macro"]),
    ("sweep", ["--classifiers", "svc,forest"], ["unknown value 'forest'"]),
    ("sweep", ["--jobs", "0"], ["expected 1 to", "or -1"]),
    ("sweep", ["--resume", "nothing"], ["no run 'nothing' to resume"]),
    ("promote", ["--model_name", "irs"], ["'irs' has no registered version"]),
    ("promote", ["--dry_run", "maybe"], ["expected true or false, found 'maybe'"]),
    ("promote", ["--confidence", "2"], ["expected 0.5 to 0.9999, found '2'"]),
    ("promote", ["--mode", "bst"], ["did you mean 'best'"]),
    ("rollback", ["--model_name", "irs"], ["'irs' has no registered version"]),
    ("main", ["--data", "iris", "iris"], ["unexpected argument 'iris'"]),
]


def mistaken(store: Store, step: str, arguments: list[str], capfd: Any) -> str:
    """What a command that ends with exit code 2 and leaves nothing behind says."""
    module = importlib.import_module(f"steps.{step}")
    with pytest.raises(SystemExit) as ended:
        run_step(lambda: module.main(arguments))
    assert ended.value.code == 2
    said: str = capfd.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert mlflow.search_runs(output_format="list") == []
    assert MlflowClient().search_registered_models() == []
    return said


@pytest.mark.parametrize(("step", "arguments", "words"), MISTAKES)
def test_a_mistake_ends_in_one_line_and_leaves_nothing(
    store: Store, step: str, arguments: list[str], words: list[str], capfd: Any
) -> None:
    said = mistaken(store, step, arguments, capfd)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read"),
        ("x,y\n", "no rows"),
        ("x,y\n1.5,a\n2.5,a\n", "one class only"),
        ("x,y\n1.5,a\n2.5,b\n", "class of its own"),
        ("x,y\n1,a\n1,a\n1,b\n1,b\n", "no column is left"),
        ("x,y\n1.5,a\n1.5,a\n2.5,b\n2.5,b\n", "too few rows"),
    ],
)
def test_a_table_that_cannot_be_learned_from_ends_in_one_line(
    store: Store, content: str, words: str, capfd: Any
) -> None:
    (store.folder / "t.csv").write_text(content)
    arguments = ["--data", str(store.folder / "t.csv"), "--target", "y"]
    assert words in mistaken(store, "train", arguments, capfd)


def test_a_run_that_fails_midway_is_closed_and_registers_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = store.folder / "artifacts"
    artifacts.write_text("a file where a folder should be")
    with pytest.raises(OSError, match="artifacts"):
        train.main([])
    [run] = mlflow.search_runs(output_format="list")
    assert run.info.status == "FAILED"
    assert MlflowClient().search_registered_models() == []


@pytest.mark.parametrize("step", STEPS)
def test_a_parameter_that_is_no_free_text_refuses_other_text_in_one_line(
    step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    declared: dict[str, Any] = {}
    real = Parser.option

    def spy(self: Parser, name: str, default: object, read: Any, text: str) -> None:
        declared[name] = read
        real(self, name, default, read, text)

    monkeypatch.setattr(Parser, "option", spy)
    run = importlib.import_module(f"steps.{step}").main
    with pytest.raises(SystemExit):
        run(["--help"])
    capsys.readouterr()
    for name in [name for name, read in declared.items() if read not in (str, headings)]:
        with pytest.raises(SystemExit) as ended:
            run([f"--{name}", "a:b'"])
        captured = capsys.readouterr()
        assert ended.value.code == 2
        assert (
            captured.err.startswith(f"error: argument --{name}") and captured.err.count("\n") == 1
        )
