"""Servers that say what no server should, and whether the doctor still tells the truth."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project


@contextlib.contextmanager
def saying(words: bytes) -> Iterator[int]:
    """A server that says the same to everybody, again and again; gives its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection:
                while True:
                    connection.sendall(words)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one, _ = listener.accept()
                    threading.Thread(target=answer, args=(one,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def visit(project: Project, code: int, **environment: str) -> dict[str, Any]:
    project.write("envkit.toml", "")
    done = project.envkit("doctor", "--format", "json", **environment)
    assert done.returncode == code, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def check_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    [one] = [check for check in report["checks"] if check["name"] == name]
    return dict(one)


@pytest.mark.parametrize(
    "words", [b"\0", b"N\0\0\0\x10SNOTICE\0Mx\0\0\0"], ids=["zeros", "notices"]
)
def test_postgres_whose_words_no_rule_understands_is_not_healthy(
    project: Project, words: bytes
) -> None:
    with saying(words) as port:
        url = f"postgresql://u:p@127.0.0.1:{port}/app_test"
        report = visit(project, 3, ENVKIT_POSTGRES_URL=url)
    assert report["status"] == "incomplete"
    assert check_of(report, "Postgres")["status"] == "not-checked"


@pytest.mark.parametrize(
    "words",
    [b"*1\r\n" * 1000, b"$99999999999\r\n", b"$abc\r\n", b"*-5\r\n"],
    ids=["nested", "enormous", "no-number", "negative"],
)
def test_broken_answers_of_a_redis_are_a_broken_protocol_and_no_crash(
    project: Project, words: bytes
) -> None:
    with saying(words) as port:
        report = visit(project, 1, ENVKIT_REDIS_URL=f"redis://:p@127.0.0.1:{port}/0")
    assert [one["slug"] for one in report["findings"]] == ["redis.protocol.mismatch"]
