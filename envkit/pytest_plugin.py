"""The pytest plugin: hooks and fixtures.

Thin, and light: every pytest run of an environment that has envkit installed imports this module,
whether it uses a service or not. What does the work is `envkit.pytest_run`, imported when the first
selected test asks for a fixture of ours.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    import argparse

    from envkit.api import Services
    from envkit.model import Isolation, ServiceName
    from envkit.pytest_needs import Need
    from envkit.pytest_run import Run, TestLease
    from envkit.services.clickhouse import ClickHouseHandle
    from envkit.services.handle import Handle
    from envkit.services.postgres import PostgresHandle
    from envkit.services.redis import RedisHandle

__all__ = ["lease_fixture"]

_ALL = frozenset(
    {"real_services", "real_services_fixture", "real_services_session", "isolated_env"}
)
_ONE: dict[str, ServiceName] = {
    "real_postgres": "postgres",
    "real_redis": "redis",
    "real_clickhouse": "clickhouse",
}
_VERSION = "_envkit_version"
_RUN = pytest.StashKey["Run"]()
_DESELECTED = pytest.StashKey[int]()

Scope = Literal["function", "class", "module", "package", "session"]


# -- options --------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("envkit", "real Postgres, Redis and ClickHouse")
    group.addoption(
        "--envkit",
        dest="envkit_mode",
        choices=("require", "auto", "off"),
        help="what happens if a service cannot be had: require stops the run, auto skips the tests "
        "that need it; off skips them in any case. Default: require with CI=true and with a named "
        "backend, else auto; USE_REAL_SERVICES=1 means require, 0 means off.",
    )
    group.addoption(
        "--envkit-backend",
        dest="envkit_backend",
        metavar="BACKEND",
        help="how services come to be (auto, embedded, docker, attach; or for each service, as in "
        "postgres=docker,redis=embedded), instead of what is configured",
    )
    group.addoption(
        "--envkit-keep",
        dest="envkit_keep",
        choices=("none", "failed", "all"),
        default="none",
        help="which tests' databases stay until `envkit down`; the report of a failed test says "
        "how to get at them",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "real_services(*services, template=…, version=…, isolation=…): the services of the fixture "
        "real_services in this test, instead of the configured ones, and how they are wanted: the "
        "name of a template of the configuration, or 'empty'; a version of Postgres; 'server' or "
        "'database' for Redis",
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """Take a lease before conftests are imported, for applications that read URLs at import."""
    options = early_config.known_args_namespace  # `option` is filled in later
    if options.help or options.version or not _may_export(early_config):
        yield
        return
    run = _run(early_config, options)
    # Where nothing is to run the project's modules are imported all the same.
    run.export_environment(pretended=_runs_nothing(options))
    try:
        yield
    except Exception as error:
        run.explain(error)
        raise


def _may_export(early_config: pytest.Config) -> bool:
    """A look at the bytes, so that nobody else pays for reading the configuration."""
    if "ENVKIT_EXPORT_ENV" in os.environ:
        return True
    files = (early_config.rootpath / name for name in ("pyproject.toml", "envkit.toml"))
    return any(path.is_file() and b"export_env" in path.read_bytes() for path in files)


def _runs_nothing(options: argparse.Namespace) -> bool:
    return bool(options.collectonly or options.showfixtures or options.show_fixtures_per_test)


# -- the life of a run ----------------------------------------------------------------------------


def _run(config: pytest.Config, options: argparse.Namespace | None = None) -> Run:
    if _RUN not in config.stash:
        from envkit.pytest_run import Run

        config.stash[_RUN] = Run(config, options or config.option)
    return config.stash[_RUN]


def _is_foreign(name: str, function: Callable[..., Any]) -> bool:
    """Whether the project has a fixture of its own under one of our names."""
    ours = name in _ALL or name in _ONE
    return ours and getattr(function, "__module__", __name__) != __name__


def _needs(item: pytest.Item) -> list[Need]:
    """What a test asks for by its fixtures: first of its own lease, then of `lease_fixture`s.

    Nothing at all if it uses no fixture of ours; a need of no services if it may ask for some while
    it runs.
    """
    info = getattr(item, "_fixtureinfo", None)
    definitions = info.name2fixturedefs if info is not None else {}
    used = {
        name
        for name in getattr(item, "fixturenames", ())
        if not (name in definitions and _is_foreign(name, definitions[name][-1].func))
    }
    services: set[ServiceName] = {_ONE[name] for name in used & _ONE.keys()}
    others = [
        need
        for name in sorted(used & definitions.keys())
        if (need := getattr(definitions[name][-1].func, "envkit_need", None))
    ]
    if not services and not others and not used & _ALL:
        return []
    from envkit.pytest_needs import Need, own_need, services_of_item

    if used & _ALL:
        services |= services_of_item(item, _run(item.config).services)
    own = [own_need(item, services)] if services or used & _ALL else []
    return own + [Need(services=frozenset({s}), how=how) for s, how in others]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Start what the selected tests need; nothing if no test needs a service."""
    if _runs_nothing(session.config.option):
        return
    run = session.config.stash.get(_RUN, None)
    if run is not None:
        run.collected()
    needed: Counter[Need] = Counter()
    for item in session.items:
        needed.update(_needs(item))
    if needed:
        _run(session.config).begin(needed)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what uses Postgres once for each of several configured versions."""
    if _VERSION not in metafunc.fixturenames:
        return
    from envkit.pytest_needs import versions_of

    with suppress(pytest.UsageError):  # told once, when all is collected
        if versions := versions_of(metafunc, _run(metafunc.config).settings):
            ids = [f"postgres-{version}" for version in versions]
            metafunc.parametrize(_VERSION, versions, indirect=True, ids=ids)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    run = config.stash.get(_RUN, None)
    return run.header() if run else []


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> object | None:
    """End the run before its first test if what it needs could not be started."""
    run = session.config.stash.get(_RUN, None)
    if run is None or run.failure is None:
        return None
    session.shouldstop = run.stop_reason
    if hasattr(session.config, "workerinput"):
        return True  # the xdist controller reads `shouldstop` and reports it, once
    raise session.Interrupted(run.stop_reason)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> None:
    """Have pytest-django take the database that ``export_env`` has exported."""
    if fixturedef.argname == "django_db_setup":
        run = request.config.stash.get(_RUN, None)
        if run is not None:
            run.use_for_django()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _note(report, call)
    run = item.config.stash.get(_RUN, None)
    if run is not None:
        run.saw(item, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _note(report, getattr(report, "call", None))
    return report


def _note(report: pytest.TestReport | pytest.CollectReport, call: Any) -> None:
    """Have a report of a failure say what was raised, as data that xdist can carry."""
    if report.failed and call is not None and call.excinfo is not None:
        from envkit.pytest_findings import ATTRIBUTE, symptoms_of

        setattr(report, ATTRIBUTE, symptoms_of(call.excinfo.value))


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    if items:
        stash = items[0].config.stash
        stash[_DESELECTED] = stash.get(_DESELECTED, 0) + len(items)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    run = session.config.stash.get(_RUN, None)
    if run is not None:
        run.tests_are_over()
    output = getattr(session.config, "workeroutput", None)
    if output is None:
        return
    output["envkit_deselected"] = session.config.stash.get(_DESELECTED, 0)
    if run is not None:
        output["envkit"] = run.account()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Of the xdist controller: hear what a worker has to say."""
    output = getattr(node, "workeroutput", {})
    # All workers collect the same tests.
    node.config.stash[_DESELECTED] = output.get("envkit_deselected", 0)
    account = output.get("envkit")
    if account:
        _run(node.config).hear(account)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    run = config.stash.get(_RUN, None)
    if run is not None:
        run.summarise(terminalreporter)
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        from envkit.pytest_findings import nothing_selected

        if line := nothing_selected(config, config.stash.get(_DESELECTED, 0)):
            terminalreporter.write_line(line)
    elif exitstatus != pytest.ExitCode.OK:
        from envkit.pytest_findings import explanations

        if lines := explanations(terminalreporter.stats, config):
            terminalreporter.section("envkit: the environment", sep="=", bold=True)
            for line in lines:
                terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    run = config.stash.get(_RUN, None)
    if run is not None:
        run.close()


# -- fixtures -------------------------------------------------------------------------------------


@pytest.fixture
def _envkit_version(request: pytest.FixtureRequest) -> str:
    """The version of Postgres that this test is for; see `pytest_generate_tests`."""
    return str(getattr(request, "param", ""))


@pytest.fixture
def _envkit_lease(request: pytest.FixtureRequest, _envkit_version: str) -> Iterator[TestLease]:
    """This test's one lease, which all the fixtures below share."""
    from envkit.pytest_needs import own_need

    needs = [need for need in _needs(request.node) if need.own]
    need = needs[0] if needs else own_need(request.node, set())
    with _run(request.config).test_lease(request.node, need) as lease:
        yield lease


@pytest.fixture
def real_services(request: pytest.FixtureRequest, _envkit_lease: TestLease) -> Services:
    """Every configured service, isolated for this test: ``.postgres``, ``.redis``, ``.clickhouse``.

    The marker of the same name says which services, and how, for one test or class. A unittest
    class with ``@pytest.mark.usefixtures("real_services")`` finds it as ``self.real_services``.
    """
    from envkit.pytest_needs import services_of_item

    wanted = services_of_item(request.node, _run(request.config).services)
    services = _envkit_lease.services(wanted)
    if request.instance is not None:
        request.instance.real_services = services
    return services


@pytest.fixture
def real_services_fixture(real_services: Services) -> Services:
    """Another name of ``real_services``."""
    return real_services


@pytest.fixture
def real_postgres(_envkit_lease: TestLease) -> PostgresHandle:
    """A Postgres database of this test's own: ``.url``, ``.connect()``, ``.aconnect()``."""
    return _envkit_lease.services({"postgres"}).postgres


@pytest.fixture
def real_redis(_envkit_lease: TestLease) -> RedisHandle:
    """A Redis of this test's own: ``.url``, ``.client()``, ``.aclient()``."""
    return _envkit_lease.services({"redis"}).redis


@pytest.fixture
def real_clickhouse(_envkit_lease: TestLease) -> ClickHouseHandle:
    """A ClickHouse database of this test's own: ``.url``, ``.client()``, ``.aclient()``."""
    return _envkit_lease.services({"clickhouse"}).clickhouse


@pytest.fixture
def isolated_env(
    request: pytest.FixtureRequest, real_services: Services
) -> Iterator[dict[str, str]]:
    """This test's services in ``os.environ``, which is as it was again afterwards.

    That goes for whatever else the test changes in it, too. Declared secrets that are not set have
    the values of the files where they are, or, if envkit may make them, values of this test's own.
    The fixture's value is a dict of what was set.
    """
    from envkit.pytest_environment import (
        environment_of,
        restored_environment,
        shown_variables,
    )

    declared = _run(request.config).secrets()
    with restored_environment(), environment_of(real_services), declared as secrets:
        yield shown_variables(real_services) | secrets


@pytest.fixture(scope="session")
def real_services_session(request: pytest.FixtureRequest) -> Iterator[Services]:
    """Every configured service, one lease for the whole session (of each xdist worker)."""
    from envkit.pytest_needs import Need

    run = _run(request.config)
    with run.lease(Need(services=frozenset(run.services)), request) as services:
        yield services


def lease_fixture(
    service: ServiceName,
    *,
    scope: Scope = "function",
    template: str = "",
    version: str = "",
    isolation: Isolation = "auto",
) -> Callable[..., Any]:
    """Make a fixture that gives a lease of its own on one service.

    For a second tenant in one test, or one database for a module::

        tenant = envkit.lease_fixture("postgres")
        reports = envkit.lease_fixture("clickhouse", scope="module")

    Args:
        service: "postgres", "redis" or "clickhouse".
        scope: As of ``pytest.fixture``.
        template: The name of one from the configuration, or ``empty``, instead of the usual one.
        version: Of Postgres, instead of the configured one.
        isolation: Of Redis, likewise: ``server`` or ``database``.

    Raises:
        UsageError: There is no such service, or it knows no such thing.
    """
    if service not in _ONE.values():
        from envkit.errors import UsageError

        raise UsageError(
            f"there is no service {service!r}", hint=f"choose one of {', '.join(_ONE.values())}"
        )

    how = {"template": template, "version": version, "isolation": isolation}

    def leased(request: pytest.FixtureRequest) -> Iterator[Handle]:
        from envkit.pytest_needs import Need

        need = Need(services=frozenset({service}), how=tuple(how.items()))
        with _run(request.config).lease(need, request) as services:
            yield services[service]

    leased.envkit_need = (service, tuple(how.items()))  # type: ignore[attr-defined] # see `_needs`
    return pytest.fixture(leased, scope=scope)
