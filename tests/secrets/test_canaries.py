"""Planted values are in no output, no process's arguments and no file but where they were put."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envkit.export.dotenv import render
from envkit.processes import descendants
from tests.foreign import Foreign, run_redis

if TYPE_CHECKING:
    from tests.conftest import Project

# Each has a word of its own, which no way to write it changes, before and after what is awkward.
CANARIES = {
    "quotes": 'kAnQa1"x\'y"kAnQb2',
    "percent": "kAnPa1%2Fx%y%%kAnPb2",
    "newline": "kAnNa1\nand more\nkAnNb2",
    "unicode": "kAnUa1äß€😀 漢字kAnUb2",
    "backslash": "kAnBa1\\n\\\\x\\kAnBb2",
    "url": "kAnXa1@:/?#[]&=+kAnXb2",
}
CANARIES["everything"] = "".join(CANARIES.values()).replace("kAnNa1", "kAnEa1")
WORD = re.compile(r"kAn[A-Z][ab][12]")


def traces(text: str) -> set[str]:
    """What of any canary is in a text, raw or in base64."""
    found = set(WORD.findall(text))
    for name, value in CANARIES.items():
        for before in ("", "x", "xx"):
            coded = base64.b64encode((before + value).encode()).decode()[4:-4]
            if coded in text:
                found.add(f"base64 of {name}")
    return found


def quoted(value: str) -> str:
    return urllib.parse.quote(value, safe="")


TABLE = """
env_files = [".env"]
secret_dirs = ["run"]
[secrets]
IN_ENVIRONMENT = {}
IN_ENV_FILE = { algorithm = "HS512" }
IN_DIRECTORY = { kind = "pem" }
IN_NAMED_FILE = { pattern = "[a-z]+" }
AS_URL = { kind = "url" }
AS_DSN = { kind = "dsn" }
SAME = { differs_from = ["IN_ENVIRONMENT"] }
QUOTED = { one_of = ["a"] }
NOWHERE = { generate = false }
"""


@pytest.fixture(params=["everything", "percent"])
def planted(request: pytest.FixtureRequest, project: Project) -> tuple[Project, dict[str, str]]:
    """A project with one canary wherever a secret can be, and the environment for it."""
    value = CANARIES[request.param]
    project.write("envkit.toml", f'services = ["redis"]\n{TABLE}')
    (project.root / ".env").write_text(render({"IN_ENV_FILE": value, "QUOTED": value}))
    project.write("run/IN_DIRECTORY", f"{value}\n")
    project.write("named.txt", value)
    environ = {
        "IN_ENVIRONMENT": value,
        "IN_NAMED_FILE_FILE": str(project.root / "named.txt"),
        "AS_URL": f"http://me:{quoted(value)}@localhost:99999/?token={quoted(value)}",
        "AS_DSN": f"postgresql://me:{quoted(value)}@db.prod.acme.dev/app",
        "SAME": value,
        "REDIS_URL": f"redis://:{quoted(value)}@localhost/0",
        "PGPASSWORD": value,
    }
    return project, environ


def closed_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


COMMANDS = (
    *(["secrets", "check"], ["secrets", "check", "--format", "json"], ["secrets", "generate"]),
    *(["status"], ["status", "--format", "json"], ["logs", "redis"], ["--help"], ["prune"]),
    *(["compose", "render", "--output", "-"], ["compose", "check"], ["init", "--yes"], ["down"]),
    *(["up"], ["run", "--", "true"], ["export"], ["secrets", "--help"]),
)


def said(project: Project, *arguments: str, **environ: str) -> str:
    ended = project.envkit(*arguments, **environ)
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


def test_no_command_shows_a_declared_secret(planted: tuple[Project, dict[str, str]]) -> None:
    project, environ = planted
    shown = {" ".join(one): said(project, *one, **environ) for one in COMMANDS}
    assert {name: traces(text) for name, text in shown.items() if traces(text)} == {}
    # They did look: all but the one that is nowhere.
    assert shown["secrets check"].count("[secret.") >= 8


@pytest.mark.parametrize("service", ["postgres", "redis", "clickhouse"])
def test_no_failure_to_attach_shows_the_password(project: Project, service: str) -> None:
    quotes, percent, newline, unicode, backslash, url_like, _ = CANARIES.values()
    scheme = {"postgres": "postgresql", "redis": "redis", "clickhouse": "http"}[service]
    port = closed_port()
    urls = [
        f"{scheme}://me:{quoted(newline)}@127.0.0.1:{port}/0",
        f"{scheme}://me:{quoted(unicode)}@db.prod.acme.dev/0",
        f"{scheme}://me:{percent}@127.0.0.1:{port}/0",
        f"{scheme}://me:{url_like}@127.0.0.1:{port}/0",
        f"{scheme}//me:{backslash}@127.0.0.1:{port}/0",
        f"{scheme}://127.0.0.1:{port}/0?password={quoted(quotes)}",
        f"'{scheme}://me:{quoted(quotes)}@127.0.0.1:{port}/0'",
    ]
    shown = {}
    for number, url in enumerate(urls):
        command = ["up", service] if number % 2 else ["run", service, "--", "true"]
        shown[url] = said(project, *command, **{f"ENVKIT_{service.upper()}_URL": url})
    assert {key: text for key, text in shown.items() if traces(text)} == {}
    assert all("error" in text for text in shown.values())


def test_no_wrong_command_line_shows_a_secret(planted: tuple[Project, dict[str, str]]) -> None:
    project, environ = planted
    value = environ["IN_ENVIRONMENT"]
    for command in (
        ["up", value],
        ["up", f"--url={value}"],
        ["status", "--format", value],
        ["shell", "redis", "--lease", value],
        ["run", f"--password={value}", "--", "true"],
        ["run", "--", f"no-such-command-{value}"],
        ["prune", "--older-than", value],
        ["up", "--backend", value],
        [value],
    ):
        assert traces(said(project, *command, **environ)) == set(), command


def test_no_configuration_error_shows_a_secret(planted: tuple[Project, dict[str, str]]) -> None:
    project, environ = planted
    url = json.dumps(environ["REDIS_URL"])
    for text in (
        f"redis.url = {url} x",
        f"redis = {{ url = {url}, x = 1 }}",
        f"linger = {url}",
        f"linger = [{url}]",
        f"linger = {{ x = {url} }}",
        f"env.X = {url}",
        f"secrets.X.kind = {json.dumps(environ['IN_ENVIRONMENT'])}",
        f"{json.dumps(environ['IN_ENVIRONMENT'])} = 1",
    ):
        project.write("envkit.toml", text)
        shown = said(project, "up", **environ)
        assert "error" in shown
        assert traces(shown) == set(), text


CRASH = """
import os
import sys
import click
from envkit.cli import cli, main
from envkit.cli.shared import guarded

@cli.command()
@guarded()
def crash():
    value = os.environ["IN_ENVIRONMENT"]
    try:
        raise ValueError(value)
    except ValueError:
        raise RuntimeError({"url": f"redis://:{value}@localhost", "value": value})

main()
"""


def test_no_crash_shows_a_secret(planted: tuple[Project, dict[str, str]]) -> None:
    project, environ = planted
    ended = subprocess.run(
        [sys.executable, "-c", CRASH, "crash"],
        cwd=project.root,
        capture_output=True,
        text=True,
        env=os.environ | environ,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "RuntimeError" in ended.stderr
    assert "***" in ended.stderr
    assert traces(ended.stdout + ended.stderr) == set()


def test_no_pytest_run_that_cannot_attach_shows_a_secret(
    planted: tuple[Project, dict[str, str]],
) -> None:
    project, environ = planted
    value = environ["IN_ENVIRONMENT"]
    project.write("test_it.py", "def test_it(real_redis): pass\n")
    environ["ENVKIT_REDIS_URL"] = f"redis://me:{quoted(value)}@127.0.0.1:{closed_port()}/0"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vv", "--showlocals"],
        cwd=project.root,
        capture_output=True,
        text=True,
        env=os.environ | environ,
        timeout=60,
    )
    assert "envkit.attach.failed" in done.stdout
    assert traces(done.stdout + done.stderr) == set()


@pytest.fixture(params=["quotes", "percent", "unicode"])
def guarded_redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Foreign, str]]:
    """A Redis of somebody else's whose password is a canary."""
    value = CANARIES[request.param]
    (tmp_path / "redis.acl").write_text("")
    with run_redis(tmp_path, password=value) as server:
        yield server, value


def written_below(places: Mapping[str, Path]) -> dict[str, set[str]]:
    found = {}
    for place in places.values():
        # os.walk passes over what others remove meanwhile.
        for directory, _, files in os.walk(place):
            for path in (Path(directory, name) for name in files):
                with contextlib.suppress(OSError):
                    if trace := traces(path.read_bytes().decode(errors="replace")):
                        found[str(path)] = trace
    return found


def test_no_argument_and_no_file_of_ours_holds_a_secret(
    project: Project, guarded_redis: tuple[Foreign, str]
) -> None:
    server, value = guarded_redis
    project.write("envkit.toml", 'services = ["redis", "postgres"]\n[secrets]\nKEY = {}\n')
    (project.root / ".env").write_text(render({"KEY": value}))
    environ = {"ENVKIT_REDIS_URL": server.url, "OTHER": value}
    up = project.envkit("up", **environ)
    assert up.returncode == 0, up.stderr
    shown = {one: said(project, one, **environ) for one in ("status", "prune")}
    shown["logs"] = said(project, "logs", "redis", **environ)
    shown["logs of postgres"] = said(project, "logs", "postgres", **environ)
    shown["up"] = up.stdout + up.stderr
    assert {name: text for name, text in shown.items() if traces(text)} == {}
    its_own = {server.pid, *descendants([server.pid])}
    arguments = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if int(process.name) not in its_own and traces(line):
            arguments[process.name] = line
    assert arguments == {}
    places = {
        name: Path(os.environ[name])
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
    }
    places |= {str(path): path for path in Path("/dev/shm").glob("envkit-*")}
    assert written_below(places) == {}
    project.envkit("down", **environ)
    assert written_below(places) == {}


def test_export_gives_what_was_asked_for(project: Project) -> None:
    """Redaction must not spoil what is made to be used."""
    assert project.envkit("up").returncode == 0
    exported = json.loads(project.envkit("export", "--format", "json").stdout)
    url, password = (exported["services"]["redis"][key] for key in ("url", "password"))
    again = project.envkit("export", "--format", "json", REDIS_URL=url, PGPASSWORD=password)
    assert json.loads(again.stdout) == exported
