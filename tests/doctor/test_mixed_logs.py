"""Whole logs: the cause comes first, what follows from it is under it, and health is silent."""

from __future__ import annotations

import pytest

from envkit.doctor.visit import read_log

REFUSED = "E   ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 5432)\n"

# Root, consequences that have to be under it, and the log.
MIXED = {
    "stopped engine": (
        "docker.daemon.down",
        {"net.refused"},
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon "
        f"running?\nmake: *** [Makefile:4: up] Error 1\n{REFUSED}",
    ),
    "port taken": (
        "docker.port.in-use",
        {"net.refused"},
        " Container app-db-1  Starting\nError response from daemon: driver failed programming "
        "external connectivity on endpoint app-db-1 (abc): Bind for 0.0.0.0:5432 failed: port is "
        f"already allocated\n{REFUSED}",
    ),
    "rate limit that ends in another error": (
        "docker.pull.rate-limit",
        {"docker.image.missing", "net.refused"},
        "toomanyrequests: You have reached your pull rate limit.\n"
        f"docker: Error response from daemon: No such image: postgres:16\n{REFUSED}",
    ),
    "unknown tag": (
        "docker.image.tag-unknown",
        {"net.refused"},
        "Error response from daemon: manifest for postgres:99 not found: manifest unknown: "
        f"manifest unknown\n{REFUSED}",
    ),
    "full disk of a server": (
        "pg.disk.full",
        {"pg.state.killed", "pg.state.starting"},
        "postgres-1  | 2025-06-01 10:00:00.001 UTC [33] PANIC:  could not write to file "
        '"pg_wal/xlogtemp.33": No space left on device\n'
        "postgres-1  | 2025-06-01 10:00:00.010 UTC [1] LOG:  server process (PID 33) was "
        "terminated by signal 6: Aborted\n"
        "E   psycopg2.OperationalError: connection to server at "
        '"localhost" (127.0.0.1), port 5432 failed: FATAL:  the database system is in recovery '
        "mode\n",
    ),
    "full disk of the engine": (
        "docker.disk.full",
        {"pg.disk.full"},
        "ERROR: failed to solve: failed to copy files: copy file range failed: no space left on "
        "device\npostgres-1  | 2025-06-01 10:00:00.001 UTC [33] PANIC:  could not write to file "
        '"pg_wal/xlogtemp.33": No space left on device\n',
    ),
    "killed ClickHouse": (
        "ch.oom-killed",
        {"net.refused"},
        "dependency failed to start: container app-clickhouse-1 exited (137)\n"
        "E   redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. "
        "Connection refused.\n",
    ),
    "volume of another version": (
        "pg.datadir.version",
        {"docker.container.exited", "net.refused"},
        "postgres-1  | 2025-06-01 10:00:00.001 UTC [1] FATAL:  database files are incompatible "
        "with server\npostgres-1  | 2025-06-01 10:00:00.001 UTC [1] DETAIL:  The data directory "
        "was initialized by PostgreSQL version 15, which is not compatible with this version "
        f"16.3.\npostgres-1 exited with code 1\n{REFUSED}",
    ),
    "driver and conftest": (
        "driver.missing",
        {"pytest.conftest.import"},
        "ImportError while loading conftest '/app/tests/conftest.py'.\n"
        "tests/conftest.py:1: in <module>\n    import psycopg\n"
        "E   ModuleNotFoundError: No module named 'psycopg'\n",
    ),
    "driver and collection": (
        "driver.missing",
        {"pytest.collect.interrupted"},
        "_______________________ ERROR collecting tests/test_db.py ______________________\n"
        "ImportError while importing test module '/app/tests/test_db.py'.\n"
        "tests/test_db.py:1: in <module>\n    import asyncpg\n"
        "E   ModuleNotFoundError: No module named 'asyncpg'\n"
        "!!!!!!!!!!!!!!!!!!!! Interrupted: 1 error during collection !!!!!!!!!!!!!!!!!!!!\n",
    ),
    "variable and conftest in compose": (
        "secret.missing",
        {"pytest.conftest.import"},
        "tests-1  | ImportError while loading conftest '/app/tests/conftest.py'.\n"
        "tests-1  | tests/conftest.py:4: in <module>\n"
        'tests-1  |     URL = os.environ["DATABASE_URL"]\n'
        "tests-1  | <frozen os>:685: in __getitem__\n"
        "tests-1  |     ???\n"
        "tests-1  | E   KeyError: 'DATABASE_URL'\n"
        "tests-1 exited with code 4\n",
    ),
    "pytest's exit code 5": (
        "pytest.select.empty",
        set(),
        "2025-01-01T10:00:00.0000000Z collected 41 items / 41 deselected / 0 selected\n"
        "2025-01-01T10:00:00.0000000Z ##[error]Process completed with exit code 5.\n",
    ),
    "a build's error that is cut": (
        "docker.build.checksum-unknown",
        set(),
        "2024-05-22T12:43:46.962646Z 01O ERROR: failed to solve: failed to compute cache key: "
        "failed to calculate checksum of ref moby::k3x0w\n",
    ),
    "Ryuk in a failed test": (
        "docker.ryuk.unreachable",
        {"net.refused"},
        "_______________________ ERROR at setup of test_insert _______________________\n"
        "/venv/lib/python3.12/site-packages/testcontainers/core/container.py:230: in "
        "_create_instance\n    Reaper._socket.connect((container_host, container_port))\n"
        "E   ConnectionRefusedError: [Errno 111] Connection refused\n",
    ),
    "role under scram in a journal": (
        "pg.auth.role-missing",
        set(),
        "Jun 01 10:00:00 host postgres[45]: 2025-06-01 10:00:00.001 UTC [45] FATAL:  password "
        'authentication failed for user "app"\n'
        "Jun 01 10:00:00 host postgres[45]: 2025-06-01 10:00:00.001 UTC [45] DETAIL:  Role "
        '"app" does not exist.\n',
    ),
    "exception group": (
        "pg.auth.password",
        set(),
        "  + Exception Group Traceback (most recent call last):\n"
        "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n"
        "  +-+---------------- 1 ----------------\n"
        "    | asyncpg.exceptions.InvalidPasswordError: password authentication failed for user "
        '"app"\n',
    ),
    "code within codes": (
        "ch.memory.limit",
        set(),
        "Code: 279. DB::NetException: All connection tries failed. Log: Code: 241. "
        "DB::Exception: Received from ch2:9000. DB::Exception: Memory limit (total) exceeded: "
        "would use 3.60 GiB. (MEMORY_LIMIT_EXCEEDED)\n",
    ),
}

HEALTHY = {
    "names of tests": (
        "tests/test_db.py::test_refused[Connection refused] PASSED [ 10%]\n"
        "tests/test_db.py::test_timeout[connection timed out] PASSED [ 20%]\n"
        "[gw0] [ 30%] PASSED tests/test_x.py::test_it[max number of clients reached] \n"
        "tests/test_x.py::test_it[Too many open files] \n"
        "_ test_it[max number of clients reached - x] _\nE       assert 1 == 2\n"
        "FAILED tests/test_x.py::test_it[max number of clients reached - x] - assert 1 == 2\n"
    ),
    "source of a test": (
        "______________________ test_rejects _______________________\n"
        '>       assert message == "Connection refused"[:3]\n'
        "E       AssertionError: assert 'a' == 'Con'\n"
    ),
    "first start of Postgres": (
        "postgres-1  | 2025-06-01 10:00:00.020 UTC [48] LOG:  database system is ready to accept "
        "connections\n"
        "postgres-1  | 2025-06-01 10:00:00.200 UTC [48] LOG:  received fast shutdown request\n"
        "postgres-1  | 2025-06-01 10:00:00.240 UTC [48] LOG:  database system is shut down\n"
        "postgres-1  | PostgreSQL init process complete; ready for start up.\n"
        "postgres-1  | 2025-06-01 10:00:01.010 UTC [1] LOG:  database system is ready to accept "
        "connections\n"
    ),
    "somebody knocks before Postgres is ready": (
        "postgres-1  | 2025-06-01 10:00:00.100 UTC [28] FATAL:  the database system is starting "
        "up\npostgres-1  | 2025-06-01 10:00:00.500 UTC [1] LOG:  database system is ready to "
        "accept connections\n"
    ),
    "errors that tests expect": (
        '2025-06-01 10:00:00.001 UTC [45] ERROR:  duplicate key value violates unique constraint "'
        'users_email_key"\n2025-06-01 10:00:00.001 UTC [45] DETAIL:  Key (email)=(a) already '
        "exists.\n2025-06-01 10:00:00.005 UTC [45] ERROR:  deadlock detected\n"
        'NOTICE:  database "app" does not exist, skipping\n'
    ),
    "pull": (
        "Unable to find image 'redis:7' locally\n7: Pulling from library/redis\n"
        "4abcf2066143: Verifying Checksum\nStatus: Downloaded newer image for redis:7\n"
    ),
    "pip tries again": (
        "Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after "
        "connection broken by 'ReadTimeoutError(\"HTTPSConnectionPool(host='pypi.org', port=443): "
        "Read timed out. (read timeout=15)\")': /simple/psycopg/\n"
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_cause_comes_first_and_its_consequences_under_it(name: str) -> None:
    root, consequences, log = MIXED[name]
    found = read_log(log).findings
    assert [one.slug for one in found] == [root]
    assert consequences <= {one.slug for one in found[0].consequences}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_log_gives_no_finding(name: str) -> None:
    assert read_log(HEALTHY[name]).findings == ()


def test_client_that_met_a_starting_server_is_believed() -> None:
    found = read_log(
        "psycopg2.OperationalError: connection to server at "
        '"localhost" (127.0.0.1), port 5432 failed: FATAL:  the database system is starting up\n'
        "2025-06-01 10:00:00.500 UTC [1] LOG:  database system is ready to accept connections\n"
    ).findings
    assert [one.slug for one in found] == ["pg.state.starting"]


def test_two_services_that_are_refused_are_two_findings() -> None:
    found = read_log(
        "    | ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 5432)\n"
        "    | redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. "
        "Connection refused.\n"
    ).findings
    assert [one.title for one in found] == [
        "nothing listens at 127.0.0.1:5432",
        "nothing listens at localhost:6379",
    ]


def test_of_one_traceback_the_one_that_says_where_comes_first() -> None:
    found = read_log(
        "Traceback (most recent call last):\n"
        "ConnectionRefusedError: [Errno 111] Connection refused\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n"
        "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. "
        "Connection refused.\n"
    ).findings
    assert [one.title for one in found] == ["nothing listens at localhost:6379"]
