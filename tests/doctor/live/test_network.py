"""Networks that swallow what is sent, and names that nobody knows; in a namespace of each test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project

_PORT = 5999
_URLS = {
    "postgres": f"postgresql://app:secret@127.0.0.1:{_PORT}/app_test",
    "redis": f"redis://127.0.0.1:{_PORT}/0",
    "clickhouse": f"http://app:secret@127.0.0.1:{_PORT}/app_test",
}
# Ends with the namespace of processes.
_SERVER = f"{sys.executable} -m http.server --bind 127.0.0.1 {_PORT} >/dev/null 2>&1 &"
_UNTIL_IT_LISTENS = f"until ss -ltn | grep -q :{_PORT}; do sleep 0.05; done"


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    needed = ("unshare", "ip", "ss", "iptables")
    if os.geteuid() != 0 or not all(map(shutil.which, needed)):
        pytest.skip(f"a network of one's own takes root, {', '.join(needed)}")


def doctor_where(project: Project, service: str, *preparation: str) -> dict[str, Any]:
    """What the doctor says in a network that was prepared like this."""
    project.write("envkit.toml", f'services = ["{service}"]\n')
    script = "\n".join(["set -e", "ip link set lo up", *preparation, 'exec "$@"'])
    done = subprocess.run(
        [
            *("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", "-c", script, "sh"),
            *(sys.executable, "-m", "envkit", "doctor", "--format", "json"),
        ],
        cwd=project.root,
        env=os.environ | {f"ENVKIT_{service.upper()}_URL": _URLS[service]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == {"ok": 0, "problems": 1, "incomplete": 3}[report["status"]]
    return report


@pytest.mark.parametrize("service", sorted(_URLS))
def test_packets_that_are_swallowed_are_no_answer(project: Project, service: str) -> None:
    report = doctor_where(project, service, f"iptables -A INPUT -p tcp --dport {_PORT} -j DROP")
    assert report["findings"][0]["slug"] == "net.timeout"
    assert report["status"] == "incomplete"


@pytest.mark.parametrize("service", sorted(_URLS))
def test_connection_that_opens_and_carries_nothing_is_no_answer(
    project: Project, service: str
) -> None:
    report = doctor_where(
        project,
        service,
        f"iptables -A INPUT -p tcp --dport {_PORT} --tcp-flags PSH PSH -j DROP",
        _SERVER,
        _UNTIL_IT_LISTENS,
    )
    assert report["findings"][0]["slug"] == "net.timeout"
    assert report["status"] == "incomplete"


def test_network_without_a_way_is_an_error(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_URLS, "postgres", "postgresql://app:secret@192.0.2.1:5432/app_test")
    report = doctor_where(project, "postgres")
    assert report["findings"][0]["slug"] == "net.timeout"
    assert report["findings"][0]["title"] == "there is no way to 192.0.2.1:5432"
    assert report["status"] == "problems"


def test_name_that_nobody_knows(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_URLS, "postgres", "postgresql://app:secret@db.invalid:5432/app_test")
    report = doctor_where(project, "postgres")
    assert report["findings"][0]["slug"] == "net.dns"
    assert report["status"] == "problems"
