"""A project with templates of all three services, and programs of its own that hold leases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.leases.using import User

if TYPE_CHECKING:
    from tests.conftest import Project

CONFIGURATION = """\
services = ["postgres", "redis", "clickhouse"]
[postgres]
schema = ["postgres.sql"]
extensions = ["hstore"]
[postgres.templates.plain]
schema = ["plain.sql"]
[redis]
seed = ["seed.redis"]
[clickhouse]
schema = ["clickhouse.sql"]
[clickhouse.templates.plain]
schema = ["plain_clickhouse.sql"]
"""

POSTGRES = """\
CREATE TABLE items (id serial PRIMARY KEY, tag text NOT NULL);
CREATE TABLE parts (item int REFERENCES items, tag text NOT NULL);
CREATE TABLE kinds (name text PRIMARY KEY);
INSERT INTO kinds VALUES ('cat'), ('dog');
CREATE UNLOGGED TABLE visits (id bigint GENERATED ALWAYS AS IDENTITY, tag text NOT NULL);
CREATE TABLE noted (tag text NOT NULL);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO noted VALUES (NEW.tag); RETURN NULL; END$$;
CREATE TRIGGER noting AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION note();
CREATE SEQUENCE tickets START 100;
CREATE SEQUENCE used;
SELECT nextval('used');
"""

CLICKHOUSE = """\
CREATE TABLE items (id UInt64, tag String) ENGINE = MergeTree ORDER BY id;
CREATE TABLE kinds (name String) ENGINE = MergeTree ORDER BY name;
INSERT INTO kinds VALUES ('cat'), ('dog');
CREATE TABLE totals (tag String, n UInt64) ENGINE = SummingMergeTree ORDER BY tag;
CREATE MATERIALIZED VIEW summing TO totals AS SELECT tag, count() AS n FROM items GROUP BY tag;
"""

# Of so many tables, used copies are made like new and not made anew.
PLAIN_CLICKHOUSE = "".join(
    f"CREATE TABLE t{n} (id UInt64, tag String) ENGINE = MergeTree ORDER BY id;\n"
    for n in range(32)
)


@pytest.fixture
def templates(project: Project) -> Project:
    """The project, with its templates declared."""
    for name, content in (
        ("envkit.toml", CONFIGURATION),
        ("postgres.sql", POSTGRES),
        ("plain.sql", "CREATE TABLE plain (id serial PRIMARY KEY, tag text NOT NULL);\n"),
        ("seed.redis", "SET greeting hello\nRPUSH kinds cat dog\n"),
        ("clickhouse.sql", CLICKHOUSE),
        ("plain_clickhouse.sql", PLAIN_CLICKHOUSE),
    ):
        project.write(name, content)
    return project


@pytest.fixture
def user(project: Project) -> Iterator[Callable[[], User]]:
    """Makes clients of the project; all are closed at the end."""
    made: list[User] = []

    def another() -> User:
        made.append(User(project.root))
        return made[-1]

    yield another
    for one in made:
        one.close()
