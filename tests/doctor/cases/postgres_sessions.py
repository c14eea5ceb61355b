from tests.doctor.case import Case, log, told

_AT = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
_CLOSED = (
    "server closed the connection unexpectedly\n\tThis probably means the server terminated "
    "abnormally\n\tbefore or while processing the request."
)
_LOG = "2026-11-21 11:08:57.817 UTC [7536] "

CASES = {
    "pg.conn.too-many": Case(
        fires=(
            told("postgres", "53300", "sorry, too many clients already"),
            told("postgres", "", f"{_AT}FATAL:  remaining connection slots are reserved for "
                 "roles with the SUPERUSER attribute"),
            told("postgres", "53300", 'too many connections for database "app"'),
            told("postgres", "53300", "tut uns leid, schon zu viele Verbindungen"),
            told("host", "PG_SLOTS_LOW", "95 of 100 connections are in use",
                 data={"used": "95", "limit": "100"}),
            log(f"{_LOG}FATAL:  remaining connection slots are reserved for non-replication "
                "superuser connections"),
            log('FATAL:  too many connections for role "app"'),
            log("ERROR: no more connections allowed (max_client_conn)"),
        ),
        silent=(
            told("postgres", "53300", "number of requested standby connections exceeds "
                 '"max_wal_senders" (currently 0)'),
            log("redis.exceptions.MaxConnectionsError: Too many connections"),
            log("pool: too many connections for this host, waiting"),
        ),
    ),
    "pg.conn.pool-exhausted": Case(
        fires=(
            log("sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, "
                "connection timed out, timeout 30.00"),
            log("psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec"),
            told("python", "PoolTimeout", "PoolTimeout: couldn't get a connection after 5.00 sec"),
        ),
        silent=(
            told("postgres", "53300", "sorry, too many clients already"),
            log("connection timeout expired"),
        ),
    ),
    "pg.conn.shared": Case(
        fires=(
            told("postgres", "", "cannot perform operation: another operation is in progress"),
            log("sqlalchemy.exc.InterfaceError: (sqlalchemy.dialects.postgresql.asyncpg."
                "InterfaceError) <class 'asyncpg.exceptions._base.InterfaceError'>: cannot perform "
                "operation: another operation is in progress"),
            told("postgres", "", "sending query failed: another command is already in progress"),
            log("sqlalchemy.exc.InvalidRequestError: This session is provisioning a new "
                "connection; concurrent operations are not permitted"),
            log("sqlalchemy.exc.IllegalStateChangeError: Method 'close()' can't be called here; "
                "method '_connection_for_bind()' is already in progress and this would cause"),
        ),
        silent=(
            log("RuntimeError: got Future <Future pending> attached to a different loop"),
            log("another deployment is already in progress"),
        ),
    ),
    "pg.state.starting": Case(
        fires=(
            told("postgres", "57P03", "the database system is starting up"),
            told("postgres", "57P03", "das Datenbanksystem startet"),
            told("postgres", "", f"{_AT}FATAL:  the database system is in recovery mode"),
            told("postgres", "", f"{_AT}FATAL:  the database system is not yet accepting "
                 "connections\nDETAIL:  Consistent recovery state has not been yet reached."),
            told("postgres", "57P03", "the database system is not accepting connections\n"
                 "DETAIL:  Hot standby mode is disabled."),
            log(f"{_LOG}FATAL:  the database system is starting up"),
        ),
        silent=(
            told("postgres", "57P03", "the database system is shutting down"),
            log(f"{_LOG}LOG:  database system is ready to accept connections"),
            log(f"{_LOG}LOG:  database system was interrupted; last known up at 2026-11-21"),
        ),
    ),
    "pg.state.shutting-down": Case(
        fires=(
            told("postgres", "57P03", "the database system is shutting down"),
            told("postgres", "", f"{_AT}FATAL:  the database system is shutting down"),
            log(f"{_LOG}FATAL:  the database system is shutting down"),
        ),
        silent=(
            told("postgres", "57P03", "the database system is starting up"),
            log(f"{_LOG}LOG:  received fast shutdown request"),
            log(f"{_LOG}LOG:  database system is shut down"),
        ),
    ),
    "pg.state.init-race": Case(
        fires=(
            told("postgres", "", f"{_AT}{_CLOSED}"),
            told("postgres", "", f'connection to server at "localhost" (127.0.0.1), port 5432 '
                 f"failed: {_CLOSED}"),
            log(f"psycopg.OperationalError: {_AT}{_CLOSED}"),
        ),
        silent=(
            told("postgres", "", f"consuming input failed: {_CLOSED}"),
            told("postgres", "", _CLOSED),
            told("postgres", "", f"{_AT}Connection refused"),
            log(_CLOSED),
        ),
    ),
    "pg.state.killed": Case(
        fires=(
            told("postgres", "57P01", "terminating connection due to administrator command"),
            told("postgres", "08003", "connection was closed in the middle of operation: "
                 "terminating connection due to administrator command"),
            told("postgres", "57P02", "terminating connection because of crash of another server "
                 "process\nDETAIL:  The postmaster has commanded this server process to roll back"),
            log(f"{_LOG}LOG:  client backend (PID 7653) was terminated by signal 9: Killed"),
            log(f"{_LOG}LOG:  server process (PID 7653) was terminated by signal 11: Segmentation "
                "fault"),
            log(f"{_LOG}LOG:  server process (PID 7653) was terminated by exception 0xC0000142"),
            log("psycopg.errors.AdminShutdown: terminating connection due to administrator "
                "command"),
        ),
        silent=(
            told("postgres", "57P05", "terminating connection due to idle-session timeout"),
            told("postgres", "25P03", "terminating connection due to "
                 "idle-in-transaction timeout"),
            told("postgres", "", f"consuming input failed: {_CLOSED}"),
            log(f"{_LOG}LOG:  background worker \"logical replication launcher\" (PID 30) exited "
                "with exit code 1"),
            log(f"{_LOG}LOG:  terminating any other active server processes"),
        ),
    ),
    "pg.protocol.garbage": Case(
        fires=(
            log(f"{_LOG}LOG:  invalid length of startup packet"),
            log(f"{_LOG}FATAL:  unsupported frontend protocol 18245.21536: server supports 3.0 to "
                "3.0"),
            told("postgres", "", f"{_AT}received invalid response to SSL negotiation: H"),
            told("postgres", "", f"{_AT}expected authentication request from server, but received "
                 "H"),
        ),
        silent=(
            log(f"{_LOG}LOG:  incomplete startup packet"),  # a look at the port does that
            log(f"{_LOG}LOG:  could not receive data from client: Connection reset by peer"),
        ),
    ),
}  # fmt: skip
