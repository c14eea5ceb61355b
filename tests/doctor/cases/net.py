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
        ),
        silent=(
            told("socket", "TIMEOUT", "timed out"),
            log("the request was refused because its field is empty"),
        ),
    ),
    "net.timeout": Case(
        fires=(
            told("socket", "TIMEOUT", "timed out"),
            told("socket", "EHOSTUNREACH", "[Errno 113] No route to host"),
            log("connection timeout expired"),
            log("redis.exceptions.TimeoutError: Timeout reading from socket"),
        ),
        silent=(log("test_timeout.py::test_retries PASSED"),),
    ),
    "net.dns": Case(
        fires=(
            told("socket", "EAI_NONAME", "[Errno -2] Name or service not known"),
            log('could not translate host name "db" to address: Name or service not known'),
            log("failed to resolve host 'db': [Errno -3] Temporary failure in name resolution"),
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
