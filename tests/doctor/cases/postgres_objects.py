from tests.doctor.case import Case, log, told

_USED = (
    'database "tpl" is being accessed by other users\n'
    "DETAIL:  There is 1 other session using the database."
)
_LINE = "\nLINE 1: select * from users\n                      ^"

CASES = {
    "pg.db.exists": Case(
        fires=(
            told("postgres", "42P04", 'database "app_test" already exists'),
            told("postgres", "42P04", "Datenbank »app_test« existiert bereits"),
            log('ERROR:  database "app_test" already exists'),
            log('createdb: error: database creation failed: ERROR:  database "app_test" already '
                "exists"),
            log('psycopg2.errors.DuplicateDatabase: database "test_app" already exists'),
            log(
                'ERROR: database "app" already exists (SQLSTATE 42P04)'
            ),
        ),
        silent=(
            told("postgres", "42P07", 'relation "users" already exists'),
            log("Got an error creating the test database: it already exists"),
            log(
                'KeyError: database "app" already exists'
            ),
        ),
    ),
    "pg.priv.denied": Case(
        fires=(
            told("postgres", "42501", "permission denied to create database"),
            told("postgres", "42501", "keine Berechtigung, um Datenbank zu erzeugen"),
            told("postgres", "42501", f"permission denied for schema public{_LINE}"),
            told("postgres", "42501", 'permission denied to create extension "amcheck"\nHINT:  '
                 "Must be superuser to create this extension."),
            told("postgres", "42501", "permission denied to create role\nDETAIL:  Only roles with "
                 "the CREATEROLE attribute may create roles."),
            told("host", "PG_NO_CREATEDB", "role app has neither CREATEDB nor SUPERUSER",
                 data={"user": "app"}),
            log("ERROR:  permission denied for table users"),
            log("ERROR:  must be owner of table users"),
        ),
        silent=(
            told("socket", "EACCES", "[Errno 13] Permission denied"),
            log("permission denied while trying to connect to the Docker daemon socket"),
            log("bash: ./run.sh: Permission denied"),
            log("2026-11-21 11:08:57.817 UTC [7536] HINT:  Must be superuser to create this "
                "extension."),
        ),
    ),
    "pg.template.in-use": Case(
        fires=(
            told("postgres", "55006", f"source {_USED}"),
            told("postgres", "55006", "auf Quelldatenbank wird von anderen Benutzern zugegriffen",
                 data={"routine": "createdb"}),
            log(f"ERROR:  source {_USED}"),
        ),
        silent=(
            told("postgres", "55006", _USED),
            told("postgres", "55006", 'replication slot "s" is active for PID 71'),
        ),
    ),
    "pg.db.in-use": Case(
        fires=(
            told("postgres", "55006", _USED),
            told("postgres", "55006", "auf Datenbank wird von anderen Benutzern zugegriffen",
                 data={"routine": "dropdb"}),
            told("postgres", "55006", "cannot drop the currently open database"),
            log(f"dropdb: error: database removal failed: ERROR:  {_USED}"),
        ),
        silent=(
            told("postgres", "55006", f"source {_USED}"),
            told("postgres", "55006", 'cannot DROP TABLE "t" because it is being used by active '
                 "queries in this session"),
        ),
    ),
    "pg.lock.timeout": Case(
        fires=(
            told("postgres", "55P03", f"canceling statement due to lock timeout{_LINE}"),
            told("postgres", "55P03", 'could not obtain lock on relation "t"'),
            log("psycopg.errors.LockNotAvailable: canceling statement due to lock timeout"),
        ),
        silent=(
            told("postgres", "57014", "canceling statement due to statement timeout"),
            told("postgres", "40P01", "deadlock detected"),
            log("E: Could not obtain lock /var/lib/dpkg/lock"),
        ),
    ),
    "pg.schema.table-missing": Case(
        fires=(
            told("postgres", "42P01", f'relation "users" does not exist{_LINE}'),
            told("postgres", "42P01", "Relation »users« existiert nicht"),
            told("postgres", "3F000", 'schema "billing" does not exist'),
            told("python", "ProgrammingError", "ProgrammingError: (psycopg.errors.UndefinedTable) "
                 f'relation "users" does not exist{_LINE}'),
            log('django.db.utils.ProgrammingError: relation "auth_user" does not exist'),
            log('ERROR:  table "users" does not exist'),
        ),
        silent=(
            told("postgres", "42P01", 'missing FROM-clause entry for table "u"'),
            told("postgres", "42P01", 'invalid reference to FROM-clause entry for table "users"'),
            told("postgres", "42703", 'column "users" does not exist'),
            told("clickhouse", "60", "Code: 60. DB::Exception: Table default.users does not exist"),
        ),
    ),
    "app.schema-drift": Case(
        fires=(
            told("postgres", "42703", 'column "nix" does not exist\nLINE 1: select nix'),
            told("postgres", "42703", 'column "b" of relation "t" does not exist'),
            log("psycopg.errors.UndefinedColumn: column users.email does not exist"),
            log('2026-11-21 11:08:57.817 UTC [7536] ERROR:  column "b" of relation "t" does not '
                "exist"),
            log(
                'org.postgresql.util.PSQLException: ERROR: column u.nickname does not exist'
            ),
        ),
        silent=(
            told("postgres", "42P01", 'relation "users" does not exist'),
            log("KeyError: column x does not exist in the frame"),
        ),
    ),
    "pg.extension.missing": Case(
        fires=(
            told("postgres", "0A000", 'extension "postgis" is not available\nHINT:  The extension '
                 "must first be installed on the system where PostgreSQL is running."),
            told("postgres", "58P01", "could not open extension control file "
                 '"/usr/share/postgresql/14/extension/vector.control": No such file or directory'),
            told("postgres", "58P01", 'could not access file "$libdir/postgis-3": No such file or '
                 "directory"),
            log('FATAL:  could not access file "timescaledb": No such file or directory'),
        ),
        silent=(
            told("postgres", "0A000", "cached plan must not change result type"),
            told("postgres", "58P01", 'could not open file "base/5/16389": No such file or '
                 "directory"),
            told("postgres", "42501", 'permission denied to create extension "postgis"'),
        ),
    ),
    "pg.role.readonly": Case(
        fires=(
            told("postgres", "25006", "cannot execute CREATE TABLE in a read-only transaction"),
            told("host", "PG_IN_RECOVERY", "pg_is_in_recovery() is true"),
            told("host", "PG_READ_ONLY", "default_transaction_read_only is on"),
            log("ERROR:  cannot execute INSERT in a read-only transaction"),
            told("postgres", "", 'connection to server at "127.0.0.1", port 5432 failed: session '
                 "is read-only"),
        ),
        silent=(
            told("redis", "READONLY", "You can't write against a read only replica."),
            told("clickhouse", "164", "Cannot execute query in readonly mode"),
        ),
    ),
}  # fmt: skip
