"""Output that is whole or not there: written aside in the same folder, then moved in place."""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tabular.errors import BadInput

ENDING = ".partial"
PREVIOUS = "previous."  # within the folder aside: begins the name of a folder being replaced
LONGEST_NAME = 255 - len(f"..12345678{ENDING}")  # bytes, with what is put around it aside


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """Makes a hidden folder beside the target to write in, and removes it afterwards.

    What killed processes left of the same target is removed first; a folder is known to be left
    when nobody holds its lock, which a process loses however it ends.
    """
    _remove_left(target)
    folder, lock = _locked(target)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def move_in(written: Path, target: Path, folder: Path) -> None:
    """Moves a file or folder, written in the folder of `aside`, to its place, over an older one.

    A file is replaced in one step. A folder cannot be: for a moment there is none, and where the
    process is killed in that moment, the next call puts the older one back.
    """
    for file in [written] if written.is_file() else [p for p in written.iterdir() if p.is_file()]:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    if written.is_dir() and target.exists():
        target.rename(folder / f"{PREVIOUS}{target.name}")
    written.replace(target)


def check_target(target: Path, *, folder: bool) -> None:
    """Sees, before any work, whether a target can be written.

    Where it shall be a folder, an older one is replaced only if it holds Parquet alone.

    Raises:
        BadInput: it cannot.
    """
    if len(os.fsencode(target.name)) > LONGEST_NAME:
        raise BadInput(
            f"output name {target.name[:60]!r}… is too long; at most {LONGEST_NAME} bytes will do"
        )
    if not target.parent.is_dir():
        raise BadInput(f"output {str(target)!r}: there is no folder {target.parent}; make it first")
    if not os.access(target.parent, os.W_OK):
        raise BadInput(f"output {str(target)!r}: the folder {target.parent} cannot be written to")
    if not target.exists():
        return
    if target.is_dir() != folder:
        found = "folder" if target.is_dir() else "file"
        raise BadInput(f"output {str(target)!r} is a {found} already; give another name")
    if folder:
        for file in target.iterdir():
            hidden = file.name.startswith((".", "_"))
            if not hidden and (file.is_dir() or file.suffix != ".parquet"):
                raise BadInput(
                    f"output {str(target)!r} holds more than a table ({file.name!r}), and would be "
                    "replaced as a whole; give another name"
                )


def _locked(target: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(ENDING, f".{target.name}.", target.parent))
        folder.chmod(0o755)  # mkdtemp's is for the user alone, and a folder inside is moved out
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # nobody took it for one that was left, before it was locked
            return folder, lock
        os.close(lock)


def _remove_left(target: Path) -> None:
    for folder in target.parent.glob(f".{glob.escape(target.name)}.*{ENDING}"):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except OSError:  # gone by now, or somebody else's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for older in folder.glob(f"{PREVIOUS}*"):
                place = target.with_name(older.name.removeprefix(PREVIOUS))
                if not place.exists():
                    older.rename(place)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:  # its process lives
            pass
        finally:
            os.close(lock)
