"""Relative paths are meant from where the user stands, also where the project is elsewhere."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from steps import PROJECT, run_step, where_the_user_stands
from tabular.gate.prove import free_port
from tests.clones import copy_tracked, untouched_environment
from tests.conftest import ROOT

PROBE = "from steps import where_the_user_stands as stands; print(stands())"


def test_a_step_alone_stands_in_its_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PROJECT == ROOT
    monkeypatch.chdir(tmp_path)
    assert where_the_user_stands() == tmp_path
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123")
    assert where_the_user_stands() == tmp_path
    monkeypatch.delenv("MLFLOW_RUN_ID")
    monkeypatch.chdir(ROOT)
    assert where_the_user_stands() == ROOT


@pytest.mark.parametrize("shell", [["bash", "-c", "{}"], ["bash", "-c", "true && {}; exit $?"]])
def test_a_step_of_a_run_stands_where_the_run_was_started(tmp_path: Path, shell: list[str]) -> None:
    """As MLflow starts it: by a shell in the project's folder, which the step may replace."""
    command = f"{sys.executable} -c '{PROBE}'"
    started = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys; subprocess.run(sys.argv[2:], cwd=sys.argv[1], "
            "env=os.environ | {'MLFLOW_RUN_ID': '0123'}, check=True)",
            str(ROOT),
            *(word.format(command) for word in shell),
        ],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert started.stdout.strip() == str(tmp_path)


def test_too_little_memory_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_step(lambda: print(np.ones(10**17)))
    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: there is too little memory: Unable to allocate")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "git"])
def test_a_project_elsewhere_reads_and_writes_where_the_user_stands(
    tmp_path: Path, kind: str
) -> None:
    project, user = tmp_path / "project", tmp_path / "user" / "in here"
    copy_tracked(project)
    user.mkdir(parents=True)
    rows = "".join(f"{i % 7},{i},{'no' if i % 7 < 3 else 'yes'}\n" for i in range(60))
    (user / "t.csv").write_text("a,b,y\n" + rows)
    with served_by_git(project) if kind == "git" else nullcontext(str(project)) as address:
        for words in (
            "-e train -P data=t.csv -P target=y",
            "-e score -P data=file:t.csv -P model=models:/t/1",
        ):
            ended = subprocess.run(
                ["mlflow", "run", address, "--env-manager", "local", *words.split()],
                cwd=user,
                env=untouched_environment(tmp_path),
                capture_output=True,
                text=True,
                check=False,
            )
            assert ended.returncode == 0, ended.stderr[-3000:]
    assert {path.name for path in user.iterdir()} == {
        "t.csv",
        "t_scored.csv",
        "mlflow.db",
        "mlruns",
    }
    assert not (project / "mlflow.db").exists()


@contextmanager
def served_by_git(project: Path) -> Iterator[str]:
    """The address of a repository that holds a folder's files."""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], cwd=project, check=True)
    port = free_port()
    where = [f"--base-path={project.parent}", "--listen=127.0.0.1", f"--port={port}"]
    daemon = subprocess.Popen(["git", "daemon", "--export-all", *where])
    try:
        while True:
            with socket.socket() as asked:
                if not asked.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield f"git://127.0.0.1:{port}/{project.name}"
    finally:
        daemon.terminate()
        daemon.wait()
