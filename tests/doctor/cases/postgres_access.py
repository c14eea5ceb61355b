from tests.doctor.case import Case, log, told

_AT = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
_NOT_IN_HBA = 'FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "app", database "app", '
_ANY_LANGUAGE = (
    f"{_AT}FATAL:  Passwort-Authentifizierung für Benutzer »app« fehlgeschlagen",
    f"{_AT}ВАЖНО:  роль «app» не существует",
)

CASES = {
    "pg.auth.password": Case(
        fires=(
            told("postgres", "28P01", 'password authentication failed for user "app"'),
            told("postgres", "", f'{_AT}FATAL:  password authentication failed for user "app"'),
            told("postgres", "", f"{_AT}fe_sendauth: no password supplied"),
            # pg8000 shows the fields of the message
            told("postgres", "", "{'S': 'FATAL', 'C': '28P01', 'M': 'password authentication "
                 "failed for user \"app\"', 'F': 'auth.c', 'R': 'auth_failed'}"),
            told("postgres", "28P01", "Passwort-Authentifizierung für Benutzer »app« "
                 "fehlgeschlagen"),
            # Both attempts of sslmode=prefer: only the first one says what is wrong
            told("postgres", "", f'{_AT}FATAL:  password authentication failed for user "app"\n'
                 f"connection to server at \"127.0.0.1\", port 5432 failed: {_NOT_IN_HBA}"
                 "no encryption"),
            log("E       psycopg.OperationalError: "
                f'{_AT}FATAL:  password authentication failed for user "app"\n'
                f"E       connection to server at \"127.0.0.1\", port 5432 failed: {_NOT_IN_HBA}"
                "no encryption"),
            log("sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) connection to server "
                'at "db" (172.18.0.2), port 5432 failed: FATAL:  password authentication failed '
                'for user "app"'),
            log("2026-11-21 11:08:57.817 UTC [7536] FATAL:  password authentication failed for "
                'user "app"'),
            log("failed to connect to `host=localhost user=app database=app`: failed SASL auth "
                '(FATAL: password authentication failed for user "app" (SQLSTATE 28P01))'),
            log("Error: password authentication failed for user \"app\"\n    code: '28P01',"),
        ),
        silent=(
            told("postgres", "28000", 'Peer authentication failed for user "app"'),
            told("postgres", "28000", f"{_NOT_IN_HBA}no encryption"),
            log("login test: password authentication failed for users without mail address"),
            log("error: code: 'EPERM'"),
        ),
    ),
    "pg.auth.role-missing": Case(
        fires=(
            told("postgres", "28000", 'role "app" does not exist'),
            told("postgres", "28000", 'role "app" is not permitted to log in'),
            told("postgres", "28000", "Rolle »app« existiert nicht",
                 data={"routine": "InitializeSessionUserId"}),
            told("postgres", "", f'{_AT}FATAL:  role "app" does not exist'),
            log('2026-11-21 11:08:57.817 UTC [7536] FATAL:  role "root" does not exist'),
            log('2026-11-21 11:08:57.817 UTC [7536] FATAL:  password authentication failed for '
                'user "root"\n2026-11-21 11:08:57.817 UTC [7536] DETAIL:  Role "root" does not '
                "exist."),
            log('psql: error: connection to server on socket "/tmp/.s.PGSQL.5432" failed: FATAL:  '
                'role "root" does not exist'),
            log(
                'org.postgresql.util.PSQLException: FATAL: role "app" does not exist'
            ),
        ),
        silent=(
            told("postgres", "42704", 'role "auditor" does not exist'),  # GRANT ... TO auditor
            told("postgres", "28000", f"{_NOT_IN_HBA}no encryption"),
            log('ERROR:  role "auditor" does not exist'),
            log(
                'NOTICE:  role "app" does not exist, skipping'
            ),
        ),
    ),
    "pg.auth.hba": Case(
        fires=(
            told("postgres", "28000", f"{_NOT_IN_HBA}no encryption"),
            told("postgres", "28000", "kein pg_hba.conf-Eintrag für Host »127.0.0.1«",
                 data={"routine": "ClientAuthentication"}),
            told("postgres", "", f"{_AT}{_NOT_IN_HBA}SSL encryption\nconnection to server at "
                 f'"127.0.0.1", port 5432 failed: {_NOT_IN_HBA}no encryption'),
            told("postgres", "", f"{_AT}FATAL:  pg_hba.conf rejects connection for host "
                 '"127.0.0.1", user "app", database "app", no encryption'),
            told("postgres", "28000", 'Peer authentication failed for user "app"'),
            told("postgres", "", f"{_AT}{_NOT_IN_HBA}no encryption", data={"tls": "none"}),
            log('psql: FATAL:  no pg_hba.conf entry for host "172.17.0.1", user "app", database '
                '"app", SSL off'),
            log('psql: error: connection to server on socket "/var/run/postgresql/.s.PGSQL.5432" '
                'failed: FATAL:  Peer authentication failed for user "app"'),
        ),
        silent=(
            told("postgres", "28000", f"{_NOT_IN_HBA}no encryption", data={"tls": "accepted"}),
            told("postgres", "28000", 'role "app" does not exist'),
            log("see pg_hba.conf for who may connect"),
            log('DETAIL:  Connection matched file "pg_hba.conf" line 1: "host all all all trust"'),
        ),
    ),
    "pg.tls.required": Case(
        fires=(
            told("postgres", "", f"{_AT}{_NOT_IN_HBA}no encryption", data={"tls": "accepted"}),
            told("postgres", "28000", 'no pg_hba.conf entry for host "84.46.1.9", user "app", '
                 'database "app", no encryption'),
            log("FATAL:  SSL connection is required. Please specify SSL options and retry."),
            log("FATAL:  SSL required"),
            log("ERROR: connection is insecure (try using `sslmode=require`)"),
        ),
        silent=(
            told("postgres", "", f"{_AT}{_NOT_IN_HBA}no encryption", data={"tls": "none"}),
            told("postgres", "", f"{_AT}server does not support SSL, but SSL was required"),
            told("postgres", "28000", 'no pg_hba.conf entry for host "84.46.1.9", user "app", '
                 'database "app", SSL encryption'),
        ),
    ),
    "pg.tls.unsupported": Case(
        fires=(
            told("postgres", "", f"{_AT}server does not support SSL, but SSL was required"),
            told("python", "ConnectionError",
                 'ConnectionError: PostgreSQL server at "127.0.0.1:5432" rejected SSL upgrade'),
            told("postgres", "", "Server refuses SSL"),
            log("org.postgresql.util.PSQLException: The server does not support SSL."
                " server does not support SSL connections"),
            log(
                'org.postgresql.util.PSQLException: The server does not support SSL.'
            ),
        ),
        silent=(
            told("postgres", "28000", f"{_NOT_IN_HBA}SSL encryption"),
            log("SSL error: certificate verify failed"),
            log(
                'The server does not support SSLv3'
            ),
        ),
    ),
    "pg.tls.certificate": Case(
        fires=(
            told("postgres", "", f'{_AT}root certificate file "/root/.postgresql/root.crt" does '
                 "not exist\nEither provide the file, use the system's trusted roots with "
                 "sslrootcert=system, or change sslmode to disable server certificate "
                 "verification."),
            told("postgres", "", f"{_AT}SSL error: certificate verify failed"),
            told("postgres", "", f'{_AT}server certificate for "db.internal" does not match host '
                 'name "localhost"'),
        ),
        silent=(
            log("requests.exceptions.SSLError: certificate verify failed: self-signed"),
            told("postgres", "", f"{_AT}server does not support SSL, but SSL was required"),
        ),
    ),
    "pg.db.missing": Case(
        fires=(
            told("postgres", "3D000", 'database "app_test" does not exist'),
            told("postgres", "3D000", 'template database "app_template" does not exist'),
            told("postgres", "3D000", "Datenbank »app_test« existiert nicht"),
            told("postgres", "", f'{_AT}FATAL:  database "app_test" does not exist'),
            told("postgres", "", "{'S': 'FATAL', 'C': '3D000', 'M': 'database \"app_test\" does "
                 "not exist', 'F': 'postinit.c'}"),
            log('2026-11-21 11:08:57.817 UTC [7536] FATAL:  database "app" does not exist'),
            log("asyncpg.exceptions.InvalidCatalogNameError: database \"app\" does not exist"),
        ),
        silent=(
            told("clickhouse", "81", "Code: 81. DB::Exception: Database app does not exist"),
            told("postgres", "42P01", 'relation "database" does not exist'),
            log('my own check: database "app" does not exist yet, creating it'),
        ),
    ),
    "pg.conn.rejected": Case(
        fires=tuple(told("postgres", "", text) for text in _ANY_LANGUAGE),
        silent=(
            told("postgres", "", f"{_AT}Connection refused\n\tIs the server running on that host"),
            told("postgres", "", f'{_AT}FATAL:  database "app_test" does not exist'),
            told("postgres", "", f"{_AT}fe_sendauth: no password supplied"),
        ),
    ),
}  # fmt: skip
