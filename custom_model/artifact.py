"""Whether an artifact is what was registered."""

import hashlib
import re
import shutil
from pathlib import Path

from mlflow.store.artifact.models_artifact_repo import REGISTERED_MODEL_META_FILE_NAME

_OF_MLFLOW = re.compile(REGISTERED_MODEL_META_FILE_NAME + r"|__pycache__/bundle\.[\w.-]+\.pyc")


class Changed(Exception):
    """An artifact is not what was registered; the message says why."""


def bundle_sha256(path: Path) -> str:
    """One hash over a version's artifact: the name and the content of each file in it.

    Left out are the two that MLflow writes beside them later: the version's number, when it fetches
    one from the registry, and the bytecode of `bundle.py`, when it loads one.

    Older versions, with no folder `served` in them, were registered under a hash of the four files
    that decide an answer, by their bare names.

    Args:
        path: of the artifact.

    Raises:
        OSError: there is no artifact.
    """
    inside = path / "artifacts"
    if (inside / "served").is_dir():
        names = {file.relative_to(path).as_posix(): file for file in path.rglob("*")}
        names = {n: f for n, f in names.items() if f.is_file() and not _OF_MLFLOW.fullmatch(n)}
    else:
        old = [path / "bundle.py", inside / "pipeline.skops", inside / "bundle.json"]
        names = {file.name: file for file in [*old, *inside.glob("compiled.py")]}
    total = hashlib.sha256()
    for name, file in sorted(names.items()):
        total.update(f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def check(path: Path, tags: dict[str, str]) -> None:
    """Compares a fetched artifact with its version, and makes it safe to load.

    Bytecode is not part of the hash, and Python would run it in the place of `bundle.py`: it is
    removed.

    Args:
        path: of a copy that nobody else writes to.
        tags: of the registered version; one without `bundle_sha256` is another maker's.

    Raises:
        Changed: a file was changed, added or removed, or there is none.
    """
    shutil.rmtree(path / "__pycache__", ignore_errors=True)
    sha256 = tags.get("bundle_sha256")
    try:
        if sha256 and bundle_sha256(path) != sha256:
            raise Changed("is not what was registered: its files have another hash")
    except OSError:
        raise Changed("cannot be fetched: its artifact is gone") from None
