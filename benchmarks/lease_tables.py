"""What leases.py prints: a table for each kind of figures, and the budgets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

__all__ = ["BUDGET_TABLES", "Budget", "budgets", "percentile", "print_all"]

BUDGET_TABLES = 50
_ENVKIT = "envkit"
_Rows = Sequence[dict[str, Any]]


class Budget(Struct, frozen=True, kw_only=True):
    """A figure that is to be kept."""

    what: str
    measured: float
    bound: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "MET" if self.met else "MISSED"
        bound = f"{sign} {self.bound:g}{self.unit}"
        return f"{self.what:<62}{self.measured:>9.2f}{self.unit:<3} {bound:>10}  {verdict}"


def percentile(values: Sequence[float], part: int) -> float:
    if not values[1:]:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[part - 1]


def budgets(result: dict[str, Any]) -> list[Budget]:
    """The worst of all kinds of work counts, and of all numbers of clients."""
    found = []
    latency = [row for row in result["latency"] if row["tables"] == BUDGET_TABLES]
    for what, sample, part, bound in (
        ("hand-out of all three, p50", "hand-out", 50, 2),
        ("hand-out of all three, p95", "hand-out", 95, 10),
        ("to the first answers of all three, p50", "answers", 50, 15),
    ):
        value, work = max((percentile(r["samples"][sample], part), r["work"]) for r in latency)
        found.append(Budget(what=f"{what} ({work})", measured=value, bound=bound, unit="ms"))
    for row in result["no_pool"]:
        if row["tables"] == BUDGET_TABLES:
            lease, statement = (statistics.median(row["samples"][k]) for k in row["samples"])
            ratio = lease / statement
            found.append(
                Budget(
                    what="lease without a pool / CREATE DATABASE",
                    measured=ratio,
                    bound=1.2,
                    unit="x",
                )
            )
    for peer in ("pytest-postgresql", "pgtestdb"):
        ratios = _ratios(result["rates"], peer)
        if ratios:
            ratio, where = min(ratios)
            found.append(
                Budget(
                    what=f"rate / {peer} ({where})",
                    measured=ratio,
                    bound=1.5,
                    unit="x",
                    at_least=True,
                )
            )
    return found


def _ratios(rates: _Rows, peer: str) -> list[tuple[float, str]]:
    alone = [row for row in rates if len(row["services"]) == 1]
    ours = {(r["work"], r["clients"]): r["rate"] for r in alone if r["way"] == _ENVKIT}
    return [
        (
            ours[row["work"], row["clients"]] / row["rate"],
            f"{row['work']}, {row['clients']} clients",
        )
        for row in alone
        if row["way"] == peer
    ]


def print_all(machine: dict[str, Any], result: dict[str, Any], judged: Sequence[Budget]) -> None:
    print("{cpu}, {cores} cores, Linux {kernel}, Python {python}".format(**machine))
    print(
        f"load before {machine['load_before'][0]:.1f}, after {machine['load_after'][0]:.1f};"
        f" {machine['seconds']:.0f} s; milliseconds where nothing else is said"
    )
    _leases(result)
    _without_pool(result["no_pool"])
    _peers(result["peers"])
    _rates(result["rates"])
    _memory(result["memory"])
    print("\nbudgets (50 tables; the worst kind of work or number of clients)")
    for budget in judged:
        print(budget)
    for row in sorted(_ratios(result["rates"], "pgtestdb, file_copy"))[:1]:
        print(f"{f'for comparison: rate / pgtestdb with file_copy ({row[1]})':<62}{row[0]:>9.2f}x")


def _three(values: Sequence[float]) -> str:
    return "".join(f"{percentile(values, part):>8.2f}" for part in (50, 95, 99))


def _leases(result: dict[str, Any]) -> None:
    print("\nwarm leases on all three services, 50 ms of work between")
    heads = "".join(f"{f'{name} p50':>16}{'p95':>8}{'p99':>8}" for name in ("hand-out", "answers"))
    print(f"{'tables, work':<14}{heads}{'recycled p50':>14}{'p95':>8}")
    around = {(r["tables"], r["work"]): r["samples"]["turn-around"] for r in result["turn_around"]}
    for row in result["latency"]:
        samples, turn = row["samples"], around[row["tables"], row["work"]]
        label = f"{row['tables']:>3}  {row['work']}"
        print(
            f"{label:<14}{'':8}{_three(samples['hand-out'])}{'':8}{_three(samples['answers'])}"
            f"{percentile(turn, 50):>14.2f}{percentile(turn, 95):>8.2f}"
        )
    parts = ("hand-out", "postgres", "redis", "clickhouse")
    for row in result["latency"]:
        if row["tables"] == BUDGET_TABLES:
            said = [f"{part} {percentile(row['samples'][part], 50):.1f}" for part in parts]
            print(f"  {BUDGET_TABLES} tables, {row['work']}, parts at p50: {', '.join(said)}")


def _without_pool(rows: _Rows) -> None:
    print("\nwithout a pool: a lease on Postgres, and the server's own CREATE DATABASE … file_copy")
    print(f"{'tables':<14}{'lease p50':>16}{'p95':>8}{'statement p50':>16}{'p95':>8}{'ratio':>8}")
    for row in rows:
        lease, statement = row["samples"]["lease"], row["samples"]["statement"]
        ratio = statistics.median(lease) / statistics.median(statement)
        print(
            f"{row['tables']:>3}{'':11}{percentile(lease, 50):>16.2f}{percentile(lease, 95):>8.2f}"
            f"{percentile(statement, 50):>16.2f}{percentile(statement, 95):>8.2f}{ratio:>8.2f}"
        )


def _peers(rows: _Rows) -> None:
    print("\nPostgres alone, one client, 50 ms of work between")
    print(f"{'tables, way':<28}{'answer p50':>12}{'p95':>8}{'removal p50':>13}{'p95':>8}")
    for row in rows:
        answers, removal = row["samples"]["answers"], row["samples"]["removal"]
        label = f"{row['tables']:>3}  {row['way']}"
        print(
            f"{label:<28}{percentile(answers, 50):>12.2f}{percentile(answers, 95):>8.2f}"
            f"{percentile(removal, 50):>13.2f}{percentile(removal, 95):>8.2f}"
        )


def _rates(rows: _Rows) -> None:
    clients = sorted({row["clients"] for row in rows})
    works = sorted({row["work"] for row in rows})
    print("\ntests per second, 50 tables, nothing else done; with all removal")
    heads = "".join(f"{f'{work}, {n}':>13}" for work in works for n in clients)
    print(f"{'way; work, clients':<28}{heads}")
    kinds = {(row["way"], tuple(row["services"])): None for row in rows}
    key: Callable[[tuple[str, tuple[str, ...]]], tuple[bool, int]] = lambda kind: (
        kind[0] != _ENVKIT,
        len(kind[1]),
    )
    for way, services in sorted(kinds, key=key):
        label = f"{way}, all three" if len(services) > 1 else way
        found = {
            (row["work"], row["clients"]): row["rate"]
            for row in rows
            if row["way"] == way and tuple(row["services"]) == services
        }
        rates = "".join(f"{found[work, n]:>13.1f}" for work in works for n in clients)
        print(f"{label:<28}{rates}")


def _memory(rows: _Rows) -> None:
    print("\nwhat one ready lease takes, MiB")
    print(f"{'tables, service':<20}{'resident':>10}{'proportional':>14}{'files':>8}")
    for row in rows:
        label = f"{row['tables']:>3}  {row['service']}"
        print(f"{label:<20}{row['rss']:>10.2f}{row['pss']:>14.2f}{row['files']:>8.2f}")
