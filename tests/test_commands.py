"""Every command of README, CONTRIBUTING and docs, followed as a reader would.

A document is followed in a clone of the project in which iris is in Production already (the README
begins with nothing). Each block is a shell, or a script, of its own; servers run until the
document ends. What needs a container engine or Spark is followed by tests with these markers:
there the sections that have such blocks are followed, whole.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.clones import copy_tracked, untouched_environment
from tests.conftest import serving
from tests.documents import DOCUMENTS, ROOT, Block, blocks, same_output
from tests.spark_cluster import standalone_cluster
from tests.stack import find_compose, near_the_ports

README = ROOT / "README.md"
ENOUGH = 900  # seconds for one block
SERVER = re.compile(r"^(\w+=\S+ )*mlflow (models serve|ui|server)\b")
PORT = re.compile(r" (?:-p|--port)[ =](\d+)")
# The packages are those of this test, and a suite within the suite would never end.
INSTALL = re.compile(
    r"^(python3\.12 -m venv \S+ && \. \S+ && )?pip install( -r requirements\S*)+( && |\n)", re.M
)
SUITE = "pytest\n"


@dataclass
class Reader:
    """Follows documents in a clone.

    Attributes:
        clone: the working folder of every block.
        env: the environment of every block.
        servers: ended by whoever made it.
        near: words before a command that has to run near the ports of containers.
        words: what a document says, and what stands for it here.
    """

    clone: Path
    env: dict[str, str]
    servers: ExitStack
    near: tuple[str, ...] = ()
    words: dict[str, str] = field(default_factory=dict)

    def follow(self, block: Block) -> None:
        """Runs a block and compares what it prints; a server goes on in the background."""
        text = INSTALL.sub("", block.text) if block.text != SUITE else ""
        try:
            if block.kind == "sh" and SERVER.match(block.title):
                self.serve(text)
                return
            out = self.run(block.kind, text)
            if block.shown:
                same_output(out, block.shown, block.shown_kind)
        except (AssertionError, RuntimeError, subprocess.TimeoutExpired) as error:
            pytest.fail(f"{block.place}: {block.text}\n{error}", pytrace=False)

    def serve(self, text: str) -> None:
        """Starts a server; its port stands for the one that the document says."""
        command = re.sub(r"^#.*\n", "", text, flags=re.M).strip()
        port = PORT.search(command)
        server = serving(f"env {PORT.sub('', command)}", self.clone, self.env)
        url = self.servers.enter_context(server).url.removeprefix("http://")
        for host in ("localhost", "127.0.0.1"):
            self.words[f"{host}:{port[1] if port else 5000}"] = url

    def run(self, kind: str, text: str) -> str:
        """What a shell or a script printed.

        Raises:
            AssertionError: its exit code is not 0.
        """
        for said, meant in self.words.items():
            text = text.replace(said, meant)
        shell = [sys.executable] if kind == "python" else ["bash", "-euo", "pipefail"]
        # Files, as what a block leaves in the background would hold a pipe open.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = subprocess.Popen(
                [*self.near, *shell, "-c", text],
                cwd=self.clone,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            self.servers.callback(end_group, process.pid)
            process.wait(ENOUGH)
            out.seek(0)
            err.seek(0)
            printed, complained = out.read(), err.read()
        assert process.returncode == 0, (
            f"exit code {process.returncode}\n{printed[-3000:]}\n{complained[-3000:]}"
        )
        return printed


def end_group(pid: int) -> None:
    """Ends what a block has left in the background."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)


@dataclass(frozen=True)
class Clones:
    """Clones at one place, as a store of MLflow knows its artifacts by their paths."""

    folder: Path
    env: dict[str, str]

    @property
    def clone(self) -> Path:
        """What the next document is followed in."""
        return self.folder / "clone"

    def new(self) -> None:
        """A clone as git makes it."""
        shutil.rmtree(self.clone, ignore_errors=True)
        copy_tracked(self.clone)
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "The clone"]):
            subprocess.run(["git", *command], cwd=self.clone, env=self.env, check=True)

    def with_iris(self) -> None:
        """A clone in which iris is in Production; it is made once."""
        kept = self.folder / "with-iris"
        if not kept.exists():
            self.new()
            command = "mlflow run . -e main --env-manager local -P trials=3"
            subprocess.run(command.split(), cwd=self.clone, env=self.env, check=True)
            self.clone.rename(kept)
        shutil.rmtree(self.clone, ignore_errors=True)
        shutil.copytree(kept, self.clone)


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> Clones:
    folder = tmp_path_factory.mktemp("documents")
    env = untouched_environment(folder)
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "A reader", f"GIT_{role}_EMAIL": "reader@example.org"}
    return Clones(folder, env)


@pytest.fixture
def reader(clones: Clones) -> Iterator[Reader]:
    with ExitStack() as servers:
        yield Reader(clones.clone, clones.env, servers)


# --- how it is followed -------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Reader]:
    with ExitStack() as servers:
        yield Reader(tmp_path, dict(os.environ), servers)


def block(text: str, kind: str = "sh", shown: str = "") -> Block:
    return Block(ROOT / "page.md", 7, kind, "", text, shown=shown, shown_kind="text")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("pip install -r requirements.txt -r requirements-spark.txt\nls\n", "ls\n"),
        ("python3.12 -m venv .venv && . .venv/bin/activate && pip install -r a.txt && ls\n", None),
        (
            "python3.12 -m venv .v && . .v/bin/activate && pip install -r requirements.txt && ls\n",
            "ls\n",
        ),
        ("pip install fastapi\n", None),
    ],
)
def test_the_packages_are_those_of_this_test(text: str, left: str | None) -> None:
    assert INSTALL.sub("", text) == (text if left is None else left)


def test_blocks_share_a_folder_and_nothing_else(here: Reader) -> None:
    here.follow(block("export A=1\necho there > file\n"))
    here.follow(block('echo "${A-none} $(cat file)"\n', shown="none there"))
    here.follow(block("print(open('file').read())\n", "python", shown="there"))


@pytest.mark.parametrize(
    ("failing", "why"),
    [
        (block("false\necho later\n"), "exit code 1"),
        (block("false | true\n"), "exit code 1"),
        (block("echo $unknown\n"), "unbound variable"),
        (block("1 / 0\n", "python"), "ZeroDivisionError"),
        (block("echo 1\n", shown="2"), r"\+1"),
    ],
)
def test_a_failing_block_is_told_with_its_place(here: Reader, failing: Block, why: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=rf"(?s)page\.md:7.*{why}"):
        here.follow(failing)


def test_what_a_block_leaves_in_the_background_ends_with_the_document(tmp_path: Path) -> None:
    with ExitStack() as servers:
        reader = Reader(tmp_path, dict(os.environ), servers)
        pid = int(reader.run("sh", "sleep 600 &\necho $!\n"))
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.1)


# --- the documents ------------------------------------------------------------------------------


def having(marker: str) -> list[object]:
    """The documents with a block that has the marker, as parameters of a test."""
    return [
        pytest.param(document, id=str(document.relative_to(ROOT)))
        for document in DOCUMENTS
        if any(b.marker == marker and b.kind in ("sh", "python") for b in blocks(document))
    ]


def follow_sections(reader: Reader, document: Path, marker: str) -> None:
    """Follows the sections in which a block has the marker."""
    found = [block for block in blocks(document) if block.kind in ("sh", "python")]
    sections = {block.section for block in found if block.marker == marker}
    for block in found:
        if block.section in sections and block.marker in ("", marker):
            reader.follow(block)


@pytest.mark.slow
@pytest.mark.parametrize("document", having(""))
def test_a_document_s_commands_do_what_it_says(
    document: Path, clones: Clones, reader: Reader
) -> None:
    if document == README:
        clones.new()
    else:
        clones.with_iris()
    for block in blocks(document):
        if block.kind in ("sh", "python") and not block.marker:
            reader.follow(block)


@pytest.mark.spark
@pytest.mark.xdist_group("spark")
@pytest.mark.parametrize("document", having("spark"))
def test_its_commands_on_a_cluster(
    document: Path, clones: Clones, reader: Reader, tmp_path: Path
) -> None:
    pytest.importorskip("pyspark", reason="pip install -r requirements-spark.txt")
    clones.with_iris()
    with standalone_cluster(tmp_path, n_workers=2) as cluster:
        reader.env = reader.env | cluster.settings
        reader.words["spark://host:7077"] = cluster.url
        follow_sections(reader, document, "spark")


@pytest.mark.container
@pytest.mark.parametrize("document", having("container"))
def test_its_commands_with_containers(document: Path, clones: Clones, reader: Reader) -> None:
    compose = find_compose()
    clones.with_iris()
    # The project of test_containers.py: images stay few.
    reader.env = reader.env | {"COMPOSE_PROJECT_NAME": "mlflow-pipeline-test"}
    reader.words["docker compose"] = " ".join(compose)
    reader.near = tuple(near_the_ports())
    try:
        follow_sections(reader, document, "container")
    finally:
        put_away(compose, reader)


def put_away(compose: tuple[str, ...], reader: Reader) -> None:
    """Removes the stack and the containers of the image `iris`."""
    secrets = ("POSTGRES_PASSWORD", "SERVING_TOKEN")
    env = reader.env | dict.fromkeys(secrets, "no longer needed")
    subprocess.run([*compose, "down", "-v"], cwd=reader.clone, env=env, check=True)
    listed = ["docker", "ps", "-aq", "--filter", "ancestor=iris"]
    left = subprocess.run(listed, env=env, capture_output=True, text=True, check=True).stdout
    if left:
        subprocess.run(["docker", "rm", "-f", *left.split()], env=env, check=True)
