"""clickhouse-server's HTTP interface: routes and credentials."""

from __future__ import annotations

import binascii
import hmac
import os

from . import failures
from .exchange import Exchange
from .failures import Failure
from .http import Disconnected, Malformed
from .parameters import as_bytes, as_text, parse_query
from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine
    from .http import Request, Response

_TEXT = ("Content-Type", "text/plain; charset=UTF-8")
# The hint of src/Server/HTTP's NotFoundHandler.
_HINT = """Use / or /ping for health checks.
Or /replicas_status for more sophisticated health checks.

Send queries from your program with POST method or GET /?query=...
"""


class Credentials:
    """The one user there is."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user.encode()
        self._password = password.encode()

    def match(self, user: bytes, password: bytes) -> bool:
        """Compare in constant time."""
        known = hmac.compare_digest(user, self._user)
        return hmac.compare_digest(password, self._password) and known


class App:
    """Answers requests with what ``engine`` gives."""

    def __init__(
        self, engine: Engine, credentials: Credentials, settings: dict[str, str] | None = None
    ) -> None:
        self._engine = engine
        self._credentials = credentials
        self._profile = settings or {}
        self._watch = Watch(engine.kill)
        self._name = os.uname().nodename

    def answer(self, request: Request, response: Response) -> None:
        """Answer one request. What is wrong with its SQL is answered, not raised."""
        if request.method == "OPTIONS":
            response.send(204, [("Allow", "GET, HEAD, POST, OPTIONS")])
            return
        if request.method not in ("GET", "HEAD", "POST"):
            response.send(501, [_TEXT], b"Only GET, HEAD and POST are supported.\n")
            return
        if request.path in (b"/ping", b"/replicas_status"):
            response.send(200, [_TEXT, self._display_name], b"Ok.\n")
            return
        if request.path != b"/":
            text = f"There is no handle {as_text(request.path)}\n" + _HINT
            response.send(404, [_TEXT], text.encode("utf-8", "replace"))
            return
        pairs = parse_query(request.query)
        if request.method != "POST" and not pairs and not request.has_length:
            response.send(200, [_TEXT, self._display_name], b"Ok.\n")
            return
        exchange = Exchange(self, request, response)
        try:
            exchange.run(pairs)
        except Failure as failure:
            exchange.fail(failure)
        except (Disconnected, Malformed):
            raise
        except Exception as error:
            exchange.fail(failures.from_engine(error))

    @property
    def _display_name(self) -> tuple[str, str]:
        return ("X-ClickHouse-Server-Display-Name", self._name)

    def authenticate(self, request: Request, pairs: list[tuple[str, bytes]]) -> None:
        """Raise Failure 516 unless the request carries the user's name and password."""
        headers = request.headers
        given = dict(pairs)
        by_header = "x-clickhouse-user" in headers or "x-clickhouse-key" in headers
        by_parameter = "user" in given or "password" in given
        basic = headers.get("authorization", "")
        if by_header + by_parameter + bool(basic) > 1:
            raise Failure(
                failures.AUTHENTICATION_FAILED,
                "Invalid authentication: it is not allowed to use more than one of X-ClickHouse "
                "HTTP headers, the Authorization HTTP header and parameters simultaneously.",
            )
        user, password = b"default", b""
        if basic:
            scheme, _, token = basic.partition(" ")
            if scheme.lower() != "basic":
                raise Failure(
                    failures.AUTHENTICATION_FAILED,
                    "Invalid authentication: only 'Basic' HTTP Authorization scheme is supported.",
                )
            try:
                decoded = binascii.a2b_base64(token.strip().encode(), strict_mode=True)
            except (ValueError, UnicodeError):
                decoded = b""
            user, _, password = decoded.partition(b":")
        elif by_header:
            user = as_bytes(headers.get("x-clickhouse-user", "default"))
            password = as_bytes(headers.get("x-clickhouse-key", ""))
        elif by_parameter:
            user, password = given.get("user", user), given.get("password", password)
        if not self._credentials.match(user, password):
            raise Failure(
                failures.AUTHENTICATION_FAILED,
                f"{user.decode('utf-8', 'replace')}: Authentication failed: password is incorrect, "
                "or there is no user with such name.",
            )
