from tests.doctor.case import Case, log, told

CASES = {
    "net.refused": Case(
        fires=(
            told("socket", "ECONNREFUSED", "[Errno 111] Connection refused"),
            log(
                'connection to server at "127.0.0.1", port 1 failed: Connection refused\n'
                "\tIs the server running on that host and accepting TCP/IP connections?"
            ),
            log("[WinError 1225] The remote computer refused the network connection"),
            log("Error: connect ECONNREFUSED 127.0.0.1:5432"),
            log("dial tcp 127.0.0.1:5432: connect: connection refused"),
            log(
                "org.postgresql.util.PSQLException: Connection to localhost:5432 refused. "
                "Check that the hostname and port are correct and that the postmaster is "
                "accepting TCP/IP connections."
            ),
            log("ConnectionRefusedError: [Errno 61] Connect call failed ('127.0.0.1', 5432)"),
            log(
                'psql: error: connection to server on socket "/tmp/.s.PGSQL.5432" failed: No '
                "such file or directory\n"
                "\tIs the server running locally and accepting connections on that socket?"
            ),
            log(
                "redis.exceptions.ConnectionError: Error 10061 connecting to localhost:6379. "
                "No connection could be made because the target machine actively refused it."
            ),
            log("  | ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 5432)"),
        ),
        silent=(
            told("socket", "TIMEOUT", "timed out"),
            log("the request was refused because its field is empty"),
            log("OSError: [Errno 113] Connect call failed ('10.0.0.5', 5432)"),
            log('tests/test_errors.py::test_maps["Connection refused"] PASSED [ 10%]'),
            log("[gw0] [ 33%] PASSED tests/test_net.py::test_message[Connection refused-111] "),
            log(
                "_____ test_message[Connection refused-5432] _____\n"
                "E       AssertionError: assert 'a' == 'b'"
            ),
            log(
                "FAILED tests/test_a.py::test_message[Connection refused-5432] - "
                "AssertionError: assert 'a' == 'b'"
            ),
        ),
    ),
    "net.timeout": Case(
        fires=(
            told("socket", "TIMEOUT", "timed out"),
            told("socket", "EHOSTUNREACH", "[Errno 113] No route to host"),
            log("connection timeout expired"),
            log("redis.exceptions.TimeoutError: Timeout reading from socket"),
            log("dial tcp 10.0.0.5:5432: i/o timeout"),
            log(
                'psycopg2.OperationalError: connection to server at "10.0.0.9", port 5432 '
                "failed: timeout expired"
            ),
            log("Error: connect ETIMEDOUT 10.0.0.5:5432"),
            log("OSError: [Errno 113] Connect call failed ('10.0.0.5', 5432)"),
            log("OSError: [Errno 60] Operation timed out"),
            log(
                "urllib3.exceptions.ConnectTimeoutError: (<urllib3.connection.HTTPConnection "
                "object at 0x7f0>, 'Connection to 10.0.0.5 timed out. (connect timeout=10)')"
            ),
        ),
        silent=(
            log("test_timeout.py::test_retries PASSED"),
            log("the connection pool timed out waiting for a free slot"),
            log(
                "Retrying (Retry(total=4, connect=None, read=None, redirect=None, "
                "status=None)) after connection broken by "
                "'ReadTimeoutError(\"HTTPSConnectionPool(host='pypi.org', port=443): Read timed "
                "out. (read timeout=15)\")': /simple/psycopg/"
            ),
        ),
    ),
    "net.dns": Case(
        fires=(
            told("socket", "EAI_NONAME", "[Errno -2] Name or service not known"),
            log('could not translate host name "db" to address: Name or service not known'),
            log("failed to resolve host 'db': [Errno -3] Temporary failure in name resolution"),
            log("dial tcp: lookup postgres on 127.0.0.11:53: no such host"),
            log("java.net.UnknownHostException: postgres"),
        ),
        silent=(log("the name of the service is not known to the registry"),),
    ),
    "net.tls.certificate": Case(
        fires=(
            told(
                "socket",
                "CERTIFICATE_VERIFY_FAILED",
                "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed "
                "certificate (_ssl.c:1006)",
                "redis",
            ),
            log(
                "requests.exceptions.SSLError: HTTPSConnectionPool(host='localhost', port=8443): "
                "Max retries exceeded with url: / (Caused by SSLError(SSLCertVerificationError(1, "
                "'[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed "
                "certificate (_ssl.c:1006)')))"
            ),
        ),
        silent=(
            told("socket", "WRONG_VERSION_NUMBER", "[SSL: WRONG_VERSION_NUMBER] wrong version"),
            log("test_certificate_verify_failed PASSED"),
            log("x509: certificate signed by unknown authority"),
        ),
    ),
}
