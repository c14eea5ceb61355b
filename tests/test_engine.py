"""The container engine: where it is looked for, what it has, and its errors in our words."""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from envkit.backends.docker.reach import Reach, way_to
from envkit.engine import address as addresses
from envkit.engine.address import EngineAddress, engine_address
from envkit.engine.client import new_client
from envkit.engine.look import look
from envkit.engine.words import from_engine, unreachable
from envkit.errors import (
    DockerDenied,
    DockerDiskFull,
    DockerDown,
    EngineRefused,
    EnvkitError,
    ImageMissing,
    ImagePlatform,
    ImageTagUnknown,
    PortsExhausted,
    PullDenied,
    PullRateLimit,
    UsageError,
)
from envkit.host import look_for
from envkit.model import DockerSettings, Image, ServiceSettings

IMAGE = "registry.example/team/redis:8"

# -- errors in our words: texts as the programs print them ----------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # moby, of layers and of containers
        (
            "write /var/lib/docker/tmp/GetImageBlob019283746: no space left on device",
            DockerDiskFull,
        ),
        # containerd
        (
            "failed to copy: failed to send write: write /var/lib/containerd/io.containerd.content."
            "v1.content/ingest/0a1b/data: no space left on device: unknown",
            DockerDiskFull,
        ),
        ("mkdir /home/me/.local/share/containers/storage: disk quota exceeded", DockerDiskFull),
        # libnetwork
        (
            "driver failed programming external connectivity on endpoint envkit-redis "
            "(b6f760b12220): Bind for 127.0.0.1:0 failed: all ports are allocated",
            PortsExhausted,
        ),
        # Docker Hub through moby, containerd and Podman
        (
            "toomanyrequests: You have reached your pull rate limit. You may increase the limit by "
            "authenticating and upgrading: https://www.docker.com/increase-rate-limit",
            PullRateLimit,
        ),
        (
            "failed to copy: httpReadSeeker: failed open: unexpected status code "
            "https://registry-1.docker.io/v2/library/rust/manifests/sha256:de6e: "
            "429 Too Many Requests - Server message: toomanyrequests: …",
            PullRateLimit,
        ),
        (
            "initializing source docker://n8n:latest: reading manifest latest in docker.n8n.io/n8n:"
            " toomanyrequests: You have reached your unauthenticated pull rate limit. "
            "https://www.docker.com/increase-rate-limit",
            PullRateLimit,
        ),
        # moby, with and without containerd's store
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", ImagePlatform),
        (
            "no matching manifest for linux/arm64/v8 in the manifest list entries: "
            "no match for platform in manifest: not found",
            ImagePlatform,
        ),
        (
            "image with reference postgres:18 was found but does not match the specified platform: "
            "wanted linux/amd64, actual: linux/arm64/v8",
            ImagePlatform,
        ),
        # containerd
        (
            "no match for platform in manifest sha256:44a54734fa33b549162845: not found",
            ImagePlatform,
        ),
        # Podman, older and newer
        (
            "choosing an image from manifest list docker://ubuntu:latest: no image found in "
            'manifest list for architecture arm, variant "", OS linux',
            ImagePlatform,
        ),
        (
            "choosing an image from manifest list docker://budibase/budibase:latest: no image found"
            ' in image index for architecture amd64, variant "", OS linux',
            ImagePlatform,
        ),
        # runc
        (
            "failed to create task for container: exec /usr/local/bin/docker-entrypoint.sh: "
            "exec format error: unknown",
            ImagePlatform,
        ),
        # moby
        ("manifest for redis:99 not found: manifest unknown: manifest unknown", ImageTagUnknown),
        ("manifest for redis:99 not found", ImageTagUnknown),
        # containerd
        (
            'failed to resolve reference "quay.io/gpustack/runner:cuda12.9": '
            "quay.io/gpustack/runner:cuda12.9: not found",
            ImageTagUnknown,
        ),
        # Podman
        (
            "initializing source docker://redis:99: reading manifest 99 in "
            "docker.io/library/redis: manifest unknown",
            ImageTagUnknown,
        ),
        # moby
        (
            "pull access denied for team/redis, repository does not exist or may require "
            "'docker login': denied: requested access to the resource is denied",
            PullDenied,
        ),
        (
            'Get "https://registry.example/v2/": unauthorized: authentication required',
            PullDenied,
        ),
        (
            "Get https://registry.example/v2/team/redis/manifests/8: no basic auth credentials",
            PullDenied,
        ),
        ("repository registry.example/team/redis not found: name unknown: …", PullDenied),
        # containerd
        (
            'failed to resolve reference "registry.example/team/redis:8": pull access denied, '
            "repository does not exist or may require authorization: server message: "
            "insufficient_scope: authorization failed",
            PullDenied,
        ),
        (
            'failed to resolve reference "ghcr.io/team/redis:8": failed to authorize: failed to '
            "fetch anonymous token: unexpected status from GET request to "
            "https://ghcr.io/token?scope=repository%3Ateam: 403 Forbidden",
            PullDenied,
        ),
        # Podman, older and newer
        (
            "Error initializing source docker://sonartype/nexus3:latest: Error reading manifest "
            "latest in docker.io/sonartype/nexus3: errors:\n"
            "denied: requested access to the resource is denied\n"
            "unauthorized: authentication required\n",
            PullDenied,
        ),
        (
            "initializing source docker://jasonacox/weather41:0.2.2: reading manifest 0.2.2 in "
            "docker.io/jasonacox/weather41: requested access to the resource is denied",
            PullDenied,
        ),
        # moby
        (
            'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on '
            "127.0.0.53:53: server misbehaving",
            ImageMissing,
        ),
        (
            'Get "https://registry-1.docker.io/v2/": net/http: request canceled while waiting for '
            "connection (Client.Timeout exceeded while awaiting headers)",
            ImageMissing,
        ),
        ('Get "https://registry.example/v2/": net/http: TLS handshake timeout', ImageMissing),
        (
            'Get "https://registry.example/v2/": tls: failed to verify certificate: x509: '
            "certificate signed by unknown authority",
            ImageMissing,
        ),
        ('Get "https://registry.example/v2/": EOF', ImageMissing),
        (
            'Get "https://registry-1.docker.io/v2/": proxyconnect tcp: dial tcp 10.0.0.1:3128: '
            "connect: no route to host",
            ImageMissing,
        ),
        # containerd
        (
            'failed to resolve reference "docker.io/library/redis:8": failed to do request: Head '
            '"https://registry-1.docker.io/v2/library/redis/manifests/8": dial tcp: lookup '
            "registry-1.docker.io: no such host",
            ImageMissing,
        ),
        # Podman
        (
            "initializing source docker://redis:8: pinging container registry registry.example: "
            'Get "https://registry.example/v2/": dial tcp 192.0.2.1:443: connect: connection '
            "refused",
            ImageMissing,
        ),
        # moby and Podman, of what was removed meanwhile
        ("No such image: redis:8", ImageMissing),
        ("redis:8: image not known", ImageMissing),
    ],
)
def test_wording_of_an_engine_is_recognised(text: str, expected: type[EnvkitError]) -> None:
    error = from_engine(text, IMAGE)
    assert type(error) is expected
    assert error.detail == text
    assert error.hint


@pytest.mark.parametrize(
    "text",
    [
        "invalid reference format",
        'Conflict. The container name "/x" is already in use by container "0a1b".',
        "driver failed programming external connectivity on endpoint x (b6f7): "
        "Bind for 0.0.0.0:2375 failed: port is already allocated",
        "Minimum memory limit allowed is 6MB",
    ],
)
def test_what_is_not_recognised_is_quoted_and_not_guessed_at(text: str) -> None:
    error = from_engine(text, IMAGE)
    assert type(error) is EngineRefused
    assert error.detail == text


def test_unknown_tag_is_named_apart_from_its_repository() -> None:
    error = from_engine("manifest unknown", IMAGE)
    assert error.observed == "there is no tag '8' of registry.example/team/redis"


def test_unknown_digest_is_not_called_a_tag() -> None:
    assert (
        from_engine("manifest unknown", "redis@sha256:ab").observed == "there is no redis@sha256:ab"
    )


# -- nobody answers -------------------------------------------------------------------------------


def test_socket_that_does_not_exist() -> None:
    with pytest.raises(DockerDown, match="no container engine answers at unix:///none") as caught:
        new_client(EngineAddress(url="unix:///none", origin="test"))
    assert caught.value.hint == "docker info"


def test_port_that_nobody_listens_on() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DockerDown, match=f"no container engine answers at {url}"):
            new_client(EngineAddress(url=url, origin="test")).ping()


def test_socket_that_is_closed_to_this_user_says_who_that_is() -> None:
    # As urllib3 and requests nest it: among the arguments, not as the cause.
    nested = ConnectionError("Connection aborted.", PermissionError(errno.EACCES, "nested"))
    error = unreachable(docker.errors.DockerException(nested), "unix:///run/docker.sock")
    assert type(error) is DockerDenied
    assert f"(uid {os.getuid()})" in error.observed
    assert error.hint.startswith("sudo usermod -aG docker")


def test_look_says_what_is_wrong_instead_of_raising() -> None:
    facts = look(EngineAddress(url="unix:///none", origin="test"), ["redis:8"], "envkit/redis")
    assert facts.problem["slug"] == "docker.daemon.down"
    assert facts.images == ()


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[EngineAddress]:
    """Something that takes connections and never answers, as an engine that hangs."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "silent.sock"))
        listener.listen()
        yield EngineAddress(url=f"unix://{tmp_path}/silent.sock", origin="test")


def test_engine_that_hangs_is_told_from_one_that_is_not_there(silent: EngineAddress) -> None:
    facts = look(silent, ["redis:8"], "envkit/redis")
    assert facts.problem["slug"] == "docker.daemon.down"
    assert "does not answer within 3 s" in facts.problem["observed"]


# -- where it is ----------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment and a home directory that name no engine; and no usual socket."""
    for name in list(os.environ):
        if name.startswith(("DOCKER_", "TESTCONTAINERS_", "TC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(addresses, "_DEFAULT", str(tmp_path / "var.sock"))
    return tmp_path


@pytest.fixture
def listening() -> Iterator[Callable[[Path], Path]]:
    """Makes sockets."""
    made: list[socket.socket] = []

    def make(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].bind(str(path))
        return path

    yield make
    for one in made:
        one.close()


def test_usual_socket_is_the_default(home: Path) -> None:
    address = engine_address()
    assert (address.url, address.origin) == (f"unix://{home}/var.sock", "the default socket")


def test_docker_host_is_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.7:2375")
    address = engine_address()
    assert (address.url, address.origin) == ("tcp://192.0.2.7:2375", "DOCKER_HOST")


def test_docker_host_of_the_client_wins_over_that_of_the_keeper(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://keeper.example:2375")
    settings = DockerSettings(host="tcp://client.example:2375")
    assert engine_address(settings).url == "tcp://client.example:2375"


def test_client_without_docker_host_does_not_get_that_of_the_keeper(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://keeper.example:2375")
    assert engine_address(DockerSettings()).url == f"unix://{home}/var.sock"


def test_ssh_address_loses_the_path_that_the_docker_package_does_not_take(home: Path) -> None:
    settings = DockerSettings(host="ssh://me@box.example:2222/run/docker.sock")
    assert engine_address(settings).url == "ssh://me@box.example:2222"


def test_property_of_testcontainers_wins_over_docker_host(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.7:2375")
    (home / ".testcontainers.properties").write_text("# x\nother=1\ntc.host = tcp://cloud:99\n")
    address = engine_address()
    assert (address.url, address.origin) == ("tcp://cloud:99", "~/.testcontainers.properties")


@pytest.mark.parametrize(
    ("variables", "certificates", "verify"),
    [
        ({}, "", False),
        ({"DOCKER_CERT_PATH": "/certs"}, "", False),
        ({"DOCKER_CERT_PATH": "/certs", "DOCKER_TLS_VERIFY": "1"}, "/certs", True),
        ({"DOCKER_CERT_PATH": "/certs", "DOCKER_TLS_VERIFY": ""}, "/certs", False),
        ({"DOCKER_TLS_VERIFY": "1"}, "HOME/.docker", True),
        ({"DOCKER_TLS_VERIFY": "1", "DOCKER_CONFIG": "/config"}, "/config", True),
    ],
    ids=str,
)
def test_tls_is_used_as_the_docker_command_uses_it(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    certificates: str,
    verify: bool,
) -> None:
    for name, value in {"DOCKER_HOST": "tcp://192.0.2.7:2376", **variables}.items():
        monkeypatch.setenv(name, value)
    address = engine_address()
    assert address.certificates == certificates.replace("HOME", str(home))
    assert (address.verify if address.certificates else False) == verify


def test_environment_leads_the_docker_package_to_the_same_engine() -> None:
    address = EngineAddress(url="tcp://box:2376", origin="test", certificates="/certs")
    assert address.environment() == {
        "DOCKER_HOST": "tcp://box:2376",
        "DOCKER_CERT_PATH": "/certs",
        "DOCKER_TLS_VERIFY": "1",
    }


@pytest.mark.parametrize(
    "place", ["run/docker.sock", ".docker/run/docker.sock", "run/podman/podman.sock"]
)
def test_engine_without_root_is_found_where_the_usual_socket_is_missing(
    home: Path, listening: Callable[[Path], Path], place: str
) -> None:
    path = listening(home / place)
    assert engine_address().url == f"unix://{path}"


def test_rootless_docker_goes_before_podman(home: Path, listening: Callable[[Path], Path]) -> None:
    listening(home / "run/podman/podman.sock")
    path = listening(home / "run/docker.sock")
    assert engine_address().url == f"unix://{path}"


def test_usual_socket_goes_before_those_without_root(
    home: Path, listening: Callable[[Path], Path]
) -> None:
    listening(home / "run/docker.sock")
    path = listening(home / "var.sock")
    assert engine_address().url == f"unix://{path}"


@pytest.mark.parametrize(
    ("url", "where", "hostname"),
    [
        ("unix:///run/docker.sock", "/run/docker.sock", ""),
        ("tcp://192.0.2.7:2375", "", "192.0.2.7"),
        ("ssh://me@box.example:22", "", "box.example"),
        ("tcp://[2001:db8::1]:2375", "", "2001:db8::1"),
    ],
)
def test_address_tells_a_socket_from_another_machine(url: str, where: str, hostname: str) -> None:
    address = EngineAddress(url=url, origin="test")
    assert (address.socket, address.hostname) == (where, hostname)


def write_context(home: Path, name: str, host: str, *, tls: bool = False) -> None:
    """As `docker context create` does (https://docs.docker.com/engine/manage-resources/contexts/)."""
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker" / "contexts" / "meta" / key / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    if tls:
        place = home / ".docker" / "contexts" / "tls" / key / "docker"
        place.mkdir(parents=True)
        for file in ("ca.pem", "cert.pem", "key.pem"):
            (place / file).touch()


def test_context_that_is_in_use_is_followed(home: Path) -> None:
    write_context(home, "far", "tcp://192.0.2.9:2375")
    (home / ".docker" / "config.json").write_text('{"currentContext": "far"}')
    address = engine_address()
    assert (address.url, address.origin) == ("tcp://192.0.2.9:2375", "docker context far")


def test_docker_context_wins_over_the_one_in_use(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_context(home, "far", "tcp://192.0.2.9:2375")
    write_context(home, "near", "unix:///run/near.sock")
    (home / ".docker" / "config.json").write_text('{"currentContext": "far"}')
    monkeypatch.setenv("DOCKER_CONTEXT", "near")
    assert engine_address().url == "unix:///run/near.sock"


def test_docker_host_wins_over_a_context(home: Path) -> None:
    write_context(home, "far", "tcp://192.0.2.9:2375")
    settings = DockerSettings(context="far", host="unix:///run/mine.sock")
    assert engine_address(settings).url == "unix:///run/mine.sock"


def test_context_is_found_where_docker_has_no_configuration(home: Path) -> None:
    write_context(home, "far", "ssh://me@box.example/run/docker.sock")
    assert engine_address(DockerSettings(context="far")).url == "ssh://me@box.example"


def test_context_named_default_is_the_usual_socket(home: Path) -> None:
    assert engine_address(DockerSettings(context="default")).origin == "the default socket"


def test_context_is_found_where_docker_config_says(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_context(home, "far", "tcp://192.0.2.9:2375")
    (home / ".docker").rename(home / "elsewhere")
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "elsewhere"))
    assert engine_address(DockerSettings(context="far")).url == "tcp://192.0.2.9:2375"


def test_certificates_of_a_context_are_used(home: Path) -> None:
    write_context(home, "safe", "tcp://192.0.2.9:2376", tls=True)
    address = engine_address(DockerSettings(context="safe"))
    assert sorted(path.name for path in Path(address.certificates).iterdir()) == [
        "ca.pem",
        "cert.pem",
        "key.pem",
    ]
    assert address.verify


def test_context_that_does_not_exist_is_not_replaced_by_another_engine(home: Path) -> None:
    with pytest.raises(DockerDown, match="the docker context 'typo' cannot be read") as caught:
        engine_address(DockerSettings(context="typo"))
    assert caught.value.hint == "docker context ls"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"Endpoints": {"docker": {}}}'])
def test_context_that_is_damaged_is_named(home: Path, content: str) -> None:
    write_context(home, "far", "tcp://192.0.2.9:2375")
    [meta] = home.rglob("meta.json")
    meta.write_text(content)
    with pytest.raises(DockerDown, match="'far'"):
        engine_address(DockerSettings(context="far"))


def test_context_that_cannot_be_read_is_a_problem_of_the_engine_for_the_plan(home: Path) -> None:
    facts = look_for(
        "auto",
        programs=(),
        image=Image(official="redis", version="8", built="envkit/redis"),
        settings=ServiceSettings(),
        docker=DockerSettings(context="typo"),
        target=None,
    )
    assert facts.engine is not None
    assert facts.engine.problem["slug"] == "docker.daemon.down"


@pytest.mark.parametrize("config", ["", "not JSON", "[]", '{"currentContext": 1}', "{}"])
def test_configuration_of_docker_that_names_no_context_is_passed_over(
    home: Path, config: str
) -> None:
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(config)
    assert engine_address().origin == "the default socket"


@pytest.mark.parametrize("config", ["[]", '{"proxies": []}', '{"proxies": {"default": 5}}'])
def test_configuration_that_the_docker_package_cannot_use_is_named(home: Path, config: str) -> None:
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(config)
    # Read before anything is asked.
    address = EngineAddress(url="tcp://127.0.0.1:1", origin="this test")
    with pytest.raises(EngineRefused, match="cannot use its configuration") as caught:
        new_client(address)
    assert caught.value.hint == f"correct {home}/.docker/config.json"


def test_docker_host_that_is_no_address_is_refused(home: Path) -> None:
    with pytest.raises(DockerDown, match=r"tcp://\[::1 cannot be the address"):
        engine_address(DockerSettings(host="tcp://[::1"))


# -- how its containers are reached ---------------------------------------------------------------


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    """Of an engine that must not be asked anything."""
    made = docker.DockerClient("unix:///none", version="1.41")
    yield made
    made.close()


LOCAL = EngineAddress(url="unix:///run/docker.sock", origin="test")


def remote(url: str) -> EngineAddress:
    return EngineAddress(url=url, origin="test")


@pytest.mark.parametrize("variable", ["TESTCONTAINERS_HOST_OVERRIDE", "TC_HOST"])
@pytest.mark.parametrize(
    ("host", "publish_on"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("192.0.2.7", "0.0.0.0")],
)
def test_override_says_where_ports_are(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    client: docker.DockerClient,
    variable: str,
    host: str,
    publish_on: str,
) -> None:
    monkeypatch.setenv(variable, host)
    way = way_to(remote("tcp://elsewhere.invalid:2375"), client)
    assert way == Reach(host=host, publish_on=publish_on)


@pytest.mark.parametrize("url", ["tcp://192.0.2.7:2375", "ssh://me@192.0.2.7"])
def test_ports_of_an_engine_elsewhere_are_on_its_machine(
    home: Path, client: docker.DockerClient, url: str
) -> None:
    assert way_to(remote(url), client) == Reach(host="192.0.2.7", publish_on="0.0.0.0")


def test_ports_of_an_engine_behind_a_tunnel_are_for_this_machine_only(
    home: Path, client: docker.DockerClient
) -> None:
    way = way_to(remote("tcp://127.0.0.1:2375"), client)
    assert way == Reach(host="127.0.0.1", publish_on="127.0.0.1")


def test_connection_mode_docker_host_takes_published_ports(
    home: Path, monkeypatch: pytest.MonkeyPatch, client: docker.DockerClient
) -> None:
    monkeypatch.setenv("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    assert way_to(LOCAL, client) == Reach(host="127.0.0.1", publish_on="127.0.0.1")


def test_connection_mode_gateway_ip_goes_over_the_default_gateway(
    home: Path, monkeypatch: pytest.MonkeyPatch, client: docker.DockerClient
) -> None:
    monkeypatch.setenv("TESTCONTAINERS_CONNECTION_MODE", "gateway_ip")
    way = way_to(LOCAL, client)
    assert ipaddress.ip_address(way.host).version == 4
    assert way.publish_on == "0.0.0.0"


def test_unknown_connection_mode_is_refused_with_those_that_there_are(
    home: Path, monkeypatch: pytest.MonkeyPatch, client: docker.DockerClient
) -> None:
    monkeypatch.setenv("TESTCONTAINERS_CONNECTION_MODE", "bridge")
    with pytest.raises(UsageError, match="is 'bridge'") as caught:
        way_to(LOCAL, client)
    assert caught.value.hint == "set it to bridge_ip, gateway_ip or docker_host, or unset it"
