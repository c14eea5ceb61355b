"""Environment variables that are not settings of envkit's own, and what they mean to it.

They are read where they matter; this is the one list of them, from which the reference is made. A
test compares it with what the code reads.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FOREIGN", "INTERNAL"]

#: By what they are about: name to meaning.
FOREIGN: Final[dict[str, dict[str, str]]] = {
    "Tests and CI": {
        "CI": "With `1` or `true` this is a job of continuous integration: pytest's `--envkit` is"
        " `require` unless something else is said, and secrets are needed as `required_in` says of"
        " `ci`.",
        "USE_REAL_SERVICES": "As pytest's `--envkit`, which wins over it: `1` or `true` means"
        " `require`, `0` or `false` means `off`, `auto` is `auto`.",
        "GITHUB_ENV": "The file that `envkit export --format github` appends to.",
        "GITHUB_STEP_SUMMARY": "The file that `envkit test` and `envkit doctor --format github`"
        " append their summaries to.",
    },
    "Servers that run already": {
        "DATABASE_URL": "Where Postgres runs. This and all below in this section count only with"
        " the backend `attach`, or where `attach.allow` names their target.",
        "PGHOST": "Where Postgres runs, if `DATABASE_URL` does not say it.",
        "PGHOSTADDR": "As `PGHOST`, if that is not set.",
        "PGPORT": "Beside `PGHOST`.",
        "PGUSER": "Beside `PGHOST`.",
        "PGPASSWORD": "Beside `PGHOST`; masked in all output.",
        "PGDATABASE": "Beside `PGHOST`.",
        "PGSSLMODE": "Beside `PGHOST`, as libpq takes it.",
        "PGSSLROOTCERT": "Beside `PGHOST`, as libpq takes it.",
        "PGSSLCERT": "Beside `PGHOST`, as libpq takes it.",
        "PGSSLKEY": "Beside `PGHOST`, as libpq takes it.",
        "PGGSSENCMODE": "Beside `PGHOST`, as libpq takes it.",
        "PGCHANNELBINDING": "Beside `PGHOST`, as libpq takes it.",
        "PGPASSFILE": "Beside `PGHOST`, as libpq takes it.",
        "REDIS_URL": "Where Redis runs.",
        "REDIS_PASSWORD": "Only masked in all output.",
        "REDISCLI_AUTH": "Only masked in all output.",
        "CLICKHOUSE_URL": "Where ClickHouse runs: its HTTP interface.",
        "CLICKHOUSE_HOST": "Where ClickHouse runs, if `CLICKHOUSE_URL` is not set.",
        "CLICKHOUSE_PORT": "Beside `CLICKHOUSE_HOST`; `443` and `8443` mean TLS.",
        "CLICKHOUSE_USER": "Beside `CLICKHOUSE_HOST`.",
        "CLICKHOUSE_PASSWORD": "Beside `CLICKHOUSE_HOST`; masked in all output.",
        "CLICKHOUSE_DATABASE": "Beside `CLICKHOUSE_HOST`.",
        "CLICKHOUSE_SECURE": "Beside `CLICKHOUSE_HOST`: `1`, `true`, `yes` or `on` for TLS.",
    },
    "The container engine": {
        "DOCKER_HOST": "Where the engine is. `tc.host` in `~/.testcontainers.properties` wins.",
        "DOCKER_CONTEXT": "The docker command's context to take, if `DOCKER_HOST` is not set.",
        "DOCKER_CONFIG": "The directory of the docker command's configuration: its contexts, and"
        " credentials for registries. `~/.docker` if not set.",
        "DOCKER_CERT_PATH": "The directory with `ca.pem`, `cert.pem` and `key.pem` for TLS.",
        "DOCKER_TLS_VERIFY": "If it is set, `DOCKER_HOST` is used with TLS; if it is set to"
        " nothing, without a look at the engine's certificate.",
        "TESTCONTAINERS_HOST_OVERRIDE": "The host on which the ports of containers are reached.",
        "TC_HOST": "As `TESTCONTAINERS_HOST_OVERRIDE`, and wins over it.",
        "TESTCONTAINERS_CONNECTION_MODE": "How containers are reached: `bridge_ip`, `gateway_ip` or"
        " `docker_host`.",
        "TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX": "As `docker.registry`, if that is not set.",
        "DOCKER_AUTH_CONFIG": "Credentials for registries, read by testcontainers. So are its"
        " further variables `TESTCONTAINERS_…` and `TC_…`.",
    },
    "Directories": {
        "XDG_RUNTIME_DIR": "Where the directory for sockets is made, if it is yours and its path is"
        " short; else in `/run/user/UID` or `/tmp`.",
        "XDG_STATE_HOME": "Where locks and the logs of runs that ended badly are kept, in `envkit`."
        " `~/.local/state` if not set.",
        "XDG_CACHE_HOME": "Where what is expensive to make is kept, such as the initialised"
        " Postgres, in `envkit`. `~/.cache` if not set.",
        "TMPDIR": "Where servers keep their data if there is no `data_dir` and no room in memory."
        " `/tmp` if not set.",
        "HOME": "Stands for `~` in paths of the configuration, and leads to the docker command's"
        " configuration.",
        "PATH": "Where servers' programs and clients are looked for.",
    },
    "Output": {
        "NO_COLOR": "Set to anything: no colours ([no-color.org](https://no-color.org)).",
        "FORCE_COLOR": "Set to anything: colours also where no terminal is, unless `NO_COLOR` is"
        " set.",
        "TERM": "With `dumb` there are no colours.",
        "COLUMNS": "The width of text, instead of the terminal's.",
    },
}

#: Between envkit's own processes, and for nobody else to set.
INTERNAL: Final[dict[str, str]] = {
    "_ENVKIT_COLLECTING_FD": "From the doctor to a pytest that collects for it: where to write.",
    "_ENVKIT_COLLECTING_LIFELINE": "The same: what ends that pytest with the doctor.",
    "_ENVKIT_CATEGORY": "From `envkit test` to its pytest: which category it is.",
    "_ENVKIT_CATEGORY_LIFELINE": "The same: what ends that pytest with `envkit test`.",
}
