"""A copy of the project in which its commands run as a user's do."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT, Store


def copy_tracked(folder: Path) -> None:
    """Copies the tracked files, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def untouched_environment(folder: Path) -> dict[str, str]:
    """MLflow's defaults, but environments in a folder of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    path = Store("", folder).environment["PATH"]
    return kept | {"PATH": path, "MLFLOW_ENV_ROOT": str(folder / "envs")}
