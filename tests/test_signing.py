"""Where a key is given, a version is signed when registered, and verified before it is loaded."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from custom_model.artifact import SIGNATURE, Changed, bundle_sha256, check
from steps import publish, train
from tabular.errors import BadInput
from tabular.store.artifacts import fetch_model
from tabular.store.signing import signer
from tests.conftest import Store
from tests.test_publish import empty_store

pytestmark = pytest.mark.slow

MODEL = "models:/iris/1"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As docs/security.md makes them, and a second pair."""
    pytest.importorskip("model_signing", reason="pip install -r requirements-signing.txt")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        make = "openssl ecparam -name prime256v1 -genkey -noout -out {0}.pem; "
        make += "openssl ec -in {0}.pem -pubout -out {0}.pub"
        subprocess.run(make.format(name), shell=True, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def signed(store: Store, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a signed version, and the key to verify it in the environment; its artifact."""
    monkeypatch.setenv("MODEL_SIGNING_KEY", str(keys / "ours.pem"))
    train.main([])
    monkeypatch.setenv("MODEL_VERIFYING_KEY", str(keys / "ours.pub"))
    return Path(mlflow.artifacts.download_artifacts(MODEL))


def register_what_is_there(artifact: Path) -> None:
    """As somebody does who may write to the store and to the registry."""
    client = mlflow.MlflowClient()
    client.set_model_version_tag("iris", "1", "bundle_sha256", bundle_sha256(artifact))


def test_a_signed_version_is_loaded_by_its_number_and_from_its_run(
    signed: Path, tmp_path: Path
) -> None:
    fetch_model(MODEL, tmp_path / "a")
    run_id = mlflow.MlflowClient().get_model_version("iris", "1").run_id
    fetch_model(f"runs:/{run_id}/model", tmp_path / "b")
    mlflow.pyfunc.load_model(str(signed))  # MLflow leaves bytecode
    fetch_model(MODEL, tmp_path / "c")


def test_a_changed_hash_in_the_registry_does_not_help(signed: Path, tmp_path: Path) -> None:
    changes: list[Callable[[Path], object]] = [
        lambda file: file.write_bytes(file.read_bytes() + b"\n"),
        lambda file: file.with_name(f"more_{file.name}").touch(),
        Path.unlink,
    ]
    shutil.copytree(signed, tmp_path / "before")
    for number, change in enumerate(changes):
        change(signed / "artifacts" / "bundle.json")
        register_what_is_there(signed)
        with pytest.raises(BadInput, match="models:/iris/1 is not what was signed"):
            fetch_model(MODEL, tmp_path / str(number))
        shutil.rmtree(signed)
        shutil.copytree(tmp_path / "before", signed)
    register_what_is_there(signed)
    fetch_model(MODEL, tmp_path / "again")


def test_a_signature_of_another_key_is_refused(
    signed: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_VERIFYING_KEY", str(keys / "theirs.pub"))
    with pytest.raises(BadInput, match="is not what was signed"):
        fetch_model(MODEL, tmp_path / "fetched")


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00\xff", b"[1]", b'{"mediaType": 1}'])
def test_what_is_no_signature_is_refused(signed: Path, tmp_path: Path, content: bytes) -> None:
    client = mlflow.MlflowClient()
    run = client.get_run(client.get_model_version("iris", "1").run_id)
    file = Path(run.info.artifact_uri.removeprefix("file://"), SIGNATURE)
    assert file.exists()
    file.write_bytes(content)
    with pytest.raises(BadInput, match="is not what was signed") as caught:
        fetch_model(MODEL, tmp_path / "fetched")
    assert "\n" not in str(caught.value)


def test_a_version_without_signature_is_refused_where_a_key_is_given(
    store: Store, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train.main([])
    fetch_model(MODEL, tmp_path / "a")
    monkeypatch.setenv("MODEL_VERIFYING_KEY", str(keys / "ours.pub"))
    with pytest.raises(BadInput, match="is not signed"):
        fetch_model(MODEL, tmp_path / "b")


@pytest.mark.parametrize("content", [None, b"", b"no key"])
def test_a_key_that_is_none_is_an_error_before_any_work(
    store: Store, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("MODEL_SIGNING_KEY", str(file))
    with pytest.raises(BadInput, match=r"key\.pem is no private key of an elliptic curve"):
        train.main([])
    monkeypatch.setenv("MODEL_VERIFYING_KEY", str(file))
    with pytest.raises(Changed, match=r"cannot be verified with MODEL_VERIFYING_KEY=.*key\.pem"):
        check(tmp_path, {})


def test_absent_libraries_name_the_command_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    monkeypatch.setenv("MODEL_SIGNING_KEY", "key.pem")
    monkeypatch.setenv("MODEL_VERIFYING_KEY", "key.pub")
    with pytest.raises(BadInput, match=r"pip install -r requirements-signing\.txt"):
        signer()
    with pytest.raises(Changed, match=r"pip install -r requirements-signing\.txt"):
        check(tmp_path, {})


def test_a_published_version_is_verified_with_the_signature_that_came_along(
    signed: Path, store: Store, migrated: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    to = empty_store(tmp_path / "other", migrated)
    publish.main(["--model", MODEL, "--to", to])
    mlflow.set_tracking_uri(to)
    fetch_model(MODEL, tmp_path / "fetched")
    client = mlflow.MlflowClient()
    run = client.get_run(client.get_model_version("iris", "1").run_id or "")
    Path(run.info.artifact_uri.removeprefix("file://"), SIGNATURE).unlink()
    with pytest.raises(BadInput, match="is not signed"):
        fetch_model(MODEL, tmp_path / "again")
