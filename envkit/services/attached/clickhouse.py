"""ClickHouse servers of somebody else: databases with a prefix, and a comment that says whose.

The server has nothing that would prove to others that a keeper lives, so what runs on other
machines left is a matter of age.
"""

from __future__ import annotations

import json
import re
import ssl
from typing import Final

from envkit.dsn import Dsn
from envkit.errors import AttachUnsuitable
from envkit.model import ServiceSettings
from envkit.owner import Owner
from envkit.services.attached.spec import Attachment, Presence, Trace
from envkit.services.clickhouse_copies import create, drop, seal, unseal
from envkit.services.clickhouse_http import Rejected, query
from envkit.services.spec import Address, Greeting
from envkit.wait import Trouble

__all__ = ["ATTACHMENT"]

_LIMIT_S: Final = 60
# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp: UNKNOWN_USER,
# WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
_NO_ENTRY: Final = re.compile(r"Code: (192|193|194|516)\b")
_NO_RIGHT: Final = "Code: 497"
_NAME: Final = re.compile(r"envkit_([0-9a-f]{8})_")


def _address(dsn: Dsn, run: str) -> Address:
    return Address(
        host=dsn.host,
        port=dsn.port,
        user=dsn.user or "default",
        password=dsn.password,
        database=dsn.database,
        tls=dsn.tls,
        parameters=dict(dsn.parameters),
        run=run,
    )


def _trouble(_: Address, error: Exception) -> Trouble:
    if isinstance(error, Rejected):
        if error.status in (401, 403) or _NO_ENTRY.search(str(error)):
            return Trouble(kind="denied", hint="correct user and password in the URL")
        if error.native or error.status >= 500:
            return Trouble(kind="starting", hint="see what the server says above")
        return Trouble(kind="foreign", hint="name the port of its HTTP interface, usually 8123")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble(
            kind="denied",
            hint="name the authority with ?ca_cert=… or do not check with ?verify=false in the URL",
        )
    if isinstance(error, ssl.SSLError):
        return Trouble(kind="foreign", hint="without TLS the URL begins with http://")
    if "not an HTTP answer" in str(error):
        return Trouble(kind="foreign", hint="name the port of its HTTP interface, usually 8123")
    return Trouble(kind="absent", hint="is it running, and are host and port right?")


def _examine(address: Address, _: Greeting, __: ServiceSettings) -> None:
    """Make a database of the run's own and drop it: nothing else tells all versions' rights."""
    name = f"{address.prefix}rights"
    try:
        query(address, _LIMIT_S, f"CREATE DATABASE `{name}`")
        query(address, _LIMIT_S, f"DROP DATABASE `{name}`")
    except Rejected as error:
        if not str(error).startswith(_NO_RIGHT):
            raise
        raise AttachUnsuitable(
            f"the user {address.user!r} may not create databases on ClickHouse at "
            f"{address.url_host}",
            detail=str(error),
            hint=f"as an administrator: GRANT ALL ON `envkit_*`.* TO `{address.user}`",
        ) from None


class _Nothing(Presence):
    def close(self) -> None:
        pass


def _announce(_: Address, __: str) -> Presence:
    return _Nothing()


def _databases(address: Address) -> list[tuple[str, str]]:
    said = query(
        address,
        _LIMIT_S,
        "SELECT name, comment FROM system.databases WHERE match(name, '^envkit_[0-9a-f]{8}_')"
        " ORDER BY name FORMAT JSONCompactEachRow",
    )
    return [(str(name), str(comment)) for name, comment in map(json.loads, said.splitlines())]


def _traces(address: Address) -> list[Trace]:
    found: dict[str, list[tuple[str, str]]] = {}
    for name, comment in _databases(address):
        match = _NAME.match(name)
        assert match is not None
        found.setdefault(match[1], []).append((name, comment))
    return [
        Trace(
            run=run,
            owner=next((o for _, text in parts if (o := Owner.read(text))), None),
            alive=None,
            names=tuple(name for name, _ in parts),
        )
        for run, parts in found.items()
    ]


def _clear(address: Address, run: str) -> list[str]:
    names = [name for name, _ in _databases(address) if name.startswith(f"envkit_{run}_")]
    for name in names:
        query(address, _LIMIT_S, f"DROP DATABASE IF EXISTS `{name}` SYNC")
    return names


ATTACHMENT = Attachment(
    address=_address,
    trouble=_trouble,
    examine=_examine,
    announce=_announce,
    create=create,
    drop=drop,
    seal=seal,
    unseal=unseal,
    traces=_traces,
    clear=_clear,
)
