"""What the documentation says, done.

On a page without titles each block has a project of its own: ``sh`` runs in a shell, ``python`` as
a test file if it has tests and else as a program, and ``toml`` is read as configuration.

A page with titled blocks is one project: those are its files, written in the order of the page, and
the other blocks run there. ``pip install`` is not run, but what it names has to be installed.

``console`` is commands after ``$`` and what they print, compared line by line: … stands for any
text, a number for any number. ``yaml`` and ``json`` are parsed; what a CI, Docker Compose or GitHub
reads is what its published schema says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sybil import Document, Example, Region

from tests.docs.installs import Wrong, without_installs
from tests.docs.pages import ROOT, Block, blocks
from tests.docs.schemas import kind_of, misfits

__all__ = ["EXECUTED", "examples"]

LIMIT_S = 300
# What would change what programs do or how they print it; and what is that of the outer pytest.
_HIDDEN = re.compile(
    r"ENVKIT_.*|PYTEST_.*|CI|USE_REAL_SERVICES|GITHUB_.*|GITLAB_.*|FORCE_COLOR|NO_COLOR"
    r"|DATABASE_URL|PG[A-Z]+|REDIS_URL|CLICKHOUSE_.*|DJANGO_SETTINGS_MODULE"
)


def examples(document: Document) -> Iterable[Region]:
    """For Sybil: one example for each block, or one for a page that is a project."""
    found = [block for block in blocks(document.text) if not block.reason]
    whole = any(block.title for block in found)
    for part in [found] if whole else [[block] for block in found]:
        todo = [block for block in part if block.language in EXECUTED or block.title]
        if todo:
            start = sum(len(line) for line in document.text.splitlines(True)[: todo[0].first - 1])
            yield Region(start, start + 1, todo, _evaluate)


def _evaluate(example: Example) -> str | None:
    """What is wrong, which Sybil makes a failure."""
    part: list[Block] = example.parsed
    with _project() as project:
        for block in part:
            try:
                if block.title:
                    project.write(block)
                if not block.title or block.language == "yaml":
                    EXECUTED[block.language](project, block)
            except (Wrong, AssertionError, ValueError) as wrong:
                return f"{example.path}:{block.first}: {wrong}"
            except Exception as error:  # such as of TOML: which kinds there are is not ours
                return f"{example.path}:{block.first}: {type(error).__name__}: {error}"
        try:
            project.end()
        except Wrong as wrong:
            return f"{example.path}: {wrong}"
    return None


class _Project:
    """A directory, and an environment in which nothing but it says where services are.

    Args:
        place: A directory with a short path.
    """

    def __init__(self, place: Path) -> None:
        self.root = place / "project"
        self._state, self._run = place / "state", place / "run"
        self.root.mkdir()
        self._run.mkdir(mode=0o700)
        (self.root / "envkit.toml").touch()
        self._given = True
        scripts = Path(sys.executable).parent
        self.environment = {k: v for k, v in os.environ.items() if not _HIDDEN.fullmatch(k)}
        self.environment |= {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "80",
            "XDG_STATE_HOME": str(self._state),
            "XDG_RUNTIME_DIR": str(self._run),
            # What a reader sees must not depend on whether this machine has a container engine.
            "DOCKER_HOST": f"unix://{place}/no-engine.sock",
        }

    def write(self, block: Block) -> None:
        if self._given:  # from now on the page says what is in its project
            (self.root / "envkit.toml").unlink()
            self._given = False
        path = self.root / block.title
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise Wrong(f"{block.title} is outside of the project")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def run(self, arguments: list[str], where: Path | None = None) -> tuple[int, str]:
        """The exit code, and what was printed."""
        try:
            done = subprocess.run(
                arguments,
                cwd=where or self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            raise Wrong(f"not done after {LIMIT_S} s: {arguments}") from None
        return done.returncode, done.stdout

    def must(self, arguments: list[str], where: Path | None = None) -> None:
        code, said = self.run(arguments, where)
        if code:
            raise Wrong(f"exit code {code}\n{said}")

    def down(self, where: Path | None = None) -> None:
        self.must([sys.executable, "-m", "envkit", "down"], where)

    def end(self) -> None:
        """Stop what runs here, and see that this was all."""
        self.down()
        left = [*self._run.rglob("*.sock"), *self._state.rglob("*.keeper")]
        # An empty record is a lock that nobody has taken.
        if any(path.is_socket() or path.stat().st_size for path in left):
            raise Wrong("servers of another directory than the page's project are still running")


@contextmanager
def _project() -> Iterator[_Project]:
    # Short, as the path of a socket has to be.
    place = Path(tempfile.mkdtemp(prefix="ekdoc-", dir="/tmp"))
    project = _Project(place)
    try:
        yield project
    finally:
        for file in project.root.rglob("*.toml"):  # what is left elsewhere, if the page is wrong
            project.run([sys.executable, "-m", "envkit", "down"], file.parent)
        shutil.rmtree(place, ignore_errors=True)


def _sh(project: _Project, block: Block) -> None:
    script, in_checkout = without_installs(block.text)
    if not in_checkout:
        project.must(["sh", "-e", "-c", script])
    elif re.match(r"\s*pytest\b", script):
        raise Wrong("this would run all tests in one of them; say why it is not run")
    else:
        try:
            project.must(["sh", "-e", "-c", script], ROOT)
        finally:
            project.down(ROOT)


def _console(project: _Project, block: Block) -> None:
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    if parts[0].strip() or len(parts) == 1:
        raise Wrong("a console begins with '$ ' and a command")
    for part in parts[1:]:
        command, _, expected = re.sub(r"\\\n", " ", part).partition("\n")
        script, _ = without_installs(command)
        _, said = project.run(["sh", "-c", script])
        if not _pattern(expected).fullmatch(_even(said)):
            raise Wrong(f"$ {command}\n-- printed\n{said}-- and not\n{expected}")


def _even(text: str) -> str:
    """Without what is wider or narrower by the numbers that are in it."""
    lines = (re.sub(r"(?<=\S)[ ]{2,}", " ", line.rstrip()) for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines).strip("\n") + "\n"


def _pattern(expected: str) -> re.Pattern[str]:
    lines = []
    for line in _even(expected).splitlines():
        escaped = re.sub(r"\d+", r"\\d+", re.escape(line)).replace("…", ".*")
        # A line of its own stands for any number of lines, each with the end that it has here.
        lines.append(r"(?:.*\n)*" if line == "…" else f"{escaped}\n")
    return re.compile("".join(lines))


def _python(project: _Project, block: Block) -> None:
    name = f"example_{block.first}.py"
    tested = "def test_" in block.text
    program = project.root / (f"test_{name}" if tested else name)
    program.write_text(block.text)
    options = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if tested else []
    project.must([sys.executable, *options, str(program)])
    program.unlink()


def _toml(project: _Project, block: Block) -> None:
    from envkit import config

    with tempfile.TemporaryDirectory(dir=project.root) as place:
        (Path(place) / "pyproject.toml").write_text(block.text)
        config.load(Path(place))


def _yaml(_: _Project, block: Block) -> None:
    if found := misfits(block.text, kind_of(block.title, block.text)):
        raise Wrong("\n".join(found))


def _json(_: _Project, block: Block) -> None:
    json.loads(block.text)


#: What is done with blocks of a language; those of any other need a reason or a title.
EXECUTED: dict[str, Callable[[_Project, Block], None]] = {
    "sh": _sh,
    "console": _console,
    "python": _python,
    "toml": _toml,
    "yaml": _yaml,
    "json": _json,
}
