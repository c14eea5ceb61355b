"""Templates of Postgres, and copies of them."""

from __future__ import annotations

import psycopg
import pytest

from envkit.errors import ExtensionMissing, TemplateShared
from envkit.model import PostgresSettings
from envkit.services.postgres import SPEC
from envkit.services.postgres_sessions import connected
from envkit.services.spec import Address, Groundwork, Namespace, Sealed
from tests.services.own_postgres import as_owner, new_name, seal


def test_copy_has_tables_rows_and_sequences_of_its_template(
    address: Address, copy: Namespace
) -> None:
    with as_owner(address, copy) as connection:
        assert connection.execute("SELECT name FROM kinds ORDER BY id").fetchall() == [
            ("cat",),
            ("dog",),
        ]
        assert connection.execute("SELECT nextval('used')").fetchone() == (6,)
        assert connection.execute("SELECT nextval('prepared')").fetchone() == (7,)


def test_role_of_a_copy_may_change_what_the_template_made(
    address: Address, copy: Namespace
) -> None:
    with as_owner(address, copy) as connection:
        connection.execute("ALTER TABLE pets ADD COLUMN born date")
        connection.execute("DROP MATERIALIZED VIEW named")
        connection.execute("CREATE INDEX ON owners (name)")
        connection.execute("DROP TABLE events CASCADE")
        connection.execute("DROP SCHEMA public CASCADE")


def test_role_of_a_copy_is_no_superuser_and_cannot_become_the_templates_owner(
    address: Address, copy: Namespace, template: Sealed
) -> None:
    assert template.namespace is not None
    with as_owner(address, copy, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE other")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f'SET ROLE "{template.namespace.user}"'.encode())


def test_two_copies_do_not_see_each_other(address: Address, template: Sealed) -> None:
    one, other = (
        SPEC.create(address, new_name(), PostgresSettings(), "", template) for _ in range(2)
    )
    with as_owner(address, one, autocommit=True) as connection:
        connection.execute("INSERT INTO owners (name) VALUES ('Ann')")
    with as_owner(address, other) as connection:
        assert connection.execute("SELECT count(*) FROM owners").fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        as_owner(address, Namespace(user=one.user, password=one.password, database=other.database))
    for each in (one, other):
        SPEC.drop(address, each)


def test_nobody_gets_into_a_template(address: Address, template: Sealed) -> None:
    assert template.namespace is not None
    with pytest.raises(psycopg.OperationalError):
        as_owner(address, template.namespace)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting"):
        connected(address, dbname=template.namespace.database)


def test_settings_of_database_and_role_are_those_of_copies(address: Address) -> None:
    assert SPEC.begin is not None
    begun = SPEC.begin(address, new_name("template"), PostgresSettings(), "", Groundwork())
    with as_owner(address, begun, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA app")
        connection.execute(
            f'ALTER ROLE "{begun.user}" SET search_path = app, "$user", public'.encode()
        )
        connection.execute(
            f"ALTER DATABASE \"{begun.database}\" SET application_name = 'it''s'".encode()
        )
    sealed = SPEC.seal(address, begun)
    made = SPEC.create(address, new_name(), PostgresSettings(), "", sealed)
    with as_owner(address, made) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ('app, "$user", public',)
        assert connection.execute("SHOW application_name").fetchone() == ("it's",)
    SPEC.drop(address, made)
    SPEC.unseal(address, sealed)


def test_extension_that_lets_itself_be_made_belongs_to_the_builder(address: Address) -> None:
    sealed = seal(address, "SELECT 'a' % 'b'", Groundwork(extensions=("pg_trgm", "hstore")))
    made = SPEC.create(address, new_name(), PostgresSettings(), "", sealed)
    with as_owner(address, made) as connection:
        assert connection.execute("SELECT similarity('word', 'word')").fetchone() == (1.0,)
        connection.execute("DROP EXTENSION hstore")
    SPEC.drop(address, made)
    SPEC.unseal(address, sealed)


def test_extension_that_only_a_superuser_may_make_is_made_as_well(address: Address) -> None:
    sealed = seal(address, "SELECT 1", Groundwork(extensions=("pageinspect",)))
    SPEC.unseal(address, sealed)


def test_extension_that_is_not_there_is_named_with_those_that_are(address: Address) -> None:
    with connected(address) as admin:
        before = admin.execute("SELECT datname FROM pg_database").fetchall()
    with pytest.raises(ExtensionMissing, match=r"no extension postgis; it has .*pg_trgm"):
        seal(address, "SELECT 1", Groundwork(extensions=("pg_trgm", "postgis")))
    with connected(address) as admin:
        assert admin.execute("SELECT datname FROM pg_database").fetchall() == before


def test_declared_roles_are_there_for_grants_and_for_copies(address: Address) -> None:
    work = Groundwork(roles=("app reader",))
    statements = """
        CREATE TABLE secret (x int); CREATE TABLE open (x int);
        GRANT SELECT ON open TO "app reader"; GRANT CREATE ON SCHEMA public TO "app reader";
        ALTER TABLE open OWNER TO "app reader";
    """
    for _ in range(2):  # the role is there already for the second one
        sealed = seal(address, statements, work)
        made = SPEC.create(address, new_name(), PostgresSettings(), "", sealed)
        with as_owner(address, made, autocommit=True) as connection:
            connection.execute('SET ROLE "app reader"')
            connection.execute("SELECT * FROM open")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM secret")
        SPEC.drop(address, made)
        SPEC.unseal(address, sealed)


def test_role_made_by_a_superusers_migration_is_refused_and_removed(address: Address) -> None:
    table = PostgresSettings(superuser=True)
    statements = "CREATE ROLE stray; CREATE TABLE t (x int); ALTER TABLE t OWNER TO stray"
    for _ in range(2):
        with pytest.raises(TemplateShared, match="made the role stray"):
            seal(address, statements, table=table)


def test_prepared_transaction_in_a_template_is_refused(address: Address) -> None:
    from envkit.errors import TemplateFailed

    assert SPEC.begin is not None
    begun = SPEC.begin(address, new_name("template"), PostgresSettings(), "", Groundwork())
    with as_owner(address, begun) as connection:
        connection.execute("CREATE TABLE t (x int)")
        connection.execute("PREPARE TRANSACTION 'waiting'")
    try:
        with pytest.raises(TemplateFailed, match="prepared transaction \\('waiting'\\)"):
            SPEC.seal(address, begun)
    finally:
        with connected(address, dbname=begun.database) as admin:
            admin.execute("ROLLBACK PREPARED 'waiting'")
        SPEC.drop(address, begun)


def test_template_goes_while_copies_stay(address: Address) -> None:
    sealed = seal(address)
    made = SPEC.create(address, new_name(), PostgresSettings(), "", sealed)
    SPEC.unseal(address, sealed)
    with as_owner(address, made) as connection:
        connection.execute("DELETE FROM kinds")
    SPEC.drop(address, made)
