"""What the pytest plugin does when a test needs a service."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import pytest

from envkit import config as configuration
from envkit.api import Services
from envkit.errors import ConfigError, EnvkitError, UnavailableError, UsageError, from_dict
from envkit.keeper.client import Client, connect
from envkit.model import SERVICES, ServiceName, ServiceStatus, Settings, Want, as_builtins
from envkit.pytest_environment import Hidden, environment_of, led_elsewhere, restore
from envkit.pytest_leases import Kept, OpenLeases
from envkit.pytest_needs import Need
from envkit.redact import conceal, conceal_later, one_line, printable, redacted
from envkit.secrets import for_one_test, values_to_conceal
from envkit.templates import Templates
from envkit.variables import environment_to_nowhere

__all__ = [
    "Run",
    "TestLease",
]

Mode = Literal["require", "auto", "off"]

_OFF = "real services are switched off (--envkit=off or USE_REAL_SERVICES=0)"
_TRUE = ("1", "true", "yes", "on", "require")
_FALSE = ("0", "false", "no", "off")


def _mode(options: argparse.Namespace) -> Mode:
    chosen: Mode | None = options.envkit_mode
    if chosen:
        return chosen
    asked = os.environ.get("USE_REAL_SERVICES", "").strip().lower()
    if asked in _TRUE:
        return "require"
    if asked in _FALSE:
        return "off"
    if asked and asked != "auto":
        raise pytest.UsageError(
            f"USE_REAL_SERVICES is {asked!r}; expected 1/true (require), 0/false (off) or auto"
        )
    if options.envkit_backend and options.envkit_backend != "auto":
        return "require"  # whoever asks for one by name does not want a green run without it
    return "require" if os.environ.get("CI", "").lower() in ("1", "true") else "auto"


class TestLease:
    """The lease of one test, which grows if the test asks for another service while it runs."""

    __test__ = False

    def __init__(self, take: Callable[[set[ServiceName]], Services], first: set[ServiceName]):
        self._take = take
        self._first = first
        self._parts: list[Services] = []

    def services(self, wanted: set[ServiceName]) -> Services:
        """Services that include these; the same ones at every call."""
        have = {name for part in self._parts for name in part}
        missing = (wanted | (self._first if not self._parts else set())) - have
        if missing:
            self._parts.append(self._take(missing))
        for part in self._parts:
            if wanted <= set(part):
                return part
        return Services.joined(self._parts)


class Run:
    """One pytest run's (under xdist: one worker's) connection to the keeper.

    Attributes:
        failure: Why the services could not be started, if so: the run ends with it.
        unavailable: Why no backend here can serve, if so: tests that need one are skipped.
    """

    def __init__(self, config: pytest.Config, options: argparse.Namespace) -> None:
        self._mode = _mode(options)
        self._client: Client | None = None
        self._pid = os.getpid()
        self._exported = ExitStack()
        self._exported_services: Services | None = None
        self._statuses: list[ServiceStatus] = []
        self._kept: list[Kept] = []
        self._leases = OpenLeases(options.envkit_keep, self._kept)
        self._led_elsewhere: list[str] = []
        self.failure: EnvkitError | None = None
        self.unavailable: UnavailableError | None = None
        self._under_xdist = False
        try:
            self._loaded = configuration.load(
                configuration.find_root(config.rootpath),
                overrides=configuration.Overrides(
                    backend=options.envkit_backend, backend_option="--envkit-backend"
                ),
            )
        except EnvkitError as error:
            raise pytest.UsageError(_words(error)) from None
        worker = getattr(config, "workerinput", {})  # of xdist
        self._templates = Templates(self._loaded, run=worker.get("testrunuid", ""))
        conceal_later(lambda: values_to_conceal(self._loaded, os.environ))

    @property
    def services(self) -> set[ServiceName]:
        """Those of the configuration."""
        return set(self.settings.services)

    @property
    def settings(self) -> Settings:
        return self._loaded.settings

    @property
    def stop_reason(self) -> str:
        assert self.failure is not None
        # In few words: the summary says the rest.
        return f"envkit: the services that the tests need cannot be had [{self.failure.slug}]"

    # -- start and end ------------------------------------------------------------------------

    def begin(self, needed: Mapping[Need, int]) -> None:
        """Start services, with their templates; what goes wrong is kept for later.

        Args:
            needed: What tests need, and how many of them.
        """
        if self._mode == "off":
            return
        try:
            client = self._connected()
            counts: Counter[Want] = Counter()
            for need, tests in needed.items():
                for want in self._wants(need.services, need):
                    counts[want] += tests
            wants = sorted(counts, key=lambda one: SERVICES.index(one.service))
            self._statuses = client.start(wants)
            self._templates.ensure(client, wants)
            for want in wants:
                client.warm([want], counts[want])
        except ConfigError as error:
            raise pytest.UsageError(_words(error)) from None
        except UnavailableError as error:
            if self._mode == "auto":
                self.unavailable = error
            else:
                self.failure = error
        except EnvkitError as error:
            self.failure = error

    def export_environment(self, *, pretended: bool) -> None:
        """Take a lease for the whole run and put it into ``os.environ``, if so configured.

        Declared secrets that are not set come along, as in ``isolated_env``.

        Args:
            pretended: Start nothing: variables that are not set lead nowhere.
        """
        if not self.settings.export_env or self._mode == "off":
            return
        # First of all: what prepares a template imports the project's modules as well.
        self._exported.enter_context(self.secrets())
        if pretended:
            nowhere = environment_to_nowhere(self.settings)
            unset = {name: value for name, value in nowhere.items() if name not in os.environ}
            self._exported.callback(restore, dict.fromkeys(unset))
            os.environ.update(unset)
            return
        try:
            self._statuses = self._connected().start(_sorted(self.services))
            need = Need(services=frozenset(self.services))
            services = self._exported.enter_context(self._leased(need, need.services, None))
        except UnavailableError as error:
            # Nobody can say which tests need it, so none can be skipped, and without it they would
            # go wherever the application goes by itself: to the servers of whoever develops it.
            raise pytest.UsageError(
                f"{_words(error)}\n(export_env: pytest --envkit=off runs the tests without envkit)"
            ) from None
        except EnvkitError as error:
            raise pytest.UsageError(_words(error)) from None
        else:
            self._exported.enter_context(environment_of(services))
            self._exported_services = services

    def collected(self) -> None:
        """All conftests and test modules are imported."""
        if self._exported_services is not None:
            self._led_elsewhere = led_elsewhere(self._exported_services)

    def use_for_django(self) -> None:
        """Have Django's tests take the exported database for theirs, where its settings name it."""
        services = self._exported_services
        if services is not None and "postgres" in services:
            from envkit.pytest_on_django import use_lease

            use_lease(services.postgres.endpoint)

    def explain(self, error: Exception) -> None:
        """Have an error of the project's imports say so if nothing was exported for them."""
        if not self.settings.export_env:
            return
        if self._mode == "off":
            why = _OFF
        elif self.unavailable is not None:
            why = _words(self.unavailable)
        else:
            return
        # pytest puts what a conftest raised into an error of its own, and shows the former.
        cause = getattr(error, "cause", None)
        shown = cause if isinstance(cause, BaseException) else error
        shown.add_note(f"envkit: export_env has set nothing: {why}")

    def close(self) -> None:
        self._exported.close()
        if self._client is not None:
            self._client.close()

    def _wants(self, services: Iterable[ServiceName], need: Need) -> list[Want]:
        try:
            return self._templates.wants(_sorted(services), **need.options())
        except UsageError as error:
            raise pytest.UsageError(_words(error)) from None

    def _connected(self) -> Client:
        # Once more in a child that runs a test by itself (pytest-forked), whose leases are its own,
        # and after the keeper was lost: that costs the tests that were using it, and no others.
        if self._client is None or self._client.closed or self._pid != os.getpid():
            self._client = connect(self._loaded.root, self._loaded.settings)
            self._pid = os.getpid()
        return self._client

    # -- leases -------------------------------------------------------------------------------

    @contextmanager
    def lease(self, need: Need, request: pytest.FixtureRequest) -> Iterator[Services]:
        """A lease for a fixture: what goes wrong skips or fails the test in plain words."""
        whose = (request.node.nodeid, request.fixturename or "")
        with ExitStack() as stack:
            yield self._entered(stack, need, need.services, whose)

    @contextmanager
    def test_lease(self, item: pytest.Item, need: Need) -> Iterator[TestLease]:
        """The lease of one test, dropped or kept at its end."""
        with ExitStack() as stack:
            whose = (item.nodeid, "")
            first = set(need.services)
            yield TestLease(lambda wanted: self._entered(stack, need, wanted, whose), first)

    def _entered(
        self, stack: ExitStack, need: Need, wanted: Collection[ServiceName], whose: tuple[str, str]
    ) -> Services:
        if self._mode == "off":
            pytest.skip(_OFF)
        if self.unavailable is not None:
            pytest.skip(_skip_words(self.unavailable))
        try:
            return stack.enter_context(self._leased(need, wanted, whose))
        except EnvkitError as error:
            failure = error
        # Not in the handler: a report with both errors would say the same twice.
        if isinstance(failure, UnavailableError) and self._mode == "auto":
            self.unavailable = failure
            pytest.skip(_skip_words(failure))
        failed = pytest.fail.Exception(_words(failure), pytrace=False)
        # For `symptoms_of`; a cause would be shown beside it.
        failed.envkit_error = failure  # type: ignore[attr-defined] # not of pytest's
        raise failed

    @contextmanager
    def _leased(
        self, need: Need, wanted: Collection[ServiceName], whose: tuple[str, str] | None
    ) -> Iterator[Services]:
        client = self._connected()
        lease = self._templates.take(client, self._wants(wanted, need))
        # What a run has for itself goes with its connection.
        held = self._leases.opened(lease, client, *whose) if whose else None
        services = Services(lease, self.settings)
        try:
            yield services
        finally:
            services.close()
            if held is not None:
                self._leases.closed(held)

    @contextmanager
    def secrets(self) -> Iterator[dict[str, str]]:
        """Declared secrets that are not in ``os.environ``, there for a ``with`` block."""
        made = for_one_test(self._loaded, os.environ)
        conceal(made.values())
        before = {name: os.environ.get(name) for name in made}
        os.environ.update(made)
        try:
            yield {name: Hidden(value) for name, value in made.items()}
        finally:
            restore(before)

    # -- what people see ----------------------------------------------------------------------

    def header(self) -> list[str]:
        """A line for each service that is up, or why none is."""
        if self.unavailable is not None:
            first, *rest = _words(self.unavailable).splitlines()
            indented = [f"    {line}" for line in rest]
            return [f"envkit: tests that need real services are skipped: {first}", *indented]
        lines = [
            redacted(f"envkit: {one.service} is {one.product} {one.version}{_how(one)}")
            for one in self._statuses
        ]
        if self._led_elsewhere:
            lines.append(
                "envkit: a conftest.py, a plugin or the application leads elsewhere than export_env"
                f" did: {', '.join(self._led_elsewhere)}"
            )
        return lines

    def saw(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Have the report of a failure say what is known of the test's services."""
        if report.failed and (leases := self._leases.failed(item)):
            from envkit.pytest_report import sections

            report.sections += sections(leases, self._leases.keep, self.settings)
        if report.when == "teardown":
            self._leases.test_is_over()

    def tests_are_over(self) -> None:
        """Fixtures that are torn down from now on belong to no test."""
        self._leases.tests_are_over()

    def account(self) -> dict[str, Any]:
        """What a worker tells the xdist controller at its end."""
        return {
            "failure": self.failure.as_dict() if self.failure else None,
            "unavailable": self.unavailable.as_dict() if self.unavailable else None,
            "statuses": as_builtins(self._statuses),
            "kept": self._kept,
            "led_elsewhere": self._led_elsewhere,
        }

    def hear(self, account: dict[str, Any]) -> None:
        """The controller's side of `account`; workers share the keeper, so one word is enough."""
        import msgspec

        self._under_xdist = True
        if account["failure"] and self.failure is None:
            self.failure = from_dict(account["failure"])
        if account["unavailable"] and self.unavailable is None:
            error = from_dict(account["unavailable"])
            assert isinstance(error, UnavailableError)
            self.unavailable = error
        self._led_elsewhere = self._led_elsewhere or account["led_elsewhere"]
        known = {one.service for one in self._statuses}
        for one in msgspec.convert(account["statuses"], list[ServiceStatus]):
            if one.service not in known:
                self._statuses.append(one)
        self._kept += [(nodeid, lease, list(names)) for nodeid, lease, names in account["kept"]]

    def summarise(self, reporter: pytest.TerminalReporter) -> None:
        if self.failure is not None:
            reporter.section("envkit", sep="=", red=True, bold=True)
            from envkit.pytest_findings import lines_of_error

            for line in lines_of_error(self.failure):
                reporter.write_line(line)
        elif self._under_xdist:
            for line in self.header():
                reporter.write_line(line)
        for nodeid, lease, names in self._kept:
            for name in names:
                reporter.write_line(f"kept for {nodeid}: envkit shell {name} --lease {lease}")
        if self._kept:
            reporter.write_line("all of them stay until: envkit down")


def _how(status: ServiceStatus) -> str:
    if status.backend == "attach":
        return f", {status.why}"
    return f" ({status.backend}: {status.why}), started in {status.started_ms:.0f} ms"


def _sorted(wanted: Iterable[ServiceName]) -> list[ServiceName]:
    """In the one order that all use: ClickHouse takes longest, but each is started at once."""
    chosen = set(wanted)
    return [name for name in SERVICES if name in chosen]


def _skip_words(error: EnvkitError) -> str:
    """On one line: the short summary repeats it for each test."""
    return one_line(_words(error))


def _words(error: EnvkitError) -> str:
    return printable(redacted(str(error)))
