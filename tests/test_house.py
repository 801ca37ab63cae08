"""The rules of the house: which folder may import which, who talks to MLflow, names and sizes."""

import ast
import re
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("custom_model", "tabular", "steps")
CODE = {
    str(file.relative_to(ROOT)): ast.parse(file.read_text(encoding="utf-8"))
    for package in (*PACKAGES, "docker")
    for file in sorted((ROOT / package).rglob("*.py"))
}
LONGEST_FILE = 300
LONGEST_README = 130
MOST_FILES = 16  # of a folder
OF_THE_TRACKING_SERVER = re.compile(
    r"\bMlflowClient\b|\bmlflow\.(artifacts|data|log_\w+|set_\w+|start_run|end_run|active_run|search_\w+|"
    r"register_model|get_\w+)\b"
)


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def room_of(module: str) -> str:
    """A station of the house: `tabular.search`, `steps`, `custom_model`; else the module itself."""
    parts = module.split(".")
    if parts[0] != "tabular":
        return ".".join(parts[:2]) if parts[:2] == ["custom_model", "served"] else parts[0]
    return ".".join(parts[:2])


def imports_of(file: str) -> set[str]:
    """Modules that a file imports, by their whole names."""
    module = module_of(file)
    package = module if file.endswith("__init__.py") else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(CODE[file]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            whole = ".".join([*(base if node.level else []), *filter(None, [node.module])])
            found.add(whole)
            found |= {f"{whole}.{alias.name}" for alias in node.names}
    return found


def ours(names: set[str]) -> set[str]:
    known = {module_of(file) for file in CODE}
    return {name for name in names if name.split(".")[0] in PACKAGES and name in known}


def test_imports_run_one_way() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for file in CODE:
        room = room_of(module_of(file))
        graph[room] |= {room_of(name) for name in ours(imports_of(file))} - {room}
    packages = {"tabular", "custom_model"}  # their __init__ is empty
    order = list(
        TopologicalSorter({r: needed - packages for r, needed in graph.items()}).static_order()
    )
    assert graph["custom_model.served"] == set()
    assert graph["custom_model"] <= {"custom_model.served"}
    assert not [room for room, needed in graph.items() if "steps" in needed]
    assert {room for room, needed in graph.items() if "tabular.jobs" in needed} <= {"steps"}
    assert order.index("tabular.jobs") > order.index("tabular.store")


@pytest.mark.parametrize("room", ["tabular.stats", "tabular.table", "tabular.families"])
def test_a_pure_room_knows_nothing_of_mlflow(room: str) -> None:
    files = [file for file in CODE if room_of(module_of(file)) == room]
    assert files
    for file in files:
        assert not [name for name in imports_of(file) if name.split(".")[0] == "mlflow"], file


def test_only_the_store_talks_to_the_tracking_server_and_the_registry() -> None:
    users = {
        file
        for file in CODE
        if not file.startswith(("tabular/store/", "docker/"))
        and OF_THE_TRACKING_SERVER.search(ast.unparse(CODE[file]))
    }
    # one logs a model into the open run; the other fetches its signature, in the stack's image too
    assert users <= {"custom_model/packaging.py", "custom_model/artifact.py"}


@pytest.mark.parametrize("file", CODE)
def test_a_file_is_one_thing(file: str) -> None:
    lines = (ROOT / file).read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST_FILE, f"{file} has {lines} lines"


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    folders: dict[str, int] = defaultdict(int)
    for file in CODE:
        folders[str(Path(file).parent)] += not file.endswith("__init__.py")
    assert not {folder: n for folder, n in folders.items() if n > MOST_FILES}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README


def test_no_two_public_definitions_have_one_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file, tree in CODE.items():
        if file.startswith(("custom_model", "tabular")):
            for node in tree.body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_":
                    places[node.name].append(file)
    doubled = {name: files for name, files in places.items() if len(files) > 1}
    assert not doubled


@pytest.mark.parametrize("file", CODE)
def test_no_file_uses_a_private_name_of_another(file: str) -> None:
    modules: set[str] = set()
    for node in ast.walk(CODE[file]):
        if isinstance(node, ast.ImportFrom) and (
            node.level or (node.module or "").split(".")[0] in PACKAGES
        ):
            private = [a.name for a in node.names if a.name[0] == "_" and a.name[:2] != "__"]
            assert not private, f"{file} imports {private}"
            modules |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(CODE[file]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = node.attr[0] == "_" and node.attr[:2] != "__"
            assert not (used and node.value.id in modules), f"{file}: {node.value.id}.{node.attr}"
