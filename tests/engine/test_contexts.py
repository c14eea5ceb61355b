"""Docker's contexts: which one is followed, and what is wrong with those that cannot be."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from envkit.engine.address import EngineAddress, engine_address
from envkit.engine.client import new_client
from envkit.errors import (
    DockerDown,
    EngineRefused,
)
from envkit.host import look_for
from envkit.model import DockerSettings, ServiceSettings
from envkit.recipes import Image


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
