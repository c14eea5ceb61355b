"""ClickHouse: a database for each lease.

A ``clickhouse`` program on PATH is the real server. Where there is none, `envkit.chdb_server`
puts ClickHouse's HTTP interface in front of the same engine from the chdb-core wheel.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import structs

from envkit.model import Endpoint, ServiceSettings
from envkit.recipes import (
    CiRecipe,
    ComposeRecipe,
    ContainerRecipe,
    FoundImage,
    FoundProgram,
    Image,
    ProcessRecipe,
    Program,
    ShellTool,
)
from envkit.services.clickhouse_copies import create, drop, seal, unseal
from envkit.services.clickhouse_http import Rejected, query
from envkit.services.clickhouse_renewal import renew
from envkit.services.clickhouse_statements import apply
from envkit.services.handle import Handle, driver
from envkit.services.spec import THROW_AWAY, Address, Greeting, Namespace, Service
from envkit.versions import numbers

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient
    from clickhouse_connect.driver.client import Client

__all__ = ["SPEC", "ClickHouseHandle", "Rejected", "query"]

# Nothing to save and nothing shared: SIGTERM would only take longer.
_STOP = signal.SIGKILL
_CHDB_SERVER = str(Path(__file__).parent.parent / "chdb_server" / "__main__.py")

# https://clickhouse.com/docs/operations/server-configuration-parameters/settings: the least a
# server needs, HTTP on loopback only, no system logs to disk, caches sized for a test.
_SERVER_XML = """\
<clickhouse>
  <logger><level>information</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <path>{data}/</path>
  <tmp_path>{data}/tmp/</tmp_path>
  <user_files_path>{data}/user_files/</user_files_path>
  <format_schema_path>{data}/format_schemas/</format_schema_path>
  <timezone>UTC</timezone>
  <mark_cache_size>67108864</mark_cache_size>
  <mlock_executable>false</mlock_executable>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <users_config>{run}/users.xml</users_config>
</clickhouse>
"""

_USERS_XML = """\
<clickhouse>
  <profiles><default>%s</default></profiles>
  <users><default>
    <password>{password}</password>
    <networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <access_management>1</access_management>
  </default></users>
  <quotas><default></default></quotas>
</clickhouse>
"""


_PROFILE_XML = "<clickhouse><profiles><default>%s</default></profiles></clickhouse>\n"
_PASSWORD_FILE = "/etc/envkit/password"  # noqa: S105 - where it lies


def _values(settings: ServiceSettings) -> dict[str, str | int | float]:
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in settings.settings.items()
    }


def _profile(settings: ServiceSettings) -> str:
    from html import escape  # does for XML; xml.sax would import half of urllib

    values = _values(settings)
    return "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in values.items())


def _container(settings: ServiceSettings, image: FoundImage) -> ContainerRecipe:
    """After https://hub.docker.com/r/clickhouse/clickhouse-server."""
    files = {_PASSWORD_FILE: "{password}"}
    if settings.settings:
        files["/etc/clickhouse-server/users.d/envkit.xml"] = _PROFILE_XML % _profile(settings)
    # Images before 24.1 read no file (https://github.com/ClickHouse/ClickHouse/pull/58583).
    reads_file = not image.version or numbers(image.version) >= (24, 1)
    return ContainerRecipe(
        port=8123,
        environment={
            "CLICKHOUSE_USER": "default",
            **({} if reads_file else {"CLICKHOUSE_PASSWORD": "{password}"}),
            "CLICKHOUSE_PASSWORD_FILE": _PASSWORD_FILE,
            "CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT": "1",
            "TZ": "UTC",
        },
        files=files,
        data=() if image.volumes else ("/var/lib/clickhouse",),
    )


def _compose(settings: ServiceSettings, image: FoundImage) -> ComposeRecipe:
    container = _container(settings, image)
    environment = {"CLICKHOUSE_USER": "{user}", "CLICKHOUSE_DB": "{database}"}
    return ComposeRecipe(
        container=structs.replace(container, environment=container.environment | environment),
        # Not 127.0.0.1: there the server that runs the init scripts answers, too. A proxy that the
        # engine gives to its containers is not for this.
        ready='http_proxy= wget -q --spider "http://$HOSTNAME:8123/ping"',
        credentials={
            "user": ("CLICKHOUSE_USER", "default"),
            "password": ("CLICKHOUSE_PASSWORD", "clickhouse"),
            # None: a database of another name would cost a second start of the server.
            "database": ("CLICKHOUSE_DB", ""),
        },
    )


def _ci(settings: ServiceSettings) -> CiRecipe:
    """After https://hub.docker.com/r/clickhouse/clickhouse-server."""
    return CiRecipe(
        port=8123,
        environment={
            "CLICKHOUSE_USER": "default",
            "CLICKHOUSE_PASSWORD": THROW_AWAY,
            "CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT": "1",
        },
        command=(),
        ready=("wget", "-q", "--spider", "http://127.0.0.1:8123/ping"),
        url=f"http://default:{THROW_AWAY}@{{host}}:8123/default",
        # Of a profile, which is a file.
        ignored=tuple(settings.settings),
    )


def _process(settings: ServiceSettings, found: FoundProgram) -> ProcessRecipe:
    if found.program.origin == "path":
        return ProcessRecipe(
            arguments=("{program}", "server", "--config-file={run}/config.xml"),
            files={
                "{run}/config.xml": _SERVER_XML,
                "{run}/users.xml": _USERS_XML.replace("%s", _profile(settings)),
            },
            stop_signal=_STOP,
        )
    config = {
        "user": "{user}",
        "password": "{password}",
        "database": "default",
        "settings": _values(settings),
        "timezone": "UTC",
        "max_execution_time": 0,
    }
    return ProcessRecipe(
        arguments=(
            "{python}",
            "-P",  # whatever lies in the current directory is not ours to import
            _CHDB_SERVER,
            "--host=127.0.0.1",
            "--port={port}",
            "--path={data}",
            "--config={run}/chdb.json",
        ),
        files={"{run}/chdb.json": json.dumps(config)},
        stop_signal=_STOP,
    )


def _warm() -> None:
    import http.client  # noqa: F401 - see `Service.warm`


def _greet(address: Address, limit: float) -> Greeting:
    version = query(address, limit, "SELECT version()")
    return Greeting(product="ClickHouse", version=version)


def _url(address: Address, namespace: Namespace) -> str:
    user, password = quote(namespace.user, safe=""), quote(namespace.password, safe="")
    scheme = "https" if address.tls else "http"
    said = "&".join(f"{name}={quote(text)}" for name, text in address.parameters.items())
    return (
        f"{scheme}://{user}:{password}@{address.url_host}/{namespace.database}"
        f"{'?' if said else ''}{said}"
    )


def _environment(endpoint: Endpoint) -> dict[str, str]:
    return {
        "CLICKHOUSE_URL": endpoint.url,
        "CLICKHOUSE_HOST": endpoint.host,
        "CLICKHOUSE_PORT": str(endpoint.port),
        "CLICKHOUSE_USER": endpoint.user,
        "CLICKHOUSE_PASSWORD": endpoint.password,
        "CLICKHOUSE_DATABASE": endpoint.database,
        **({"CLICKHOUSE_SECURE": "true"} if endpoint.url.startswith("https:") else {}),
    }


class ClickHouseHandle(Handle):
    """A database of its own, over ClickHouse's HTTP interface."""

    def client(self, **kwargs: Any) -> Client:
        """A clickhouse-connect client; closed with the lease if the test does not.

        Args:
            kwargs: Further arguments for ``clickhouse_connect.get_client``.

        Raises:
            DriverMissing: clickhouse-connect cannot be imported.
        """
        connect = driver("clickhouse_connect", "clickhouse-connect")
        client: Client = connect.get_client(dsn=self.url, **(self._tls() | kwargs))
        return self._closing(client)

    async def aclient(self, **kwargs: Any) -> AsyncClient:
        """An asynchronous clickhouse-connect client for the running event loop; close it yourself.

        Args:
            kwargs: Further arguments for ``clickhouse_connect.get_async_client``.

        Raises:
            DriverMissing: clickhouse-connect cannot be imported, or was installed without its
                ``async`` extra.
        """
        driver("aiohttp", "clickhouse-connect[async]")  # what its asynchronous client stands on
        connect = driver("clickhouse_connect", "clickhouse-connect")
        client: AsyncClient = await connect.get_async_client(dsn=self.url, **(self._tls() | kwargs))
        return client

    def _tls(self) -> dict[str, Any]:
        # clickhouse-connect 1.12 does not look at the scheme of its dsn.
        return {"interface": "https"} if self.url.startswith("https:") else {}


def _tool(endpoint: Endpoint) -> ShellTool:
    # `clickhouse client` speaks the native protocol, which chdb does not serve, so only envkit's
    # own prompt works everywhere.
    return ShellTool(programs=(), arguments=(), environment=_environment(endpoint))


SPEC = Service(
    name="clickhouse",
    title="ClickHouse",
    admin="default",
    programs=(
        Program(product="ClickHouse", origin="path", name="clickhouse"),
        Program(
            product="ClickHouse (chdb)",
            origin="module",
            package="chdb",
            distribution="chdb-core",
        ),
    ),
    process=_process,
    image=Image(official="clickhouse/clickhouse-server", version="25.8", built="envkit/clickhouse"),
    container=_container,
    compose=_compose,
    ci=_ci,
    greet=_greet,
    warm=_warm,
    create=create,
    drop=drop,
    seal=seal,
    unseal=unseal,
    renew=renew,
    whole=None,
    url=_url,
    environment=_environment,
    misleading=(),
    handle=ClickHouseHandle,
    tool=_tool,
    apply=apply,
)
