from tests.doctor.case import Case, log, told

CASES = {
    "dsn.malformed": Case(
        fires=(
            told("envkit", "dsn.malformed", "DATABASE_URL cannot be used for Postgres"),
            told("postgres", "", "failed to resolve host 'ss@localhost': [Errno -2] Name or "
                 "service not known"),
            log("psycopg.OperationalError: failed to resolve host 'ss@localhost': [Errno -2] Name "
                "or service not known"),
            told("postgres", "", 'could not translate host name "ss@localhost" to address: Name or '
                 "service not known"),
            told("postgres", "", "failed to resolve host 'localhost': [Errno -8] Servname not "
                 "supported for ai_socktype"),
            told("postgres", "", 'invalid integer value "p" for connection option "port"'),
            told("postgres", "", 'invalid percent-encoded token: "p%zz"'),
            told("postgres", "", 'invalid connection option "foo"'),
            told("postgres", "", 'invalid dsn: invalid URI query parameter: "foo"'),
            told("postgres", "", 'missing "=" after "postgresql+asyncpg://u:p@localhost/db" in '
                 "connection info string"),
            told("postgres", "", 'connection is bad: invalid port number: "99999"'),
            told("postgres", "", 'invalid DSN: scheme is expected to be either "postgresql" or '
                 "\"postgres\", got 'postgresql+asyncpg'"),
            told("python", "ValueError", "ValueError: Port could not be cast to integer value as "
                 "'p'"),
            log("sqlalchemy.exc.NoSuchModuleError: Can't load plugin: "
                "sqlalchemy.dialects:postgres"),
            log("sqlalchemy.exc.ArgumentError: Could not parse SQLAlchemy URL from given URL "
                "string"),
            log("ValueError: Redis URL must specify one of the following schemes (redis://, "
                "rediss://, unix://)"),
        ),
        silent=(
            told("socket", "EAI_NONAME", "[Errno -2] Name or service not known"),
            told("postgres", "", "failed to resolve host 'db': [Errno -2] Name or service not "
                 "known"),
            log("ValueError: invalid literal for int() with base 10: 'p'"),
            log("sqlalchemy.exc.NoSuchModuleError: Can't load plugin: "
                "sqlalchemy.dialects:snowflake"),
        ),
    ),
}  # fmt: skip
