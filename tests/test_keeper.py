"""One keeper per project, found by everybody, living as long as somebody holds it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envkit import config
from envkit.errors import (
    KeeperAbsent,
    KeeperClosing,
    KeeperLost,
    KeeperStartFailed,
    LeaseFailed,
    RunDirUnsafe,
    UsageError,
)
from envkit.keeper import protocol, record
from envkit.keeper.client import Client, connect, join, running
from envkit.processes import start_time

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project


@pytest.fixture
def loaded(project: Project) -> config.Config:
    return config.load(project.root)


@pytest.fixture
def held(loaded: config.Config) -> Iterator[Client]:
    with connect(loaded.root, loaded.settings) as made:
        yield made


def test_second_client_of_a_project_joins_the_same_keeper(
    loaded: config.Config, held: Client
) -> None:
    with connect(loaded.root, loaded.settings) as second:
        assert second.keeper_pid == held.keeper_pid


def test_two_checkouts_never_meet(new_project: Callable[[str], Project]) -> None:
    one, two = (config.load(new_project(name).root) for name in ("one", "two"))
    with connect(one.root, one.settings) as first, connect(two.root, two.settings) as second:
        assert first.keeper_pid != second.keeper_pid
        first_redis = first.take(["redis"]).endpoints["redis"]
        second_redis = second.take(["redis"]).endpoints["redis"]
        assert first_redis.port != second_redis.port


def test_clients_that_start_at_the_same_moment_share_one_keeper(loaded: config.Config) -> None:
    clients: list[Client] = []
    gate = threading.Barrier(6)

    def one() -> None:
        gate.wait()
        clients.append(connect(loaded.root, loaded.settings))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len(clients) == 6
        assert len({c.keeper_pid for c in clients}) == 1
    finally:
        for made in clients:
            made.close()


def test_narrower_choice_of_services_uses_the_same_keeper(project: Project) -> None:
    project.write("envkit.toml", "")
    wide = config.load(project.root)
    narrow = config.load(project.root, overrides=config.Overrides(services=["redis"]))
    assert record.key_of(wide.root, wide.settings) == record.key_of(narrow.root, narrow.settings)


def test_other_server_settings_mean_another_keeper(project: Project) -> None:
    before = config.load(project.root)
    project.write("envkit.toml", "[redis.settings]\nmaxmemory = '10mb'\n")
    after = config.load(project.root)
    assert record.key_of(before.root, before.settings) != record.key_of(after.root, after.settings)


def test_keeper_ends_with_its_last_client(loaded: config.Config, leftovers: Leftovers) -> None:
    first = connect(loaded.root, loaded.settings)
    second = connect(loaded.root, loaded.settings)
    second.start(["redis"])
    first.close()
    assert start_time(second.keeper_pid) is not None
    second.close()
    assert leftovers.all() == [], "close() of the last client returns when all is gone"


def test_keeper_lingers_when_asked_to(project: Project) -> None:
    project.write("envkit.toml", 'linger = "400ms"\n')
    loaded = config.load(project.root)
    with connect(loaded.root, loaded.settings) as first:
        first.start(["redis"])
    assert start_time(first.keeper_pid) is not None
    limit = time.monotonic() + 3
    while start_time(first.keeper_pid) is not None and time.monotonic() < limit:
        time.sleep(0.02)
    assert start_time(first.keeper_pid) is None


def test_client_that_comes_while_the_keeper_lingers_keeps_it(project: Project) -> None:
    project.write("envkit.toml", 'linger = "300ms"\n')
    loaded = config.load(project.root)
    connect(loaded.root, loaded.settings).close()
    with connect(loaded.root, loaded.settings) as second:
        time.sleep(0.4)
        assert second.status()["pid"] == second.keeper_pid


def test_pinned_keeper_stays_until_down(loaded: config.Config, project: Project) -> None:
    with connect(loaded.root, loaded.settings) as first:
        first.pin()
    assert [r.pid for r in running(loaded.root)] == [first.keeper_pid]
    assert project.envkit("down").returncode == 0
    assert running(loaded.root) == []


def test_down_stops_what_others_are_using(
    loaded: config.Config, held: Client, leftovers: Leftovers
) -> None:
    held.start(["redis"])
    join(held.key, hold=False).down()
    assert leftovers.all() == []


def test_watching_does_not_hold(loaded: config.Config, held: Client) -> None:
    watcher = join(held.key, hold=False)
    held.close()
    assert running(loaded.root) == []
    watcher.close()


def test_joining_what_does_not_run_says_so(loaded: config.Config) -> None:
    with pytest.raises(KeeperAbsent):
        join(record.key_of(loaded.root, loaded.settings), hold=False)


def test_lease_of_another_client_cannot_be_released(loaded: config.Config, held: Client) -> None:
    lease = held.take(["redis"])
    with (
        connect(loaded.root, loaded.settings) as other,
        pytest.raises(LeaseFailed, match=lease.id),
    ):
        other.release(lease.id)


def test_lease_ends_with_its_client(loaded: config.Config, held: Client) -> None:
    other = connect(loaded.root, loaded.settings)
    other.take(["redis"])
    other.close()
    (row,) = held.status()["services"]
    assert row["leases"] == 0


def test_error_in_the_keeper_is_the_same_error_in_the_client(project: Project) -> None:
    project.write("envkit.toml", "[redis.settings]\nno-such-directive = 1\n")
    loaded = config.load(project.root)
    with connect(loaded.root, loaded.settings) as made, pytest.raises(KeeperStartFailed) as caught:
        made.start(["redis"])
    assert "no-such-directive" in caught.value.detail
    assert caught.value.hint


def test_client_with_another_protocol_version_is_refused(held: Client) -> None:
    about = record.read(held.key)
    assert about is not None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(about.socket)
    stranger = Client(sock, key=held.key)
    with pytest.raises(UsageError, match="protocol version 2, not 99"):
        stranger.hello(protocol.Hello(version=99, hold=False))
    stranger.close()


@pytest.mark.parametrize(
    "line",
    [b"no json\n", b'{"id":1,"body":{"op":"nonsense"}}\n', b"\x00\xff\n", b"{", b"[" * 100_000],
    ids=["text", "unknown-operation", "binary", "cut-off", "deep"],
)
def test_nonsense_on_the_socket_harms_nobody(held: Client, line: bytes) -> None:
    about = record.read(held.key)
    assert about is not None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(about.socket)
        sock.sendall(line)
    assert held.status()["pid"] == held.keeper_pid


def test_socket_and_lock_are_closed_to_others(held: Client) -> None:
    about = record.read(held.key)
    assert about is not None
    for path in (Path(about.socket).parent, record.path_of(held.key).parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(record.path_of(held.key).stat().st_mode) == 0o600


def test_stale_socket_and_record_do_not_hinder_a_start(loaded: config.Config) -> None:
    with connect(loaded.root, loaded.settings) as first:
        about = record.read(first.key)
    assert about is not None
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    Path(about.socket).parent.mkdir(mode=0o700, exist_ok=True)
    stale.bind(about.socket)
    stale.close()
    record.path_of(first.key).write_bytes(json.dumps({"key": "torn"}).encode()[:-3])
    with connect(loaded.root, loaded.settings) as second:
        assert second.start(["redis"])[0].state == "ready"


def test_project_path_of_any_length_works(new_project: Callable[[str], Project]) -> None:
    name = "/".join(["a" * 60] * 4)
    project = new_project(name)
    assert len(str(project.root)) > 240
    assert project.envkit("run", "--", "true").returncode == 0


def test_run_directory_that_is_a_link_is_refused(
    loaded: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The path for sockets must be short, so it cannot lie below tmp_path.
    base = Path(os.environ["XDG_RUNTIME_DIR"]) / "l"
    base.mkdir(mode=0o700)
    (tmp_path / "elsewhere").mkdir()
    (base / "envkit").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    with pytest.raises(RunDirUnsafe, match="symbolic link"):
        connect(loaded.root, loaded.settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_run_directory_of_another_user_is_refused(
    loaded: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Path(os.environ["XDG_RUNTIME_DIR"]) / "o"
    (base / "envkit").mkdir(parents=True)
    os.chown(base / "envkit", 65534, 65534)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    with pytest.raises(RunDirUnsafe, match="belongs to uid 65534, you are uid 0"):
        connect(loaded.root, loaded.settings)


def test_run_directory_open_to_others_is_refused_with_the_command_that_mends_it(
    loaded: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Path(os.environ["XDG_RUNTIME_DIR"]) / "w"
    (base / "envkit").mkdir(parents=True)
    (base / "envkit").chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    with pytest.raises(RunDirUnsafe) as caught:
        connect(loaded.root, loaded.settings)
    command = caught.value.hint
    assert command == f"chmod 700 {base / 'envkit'}"
    subprocess.run(command.split(), check=True)
    with connect(loaded.root, loaded.settings) as made:
        assert made.keeper_pid


def test_call_in_a_forked_child_says_whose_connection_it_is(held: Client) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            held.status()
        except Exception as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as answer:
        assert "it belongs to the parent process" in answer.read()


def test_several_threads_can_use_one_client(held: Client) -> None:
    ports: list[int] = []

    def one() -> None:
        lease = held.take(["redis"])
        ports.append(lease.endpoints["redis"].port)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ports)) == 4


def test_keeper_does_not_hold_the_directory_it_was_started_in(
    held: Client, project: Project
) -> None:
    assert Path(f"/proc/{held.keeper_pid}/cwd").readlink() == Path("/")


def test_what_lies_in_the_current_directory_is_not_imported(project: Project) -> None:
    for name in ("json", "socket", "msgspec", "redis", "psycopg"):
        project.write(f"{name}.py", "raise SystemExit('imported from the project')\n")
    command = shutil.which("envkit")
    assert command is not None
    ran = subprocess.run(
        [command, "run", "--", "true"], cwd=project.root, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (0, "")


def test_module_on_the_users_path_that_exits_when_imported_is_told(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "psycopg.py").write_text("raise SystemExit('a module of mine')")
    done = project.envkit("run", "postgres", "--", "true", PYTHONPATH=str(tmp_path))
    assert done.returncode == 125
    assert "SystemExit: a module of mine" in done.stderr


def test_warnings_as_errors_of_the_user_do_not_reach_the_keeper(project: Project) -> None:
    assert project.envkit("run", "--", "true", PYTHONWARNINGS="error").returncode == 0


def test_looking_at_a_lingering_keeper_does_not_prolong_its_life(project: Project) -> None:
    project.write("envkit.toml", 'linger = "600ms"\n')
    loaded = config.load(project.root)
    with connect(loaded.root, loaded.settings) as first:
        key = first.key
    limit = time.monotonic() + 3
    while start_time(first.keeper_pid) is not None and time.monotonic() < limit:
        with contextlib.suppress(KeeperAbsent, KeeperClosing, KeeperLost):
            join(key, hold=False).close()
        time.sleep(0.1)
    assert start_time(first.keeper_pid) is None


def test_project_path_that_is_no_text_works(new_project: Callable[[str], Project]) -> None:
    project = new_project(os.fsdecode(b"caf\xe9"))
    assert project.envkit("run", "--", "true").returncode == 0


def test_down_all_stops_the_keeper_of_a_deleted_project(
    new_project: Callable[[str], Project],
) -> None:
    gone, here = new_project("gone"), new_project("here")
    assert gone.envkit("up").returncode == 0
    shutil.rmtree(gone.root)
    assert here.envkit("down").stderr == "nothing was running\n"
    assert here.envkit("down", "--all").stderr == "stopped redis\n"
    gone.root.mkdir()


def test_relative_run_directory_is_not_used(
    loaded: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "run")
    with connect(loaded.root, loaded.settings) as made:
        about = record.read(made.key)
    assert about is not None
    assert Path(about.socket).is_absolute()


@pytest.mark.skipif(os.geteuid() != 0, reason="making a mount namespace takes root")
def test_data_of_a_keeper_that_shares_only_dev_shm_is_left_alone(project: Project) -> None:
    """As in a container with the host's /dev/shm but directories of its own."""
    assert project.envkit("up").returncode == 0
    state, run = os.environ["XDG_STATE_HOME"], os.environ["XDG_RUNTIME_DIR"]
    other = (
        f"mount -t tmpfs x {state} && mount -t tmpfs -o mode=700 x {run} && "
        f"{sys.executable} -m envkit run -- true && {sys.executable} -m envkit prune"
    )
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", other],
        cwd=project.root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert project.envkit("run", "--", "true").returncode == 0
    assert project.envkit("logs", "redis").stdout
