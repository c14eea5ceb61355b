"""What cannot be attached to is told at once, in words that say what to do about it."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest

from envkit.model import SERVICES, ServiceName
from tests.attach.world import failure

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.foreign import Foreign


def test_url_that_looks_like_production_is_refused_before_anything_is_sent(
    project: Project,
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        url = f"postgresql://u:secret1@127.0.0.1:{listener.getsockname()[1]}/production"
        said = failure(project.envkit("run", "postgres", "--", "true", ENVKIT_POSTGRES_URL=url))
        with pytest.raises(TimeoutError):
            listener.accept()
    assert "'production' in its name says that it is no test's" in said
    assert "[envkit.attach.refused]" in said
    assert "secret1" not in said


def test_malformed_url_is_told_and_its_password_is_not(project: Project) -> None:
    url = "postgresql://u:sec/ret@localhost/app_test"
    done = project.envkit("run", "postgres", "--", "true", ENVKIT_POSTGRES_URL=url)
    said = failure(done)
    assert "there is '/' in the user or password" in said
    assert "'postgresql://u:***@localhost/app_test'" in said
    assert "[dsn.malformed]" in said
    assert "ret@" not in said


def test_malformed_url_of_a_service_that_is_not_used_does_not_matter(project: Project) -> None:
    done = project.envkit("run", "redis", "--", "true", ENVKIT_POSTGRES_URL="mysql://h/d")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_wrong_password_is_told_in_the_servers_own_words(
    project: Project, foreign_urls: dict[str, str], service: ServiceName
) -> None:
    name = f"ENVKIT_{service.upper()}_URL"
    url = re.sub(r":[^:/@]*@", ":wr0ng-secret@", foreign_urls[name])
    said = failure(project.envkit("run", service, "--", "true", **{name: url}))
    assert "answers, but does not let envkit in [envkit.attach.denied]" in said
    assert re.search(r"authentication failed|WRONGPASS|Authentication failed", said, re.I)
    assert "correct user and password in the URL" in said
    assert "wr0ng-secret" not in said


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("host", ["127.0.0.1", "nobody-of-this-name.test"])
def test_nobody_there_is_told_without_waiting_for_the_whole_start_timeout(
    project: Project, service: ServiceName, host: str
) -> None:
    """The command's own limit in these tests is shorter than the time servers may take."""
    project.write("envkit.toml", 'start_timeout = "300s"\n')
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    scheme = {"postgres": "postgresql", "redis": "redis", "clickhouse": "http"}[service]
    url = f"{scheme}://user:secret1@{host}:{port}"
    variables = {f"ENVKIT_{service.upper()}_URL": url}
    said = failure(project.envkit("run", service, "--", "true", **variables))
    assert "does not answer [envkit.attach.failed]" in said
    assert "is it running, and are host and port right?" in said
    assert "secret1" not in said


@pytest.mark.parametrize(
    ("service", "other", "scheme"),
    [
        ("redis", "clickhouse", "redis"),
        ("clickhouse", "redis", "http"),
        ("clickhouse", "postgres", "http"),
    ],
)
def test_other_service_at_the_port_is_told(
    project: Project,
    servers: dict[ServiceName, Foreign],
    service: ServiceName,
    other: ServiceName,
    scheme: str,
) -> None:
    variables = {f"ENVKIT_{service.upper()}_URL": f"{scheme}://127.0.0.1:{servers[other].port}"}
    said = failure(project.envkit("run", service, "--", "true", **variables))
    assert "[envkit.attach.failed]" in said


def test_missing_database_is_told_with_what_makes_it(
    project: Project, foreign_postgres: Foreign
) -> None:
    url = foreign_postgres.url.replace("/postgres", "/absent_test")
    said = failure(project.envkit("run", "postgres", "--", "true", ENVKIT_POSTGRES_URL=url))
    assert 'database "absent_test" does not exist' in said
    assert f"createdb -h 127.0.0.1 -p {foreign_postgres.port} absent_test" in said


def test_server_of_another_version_than_asked_for_is_told(
    project: Project, foreign_postgres: Foreign
) -> None:
    project.write("envkit.toml", '[postgres]\nversion = "12"\n')
    variables = {"ENVKIT_POSTGRES_URL": foreign_postgres.url}
    said = failure(project.envkit("run", "postgres", "--", "true", **variables))
    assert re.search(r"is of version \d+\.\d+, and 12 was asked for", said)
    assert "[envkit.attach.unsuitable]" in said


def test_attach_without_a_target_names_all_ways(project: Project) -> None:
    said = failure(project.envkit("run", "postgres", "--backend", "attach", "--", "true"))
    assert "neither ENVKIT_POSTGRES_URL, nor url in [tool.envkit.postgres]" in said
    assert "[envkit.backend.none]" in said


def test_parameter_that_postgres_does_not_know_is_told_at_once(
    project: Project, foreign_postgres: Foreign
) -> None:
    variables = {"ENVKIT_POSTGRES_URL": f"{foreign_postgres.url}?bogus=1"}
    said = failure(project.envkit("run", "postgres", "--", "true", **variables))
    assert 'invalid connection option "bogus"' in said


def test_redis_that_does_not_speak_the_tls_of_its_url_is_told(
    project: Project, foreign_redis: Foreign
) -> None:
    url = foreign_redis.url.replace("redis:", "rediss:", 1)
    said = failure(project.envkit("run", "redis", "--", "true", ENVKIT_REDIS_URL=url))
    assert "without TLS the URL begins with redis://" in said
