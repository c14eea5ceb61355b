from tests.doctor.case import Case, log, told

CASES = {
    "driver.missing": Case(
        fires=(
            log("ModuleNotFoundError: No module named 'clickhouse_driver'"),
            log("E   ModuleNotFoundError: No module named 'psycopg2'"),
            log("ImportError: No module named asyncpg"),
            log("ModuleNotFoundError: No module named 'redis.asyncio'"),
            log("ImportError: no pq wrapper available."),
            log(
                "sqlalchemy.exc.NoSuchModuleError: Can't load plugin: "
                "sqlalchemy.dialects:clickhouse"
            ),
            log(
                "django.core.exceptions.ImproperlyConfigured: Error loading psycopg2 or psycopg "
                "module"
            ),
            told("python", "ModuleNotFoundError", "ModuleNotFoundError: No module named 'redis'"),
            told("host", "NO_DRIVER", "redis cannot be imported", data={"module": "redis"}),
            told("envkit", "driver.missing", "psycopg cannot be imported"),
            log(
                "ImportError: no pq wrapper available.\n"
                "Attempts made:\n"
                "- couldn't import psycopg 'c' implementation: No module named 'psycopg_c'"
            ),
        ),
        silent=(
            log("ModuleNotFoundError: No module named 'acme_billing'"),
            log("ModuleNotFoundError: No module named 'fcntl'"),
            log("ModuleNotFoundError: No module named 'pytest_asyncio'"),
            log("Can't load plugin: sqlalchemy.dialects:acme"),
            log("ImportError: cannot import name 'Redis' from 'acme'"),
        ),
    ),
}
