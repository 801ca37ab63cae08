"""Whether an artifact is what was registered, and was signed by whom we trust."""

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from mlflow.store.artifact.models_artifact_repo import REGISTERED_MODEL_META_FILE_NAME

_OF_MLFLOW = re.compile(REGISTERED_MODEL_META_FILE_NAME + r"|__pycache__/bundle\.[\w.-]+\.pyc")

INSTALL = "pip install -r requirements-signing.txt installs what signatures need"

SIGNATURE = "model.sig"
"""File of a version's run."""


class Changed(Exception):
    """An artifact is not what was registered; the message says why."""


def bundle_sha256(path: Path) -> str:
    """One hash over a version's artifact: the name and the content of each file in it.

    Left out are the two that MLflow writes beside them later: the version's number, when it fetches
    one from the registry, and the bytecode of `bundle.py`, when it loads one.

    Older versions, with no folder `served` in them, were registered under a hash of the four files
    that decide an answer, by their bare names.

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


def check(path: Path, tags: dict[str, str], run_id: str | None = "") -> None:
    """Compares a fetched artifact with its version, and verifies its signature.

    The latter where the environment's MODEL_VERIFYING_KEY names a public key. Then nothing is
    loaded that has no signature, registered or not.

    Bytecode is removed: Python would run it in the place of the files that are compared. MLflow
    leaves that of `bundle.py` where it loads a version, and older versions left that of `served`.

    Args:
        path: of a copy that nobody else writes to.
        tags: of the registered version; one without `bundle_sha256` is another maker's.
        run_id: of the run with the signature; "" for the one that the artifact names, which a
            version that was published has left behind.

    Raises:
        Changed: a file was changed, added or removed; or the signature is not that of the key.
    """
    for bytecode in [*path.rglob("__pycache__")]:
        shutil.rmtree(bytecode, ignore_errors=True)
    sha256 = tags.get("bundle_sha256")
    try:
        changed = sha256 and bundle_sha256(path) != sha256
    except OSError:
        changed = True
    if changed:
        raise Changed(
            "is not what was registered: a file of its artifact was changed, added or removed"
        )
    if key := os.environ.get("MODEL_VERIFYING_KEY"):
        _verify(path, key, run_id)


def _verify(path: Path, key: str, run_id: str | None) -> None:
    try:
        from model_signing import verifying

        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except ImportError:
        raise Changed(f"cannot be verified: {INSTALL}") from None
    except Exception as error:  # of the file system, of cryptography
        raise Changed(f"cannot be verified with MODEL_VERIFYING_KEY={key}: {error}") from None
    with tempfile.TemporaryDirectory() as folder:
        try:
            # whichever run is named: a signature of other files does not fit
            run_id = run_id or mlflow.models.Model.load(str(path)).run_id
            uri = f"runs:/{run_id}/{SIGNATURE}"
            signature = mlflow.artifacts.download_artifacts(uri, dst_path=folder)
        except Exception:  # stores raise many kinds
            raise Changed(f"is not signed: its run has no {SIGNATURE}") from None
        try:
            config.set_hashing_config(signed_files(path)).verify(path, Path(signature))
        except Exception as error:  # a file that is no signature raises many kinds
            raise Changed(f"is not what was signed: {str(error).strip()}") from None


def signed_files(path: Path) -> Any:
    """All of an artifact that is part of its hash, as a model_signing.hashing.Config."""
    from model_signing import hashing

    ignored = [path / REGISTERED_MODEL_META_FILE_NAME, path / "__pycache__"]
    return hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)
