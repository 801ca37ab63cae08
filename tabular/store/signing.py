"""Signs what is registered, where a key is given."""

import os
from pathlib import Path
from typing import Any

import mlflow

from custom_model.artifact import INSTALL, SIGNATURE, signed_files
from tabular.errors import BadInput, first_line


def signer() -> Any:
    """A model_signing.signing.Config with the key that MODEL_SIGNING_KEY names; None without one.

    Raises:
        BadInput: it is no such key, or the libraries are not there.
    """
    key = os.environ.get("MODEL_SIGNING_KEY")
    if not key:
        return None
    try:
        from model_signing import signing

        return signing.Config().use_elliptic_key_signer(private_key=key)
    except ImportError:
        raise BadInput(f"MODEL_SIGNING_KEY is set, but cannot be used: {INSTALL}") from None
    except Exception as error:  # of the file system, of cryptography
        why = first_line(error)
        raise BadInput(
            f"MODEL_SIGNING_KEY={key} is no private key of an elliptic curve: {why}"
        ) from None


def sign_model(model_uri: str, folder: Path) -> None:
    """Writes the signature of a logged model into the folder for its run, where a key is given."""
    if config := signer():
        path = Path(mlflow.artifacts.download_artifacts(model_uri))
        config.set_hashing_config(signed_files(path)).sign(path, folder / SIGNATURE)
