"""Each service: what the plan says, and whether what runs already answers.

A server of somebody else's is looked at from the name of its host up to its users' rights; one that
this project's keeper has started is asked for a sign of life; one that would be started is not.
"""

from __future__ import annotations

import errno
import socket
from functools import partial
from importlib import import_module
from typing import Any, Final

from msgspec import structs

from envkit import services
from envkit.config import Config
from envkit.doctor.engine import diagnose
from envkit.doctor.model import Facts, Symptom
from envkit.doctor.probes.life import sign_of_life
from envkit.doctor.probes.look import Context, Looked, Probe
from envkit.doctor.symptoms import from_exception, of_envkit
from envkit.dsn import Dsn, read
from envkit.errors import EnvkitError, KeeperLost, UseError
from envkit.keeper.attached import refuse_other_version
from envkit.keeper.client import join, running
from envkit.keeper.target import planned
from envkit.model import SERVICES, ServiceName
from envkit.plan import Choice

__all__ = ["PROBES"]

_LIMIT_S: Final = 1.0
#: Of the steps; a little less in all than the probe's own, so that their words are heard.
_STEP_S: Final = 0.8
_REFUSED: Final = "net.refused"


class _Hung(Exception):
    """A keeper that runs and does not answer."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"the process that keeps the servers (pid {pid}) does not answer")


def _look(service: ServiceName, context: Context) -> Looked:
    if context.config is None:
        return Looked(status="skipped", detail="the configuration cannot be read")
    if service not in context.config.settings.services:
        return Looked(status="skipped", detail="not among the configured services")
    check = services.load(service).title
    try:
        settings, root = context.config.settings, str(context.config.root)
        choice = planned(services.load(service), settings, root)
    except EnvkitError as error:
        return Looked(symptoms=(of_envkit(error, check=check, service=service),))
    if choice.backend == "attach" and choice.target is not None:
        target = read(service, choice.target.url, choice.target.origin)
        looked = _look_at_others(service, target, check, choice.why)
        if any(_slug(one) == _REFUSED for one in looked.symptoms):
            return _with(looked, _ways_out(target, context, context.config))
        if looked.version:
            spec, table = services.load(service), context.config.settings.of(service)
            try:
                refuse_other_version(spec, choice, looked.version, table)
            except EnvkitError as error:
                return _also(looked, of_envkit(error, check=check, service=service))
        return looked
    return _look_at_ours(service, context.config, check, choice)


def _also(looked: Looked, symptom: Symptom) -> Looked:
    return structs.replace(looked, symptoms=(*looked.symptoms, symptom))


def _look_at_others(service: ServiceName, target: Dsn, check: str, why: str) -> Looked:
    if not target.is_socket:
        try:
            _reach(target)
        except OSError as error:
            symptoms = from_exception(error, service=service, check=check, where=why)
            silent = isinstance(error, TimeoutError)
            looked = Looked(
                status="not-checked" if silent else "pass",
                detail=f"{target.where} does not answer" if silent else target.where,
                symptoms=tuple(symptoms),
            )
            return _with(looked, {"host": target.host, "port": str(target.port)})
    from envkit.services import attached

    address = attached.load(service).address(target, "")
    look = import_module(f"envkit.doctor.probes.{service}").look
    seen: Looked = look(address, limit=_STEP_S, check=check, leases=True)
    return seen


def _reach(target: Dsn) -> None:
    """Open a connection and close it again.

    Raises:
        OSError: Whatever is wrong with the name, the way or the port.
    """
    last: OSError | None = None
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, place in found:
        with socket.socket(family, kind, protocol) as one:
            one.settimeout(_STEP_S / len(found))
            try:
                one.connect(place)
            except OSError as error:
                last = error
            else:
                return
    raise last or OSError(errno.EADDRNOTAVAIL, "the name has no address")


def _with(looked: Looked, about: dict[str, str]) -> Looked:
    """With facts for the rules."""
    symptoms = (structs.replace(one, data={**one.data, **about}) for one in looked.symptoms)
    return structs.replace(looked, symptoms=tuple(symptoms))


def _slug(symptom: Symptom) -> str:
    finding = diagnose(symptom, Facts())
    return finding.slug if finding else ""


def _ways_out(target: Dsn, context: Context, config: Config) -> dict[str, str]:
    """What starts the server that is not there, and what lets one of ours stand in for it."""
    from envkit.doctor.probes.starters import start_command

    variable = config.settings.of(target.service).url_origin
    ours = variable in context.environ and _without_url(target.service, config)
    return {
        "start": start_command(target, context.root, context.environ),
        "unset": variable if ours else "",
    }


def _without_url(service: ServiceName, config: Config) -> bool:
    """Whether a server of ours could be had if no URL said otherwise."""
    if config.settings.backend_of(service) != "auto":
        return False
    table = structs.replace(config.settings.of(service), url="", url_origin="")
    settings = structs.replace(config.settings, **{service: table})
    try:
        choice = planned(services.load(service), settings, str(config.root))
    except EnvkitError:
        return False
    return choice.backend != "attach"


def _look_at_ours(service: ServiceName, config: Config, check: str, choice: Choice) -> Looked:
    try:
        rows = [row for row in _running(config) if row["service"] == service]
    except _Hung as error:
        return Looked(status="not-checked", detail=str(error))
    for row in rows:
        if row["state"] == "ready":
            symptoms = sign_of_life(service, row["host"], row["port"], limit=_STEP_S, check=check)
            where = f"{row['product']} {row['version']} at {row['host']}:{row['port']}"
            silent = any(one.code == "TIMEOUT" for one in symptoms)
            return Looked(
                status="not-checked" if silent else "pass",
                detail=f"{where} does not answer"
                if silent
                else f"{where}, started in {row['started_ms']:.0f} ms; {choice.why}",
                symptoms=tuple(symptoms),
                started_ms=row["started_ms"],
            )
    return Looked(detail=f"{choice.backend}: {choice.why}")


def _running(config: Config) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for record in running(config.root):
        try:
            with join(record.key, hold=False, limit=_STEP_S) as client:
                found += client.status()["services"]
        except (UseError, KeeperLost) as error:
            if isinstance(error.__context__, TimeoutError):
                raise _Hung(record.pid) from None
            continue  # it ended just now
    return found


PROBES: Final = tuple(
    Probe(
        name=services.load(service).title,
        group="Services",
        limit=_LIMIT_S,
        look=partial(_look, service),
    )
    for service in SERVICES
)
