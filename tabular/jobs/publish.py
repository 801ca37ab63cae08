"""From one tracking server to another: read a version, write it there, register last."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tabular.errors import BadInput
from tabular.jobs.preparation import Say
from tabular.store.copies import (
    elsewhere,
    find_copy,
    read_original,
    same_place,
    write_version,
)
from tabular.store.descriptions import describe_model, without_promotion
from tabular.table.addresses import without_password


@dataclass(frozen=True)
class Published:
    """Where a version is now.

    Args:
        source: URI of the version that was copied, with its number.
        name: of the registered model there.
        version: its number there.
        new: it was not there before.
    """

    source: str
    name: str
    version: int
    new: bool


def publish(*, model: str, to: str, name: str, say: Say) -> Published:
    """Copies a version to another tracking server, and registers it there; nothing is promoted.

    Args:
        model: URI of a registered version.
        to: tracking URI.
        name: in the registry there; "" for the same one.
        say: takes each line of progress.

    Raises:
        BadInput: there is no such version, the server cannot be reached, or it is the same.
    """
    to = to.rstrip("/")
    shown = without_password(to)
    if not to:
        raise BadInput("to is empty; give the tracking URI to publish to, such as http://host:5000")
    with tempfile.TemporaryDirectory() as folder:
        original = read_original(model, Path(folder))
        name = name or original.name
        if same_place(to) and name == original.name:
            raise BadInput(
                f"{original.uri} is at {shown} already; give another to, or another name"
            )
        say(f"{original.uri}: {original.place} to {shown}")
        with elsewhere(to):
            if known := find_copy(original, name):
                return Published(original.uri, name, known, False)
            inside = original.files / "artifacts" / "bundle.json"
            bundle = json.loads(inside.read_text(encoding="utf-8"))
            version = write_version(
                original,
                name,
                description=without_promotion(original.description, original.name, name),
                model=describe_model(
                    bundle["target"], bundle["labels"], original.tags.get("dataset", name)
                ),
            )
            return Published(original.uri, name, version, True)
