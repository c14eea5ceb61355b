"""The program: arguments, configuration, start and end.

``python -m envkit.chdb_server --host 127.0.0.1 --port N --path DATADIR --config FILE``

FILE is JSON with ``user``, ``password``, ``database``, ``settings``, ``users`` (a directory of
ClickHouse's XML files, whose default profile comes before ``settings``), ``timezone`` and
``max_execution_time`` (seconds, 0 for none). Exit codes: 0 after SIGTERM or SIGINT, 2 for wrong
arguments or configuration, 3 if the engine does not start, 98 if the port is taken.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_EXIT_USAGE = 2
_EXIT_ENGINE = 3
_EXIT_ADDRESS_IN_USE = 98
_OPTIONS = ("--host", "--port", "--path", "--config")


def _stop(code: int, text: str) -> NoReturn:
    print(f"chdb_server: {text}", file=sys.stderr, flush=True)
    raise SystemExit(code)


def _arguments(arguments: list[str]) -> dict[str, str]:
    # argparse would add 9 ms to a start that is measured in them.
    values = {"--host": "127.0.0.1", "--port": "0"}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in _OPTIONS:
            _stop(_EXIT_USAGE, f"unknown argument {name}; known are {', '.join(_OPTIONS)}")
        values[name] = value if equals else next(rest, "")
    for name in _OPTIONS:
        if not values.get(name):
            _stop(_EXIT_USAGE, f"{name} needs a value")
    if not (values["--port"].isascii() and values["--port"].isdigit()):
        _stop(_EXIT_USAGE, "--port must be a number from 0 to 65535")
    if int(values["--port"]) > 65535:
        _stop(_EXIT_USAGE, "--port must be a number from 0 to 65535")
    return values


class Config:
    """The configuration file's content, checked."""

    def __init__(self, raw: Any) -> None:
        if not isinstance(raw, dict):
            raise ValueError("it must be an object")
        self.user = _string(raw, "user", "default")
        self.password = _string(raw, "password", "")
        self.database = _string(raw, "database", "default") or "default"
        self.timezone = _string(raw, "timezone", "UTC") or "UTC"
        settings = raw.get("settings") or {}
        if not isinstance(settings, dict):
            raise ValueError("`settings` must be an object")
        if users := _string(raw, "users", ""):
            from envkit.chdb_server.profiles import default_profile

            settings = default_profile(users) | settings
        self.settings = {name: _setting(name, value) for name, value in settings.items()}
        limit = raw.get("max_execution_time") or 0
        if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 0:
            raise ValueError("`max_execution_time` must be a number of seconds")
        if limit:
            self.settings.setdefault("max_execution_time", str(limit))


def _string(raw: dict[str, Any], name: str, default: str) -> str:
    value = raw.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"`{name}` must be a string")
    return value


def _setting(name: str, value: Any) -> str:
    if not (name.isascii() and name.replace("_", "a").isalnum()):
        raise ValueError(f"`{name}` is not the name of a setting")
    if isinstance(value, bool):
        return "1" if value else "0"
    if not isinstance(value, str | int | float):
        raise ValueError(f"setting `{name}` must be a string, number or boolean")
    return str(value)


def _read_config(path: str) -> Config:
    # Errors name the file and the field, never a value: one of them is the password.
    try:
        with open(path, encoding="utf-8") as file:
            return Config(json.load(file))
    except OSError as error:
        _stop(_EXIT_USAGE, f"cannot read the configuration {path}: {error.strerror}")
    except UnicodeError:
        _stop(_EXIT_USAGE, f"the configuration {path} is not UTF-8")
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        _stop(_EXIT_USAGE, f"the configuration {path} is not JSON: {error.msg} at {where}")
    except ValueError as error:
        _stop(_EXIT_USAGE, f"the configuration {path} is wrong: {error}")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _stop(_EXIT_ADDRESS_IN_USE, f"cannot listen on {host}:{port}: Address already in use")
        _stop(_EXIT_USAGE, f"cannot listen on {host}:{port}: {error.strerror or error}")
    return listener


def _leave_on_signals() -> None:
    """End at once on SIGTERM and SIGINT, from a thread that does nothing but wait for them.

    A handler would run on the main thread, which may be busy in the engine. Blocked here, before
    the engine starts its threads, the signals can go nowhere else.
    """
    ending = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)

    def wait() -> None:
        signal.sigwait(ending)
        # Destroying the engine would wait for running queries, and the data are throw-away.
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def main(arguments: list[str]) -> None:
    """Run until a signal comes."""
    options = _arguments(arguments)
    config = _read_config(options["--config"])
    host = options["--host"]
    # First of all, so that a taken port is known in 30 ms and early clients wait in the backlog.
    listener = _bind(host, int(options["--port"]))
    directory = os.path.abspath(options["--path"])
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError as error:
        _stop(_EXIT_USAGE, f"cannot create {directory}: {error.strerror}")
    # The engine reads it once, when it is loaded; its configuration's timezone has no effect.
    os.environ["TZ"] = config.timezone

    _leave_on_signals()

    from envkit.chdb_server.app import App, Credentials
    from envkit.chdb_server.engine import Engine
    from envkit.chdb_server.http import Server

    try:
        engine = Engine(directory, config.settings, config.database)
    except ImportError:
        _stop(
            _EXIT_ENGINE,
            "the chdb engine is not installed: pip install 'envkit-services[embedded]'",
        )
    except Exception as error:
        _stop(_EXIT_ENGINE, f"the chdb engine did not start: {error}")
    app = App(engine, Credentials(config.user, config.password), config.settings)

    port = listener.getsockname()[1]
    print(
        f"chdb_server: listening on {host}:{port} (ClickHouse {engine.version}, chdb-core)",
        file=sys.stderr,
        flush=True,
    )
    Server(listener, app.answer).serve()


if __name__ == "__main__":
    try:
        import envkit.chdb_server  # noqa: F401  # only to learn whether it can be found
    except ImportError:
        # Run by its path. At the end of sys.path, so that nothing there hides other packages.
        sys.path.append(
            os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        )
    main(sys.argv[1:])
