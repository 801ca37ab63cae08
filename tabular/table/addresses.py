"""What `data` names: a built-in set, a file or folder of this machine, or one to be fetched."""

import mimetypes
import re
from collections.abc import Callable
from datetime import timedelta
from email.message import Message
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.fs
import requests
import sklearn.datasets

from tabular.errors import BadInput, choices, first_line

BUILT_IN = ("iris", "wine", "breast_cancer", "digits")

ENDINGS = (
    ".csv, .tsv, .json, .jsonl (each also with .gz, .bz2, .zst or .zip), .parquet, .feather, "
    ".arrow, .orc, .xlsx"
)
"""The endings of the files that can be read, for a sentence."""

ENDING = re.compile(
    r"\.(csv|tsv|json|jsonl|ndjson)(\.(gz|bz2|zst|zip))?$|\.(parquet|pq|feather|arrow|orc|xlsx)$",
    re.IGNORECASE,
)

OF_THE_TRACKING_SERVER = ("runs", "models", "mlflow-artifacts")
OF_ARROW = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")

Download = Callable[[str, Path], Path]
"""From a URI of the tracking server, and a folder, to what was fetched into it."""


def load_built_in(name: str) -> tuple[pd.DataFrame, str]:
    """A table of `BUILT_IN`, (n_rows, n_columns + 1), and the heading of its target."""
    loaded = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    labels = np.asarray(loaded.target_names).astype(object)[loaded.target.to_numpy()]
    target = {"iris": "species", "wine": "cultivar", "breast_cancer": "diagnosis"}.get(
        name, "digit"
    )
    return loaded.data.assign(**{target: pd.Series(labels).infer_objects()}), target


def scheme_of(address: str) -> str:
    """The scheme of a URI in lower case, "" for a plain path."""
    match = re.match(r"([A-Za-z][\w+.-]+):/|(file):", address)
    return (match[1] or match[2]).lower() if match else ""


def local_path(address: str) -> Path | None:
    """The path that a plain or a `file:` address means; None for an address elsewhere."""
    if scheme_of(address) not in ("", "file"):
        return None
    written = re.sub(r"^file:(//(localhost(?=/))?)?", "", address, flags=re.IGNORECASE)
    if written == address:
        return Path(written).expanduser() if written.startswith("~/") else Path(written)
    return Path(written) if _exists(Path(written)) else Path(unquote(written))


def safe_name(address: str) -> str:
    """The stem of a file as a name that the registry takes."""
    scheme = scheme_of(address)
    if scheme not in ("", "file"):
        address = unquote(re.split(r"[?#]", address)[0])
    path = local_path(address) if scheme == "file" else None
    stem = re.split(r"[/\\]", str(path or address).rstrip("/\\"))[-1]
    return re.sub(r"[^\w.-]+", "_", ENDING.sub("", stem)).strip("._") or "table"


def without_password(address: str) -> str:
    """An address as it may be shown and logged."""
    return re.sub(r"^([\w+.-]+://[^/:@]*):[^/]*@", r"\1:***@", address)


def fetch(data: str, folder: Path, download: Download | None = None) -> Path:
    """The file or folder that an address names, fetched into a folder if it is elsewhere.

    Args:
        data: path or URI: `file:`, `http(s):`, `s3:`, `gs:`, `abfss:`, others that fsspec knows,
            and with `download` `runs:/`, `models:/` and `mlflow-artifacts:/`.
        folder: an empty one.
        download: of what only the tracking server knows.

    Raises:
        BadInput: there is no such thing, or it cannot be fetched.
    """
    path = local_path(data)
    if path is not None:
        if not _exists(path):
            raise BadInput(
                f"data {data[:200]!r} not found: no such file or folder in {Path.cwd()}, and no "
                f"built-in set; {choices(data, BUILT_IN)}"
            )
        return path
    scheme = scheme_of(data)
    try:
        if scheme in OF_THE_TRACKING_SERVER and download:
            return download(data, folder)
        if scheme in ("http", "https"):
            return _from_the_web(data, folder)
        if scheme in OF_ARROW:
            return _from_arrow(data, folder)
        return _from_fsspec(data, folder)
    except (OSError, pa.ArrowException, requests.RequestException, ValueError) as error:
        raise BadInput(
            f"data {without_password(data)!r} cannot be fetched: {first_line(error)}"
        ) from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long to be one
        return False


def _from_the_web(uri: str, folder: Path) -> Path:
    with requests.get(uri, stream=True, timeout=60) as response:
        response.raise_for_status()
        header = Message()
        header["content-disposition"] = response.headers.get("content-disposition", "inline")
        name = PurePosixPath(header.get_filename() or unquote(urlsplit(uri).path)).name or "table"
        if not ENDING.search(name):
            kind = response.headers.get("content-type", "").partition(";")[0]
            name += mimetypes.guess_extension(kind) or ""
        with (folder / name).open("wb") as file:
            for block in response.iter_content(1 << 20):
                file.write(block)
    return folder / name


def _from_arrow(uri: str, folder: Path) -> Path:
    filesystem, place = pyarrow.fs.FileSystem.from_uri(
        re.sub("^s3a:", "s3:", uri).replace(" ", "%20")
    )
    if isinstance(filesystem, pyarrow.fs.GcsFileSystem):  # it would try for a quarter of an hour
        filesystem = pyarrow.fs.GcsFileSystem(retry_time_limit=timedelta(seconds=20))
    kind = filesystem.get_file_info(place).type
    if kind == pyarrow.fs.FileType.NotFound:
        raise FileNotFoundError("there is no such file or folder")
    target = folder / PurePosixPath(place).name
    local = pyarrow.fs.LocalFileSystem()
    if kind == pyarrow.fs.FileType.Directory:
        target.mkdir()
        pyarrow.fs.copy_files(place, str(target), filesystem, local)
    else:
        with filesystem.open_input_stream(place) as source, target.open("wb") as file:
            while block := source.read(8 << 20):
                file.write(block)
    return target


def _from_fsspec(uri: str, folder: Path) -> Path:
    try:
        import fsspec

        filesystem, place = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        hint = "pip install fsspec" if error.name == "fsspec" else first_line(error)
        raise BadInput(f"data {uri!r} needs a further package: {hint}") from None
    target = folder / PurePosixPath(str(place).rstrip("/")).name
    filesystem.get(str(place).rstrip("/"), str(target), recursive=True)
    return target
