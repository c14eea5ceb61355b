"""Templates on servers of somebody else's: built there, copied there, and gone at the end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.attach.test_rights import role
from tests.attach.world import World, in_the_end

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.foreign import Foreign

NOTHING: dict[str, list[str]] = {"postgres": [], "redis": [], "clickhouse": []}
SEEN = """
import os, clickhouse_connect, psycopg, redis
with psycopg.connect(os.environ["DATABASE_URL"]) as c:
    c.execute("INSERT INTO word (word) VALUES ('mine')")
    c.execute("ALTER TABLE word ADD COLUMN more int")
    print(c.execute("SELECT count(*), max(id) FROM word").fetchone())
r = redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
print(r.get("greeting"), r.incr("count"))
h = clickhouse_connect.get_client(dsn=os.environ["CLICKHOUSE_URL"])
h.command("INSERT INTO word VALUES ('mine')")
print(h.command("SELECT count() FROM loud"))
"""


# With words for whether the template can be reached from a copy.
USED = """
import os, psycopg
url = os.environ["DATABASE_URL"]
with psycopg.connect(url) as c:
    c.execute("ALTER TABLE word ADD COLUMN more int")
    print(c.execute("INSERT INTO word (more) VALUES (1) RETURNING id").fetchone())
    names = c.execute("SELECT datname FROM pg_database WHERE datname ~ 'template_[0-9a-f]{16}'")
    [(name,)] = names.fetchall()
try:
    with psycopg.connect(url, autocommit=True) as c:
        c.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 3')
except psycopg.errors.InsufficientPrivilege:
    print("refused")
"""


def prepared(project: Project) -> None:
    project.write(
        "pg.sql", "CREATE TABLE word (id serial, word text); INSERT INTO word (word) VALUES ('a');"
    )
    project.write(
        "ch.sql",
        "CREATE TABLE word (word String) ENGINE = MergeTree ORDER BY word;\n"
        "CREATE TABLE loud (word String) ENGINE = MergeTree ORDER BY word;\n"
        "CREATE MATERIALIZED VIEW up TO loud AS SELECT upper(word) AS word FROM word;\n",
    )
    project.write("redis.txt", "SET greeting hello\n")
    project.write(
        "envkit.toml",
        '[postgres]\nschema = ["pg.sql"]\n[clickhouse]\nschema = ["ch.sql"]\n'
        '[redis]\nseed = ["redis.txt"]\n',
    )


def test_each_lease_is_a_copy_and_nothing_stays(whole: Project, world: World) -> None:
    prepared(whole)
    for _ in range(2):
        done = whole.envkit("run", "--", sys.executable, "-c", SEEN)
        assert done.stdout == "(2, 2)\nhello 1\n1\n", done.stderr
    assert in_the_end(world.of_envkit, NOTHING) == NOTHING


def test_tests_get_copies_that_are_ready(whole: Project, world: World) -> None:
    prepared(whole)
    whole.write(
        "test_it.py",
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(8))\n"
        "def test(isolated_env, n):\n"
        + "".join(f"    {line}\n" for line in SEEN.splitlines() if line),
    )
    done = whole.python(
        "import pytest, sys; sys.exit(pytest.main(['-q', '-n', '2', '-p', 'no:cacheprovider']))"
    )
    said, _ = done.communicate(timeout=60)
    assert "8 passed" in said
    assert in_the_end(world.of_envkit, NOTHING) == NOTHING


@pytest.mark.parametrize(
    "rights",
    ["SUPERUSER", "CREATEDB CREATEROLE", "CREATEDB CREATEROLE NOINHERIT", "CREATEDB"],
)
def test_admin_with_fewer_rights_can_have_templates(
    project: Project,
    foreign_postgres: Foreign,
    monkeypatch: pytest.MonkeyPatch,
    rights: str,
) -> None:
    project.write("s.sql", "CREATE TABLE word (id serial, word text);")
    project.write("envkit.toml", 'services = ["postgres"]\n[postgres]\nschema = ["s.sql"]\n')
    with role(foreign_postgres, rights) as url:
        monkeypatch.setenv("ENVKIT_POSTGRES_URL", url)
        code = USED
        guarded = (
            rights != "CREATEDB"
        )  # leases belong to the admin's own role, and may do as it may
        for _ in range(2):
            done = project.envkit("run", "--", sys.executable, "-c", code)
            assert done.stdout == "(1,)\n" + "refused\n" * guarded, done.stderr
        with psycopg.connect(foreign_postgres.url) as boss:
            left = boss.execute(
                "SELECT datname FROM pg_database WHERE datname ~ '^envkit_[0-9a-f]{8}_'"
                " UNION ALL SELECT rolname FROM pg_roles WHERE rolname ~ '^envkit_'"
            ).fetchall()
        assert left == []


@pytest.mark.parametrize(
    "rights",
    ["SUPERUSER", "CREATEDB CREATEROLE", "CREATEDB CREATEROLE NOINHERIT", "CREATEDB"],
)
def test_command_that_leaves_the_template_empty_is_told(
    project: Project,
    foreign_postgres: Foreign,
    monkeypatch: pytest.MonkeyPatch,
    rights: str,
) -> None:
    table = 'services = ["postgres"]\n[postgres]\nmigrate = '
    with role(foreign_postgres, rights) as url:
        monkeypatch.setenv("ENVKIT_POSTGRES_URL", url)
        project.write("envkit.toml", f"{table}'psql --version'\n")
        done = project.envkit("run", "--", "true")
        assert "[envkit.template.untouched]" in done.stderr
        assert done.returncode == 125
        project.write("envkit.toml", f"{table}'psql -qc \"CREATE TABLE word ()\"'\n")
        done = project.envkit("run", "--", "true")
        assert done.returncode == 0, done.stderr


def test_killed_keeper_leaves_no_template(whole: Project, world: World) -> None:
    import os
    import signal

    prepared(whole)
    assert whole.envkit("up").returncode == 0
    assert whole.envkit("export").returncode == 0
    [keeper] = json.loads(whole.envkit("status", "--format", "json").stdout)["keepers"]
    os.kill(keeper["pid"], signal.SIGKILL)
    assert in_the_end(world.of_envkit, NOTHING) == NOTHING
