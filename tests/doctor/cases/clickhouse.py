"""Texts of ClickHouse 18.16 and 26.9 as they said them, the rest from its issues and sources."""

from envkit.doctor.model import Facts, ServiceFacts
from tests.doctor.case import Case, log, told

FACTS = Facts(
    services={
        "clickhouse": ServiceFacts(
            backend="attach",
            host="127.0.0.1",
            port=8123,
            user="app",
            database="app",
            origin="CLICKHOUSE_URL",
        )
    }
)
CONNECT = "clickhouse_connect.driver.exceptions.DatabaseError: "
DRIVER = "clickhouse_driver.errors."
FAILED = (
    "Code: 516. DB::Exception: boss: Authentication failed: password is incorrect, or there is no "
    "user with such name. (AUTHENTICATION_FAILED) (version 26.9.2.1)"
)
WRONG_VERSION = "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"

CASES = {
    "ch.auth.failed": Case(
        fires=(
            told("clickhouse", "516", FAILED),
            log(
                f"{CONNECT}Received ClickHouse exception, code: 516, server response: {FAILED} (for"
                " url http://127.0.0.1:40503)"
            ),
            log(f"{DRIVER}ServerException: Code: 193."),
            log(
                f"{CONNECT}HTTP driver received HTTP status 401, server response: Code: 193, "
                "e.displayText() = DB::Exception: Wrong password for user default, e.what() = "
                "DB::Exception (for url http://127.0.0.1:28123)"
            ),
            log(
                "Code: 193. DB::Exception: Received from 127.0.0.1:29000. DB::Exception: Wrong "
                "password for user default."
            ),
            log("X-ClickHouse-Exception-Code: 516"),
            log("clickhouse [dial]: code: 516, message: default: Authentication failed"),
            log(
                "Code: 195. DB::Exception: User other is not allowed to connect from address "
                "127.0.0.1"
            ),
            log(
                "2026.11.21 11:10:10.9 [ 21 ] {} <Error> ServerErrorHandler: Code: 194. DB::"
                "Exception: default: Authentication failed: password is incorrect, or there is no "
                "user with such name. (REQUIRED_PASSWORD)"
            ),
            told(
                "clickhouse",
                "1001",
                "DB::Exception: There is no user `bob` in local directory. (UNKNOWN_USER)",
            ),
        ),
        silent=(
            log("Status Code: 516. Authentication failed"),
            log('FATAL:  password authentication failed for user "default"'),
            told("clickhouse", "497", "bob: Not enough privileges."),
            log("ldap3.core.exceptions.LDAPBindError: (WRONG_PASSWORD) bind failed"),
        ),
        facts=FACTS,
    ),
    "ch.access.denied": Case(
        fires=(
            told(
                "clickhouse",
                "497",
                "Code: 497. DB::Exception: bob: Not enough privileges. To execute this query, it's "
                "necessary to have the grant CREATE DATABASE ON app.*. (ACCESS_DENIED)",
            ),
            log(
                "DB::Exception: bob: Not enough privileges. To execute this query it's necessary "
                "to have grant SELECT(n) ON app.t"
            ),
            log("Code: 291. DB::Exception: Access denied to database app"),
        ),
        silent=(
            log("Access is denied: C:\\ProgramData"),
            log("ERROR:  permission denied to create database"),
            log('{"code":"storage/unauthorized","reason":"(ACCESS_DENIED) user lacks role"}'),
        ),
        facts=FACTS,
    ),
    "ch.db.missing": Case(
        fires=(
            told(
                "clickhouse",
                "81",
                "Code: 81. DB::Exception: Database app does not exist. (UNKNOWN_DATABASE) (version "
                "26.9.2.1)",
            ),
            log(
                f"{CONNECT}Received ClickHouse exception, code: 81, server response: Code: 81. "
                "DB::Exception: Database nope does not exist. (UNKNOWN_DATABASE)"
            ),
            log(
                "Code: 81, e.displayText() = DB::Exception: Database nope doesn't exist, e.what() "
                "= DB::Exception"
            ),
            log("DB::Exception: Database `nope` does not exist. (UNKNOWN_DATABASE)"),
            # wrapped by whoever passed it on
            log(
                "Code: 1001. DB::Exception: Code: 81. DB::Exception: Database nope does not exist."
            ),
        ),
        silent=(
            log('FATAL:  database "nope" does not exist'),
            log("Error: Database nope does not exist"),
            told("clickhouse", "60", "Table default.nope doesn't exist."),
        ),
        facts=FACTS,
    ),
    "ch.table.missing": Case(
        fires=(
            told(
                "clickhouse",
                "60",
                "Code: 60. DB::Exception: Unknown table expression identifier 'nope'. Maybe you "
                "meant system.one? In scope SELECT * FROM nope. (UNKNOWN_TABLE)",
            ),
            log(f"{DRIVER}ServerException: Code: 60."),
            log("DB::Exception: Table default.nope doesn't exist.. Stack trace:"),
        ),
        silent=(
            log('ERROR:  relation "nope" does not exist'),
            log("sqlite3.OperationalError: no such table: nope"),
            log("Code: 81. DB::Exception: Database nodb does not exist. (UNKNOWN_DATABASE)"),
        ),
    ),
    "ch.profile.readonly": Case(
        fires=(
            told(
                "clickhouse",
                "164",
                "Code: 164. DB::Exception: Cannot modify 'send_progress_in_http_headers' setting "
                "in readonly mode. (READONLY)",
            ),
            told("host", "CH_READONLY", "readonly = 1"),
            log(
                "Code: 164. DB::Exception: default: Cannot execute query in readonly mode. For "
                "queries over HTTP, method GET implies readonly. You should use method POST for "
                "modifying queries. (READONLY)"
            ),
            log("DB::Exception: Cannot create database in readonly mode"),
        ),
        silent=(
            log("(error) READONLY You can't write against a read only replica."),
            log(
                "Code: 242. DB::Exception: Table is in readonly mode (replica path: /r). "
                "(TABLE_IS_READ_ONLY)"
            ),
            log("opened the workbook in readonly mode"),
        ),
    ),
    "ch.port.http-on-native": Case(
        fires=(
            told(
                "clickhouse",
                "",
                "Port 29000 is for clickhouse-client program\r\nYou must use port 28123 for HTTP.",
            ),
            log(
                f"{CONNECT}HTTP driver received HTTP status 400, server response: Port 29000 is "
                "for clickhouse-client program."
            ),
            log(
                "Code: 86. DB::Exception: Received error from remote server http://localhost:9000/."
                " HTTP status code: 400 Bad Request, body: Port 9000 is for clickhouse-client "
                "program. (RECEIVED_ERROR_FROM_REMOTE_IO_SERVER)"
            ),
            log(
                "<Error> ServerErrorHandler: Code: 217. DB::Exception: Client has connected to "
                "wrong port. (CLIENT_HAS_CONNECTED_TO_WRONG_PORT)"
            ),
        ),
        silent=(
            log("HTTP driver received HTTP status 400, server response: bad request"),
            log(
                "Code: 86. DB::Exception: Received error from remote server http://s3. HTTP status "
                "code: 404 Not Found (RECEIVED_ERROR_FROM_REMOTE_IO_SERVER)"
            ),
            told("clickhouse", "86", "Received error from remote server: 403 Forbidden"),
        ),
    ),
    "ch.port.native-on-http": Case(
        fires=(
            told("clickhouse", "102", "Unexpected packet from server 127.0.0.1:8123 (expected"),
            log(
                f"{DRIVER}UnexpectedPacketFromServerError: Code: 102. Unexpected packet from server"
                " 127.0.0.1:40503 (expected Hello or Exception, got Unknown packet)"
            ),
            log(
                "Code: 102. DB::NetException: Unexpected packet from server localhost:8123, ::1 "
                "(expected Hello or Exception, got Unknown packet)"
            ),
            log("read: [handshake] unexpected packet [72] from server"),
        ),
        silent=(
            log("scapy: unexpected packet from server 10.0.0.1:53"),
            log("Code: 101. DB::NetException: Unexpected packet from client"),
            told("clickhouse", "209", "Code: 209. (127.0.0.1:28123)"),
        ),
    ),
    "ch.protocol.mismatch": Case(
        fires=(
            told(
                "host",
                "CH_FOREIGN",
                "Remote end closed connection without response",
                data={"answers": "Redis", "host": "127.0.0.1", "port": "6379"},
            ),
            log("Code: 101. DB::NetException: Unexpected packet from client"),
        ),
        silent=(told("host", "REDIS_FOREIGN", "", data={"answers": "an HTTP server"}),),
    ),
    "ch.tls.mismatch": Case(
        fires=(
            told("socket", "WRONG_VERSION_NUMBER", WRONG_VERSION, service="clickhouse"),
            told("host", "CH_TLS", "closed", data={"wanted": "https", "host": "h", "port": "1"}),
            told("host", "CH_TLS", WRONG_VERSION, data={"wanted": "http"}),
            log(
                "clickhouse_connect.driver.exceptions.OperationalError: Error HTTPSConnectionPool("
                "host='127.0.0.1', port=40503): Max retries exceeded with url: /?query_id=2824 "
                f"(Caused by SSLError(SSLError(1, '{WRONG_VERSION}'))) executing HTTP request "
                "attempt 1 (https://127.0.0.1:40503)"
            ),
            log(f"{DRIVER}NetworkError: Code: 210. {WRONG_VERSION} (127.0.0.1:29000)"),
            log(
                "Code: 210. DB::NetException: SSL Exception: error:100000f7:SSL routines:"
                "OPENSSL_internal:WRONG_VERSION_NUMBER, wrong version number (localhost:9000)"
            ),
            log(
                "clickhouse_connect.driver.exceptions.OperationalError: Error executing HTTP "
                "request: SSL: RECORD_LAYER_FAILURE for url https://127.0.0.1:8123"
            ),
            log(
                "Code: 210. DB::NetException: SSL Exception: error:100000f7:SSL "
                "routines:OPENSSL_internal:WRONG_VERSION_NUMBER (localhost:9440). "
                "(NETWORK_ERROR)"
            ),
        ),
        silent=(
            told("socket", "WRONG_VERSION_NUMBER", WRONG_VERSION, service="redis"),
            log(f"requests.exceptions.SSLError: HTTPSConnectionPool(host='api'): {WRONG_VERSION}"),
            log("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed"),
            log(
                "requests.exceptions.SSLError: HTTPSConnectionPool(host='api.example.com', "
                "port=443): (Caused by SSLError(SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong "
                "version number (_ssl.c:1006)')))"
            ),
        ),
        facts=FACTS,
    ),
    "ch.refused": Case(
        fires=(
            told("clickhouse", "210", "Code: 210. Connection refused (127.0.0.1:29999)"),
            log(f"{DRIVER}NetworkError: Code: 210. Connection refused (127.0.0.1:29999)"),
            log("Code: 210. DB::NetException: Connection refused (127.0.0.1:1). (NETWORK_ERROR)"),
            log(
                "Code: 1001. DB::Exception: Code: 519. DB::NetException: All attempts to get table "
                "structure failed. Log: Code: 279. DB::NetException: All connection tries failed. "
                "Log: Code: 210. DB::NetException: Connection refused (127.0.0.1:1)."
            ),
        ),
        silent=(
            told("socket", "ECONNREFUSED", "[Errno 111] Connection refused"),
            log(
                "clickhouse_connect.driver.exceptions.OperationalError: Error HTTPConnectionPool("
                "host='127.0.0.1', port=29999): Max retries exceeded with url: /?query_id=7d88 "
                "(Caused by NewConnectionError(': Failed to establish a new connection: [Errno "
                "111] Connection refused')) executing HTTP request attempt 1"
            ),
            told("clickhouse", "210", "Code: 210. DB::NetException: Connection reset by peer"),
            told("clickhouse", "210", "Code: 210. All hosts are unreachable: 127.0.0.1:28123"),
        ),
    ),
    "ch.timeout.socket": Case(
        fires=(
            told("clickhouse", "209", "Code: 209. (127.0.0.1:28123)"),
            log(f"{DRIVER}SocketTimeoutError: Code: 209. (127.0.0.1:28123)"),
            log(
                "Code: 209. DB::NetException: Timeout exceeded while reading from socket "
                "(127.0.0.1:9000, 300000 ms). (SOCKET_TIMEOUT)"
            ),
        ),
        silent=(
            told("socket", "TIMEOUT", "timed out"),
            log("redis.exceptions.TimeoutError: Timeout reading from socket"),
            log("Code: 159. DB::Exception: Timeout exceeded: elapsed 1 s, maximum: 1."),
        ),
    ),
    "ch.timeout.query": Case(
        fires=(
            told(
                "clickhouse",
                "159",
                "Code: 159. DB::Exception: Timeout exceeded: elapsed 1000.526 ms, maximum: 1000.000"
                " ms. (TIMEOUT_EXCEEDED)",
            ),
            log(
                "DB::Exception: Timeout exceeded: elapsed 1.003999978 seconds, maximum: 1. Stack "
                "trace:"
            ),
        ),
        silent=(
            log("subprocess.TimeoutExpired: Timeout exceeded: 30 s"),
            told("clickhouse", "209", "Timeout exceeded while reading from socket"),
        ),
    ),
}
