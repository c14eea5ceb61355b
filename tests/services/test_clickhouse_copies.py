"""Copies of ClickHouse templates: true, apart from each other, and never pointing back."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from envkit.errors import TemplateFailed, TemplateShared
from envkit.model import ServiceSettings
from envkit.services.clickhouse import SPEC, Rejected, query
from envkit.services.clickhouse_copies import ClickHouseSealed
from envkit.services.spec import Address, Namespace

Make = Callable[..., Namespace]
SealOf = Callable[[str], ClickHouseSealed]
Ask = Callable[[Namespace, str], str]


def in_template(sealed: ClickHouseSealed) -> Namespace:
    assert sealed.namespace is not None
    return sealed.namespace


def databases(server: Address) -> set[str]:
    return set(query(server, 60, "SHOW DATABASES").split())


def test_tables_come_with_their_rows(make: Make, sealed: SealOf, ask: Ask) -> None:
    template = sealed("""
        CREATE TABLE events (id UInt64, day Date, text String DEFAULT 'x', twice UInt64
            MATERIALIZED id * 2) ENGINE = MergeTree PARTITION BY toYYYYMM(day) ORDER BY id
            COMMENT 'about {db}';
        INSERT INTO events (id, day) SELECT number, toDate('2024-01-01') + 20 * number
            FROM numbers(10);
        CREATE TABLE nothing (id UInt64) ENGINE = ReplacingMergeTree ORDER BY id;
    """)
    copy = make(template)
    assert ask(copy, "SELECT count(), sum(id), sum(twice) FROM events") == "10\t45\t90"
    assert ask(copy, "SELECT uniqExact(partition) FROM system.parts WHERE database = '{db}'") == "6"
    assert ask(copy, "SELECT count() FROM nothing") == "0"
    assert ask(
        copy, "SELECT comment FROM system.tables WHERE name = 'events' AND database = '{db}'"
    )


def test_copies_do_not_see_each_other(make: Make, sealed: SealOf, ask: Ask) -> None:
    template = sealed(
        "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id; INSERT INTO t VALUES (1)"
    )
    one, other = make(template), make(template)
    ask(one, "INSERT INTO t VALUES (2)")
    ask(other, "ALTER TABLE t DELETE WHERE 1 SETTINGS mutations_sync = 1")
    assert ask(one, "SELECT groupArray(id) FROM (SELECT id FROM t ORDER BY id)") == "[1,2]"
    assert ask(other, "SELECT count() FROM t") == "0"
    assert ask(make(template), "SELECT count() FROM t") == "1"


def test_a_materialized_view_fills_the_target_of_its_own_copy(
    make: Make, sealed: SealOf, ask: Ask
) -> None:
    template = sealed("""
        CREATE TABLE source (id UInt64) ENGINE = MergeTree ORDER BY id;
        CREATE TABLE target (id UInt64) ENGINE = MergeTree ORDER BY id;
        CREATE MATERIALIZED VIEW a_view TO target AS SELECT id FROM source;
        INSERT INTO source VALUES (1), (2);
    """)
    copy = make(template)
    assert ask(copy, "SELECT count() FROM target") == "2"
    ask(copy, "INSERT INTO source VALUES (3)")
    assert ask(copy, "SELECT count() FROM target") == "3"
    assert ask(in_template(template), "SELECT count() FROM target") == "2"


def test_a_materialized_view_keeps_its_inner_rows(make: Make, sealed: SealOf, ask: Ask) -> None:
    template = sealed("""
        CREATE TABLE source (id UInt64) ENGINE = Memory;
        CREATE MATERIALIZED VIEW sums ENGINE = AggregatingMergeTree ORDER BY k
            AS SELECT id % 2 AS k, sumState(id) AS s FROM source GROUP BY k;
        CREATE MATERIALIZED VIEW seen ENGINE = Memory AS SELECT id FROM source;
        INSERT INTO source SELECT number FROM numbers(5);
        TRUNCATE TABLE source;
        INSERT INTO source VALUES (100);
    """)
    copy = make(template)
    assert ask(copy, "SELECT sumMerge(s) FROM sums") == "110"
    assert ask(copy, "SELECT count(), sum(id) FROM seen") == "6\t110"
    assert ask(copy, "SELECT count() FROM source") == "1"
    ask(copy, "INSERT INTO source VALUES (7)")
    assert ask(copy, "SELECT sumMerge(s) FROM sums") == "117"
    assert ask(in_template(template), "SELECT sumMerge(s) FROM sums") == "110"


def test_a_view_of_an_inner_table_reads_that_of_its_copy(
    make: Make, sealed: SealOf, ask: Ask
) -> None:
    template = sealed("""
        CREATE TABLE source (id UInt64) ENGINE = MergeTree ORDER BY id;
        CREATE MATERIALIZED VIEW seen UUID 'f3a9be7b-54a8-4aa2-8d3c-0f3f1d1c2b3a'
            ENGINE = MergeTree ORDER BY id AS SELECT id FROM source;
        CREATE VIEW behind AS SELECT id
            FROM {db}.`.inner_id.f3a9be7b-54a8-4aa2-8d3c-0f3f1d1c2b3a`;
        INSERT INTO source VALUES (1);
    """)
    copy = make(template)
    ask(copy, "INSERT INTO source VALUES (2)")
    assert ask(copy, "SELECT count() FROM behind") == "2"
    assert ask(in_template(template), "SELECT count() FROM behind") == "1"


def test_a_refreshable_view_has_its_rows_and_reads_its_own_copy(
    make: Make, sealed: SealOf, ask: Ask
) -> None:
    template = sealed("""
        CREATE TABLE source (id UInt64) ENGINE = MergeTree ORDER BY id;
        INSERT INTO source VALUES (1);
        CREATE MATERIALIZED VIEW latest REFRESH EVERY 100 YEAR ENGINE = MergeTree ORDER BY id
            AS SELECT id FROM source;
        SYSTEM REFRESH VIEW latest;
        SYSTEM WAIT VIEW latest;
    """)
    copy = make(template)
    assert ask(copy, "SELECT count() FROM latest") == "1"
    ask(copy, "INSERT INTO source VALUES (2)")
    ask(copy, "SYSTEM REFRESH VIEW latest")
    ask(copy, "SYSTEM WAIT VIEW latest")
    assert ask(copy, "SELECT count() FROM latest") == "2"


def test_dictionaries_read_their_own_copy(make: Make, sealed: SealOf, ask: Ask) -> None:
    template = sealed("""
        CREATE TABLE words (id UInt64, word String) ENGINE = MergeTree ORDER BY id;
        INSERT INTO words VALUES (1, 'one');
        CREATE DICTIONARY by_table (id UInt64, word String) PRIMARY KEY id
            SOURCE(CLICKHOUSE(DB '{db}' TABLE 'words')) LAYOUT(HASHED()) LIFETIME(0);
        CREATE DICTIONARY by_query (id UInt64, word String) PRIMARY KEY id
            SOURCE(CLICKHOUSE(QUERY 'SELECT id, word FROM {db}.words'))
            LAYOUT(HASHED()) LIFETIME(0);
        CREATE TABLE a_user (id UInt64, word String DEFAULT dictGet('{db}.by_table', 'word', id))
            ENGINE = MergeTree ORDER BY id;
    """)
    copy = make(template)
    ask(copy, "INSERT INTO words VALUES (2, 'two')")
    for name in ("by_table", "by_query"):
        assert ask(copy, f"SELECT dictGet('{{db}}.{name}', 'word', 2::UInt64)") == "two"
    ask(copy, "INSERT INTO a_user (id) VALUES (2)")
    assert ask(copy, "SELECT word FROM a_user") == "two"
    other = make(template)
    assert ask(other, "SELECT dictGet('{db}.by_table', 'word', 2::UInt64)") == ""


def test_objects_may_need_each_other_whatever_their_names_are(
    make: Make, sealed: SealOf, ask: Ask
) -> None:
    template = sealed("""
        CREATE TABLE z (id UInt64) ENGINE = MergeTree ORDER BY id;
        CREATE TABLE y AS z ENGINE = MergeTree ORDER BY id;
        CREATE MATERIALIZED VIEW x TO y AS SELECT id FROM z;
        CREATE TABLE w AS z ENGINE = Memory;
        CREATE MATERIALIZED VIEW v TO w AS SELECT id FROM y;
        CREATE VIEW c AS SELECT * FROM w;
        CREATE VIEW b AS SELECT * FROM c;
        CREATE VIEW a AS SELECT * FROM b JOIN z USING id;
        INSERT INTO z VALUES (1), (2);
    """)
    copy = make(template)
    assert ask(copy, "SELECT count() FROM a") == "2"
    ask(copy, "INSERT INTO z VALUES (3)")
    assert ask(copy, "SELECT count() FROM a") == "3"
    assert ask(in_template(template), "SELECT count() FROM a") == "2"


def test_no_statement_of_a_copy_names_the_template(make: Make, sealed: SealOf, ask: Ask) -> None:
    template = sealed("""
        CREATE TABLE t (id UInt64, home String DEFAULT '{db}') ENGINE = MergeTree ORDER BY id;
        CREATE TABLE buffered AS t ENGINE = Buffer('{db}', 't', 1, 10, 100, 10, 100, 1000, 10000);
        CREATE TABLE merged AS t ENGINE = Merge('{db}', '^t$');
        CREATE VIEW v AS SELECT id FROM merge('{db}', '^t$');
    """)
    copy = make(template)
    found = (
        "SELECT count() FROM system.tables WHERE database = '{db}' AND position("
        f"create_table_query, '{template.database}') > 0"
    )
    assert ask(copy, found) == "0"
    ask(copy, "INSERT INTO t (id) VALUES (1)")
    assert ask(copy, "SELECT home = currentDatabase() FROM t") == "1"
    assert ask(copy, "SELECT (SELECT count() FROM merged) + (SELECT count() FROM v)") == "2"


@pytest.mark.parametrize("engine", ["Memory", "Log", "TinyLog", "StripeLog", "Join(ALL, LEFT, id)"])
def test_engines_without_parts_keep_their_rows(
    make: Make, sealed: SealOf, ask: Ask, engine: str
) -> None:
    template = sealed(f"""
        CREATE TABLE t (id UInt64, at UInt64 MATERIALIZED rand64(), short UInt64 ALIAS id + 1,
            text Nullable(String)) ENGINE = {engine};
        INSERT INTO t (id, text) VALUES (1, 'a;b'), (2, NULL);
    """)
    copy = make(template)
    rows = "SELECT arraySort(groupArray((id, at, ifNull(text, '-')))) FROM t"
    if engine.startswith("Join"):
        rows = rows.replace("at, ", "")
    assert ask(copy, rows) == ask(in_template(template), rows)
    ask(copy, "INSERT INTO t (id) VALUES (3)")
    assert ask(in_template(template), "SELECT count() FROM t") == "2"


def test_rows_in_a_buffer_are_in_the_copy_once(make: Make, sealed: SealOf, ask: Ask) -> None:
    template = sealed("""
        CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id;
        CREATE TABLE b AS t ENGINE = Buffer('{db}', 't', 1, 900, 900, 900, 900, 1000, 10000);
        INSERT INTO b VALUES (1);
    """)
    assert ask(make(template), "SELECT count() FROM b") == "1"


def test_names_may_need_quoting(make: Make, sealed: SealOf, ask: Ask) -> None:
    name = r"`we ird\`ü\"'\\ ; x`"
    template = sealed(f"""
        CREATE TABLE {name} (`a b` UInt64, `c``d` String) ENGINE = MergeTree ORDER BY `a b`;
        INSERT INTO {name} VALUES (1, ';');
        CREATE TABLE `from.there` (`ü` String) ENGINE = Log;
        INSERT INTO `from.there` VALUES ('é');
        CREATE MATERIALIZED VIEW `to there` ENGINE = Log AS SELECT `a b` FROM {name};
        INSERT INTO {name} VALUES (2, 'x');
    """)
    copy = make(template)
    assert ask(copy, f"SELECT count(), any(`c``d`) != '' FROM {name}") == "2\t1"
    assert ask(copy, "SELECT * FROM `from.there`") == "é"
    assert ask(copy, "SELECT * FROM `to there`") == "2"


def test_many_tables_are_copied_at_the_same_time(make: Make, sealed: SealOf, ask: Ask) -> None:
    template = sealed(
        "".join(
            f"CREATE TABLE t{number} (id UInt64) ENGINE = MergeTree ORDER BY id;"
            f"INSERT INTO t{number} VALUES ({number});"
            for number in range(12)
        )
    )
    copy = make(template)
    sums = "SELECT count(), sum(id) FROM merge('{db}', '^t[0-9]+$')"
    assert ask(copy, sums) == "12\t66"


def test_mutations_are_waited_for(make: Make, sealed: SealOf, ask: Ask) -> None:
    template = sealed("""
        CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id;
        INSERT INTO t SELECT number FROM numbers(1000);
        ALTER TABLE t DELETE WHERE id >= 10 AND sleepEachRow(0.0005) = 0 SETTINGS mutations_sync = 0
    """)
    assert ask(make(template), "SELECT count() FROM t") == "10"


def test_nobody_who_prepared_a_template_knows_where_it_is(
    server: Address, make: Make, ask: Ask
) -> None:
    prepared = make()
    ask(prepared, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
    template = SPEC.seal(server, prepared)
    try:
        assert template.namespace is not None
        assert template.namespace.database != prepared.database
        assert prepared.database not in databases(server)
    finally:
        SPEC.unseal(server, template)
    assert template.namespace.database not in databases(server)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE t (a Int32) ENGINE = Kafka('localhost:1', 't', 'g', 'CSV')", "t .*Kafka"),
        ("CREATE TABLE t (a Int32) ENGINE = URL('http://127.0.0.1:1/x', CSV)", "t .*URL"),
        ("CREATE TABLE t (a Int32) ENGINE = File(CSV)", "t .*File"),
        ("CREATE TABLE t (a Int32) ENGINE = Merge(REGEXP('.*'), 't')", "pattern.*Merge"),
        ("CREATE TABLE t (a Int32) ENGINE = Set; INSERT INTO t VALUES (1)", "rows to nobody.*Set"),
        (
            "CREATE TABLE t (a Int32) ENGINE = MySQL('127.0.0.1:1', 'd', 't', 'u', 'secret')",
            "password.*MySQL",
        ),
    ],
)
def test_what_cannot_be_copied_is_named(
    server: Address, make: Make, sealed: SealOf, statement: str, said: str
) -> None:
    before = databases(server)
    with pytest.raises(TemplateFailed, match=said):
        sealed(statement)
    assert len(databases(server) - before) == 1  # what was prepared is whoever's who asked


def test_a_later_change_that_cannot_be_told_is_named(sealed: SealOf) -> None:
    with pytest.raises(TemplateFailed, match=r"inner_id.*is not what the template has"):
        sealed("""
            CREATE TABLE source (id UInt64) ENGINE = MergeTree ORDER BY id;
            CREATE MATERIALIZED VIEW seen UUID 'f3a9be7b-54a8-4aa2-8d3c-0f3f1d1c2b3b'
                ENGINE = MergeTree ORDER BY id AS SELECT id FROM source;
            ALTER TABLE `.inner_id.f3a9be7b-54a8-4aa2-8d3c-0f3f1d1c2b3b`
                MODIFY SETTING merge_with_ttl_timeout = 77;
        """)


@pytest.mark.parametrize(
    ("statement", "undo", "said"),
    [
        ("CREATE FUNCTION plus_one AS x -> x + 1", "DROP FUNCTION plus_one", "function plus_one"),
        (
            "CREATE NAMED COLLECTION stuff AS a = 1",
            "DROP NAMED COLLECTION stuff",
            "named collection stuff",
        ),
        ("CREATE DATABASE aside", "DROP DATABASE aside SYNC", "database aside"),
        (
            "CREATE TABLE default.aside (a Int32) ENGINE = Memory",
            "DROP TABLE default.aside SYNC",
            "table default.aside",
        ),
    ],
)
def test_what_all_databases_would_share_is_named(
    server: Address, make: Make, ask: Ask, statement: str, undo: str, said: str
) -> None:
    prepared = make()
    ask(prepared, statement)
    try:
        with pytest.raises(TemplateShared, match=said):
            SPEC.seal(server, prepared)
    finally:
        ask(prepared, undo)


def test_a_copy_that_fails_half_way_leaves_no_database(
    server: Address, make: Make, sealed: SealOf, ask: Ask
) -> None:
    template = sealed("""
        CREATE TABLE a (id UInt64) ENGINE = MergeTree ORDER BY id;
        INSERT INTO a VALUES (1);
        CREATE VIEW b AS SELECT * FROM a;
    """)
    ask(in_template(template), "DROP TABLE a SYNC")
    name = f"lease_half_{os.urandom(6).hex()}"
    with pytest.raises(Rejected, match="UNKNOWN_TABLE"):
        SPEC.create(server, name, ServiceSettings(), "", template)
    assert name not in databases(server)


def test_a_name_that_is_taken_is_left_alone(
    server: Address, make: Make, sealed: SealOf, ask: Ask
) -> None:
    taken = make()
    ask(taken, "CREATE TABLE t (id UInt64) ENGINE = Memory")
    with pytest.raises(Rejected, match="DATABASE_ALREADY_EXISTS"):
        SPEC.create(server, taken.database, ServiceSettings(), "", sealed("SELECT 1"))
    assert ask(taken, "SELECT count() FROM t") == "0"
