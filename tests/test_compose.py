"""The file for Docker Compose: Compose itself reads it, and real engines run what it describes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sysconfig
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import psycopg
import pytest
import redis
import yaml
from inline_snapshot import snapshot
from msgspec import convert

from envkit.backends.images import build
from envkit.engine.address import EngineAddress
from envkit.engine.client import new_client
from envkit.engine.compose_project import endpoints
from envkit.errors import DockerDown, EnvkitError, UnavailableError
from envkit.export.compose import render
from envkit.model import SERVICES, ServiceName, ServiceSettings, Settings

if TYPE_CHECKING:
    import docker

    from tests.conftest import Project

# Read before the suite hides the machine's engine from the tests.
ENGINE = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
ADDRESS = EngineAddress(url=ENGINE, origin="the environment")
REQUIRED = os.environ.get("TEST_DOCKER") == "require"
COMPOSE = str(Path(sysconfig.get_path("scripts"), "docker-compose"))
# Read wrongly by at least one of YAML, Compose, a shell, a tar archive, a URL or a server's file.
ODD = """a$b ${HOME} $$ $(id) 'q' "d" \\ back {password} #x: - ö € 🦀 %d"""
PASSWORD = f"{ODD} pw"


def compose(directory: Path, *arguments: str, **environment: str) -> str:
    """What Docker Compose prints for a directory's file."""
    done = subprocess.run(
        [COMPOSE, "--progress", "quiet", *arguments],
        cwd=directory,
        env=os.environ | {"DOCKER_HOST": ENGINE} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def unused_ports() -> dict[str, str]:
    with contextlib.ExitStack() as stack:
        found = {}
        for service in SERVICES:
            bound = stack.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            found[f"{service.upper()}_PORT"] = str(bound.getsockname()[1])
        return found


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """The machine's engine; without one these tests are skipped, or fail if it is required."""
    try:
        client = new_client(ADDRESS)
    except EnvkitError as error:
        if REQUIRED:
            pytest.fail(f"TEST_DOCKER=require, but {error.observed}")
        pytest.skip(error.observed)
    with contextlib.closing(client):
        yield client


@pytest.fixture(scope="module")
def images(engine: docker.DockerClient) -> dict[str, str]:
    """Images without a registry, in the variables that name them instead of the official ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", ENGINE)
        try:
            built = build(variants=("plain",))
        except UnavailableError as error:
            if REQUIRED:
                raise
            pytest.skip(str(error))
    return {f"ENVKIT_{one.service.upper()}_IMAGE": one.reference for one in built}


class Stack:
    """A project whose compose file is run."""

    def __init__(self, root: Path, images: dict[str, str], **environment: str) -> None:
        self.root = root
        self.name = f"envkit-test-{uuid.uuid4().hex[:8]}"
        self.ports = unused_ports()
        self.environment = {
            **images,
            **self.ports,
            "COMPOSE_PROJECT_NAME": self.name,
            **environment,
        }
        root.mkdir(parents=True, exist_ok=True)

    def write(self, settings: Settings) -> None:
        (self.root / "compose.yaml").write_text(render(settings))

    def run(self, *arguments: str) -> str:
        return compose(self.root, *arguments, **self.environment)

    def running(self) -> set[str]:
        return set(self.run("ps", "--services").split())

    def endpoints(self) -> dict[ServiceName, tuple[str, str]]:
        return endpoints(ADDRESS, self.root)

    def url(self, service: ServiceName) -> str:
        return self.endpoints()[service][0]

    def container(self, client: docker.DockerClient, service: str) -> Any:
        return client.containers.get(f"{self.name}-{service}-1")

    def end(self) -> None:
        self.run("--profile", "*", "down", "-v", "--timeout", "0")


@pytest.fixture
def stack(tmp_path: Path, images: dict[str, str]) -> Iterator[Stack]:
    """A project with the default settings that is not up yet."""
    made = Stack(tmp_path / "project", images)
    made.write(Settings())
    yield made
    made.end()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, images: dict[str, str]) -> Iterator[Stack]:
    """A project that is up, with values everywhere that something on the way could misread."""
    credentials = {
        **{f"{service.upper()}_PASSWORD": PASSWORD for service in SERVICES},
        "POSTGRES_USER": "an odd-Üser",  # quotes and $ initdb itself refuses
        "POSTGRES_DB": 'd"b $x',
        "CLICKHOUSE_USER": "someone",
    }
    made = Stack(tmp_path_factory.mktemp("odd") / "a project", images, **credentials)
    tables = {
        "postgres": {"settings": {"work_mem": "7MB", "odd.value": ODD}},
        "redis": {"settings": {"maxmemory": "64mb", "syslog-ident": ODD}, "memory": "200m"},
        "clickhouse": {"settings": {"max_threads": 2, "format_csv_null_representation": ODD}},
    }
    made.write(convert(tables, Settings))
    try:
        made.run("up", "--wait")
        yield made
    finally:
        made.end()


def answer(service: ServiceName, url: str) -> object:
    """One query with nothing but the URL; no second try."""
    if service == "postgres":
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT 1").fetchone()
    if service == "redis":
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            return client.ping()
    with contextlib.closing(clickhouse_connect.get_client(dsn=url)) as client:
        return client.command("SELECT 1")


# -- up -------------------------------------------------------------------------------------------


def test_all_services_answer_from_the_host_as_soon_as_up_returns(stack: Stack) -> None:
    stack.run("up", "--wait")
    urls = {
        "postgres": f"postgresql://postgres:postgres@127.0.0.1:{stack.ports['POSTGRES_PORT']}/test",
        "redis": f"redis://:redis@127.0.0.1:{stack.ports['REDIS_PORT']}/0",
        "clickhouse": f"http://default:clickhouse@127.0.0.1:{stack.ports['CLICKHOUSE_PORT']}/default",
    }
    assert [answer(service, urls[service]) for service in SERVICES] == [(1,), True, 1]


SLOW = """
services:
  {service}:
    configs: [{{source: slow, target: /docker-entrypoint-initdb.d/slow.sh}}]
configs:
  slow:
    content: |
      sleep 4
      {command}
"""
CREATE = {
    "postgres": """psql -v ON_ERROR_STOP=1 -U postgres -d test -c 'CREATE TABLE made ()'""",
    "clickhouse": """clickhouse-client -q 'CREATE TABLE made (x Int8) ENGINE = Memory'""",
}
COUNT = "SELECT count(*) FROM made"


@pytest.mark.parametrize("service", ["postgres", "clickhouse"])
def test_up_waits_until_init_scripts_have_run(stack: Stack, service: ServiceName) -> None:
    (stack.root / "slow.yaml").write_text(SLOW.format(service=service, command=CREATE[service]))
    stack.run("-f", "compose.yaml", "-f", "slow.yaml", "up", "--wait", service)
    if service == "postgres":
        with psycopg.connect(stack.url(service)) as connection:
            assert connection.execute(COUNT).fetchone() == (0,)
    else:
        with contextlib.closing(clickhouse_connect.get_client(dsn=stack.url(service))) as client:
            assert client.command(COUNT) == 0


def reload(client: Any) -> None:
    with contextlib.suppress(redis.ConnectionError):  # the test ends it
        client.execute_command("DEBUG", "RELOAD")


def test_redis_is_not_ready_while_it_loads_its_data(
    stack: Stack, engine: docker.DockerClient
) -> None:
    stack.write(Settings(redis=ServiceSettings(settings={"enable-debug-command": "yes"})))
    stack.run("up", "--wait", "redis")
    container = stack.container(engine, "redis")
    check = container.attrs["Config"]["Healthcheck"]["Test"][1]
    with contextlib.closing(redis.Redis.from_url(stack.url("redis"))) as client:
        debug: Any = client  # redis-py has no types for this method
        debug.execute_command("DEBUG", "POPULATE", 5000, "key", 1000)
        client.config_set("loading-process-events-interval-bytes", 1024)
        client.config_set("key-load-delay", 2000)  # microseconds a key: ten seconds in all
        before = container.exec_run(["sh", "-c", check]).exit_code
        thread = threading.Thread(target=reload, args=(client,))
        thread.start()
        with contextlib.closing(redis.Redis.from_url(stack.url("redis"))) as other:
            while not other.info("persistence").get("loading"):
                pass
        meanwhile = container.exec_run(["sh", "-c", check]).exit_code
        # Not `container.kill()`: the network is in use until the engine has noticed the end.
        stack.end()
        thread.join()
    assert (before, meanwhile) == (0, 1)


def test_profile_starts_one_service_alone(stack: Stack) -> None:
    stack.run("--profile", "redis", "up", "--wait")
    assert stack.running() == {"redis"}


def test_name_starts_one_service_alone(stack: Stack) -> None:
    stack.run("up", "--wait", "redis")
    assert stack.running() == {"redis"}


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ((), {}, "postgres redis clickhouse"),
        (("--profile", "all"), {}, "postgres redis clickhouse"),
        (("--profile", "clickhouse"), {}, "clickhouse"),
        (("--profile", "postgres", "--profile", "redis"), {}, "postgres redis"),
        ((), {"COMPOSE_PROFILES": "postgres"}, "postgres"),
        ((), {"COMPOSE_PROFILES": "postgres,clickhouse"}, "postgres clickhouse"),
        ((), {"COMPOSE_PROFILES": ""}, "postgres redis clickhouse"),
    ],
)
def test_profiles_choose_services(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], expected: str
) -> None:
    (tmp_path / "compose.yaml").write_text(render(Settings()))
    chosen = compose(tmp_path, *arguments, "config", "--services", **environment)
    assert set(chosen.split()) == set(expected.split())


def test_ports_are_published_on_loopback_only(stack: Stack, engine: docker.DockerClient) -> None:
    stack.run("up", "--wait", "redis")
    ports = stack.container(engine, "redis").attrs["NetworkSettings"]["Ports"]
    assert ports == {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": stack.ports["REDIS_PORT"]}]}


def test_down_leaves_no_container_network_or_volume(
    stack: Stack, engine: docker.DockerClient
) -> None:
    stack.run("up", "--wait")
    filters = {"label": f"com.docker.compose.project={stack.name}"}
    mounted = {
        mount["Name"]
        for container in engine.containers.list(filters=filters)
        for mount in container.attrs["Mounts"]
        if mount["Type"] == "volume"
    }
    stack.run("down", "-v")
    assert not engine.containers.list(all=True, filters=filters)
    assert not engine.networks.list(filters=filters)
    assert not engine.volumes.list(filters=filters)
    assert not mounted & {volume.name for volume in engine.volumes.list()}


# -- what arrives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES)
def test_odd_credentials_let_in(odd: Stack, service: ServiceName) -> None:
    assert answer(service, odd.url(service)) in ((1,), True, 1)


@pytest.mark.parametrize("service", SERVICES)
def test_passwords_are_not_in_arguments_or_environment(
    odd: Stack, engine: docker.DockerClient, service: ServiceName
) -> None:
    config = odd.container(engine, service).attrs["Config"]
    assert not [text for text in (*config["Env"], *(config["Cmd"] or ())) if PASSWORD in text]


def test_postgres_settings_arrive_character_by_character(odd: Stack) -> None:
    with psycopg.connect(odd.url("postgres")) as connection:
        shown = [
            connection.execute(f"SHOW {name}").fetchone() for name in ("work_mem", "odd.value")
        ]
    assert shown == [("7MB",), (ODD,)]


def test_redis_settings_arrive_character_by_character(odd: Stack) -> None:
    with contextlib.closing(
        redis.Redis.from_url(odd.url("redis"), decode_responses=True)
    ) as client:
        assert client.config_get("maxmemory", "syslog-ident") == {
            "maxmemory": str(64 * 2**20),
            "syslog-ident": ODD,
        }


def test_clickhouse_settings_arrive_character_by_character(odd: Stack) -> None:
    with contextlib.closing(clickhouse_connect.get_client(dsn=odd.url("clickhouse"))) as client:
        shown = client.query(
            "SELECT getSetting('max_threads'), getSetting('format_csv_null_representation')"
        )
    assert shown.result_rows == [(2, ODD)]


def test_memory_is_a_limit_without_swap(odd: Stack, engine: docker.DockerClient) -> None:
    limits = odd.container(engine, "redis").attrs["HostConfig"]
    assert (limits["Memory"], limits["MemorySwap"]) == (200 * 2**20, 200 * 2**20)


@pytest.mark.parametrize("service", SERVICES)
def test_data_is_in_memory_and_in_no_volume(
    odd: Stack, engine: docker.DockerClient, service: ServiceName
) -> None:
    container = odd.container(engine, service)
    (directory,) = container.attrs["HostConfig"]["Tmpfs"]
    used = container.exec_run(["sh", "-c", f"ls -A {directory}"]).output
    assert not [mount for mount in container.attrs["Mounts"] if mount["Type"] == "volume"]
    assert used or service == "redis"  # which writes nothing


@pytest.mark.parametrize(
    ("settings", "directory"),
    [
        ({}, "/var/lib/postgresql"),
        ({"version": "18"}, "/var/lib/postgresql"),
        ({"version": "17.6"}, "/var/lib/postgresql/data"),
        ({"image": "postgres:16-alpine"}, "/var/lib/postgresql/data"),
        ({"image": "registry.example:5000/our/pg", "version": "15"}, "/var/lib/postgresql/data"),
        ({"image": "registry.example:5000/our/pg"}, "/var/lib/postgresql"),
    ],
)
def test_data_directory_is_that_of_the_image_version(
    settings: dict[str, str], directory: str
) -> None:
    file = yaml.safe_load(render(convert({"postgres": settings}, Settings)))
    assert file["services"]["postgres"]["tmpfs"] == [directory]


def test_compose_accepts_every_setting(tmp_path: Path) -> None:
    own: dict[str, object] = {
        "memory": "512m",
        "shm_size": "64m",
        "version": "7",
        "settings": {"a": 1e3, "b": False},
    }
    tables: dict[str, object] = {service: own | {"image": "h:5000/x/y:1"} for service in SERVICES}
    tables["docker"] = {"pull": "never", "registry": "mirror.example"}
    settings = convert(tables, Settings)
    (tmp_path / "compose.yaml").write_text(render(settings, name="Some Thing"))
    read = json.loads(compose(tmp_path, "config", "--format", "json"))
    assert read["name"] == "some-thing"
    assert {one["mem_limit"] for one in read["services"].values()} == {str(512 * 2**20)}


def test_only_configured_services_are_in_the_file() -> None:
    file = yaml.safe_load(render(Settings(services=("redis",))))
    assert list(file["services"]) == ["redis"]
    assert all(name.startswith("redis-") for name in file["configs"])


# -- endpoints ------------------------------------------------------------------------------------


def test_endpoints_have_credentials_and_origin(odd: Stack) -> None:
    url, origin = odd.endpoints()["postgres"]
    parts = urlsplit(url)
    assert origin == f"compose project {odd.name}"
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (
        "an odd-Üser",
        PASSWORD,
    )
    assert (parts.hostname, str(parts.port)) == ("127.0.0.1", odd.ports["POSTGRES_PORT"])
    assert unquote(parts.path) == '/d"b $x'


def test_endpoints_of_two_projects_at_once_are_each_ones_own(
    tmp_path: Path, images: dict[str, str]
) -> None:
    first, second = (Stack(tmp_path / name, images) for name in ("first", "second"))
    try:
        for one in (first, second):
            one.write(Settings(services=("redis",)))
            one.run("up", "--wait")
        for one in (first, second):
            with contextlib.closing(redis.Redis.from_url(one.url("redis"))) as client:
                client.set("name", one.name)
        names = []
        for one in (first, second):
            with contextlib.closing(redis.Redis.from_url(one.url("redis"))) as client:
                names.append(client.get("name"))
        assert names == [first.name.encode(), second.name.encode()]
    finally:
        for one in (first, second):
            one.end()


OWN = """
services:
  db:
    image: ${ENVKIT_POSTGRES_IMAGE}
    environment: {POSTGRES_USER: someone, POSTGRES_PASSWORD: own}
    ports: ["${POSTGRES_PORT}:5432"]
    labels: {envkit.compose: postgres}
    healthcheck: {test: pg_isready -h 127.0.0.1, interval: 1s}
"""


def test_endpoints_read_a_file_of_the_users_own_with_the_label(stack: Stack) -> None:
    (stack.root / "compose.yaml").write_text(OWN)
    stack.run("up", "--wait")
    port = stack.ports["POSTGRES_PORT"]
    assert stack.url("postgres") == f"postgresql://someone:own@127.0.0.1:{port}/someone"
    assert answer("postgres", stack.url("postgres")) == (1,)


def test_endpoints_leave_out_what_is_stopped(stack: Stack) -> None:
    stack.run("up", "--wait", "redis")
    stack.run("stop", "redis")
    assert stack.endpoints() == {}


def test_endpoints_leave_out_other_projects(odd: Stack, tmp_path: Path) -> None:
    assert endpoints(ADDRESS, tmp_path) == {}


def test_endpoints_are_the_same_over_tcp(odd: Stack) -> None:
    with forwarded(ENGINE.removeprefix("unix://")) as port:
        address = EngineAddress(url=f"tcp://127.0.0.1:{port}", origin="test")
        assert endpoints(address, odd.root) == odd.endpoints()


def test_endpoints_say_so_if_there_is_no_engine(tmp_path: Path) -> None:
    address = EngineAddress(url=f"unix://{tmp_path}/none.sock", origin="test")
    with pytest.raises(DockerDown):
        endpoints(address, tmp_path)


@contextlib.contextmanager
def forwarded(path: str) -> Iterator[int]:
    """A TCP port in front of a Unix socket."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            while True:
                client = stack.enter_context(listening.accept()[0])
                engine = stack.enter_context(socket.socket(socket.AF_UNIX))
                engine.connect(path)
                for pair in ((client, engine), (engine, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


# -- the command ----------------------------------------------------------------------------------


def test_help(project: Project) -> None:
    assert project.shown("compose", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit compose [OPTIONS] COMMAND [ARGS]...

  The project's services as a file for Docker Compose.

  It is made from the project's configuration file alone: versions, images,
  settings, memory. What ENVKIT_* say is this machine's and not part of it.

Options:
  -h, --help  Show this message and exit.

Commands:
  check   Compare the compose file with what would be rendered now.
  render  Write the compose file.
-- stderr
""")


def test_render_writes_what_check_expects(project: Project) -> None:
    assert project.shown("compose", "render") == snapshot("""\
exit code 0
-- stdout
written to PROJECT/compose/compose.yaml
-- stderr
""")
    assert project.shown("compose", "check") == snapshot("""\
exit code 0
-- stdout
-- stderr
""")


def test_render_prints_the_same_as_it_writes(project: Project) -> None:
    project.envkit("compose", "render")
    printed = project.envkit("compose", "render", "--output", "-").stdout
    assert printed == (project.root / "compose/compose.yaml").read_text()


def test_render_takes_another_place(project: Project) -> None:
    project.envkit("compose", "render", "--output", "other.yaml")
    assert project.envkit("compose", "check", "--output", "other.yaml").returncode == 0


def test_render_does_not_overwrite_what_envkit_did_not_make(project: Project) -> None:
    project.write("compose/compose.yaml", "services: {}\n")
    assert project.shown("compose", "render") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: PROJECT/compose/compose.yaml was not made by envkit, so it is left as it is [envkit.usage]
  → remove it, or name another with --output
""")
    assert (project.root / "compose/compose.yaml").read_text() == "services: {}\n"


def test_check_says_that_the_file_is_missing(project: Project) -> None:
    assert project.shown("compose", "check") == snapshot("""\
exit code 1
-- stdout
-- stderr
error: there is no compose/compose.yaml [envkit.compose.drift]
  → envkit compose render
""")


def test_check_shows_what_differs(project: Project) -> None:
    project.envkit("compose", "render")
    project.write("envkit.toml", 'services = ["redis"]\nredis.settings = { maxmemory = "64mb" }\n')
    assert project.shown("compose", "check") == snapshot("""\
exit code 1
-- stdout
-- stderr
error: compose/compose.yaml is not what the configuration gives [envkit.compose.drift]
    --- compose/compose.yaml
    +++ from the configuration
    @@ -56,4 +56,5 @@
           save ""
           appendonly no
    +      maxmemory 64mb
       redis-password:
         content: "${REDIS_PASSWORD:-redis}"
  → envkit compose render
""")


def test_environment_of_whoever_renders_does_not_show(project: Project) -> None:
    project.envkit("compose", "render")
    environment = {
        "ENVKIT_REDIS_IMAGE": "our/redis:1",
        "ENVKIT_REDIS_VERSION": "7",
        "TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX": "mirror.example",
    }
    assert project.envkit("compose", "check", **environment).returncode == 0


def test_project_name_is_that_of_pyproject(project: Project) -> None:
    project.write("pyproject.toml", '[project]\nname = "My.Shop"\n')
    printed = project.envkit("compose", "render", "--output", "-").stdout
    assert yaml.safe_load(printed)["name"] == "my-shop"


def test_unknown_option_is_a_usage_error(project: Project) -> None:
    assert project.envkit("compose", "render", "--force").returncode == 2
