"""Used copies of ClickHouse templates that become like new, or do not."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from envkit.model import ServiceSettings
from envkit.services.clickhouse import SPEC, Rejected, query
from envkit.services.clickhouse_copies import ClickHouseSealed
from envkit.services.clickhouse_statements import run
from envkit.services.spec import Address, Namespace
from tests.services.conftest import OWNER

Make = Callable[..., Namespace]
SealOf = Callable[[str], ClickHouseSealed]
Ask = Callable[[Namespace, str], str]

_SCHEMA = "".join(
    f"CREATE TABLE t{number} (id UInt64) ENGINE = MergeTree ORDER BY id PARTITION BY id % 2;"
    for number in range(30)
) + (
    "INSERT INTO t1 VALUES (1), (2);"
    "CREATE TABLE empty_log (id UInt64) ENGINE = Log;"
    "CREATE TABLE empty_memory (id UInt64) ENGINE = Memory;"
)
_ALL_ROWS = "SELECT arraySort(groupArray((_table, id))) FROM merge('{db}', '.*')"
_AS_SEEDED = "[('t1',1),('t1',2)]"


class Used:
    """A copy in use, and what becomes of it."""

    def __init__(
        self, server: Address, ask: Ask, template: ClickHouseSealed, namespace: Namespace
    ) -> None:
        self.server = server
        self.ask = ask
        self.template = template
        self.namespace = namespace
        self.made: list[Namespace] = []

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.ask(self.namespace, statement)

    def renew(self) -> Namespace | None:
        name = f"lease_new_{os.urandom(6).hex()}"
        renewed = SPEC.renew(self.server, self.namespace, name, self.template)
        if renewed is not None:
            assert renewed.database == name
            self.made.append(renewed)
        return renewed

    def assert_like_new(self) -> Namespace:
        renewed = self.renew()
        assert renewed is not None
        assert self.namespace.database not in databases(self.server)
        assert self.ask(renewed, _ALL_ROWS) == _AS_SEEDED
        assert (
            self.ask(renewed, "SELECT count() FROM system.tables WHERE database = '{db}'") == "32"
        )
        return renewed

    def assert_given_up(self) -> None:
        before = databases(self.server)
        assert self.renew() is None
        # It is gone, or still where its owner drops it: never under the new name.
        assert databases(self.server) <= before


def databases(server: Address) -> set[str]:
    return set(query(server, 60, "SHOW DATABASES").split())


@pytest.fixture(scope="module")
def plain(server: Address) -> Iterator[ClickHouseSealed]:
    """A template of many tables and nothing else; nobody changes it, so one is enough."""
    name = f"prepared_{os.urandom(6).hex()}"
    prepared = SPEC.create(server, name, ServiceSettings(), OWNER, None)
    run(server, name, _SCHEMA, "tables.sql")
    template = SPEC.seal(server, prepared)
    assert isinstance(template, ClickHouseSealed)
    yield template
    SPEC.unseal(server, template)


@pytest.fixture
def used(
    server: Address, make: Make, plain: ClickHouseSealed, sealed: SealOf, ask: Ask
) -> Callable[..., Used]:
    def use(schema: str = "") -> Used:
        template = sealed(schema) if schema else plain
        return Used(server, ask, template, make(template))

    return use


@pytest.fixture(autouse=True)
def _dropped(server: Address) -> Iterator[None]:
    yield
    for name in databases(server):
        if name.startswith("lease_new_"):
            query(server, 60, f"DROP DATABASE {name} SYNC")


def test_an_unused_copy_is_like_new(used: Callable[..., Used]) -> None:
    used().assert_like_new()


def test_rows_go_and_what_was_seeded_stays(used: Callable[..., Used]) -> None:
    copy = used()
    copy.run(
        "INSERT INTO t0 VALUES (5)",
        "INSERT INTO t1 VALUES (7)",
        "INSERT INTO t2 VALUES (5), (6)",
        "TRUNCATE TABLE t2",
        "INSERT INTO empty_log VALUES (5)",
        "INSERT INTO empty_memory VALUES (5)",
    )
    copy.assert_like_new()


def test_lost_seeds_come_back(used: Callable[..., Used]) -> None:
    copy = used()
    copy.run("ALTER TABLE t1 DROP PARTITION 1")
    copy.assert_like_new()


def test_replaced_seeds_come_back(used: Callable[..., Used]) -> None:
    copy = used()
    copy.run("TRUNCATE TABLE t1", "INSERT INTO t1 VALUES (3), (4)")
    copy.assert_like_new()


def test_tables_that_were_added_go(used: Callable[..., Used]) -> None:
    copy = used()
    copy.run(
        "CREATE TABLE added (id UInt64) ENGINE = MergeTree ORDER BY id",
        "INSERT INTO added VALUES (1)",
        "CREATE TABLE `add ed` (id UInt64) ENGINE = Memory",
    )
    copy.assert_like_new()


def test_a_table_that_was_made_again_is_like_new(used: Callable[..., Used]) -> None:
    copy = used()
    copy.run(
        "DROP TABLE t3 SYNC",
        "CREATE TABLE t3 (id UInt64) ENGINE = MergeTree PARTITION BY id % 2 ORDER BY id",
    )
    copy.assert_like_new()


def test_a_table_that_was_detached_is_back(used: Callable[..., Used]) -> None:
    copy = used()
    copy.run("DETACH TABLE t1")
    copy.assert_like_new()


def test_merges_that_were_stopped_run_again(used: Callable[..., Used], ask: Ask) -> None:
    copy = used()
    copy.run("SYSTEM STOP MERGES t0")
    with pytest.raises(Rejected, match="ABORTED"):
        copy.run("INSERT INTO t0 VALUES (1)", "OPTIMIZE TABLE t0 FINAL")
    renewed = copy.assert_like_new()
    ask(renewed, "INSERT INTO t0 VALUES (1)")
    ask(renewed, "OPTIMIZE TABLE t0 FINAL")


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(["DROP TABLE t0"], id="a table dropped"),
        pytest.param(["DETACH TABLE t0 PERMANENTLY"], id="a table detached"),
        pytest.param(["ALTER TABLE t0 ADD COLUMN more String"], id="a column added"),
        pytest.param(["ALTER TABLE t0 MODIFY COMMENT 'x'"], id="a comment"),
        pytest.param(["ALTER TABLE t1 DETACH PARTITION 1"], id="a partition detached"),
        pytest.param(["ALTER TABLE t1 DELETE WHERE id = 1"], id="a mutation"),
        pytest.param(["DELETE FROM t1 WHERE id = 1"], id="a lightweight delete"),
        pytest.param(["ALTER TABLE t0 DELETE WHERE 1"], id="a mutation of nothing"),
        pytest.param(["CREATE VIEW v AS SELECT * FROM t0"], id="a view added"),
        pytest.param(
            ["CREATE MATERIALIZED VIEW v TO t2 AS SELECT * FROM t0"], id="a materialized view added"
        ),
        pytest.param(
            [
                "CREATE DICTIONARY d (id UInt64) PRIMARY KEY id SOURCE(CLICKHOUSE(DB '{db}' TABLE"
                " 't0')) LAYOUT(HASHED()) LIFETIME(0)"
            ],
            id="a dictionary added",
        ),
        pytest.param(
            ["CREATE TABLE b AS t0 ENGINE = Buffer('{db}', 't0', 1, 1, 1, 1, 1, 1, 1)"],
            id="a buffer added",
        ),
        pytest.param(["ALTER DATABASE {db} MODIFY COMMENT 'mine'"], id="the database's comment"),
        pytest.param(["DROP DATABASE {db}"], id="the database dropped"),
        pytest.param(
            [f"INSERT INTO t{number} VALUES (9)" for number in range(20)], id="too much to undo"
        ),
    ],
)
def test_other_changes_are_not_undone(used: Callable[..., Used], statements: list[str]) -> None:
    copy = used()
    copy.run(*statements)
    copy.assert_given_up()


def test_a_view_elsewhere_that_listens_is_noticed(
    used: Callable[..., Used], make: Make, ask: Ask
) -> None:
    copy, other = used(), make()
    ask(other, "CREATE TABLE heard (id UInt64) ENGINE = Memory")
    ask(
        other,
        f"CREATE MATERIALIZED VIEW ear TO heard AS SELECT id FROM {copy.namespace.database}.t0",
    )
    copy.assert_given_up()


def test_a_query_that_still_runs_is_ended_and_nothing_renewed(
    server: Address, used: Callable[..., Used], ask: Ask
) -> None:
    copy = used()
    ended = threading.Event()

    def hang() -> None:
        with contextlib.suppress(OSError):
            copy.run(
                "INSERT INTO t0 SELECT a.id FROM t1 AS a, numbers(1000000000000) AS b"
                " WHERE NOT ignore(sipHash64(number, id))"
            )
        ended.set()

    thread = threading.Thread(target=hang)
    thread.start()
    running = (
        f"SELECT count() FROM system.processes WHERE current_database = '{copy.namespace.database}'"
    )
    while query(server, 60, running) == "0":
        time.sleep(0.01)
    copy.assert_given_up()
    SPEC.drop(server, copy.namespace)
    assert ended.wait(30)
    thread.join()


@pytest.mark.parametrize(
    "more",
    [
        "CREATE VIEW v AS SELECT id FROM t0;",
        "INSERT INTO empty_memory VALUES (1);",
        "CREATE TABLE remembers (id UInt64) ENGINE = MergeTree ORDER BY id"
        " SETTINGS non_replicated_deduplication_window = 10;",
        "CREATE TABLE named (id UInt64, home String DEFAULT '{db}') ENGINE = Memory;",
    ],
    ids=["views", "rows in memory", "deduplication", "its own name"],
)
def test_templates_that_give_no_proof_are_left_alone(used: Callable[..., Used], more: str) -> None:
    copy = used(_SCHEMA + more)
    assert copy.renew() is None
    assert copy.namespace.database in databases(copy.server)


def test_few_tables_are_made_anew(used: Callable[..., Used]) -> None:
    copy = used("CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
    assert copy.renew() is None


def test_a_database_without_a_template_is_made_anew(server: Address, make: Make) -> None:
    assert SPEC.renew(server, make(), "lease_new_x", None) is None
