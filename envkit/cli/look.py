"""``envkit status`` and ``envkit logs``: what is there, looked at only."""

from __future__ import annotations

from typing import Any

import click

from envkit.cli.arguments import Command
from envkit.cli.shared import (
    configured,
    format_option,
    guarded,
    print_json,
    project_root,
    say,
    service_argument,
)

__all__ = ["logs", "status"]


@click.command()
@format_option
@guarded()
def status(output: str) -> int:
    """Show what is running for this project, and why that way."""
    from envkit.errors import KeeperLost, UseError
    from envkit.keeper.client import join, running
    from envkit.processes import start_time

    root = project_root()
    keepers: list[dict[str, Any]] = []
    silent: list[int] = []
    for record in running(root):
        try:
            with join(record.key, hold=False) as client:
                keepers.append(client.status())
        except UseError as error:
            # Most often it ended just now. One that lives and says nothing hangs.
            if isinstance(error, KeeperLost) and start_time(record.pid) == record.started:
                silent.append(record.pid)
    if output == "json":
        print_json({"version": 1, "project": str(root), "keepers": keepers})
    for pid in silent:
        say(f"a keeper (pid {pid}) runs and does not answer\n  → envkit down ends it", err=True)
    if output == "text" and not keepers and not silent:
        say(f"nothing is running for {root}")
    for keeper in keepers if output == "text" else ():
        _print_keeper(keeper)
    return 1 if silent else 0


def _print_keeper(keeper: dict[str, Any]) -> None:
    clients = keeper["clients"]
    holds = [f"used by {clients} client{'s' if clients != 1 else ''}"] if clients else []
    holds += ["up until `envkit down`"] if keeper["pinned"] else []
    say(f"{keeper['project']}: {', '.join(holds) or 'ending'} (keeper {keeper['pid']})")
    for row in keeper["services"]:
        where = f"{row['host']}:{row['port']}" if row["port"] else ""
        what = f"{row['product']} {row['version']}".strip()
        leases = f", {row['leases']} lease{'s' if row['leases'] != 1 else ''}" * bool(row["leases"])
        say(f"  {row['service']:<11}{row['state']:<9}{what:<28}{where}".rstrip())
        how = "" if row["backend"] == "attach" else f"{row['backend']}: "
        say(f"             {how}{row['why']}{leases}")


@click.command(cls=Command)
@service_argument
@guarded()
def logs(service: str) -> None:
    """Print the logs of a service's servers.

    When nothing is running: what was saved of the last run that ended badly.
    """
    from envkit.errors import KeeperAbsent, UseError
    from envkit.keeper.client import join, running
    from envkit.paths import state_dir
    from envkit.redact import printable

    loaded = configured([service])
    name = loaded.settings.services[0]
    paths = []
    for record in running(loaded.root):
        try:
            with join(record.key, hold=False) as client:
                paths += client.logs(name)
        except UseError:
            continue
    if not paths:
        from envkit.keeper.record import log_prefix, name_of

        # Whatever the configuration was: to change it is what one does after a bad run.
        saved = (state_dir() / "logs").glob(f"{log_prefix(name_of(loaded.root))}.{name}*.log")
        newest_last = sorted(saved, key=lambda path: path.stat().st_mtime)
        last_run = newest_last[-1].name.partition(".")[0] if newest_last else ""
        paths = [path for path in newest_last if path.name.partition(".")[0] == last_run]
    if not paths:
        raise KeeperAbsent(
            f"{name} is not running for {loaded.root}, and no logs were saved",
            hint=f"envkit up {name}",
        )
    for path in paths:
        if len(paths) > 1:
            say(f"==> {path} <==", err=True)
        say(printable(path.read_text(errors="replace")), nl=False)
