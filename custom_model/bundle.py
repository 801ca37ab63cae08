"""The file that MLflow runs: it loads the package `served` out of the artifact and asks its model.

MLflow copies this file into every artifact and runs it from there (models from code). The package
lies beside it, in `artifacts/served`. Its name while it is loaded is made of the hash of its
content: two versions in one process stay apart, and identical ones share their modules.
"""

import hashlib
import importlib
import sys
from importlib.abc import ExecutionLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from typing import Any

import mlflow.models
import pandas as pd
from mlflow.pyfunc.model import PythonModel


class Package(ExecutionLoader):
    """The Python files of a folder with an `__init__.py`, to be imported as a package.

    They are read once: what is hashed is what runs. No bytecode is read or written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.files = {file.stem: file for file in sorted(Path(folder).glob("*.py"))}
        self.sources = {stem: file.read_text("utf-8") for stem, file in self.files.items()}
        self.name = f"_served_{hashlib.sha256(repr(self.sources).encode()).hexdigest()}"

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Of the package or one of its modules; None for any other."""
        inside = name == self.name or name.startswith(f"{self.name}.")
        return spec_from_loader(name, self) if inside and self._stem(name) in self.files else None

    def _stem(self, name: str) -> str:
        return name.removeprefix(self.name).removeprefix(".") or "__init__"

    def is_package(self, name: str) -> bool:
        """Whether modules lie below it."""
        return name == self.name

    def get_filename(self, name: str) -> str:
        """For tracebacks."""
        return str(self.files[self._stem(name)])

    def get_source(self, name: str) -> str:
        """As it was when the package was hashed."""
        return self.sources[self._stem(name)]

    def load(self, module: str) -> Any:
        """Imports a module of the package, and with it those that it imports."""
        if self.name not in sys.modules:
            # first of all: Python's own finder would run the bytecode there, and write some
            sys.meta_path.insert(0, self)
        return importlib.import_module(f"{self.name}.{module}")


class Bundle(PythonModel):
    """MLflow's side of the model; whatever else is asked of it is asked of `served.model.Model`."""

    def load_context(self, context: Any) -> None:
        """Reads the artifacts, once, when MLflow loads the model."""
        package = Package(context.artifacts["served"])
        self.model = package.load("model").Model(context.artifacts)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame | list[dict[str, Any]]:
        """Scores rows: see `served.model.Model.predict`."""
        return self.model.predict(model_input, params)

    def __getattr__(self, name: str) -> Any:
        if name == "model":
            raise AttributeError("the model is not loaded yet")
        return getattr(self.model, name)


mlflow.models.set_model(Bundle())
