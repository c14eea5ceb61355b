"""Databases of Postgres as leases have them, for tests of copies and of their renewal."""

from __future__ import annotations

import os
from typing import Any

import psycopg

from envkit.model import PostgresSettings
from envkit.services.postgres import SPEC
from envkit.services.spec import Address, Groundwork, Namespace, Sealed

__all__ = ["SCHEMA", "as_owner", "new_name", "seal"]

SCHEMA = """
CREATE TABLE owners (id serial PRIMARY KEY, name text);
CREATE TABLE pets (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner int REFERENCES owners,
                   name text);
CREATE TABLE kinds (id serial PRIMARY KEY, name text UNIQUE);
INSERT INTO kinds (name) VALUES ('cat'), ('dog');
CREATE UNLOGGED TABLE visits (id serial, at timestamptz DEFAULT now());
CREATE TABLE events (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2100-01-01');
CREATE TABLE log (said text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO log VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END$$;
CREATE TRIGGER noted AFTER INSERT ON owners FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER emptied AFTER TRUNCATE ON owners FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE SEQUENCE tickets START 100;
CREATE SEQUENCE used START 5;
SELECT nextval('used');
CREATE SEQUENCE prepared;
SELECT setval('prepared', 7, false);
CREATE MATERIALIZED VIEW named AS SELECT name FROM kinds;
CREATE TABLE "Odd Name" ("a b" int);
"""


def as_owner(address: Address, namespace: Namespace, **how: Any) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=address.host,
        port=address.port,
        user=namespace.user,
        password=namespace.password,
        dbname=namespace.database,
        **how,
    )


_count = 0


def new_name(kind: str = "lease") -> str:
    global _count  # noqa: PLW0603 - names on one server must differ
    _count += 1
    return f"{kind}_{os.getpid()}_{_count}"


def seal(
    address: Address,
    statements: str = SCHEMA,
    work: Groundwork | None = None,
    table: PostgresSettings | None = None,
) -> Sealed:
    assert SPEC.begin is not None
    table = table or PostgresSettings()
    begun = SPEC.begin(address, new_name("template"), table, "", work or Groundwork())
    try:
        with as_owner(address, begun, autocommit=True) as connection:
            connection.execute(statements.encode())
        return SPEC.seal(address, begun)
    except BaseException:
        SPEC.drop(address, begun)
        raise
