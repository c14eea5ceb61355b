"""Templates from the outside: what prepares them, when they are made again, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envkit.processes import start_time
from envkit.templates.building import interrupts_later
from tests.conftest import Leftovers, Project

ROWS = (
    "import os, psycopg; c = psycopg.connect(os.environ['DATABASE_URL']); "
    "print(c.execute(os.environ['ASK']).fetchall())"
)


@pytest.fixture
def project(project: Project) -> Project:
    project.write("envkit.toml", 'services = ["postgres"]\n')
    return project


def configured(project: Project, text: str) -> None:
    project.write("envkit.toml", f'services = ["postgres"]\n[postgres]\n{text}\n')


def answer(project: Project, ask: str, *options: str) -> str:
    """What a query says in a lease of its own."""
    done = project.envkit("run", *options, "--", sys.executable, "-c", ROWS, ASK=ask)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


#: What a command does to the template at least; one that does nothing is refused.
SOMETHING = 'psql -qc "CREATE TABLE something ()"'


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def databases(project: Project) -> list[str]:
    """Of the running keeper's Postgres, as its admin sees them."""
    import psycopg

    data = json.loads(project.envkit("status", "--format", "json").stdout)
    keeper = data["keepers"][0] if "keepers" in data else data
    (socket,) = (Path(keeper["data"]) / "postgres" / "run").glob(".s.PGSQL.*[0-9]")
    with psycopg.connect(
        host=str(socket.parent), port=socket.name.rpartition(".")[2], user="postgres"
    ) as admin:
        return [n for (n,) in admin.execute("SELECT datname FROM pg_database").fetchall()]


# -- what prepares one -----------------------------------------------------------------------------


def test_schema_migrations_and_seeds_are_applied_in_that_order(project: Project) -> None:
    project.write("db/1.sql", "CREATE TABLE said (n serial, word text);")
    project.write("db/2.sql", "INSERT INTO said (word) VALUES ('second file');")
    project.write("seed.sql", "INSERT INTO said (word) VALUES ('seed');")
    configured(
        project,
        'schema = ["db/*.sql"]\nseed = ["seed.sql"]\n'
        'migrate = "psql -qc \\"INSERT INTO said (word) VALUES (\'migration\')\\""',
    )
    said = answer(project, "SELECT word FROM said ORDER BY n")
    assert said == "[('second file',), ('migration',), ('seed',)]"


def test_command_finds_what_settings_read_of_other_services_and_secrets(project: Project) -> None:
    project.write(
        "setup/tables.py",
        "import os, psycopg, redis\n"
        "assert len(os.environ['MADE_SECRET']) == 64\n"
        "try:\n    redis.Redis.from_url(os.environ['REDIS_URL']).ping()\n"
        "except redis.ConnectionError as error:\n    refused = 'refused' in str(error)\n"
        "def make(url):\n    with psycopg.connect(url) as c:\n"
        "        c.execute('CREATE TABLE t AS SELECT %s::bool AS x', [refused])\n",
    )
    project.write(
        "envkit.toml",
        'services = ["postgres", "redis"]\n[postgres]\nmigrate = "setup.tables:make"\n'
        "[secrets]\nMADE_SECRET = {}\n",
    )
    assert answer(project, "SELECT x FROM t") == "[(True,)]"


def test_command_keeps_what_the_environment_says_of_other_services(project: Project) -> None:
    project.write("say.sh", "psql -qc \"CREATE TABLE t AS SELECT text '$REDIS_URL' AS x\"\n")
    project.write(
        "envkit.toml", 'services = ["postgres", "redis"]\n[postgres]\nmigrate = "sh say.sh"\n'
    )
    ask = {"ASK": "SELECT x FROM t", "REDIS_URL": "redis://mine.example"}
    done = project.envkit("run", "--", sys.executable, "-c", ROWS, **ask)
    assert done.stdout.strip() == "[('redis://mine.example',)]", done.stderr


def test_function_of_a_module_gets_the_url(project: Project) -> None:
    project.write(
        "setup/tables.py",
        "import psycopg\ndef make(url):\n    with psycopg.connect(url) as c:\n"
        "        c.execute('CREATE TABLE t AS SELECT 7 AS x')\n",
    )
    configured(project, 'migrate = "setup.tables:make"')
    assert answer(project, "SELECT x FROM t") == "[(7,)]"


def test_command_finds_programs_beside_python_and_the_url_in_the_environment(
    project: Project,
) -> None:
    project.write(
        "make.py",
        "import os, psycopg\nwith psycopg.connect(os.environ['DATABASE_URL']) as c:\n"
        "    c.execute('CREATE TABLE t AS SELECT current_database() LIKE %s AS x', ['templ%'])\n",
    )
    configured(project, 'migrate = "python make.py"')
    assert answer(project, "SELECT x FROM t") == "[(True,)]"


def test_what_pg_dump_writes_is_a_schema(project: Project) -> None:
    project.write(
        "dump.sql",
        "\\set ON_ERROR_STOP 1\nCREATE TABLE t (a int, b text);\nCOPY t (a, b) FROM stdin;\n"
        "1\tone; two\n2\t\\N\n\\.\nCREATE INDEX CONCURRENTLY ON t (a);\n",
    )
    configured(project, 'schema = ["dump.sql"]')
    assert answer(project, "SELECT * FROM t ORDER BY a") == "[(1, 'one; two'), (2, None)]"


def test_named_templates_and_the_empty_one_are_chosen_by_name(project: Project) -> None:
    project.write("full.sql", "CREATE TABLE full_one (x int);")
    project.write("small.sql", "CREATE TABLE small_one (x int);")
    configured(project, 'schema = ["full.sql"]\n[postgres.templates.small]\nschema = ["small.sql"]')
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert answer(project, tables) == "[('full_one',)]"
    assert answer(project, tables, "--template", "small") == "[('small_one',)]"
    assert answer(project, tables, "--template", "empty") == "[]"


def test_export_is_a_copy_of_the_template(project: Project) -> None:
    project.write("s.sql", "CREATE TABLE t AS SELECT 5 AS x;")
    configured(project, 'schema = ["s.sql"]')
    assert project.envkit("up").returncode == 0
    done = project.envkit("shell", "postgres", stdin="SELECT x FROM t;")
    assert "5" in done.stdout, done.stderr


# -- when it is made again -------------------------------------------------------------------------


def _counting(project: Project, extra: str = "") -> Path:
    project.write("migrations/1.sql", "CREATE TABLE t AS SELECT 1 AS x;")
    count = project.root / "count"
    configured(project, f"migrate = 'echo made >> count; psql -qf migrations/1.sql'\n{extra}")
    return count


def test_template_is_made_once_for_all_runs_of_one_keeper(project: Project) -> None:
    count = _counting(project)
    assert project.envkit("up").returncode == 0
    for _ in range(3):
        assert answer(project, "SELECT x FROM t") == "[(1,)]"
    assert lines(count) == 1


def test_changed_migration_is_noticed_without_any_command(project: Project) -> None:
    count = _counting(project)
    assert project.envkit("up").returncode == 0
    assert answer(project, "SELECT x FROM t") == "[(1,)]"
    project.write("migrations/1.sql", "CREATE TABLE t AS SELECT 2 AS x;")
    assert answer(project, "SELECT x FROM t") == "[(2,)]"
    project.write("migrations/2.sql", "")
    answer(project, "SELECT x FROM t")
    assert lines(count) == 3


def test_only_watched_files_count_where_some_are_named(project: Project) -> None:
    count = _counting(project, 'watch = ["models/*.py"]')
    project.write("models/a.py", "")
    assert project.envkit("up").returncode == 0
    answer(project, "SELECT x FROM t")
    project.write("migrations/2.sql", "")
    answer(project, "SELECT x FROM t")
    assert lines(count) == 1
    project.write("models/b.py", "")
    answer(project, "SELECT x FROM t")
    assert lines(count) == 2


def test_whole_directory_may_be_watched(project: Project) -> None:
    count = _counting(project, 'watch = ["models"]')
    project.write("models/base/a.py", "")
    assert project.envkit("up").returncode == 0
    answer(project, "SELECT x FROM t")
    answer(project, "SELECT x FROM t")
    assert lines(count) == 1
    project.write("models/base/b.py", "")
    answer(project, "SELECT x FROM t")
    assert lines(count) == 2


def test_watch_that_matches_nothing_is_told(project: Project) -> None:
    _counting(project, 'watch = ["migrations/*.sql", "modles/*.py"]')
    done = project.envkit("run", "postgres", "--", "true")
    assert done.returncode == 125
    assert "watch names 'modles/*.py', and there is no such file in" in done.stderr


def test_command_of_which_no_file_is_known_runs_for_each_run(project: Project) -> None:
    configured(project, f"migrate = 'echo made >> count; {SOMETHING}'")
    assert project.envkit("up").returncode == 0
    for _ in range(2):
        answer(project, "SELECT 1")
    assert lines(project.root / "count") == 2


def test_directory_that_may_not_be_entered_is_not_looked_into(project: Project) -> None:
    configured(project, f"migrate = '{SOMETHING}'")
    project.write("migrations/1.sql", "")
    project.write("data/x.sql", "")
    closed = project.root / "data"
    closed.chmod(0)
    mortal = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") * (os.geteuid() == 0)
    code = "from envkit.config import *; from envkit.templates import Templates; import pathlib;"
    code += "print(Templates(load(pathlib.Path.cwd())).wants(['postgres']))"
    try:
        done = subprocess.run(
            [*mortal, sys.executable, "-c", code], cwd=project.root, capture_output=True, text=True
        )
    finally:
        closed.chmod(0o755)
    assert done.returncode == 0, done.stderr


def test_old_templates_of_one_name_are_removed(project: Project) -> None:
    _counting(project)
    assert project.envkit("up").returncode == 0
    for value in range(6):
        project.write("migrations/1.sql", f"CREATE TABLE t AS SELECT {value} AS x;")
        assert answer(project, "SELECT x FROM t") == f"[({value},)]"
    assert len([name for name in databases(project) if name.startswith("template_")]) == 3


# -- what goes wrong -------------------------------------------------------------------------------

SUITE = """
import pytest
@pytest.mark.parametrize("n", range(10))
def test(real_postgres, n): pass
"""


def _pytest(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    project.write("test_it.py", SUITE)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "xdist"])
def test_failing_migration_is_one_error_with_its_output(
    project: Project, workers: tuple[str, ...]
) -> None:
    configured(project, "migrate = 'echo made >> count; echo no such column >&2; exit 3'")
    done = _pytest(project, *workers)
    assert done.returncode == 2, done.stdout
    assert done.stdout.count("no such column\n") == 1, done.stdout
    assert "migrate of postgres ended with exit code 3" in done.stdout
    assert "[envkit.template.failed]" in done.stdout
    assert "envkit run --template empty postgres -- sh -c" in done.stdout
    assert " passed" not in done.stdout
    assert lines(project.root / "count") == 1


def test_hanging_migration_is_one_error_with_what_it_said_last(
    project: Project, leftovers: Leftovers
) -> None:
    configured(
        project,
        "migrate = 'echo waiting for a lock; sleep 61 & sleep 61'\nmigrate_timeout = '700ms'",
    )
    done = _pytest(project, "-n", "2")
    assert done.returncode == 2, done.stdout
    assert done.stdout.count("waiting for a lock\n") == 1
    assert "[envkit.template.timeout]" in done.stdout
    assert "did not end within 0.7 s" in done.stdout
    assert not leftovers.wait_until_none()
    sleeping = subprocess.run(["pgrep", "-f", "sleep 61"], capture_output=True, text=True)
    assert not sleeping.stdout


@pytest.mark.parametrize("extra", ["", 'extensions = ["pg_trgm"]'])
def test_command_that_leaves_the_template_empty_is_told(project: Project, extra: str) -> None:
    configured(project, f"migrate = 'psql --version >> count'\n{extra}")
    done = project.envkit("run", "--", "true")
    assert done.returncode == 125
    assert "did nothing, or did it to another database [envkit.template.untouched]" in done.stderr
    configured(project, f"migrate = '{SOMETHING}'\n{extra}")
    assert project.envkit("run", "--", "true").returncode == 0


def test_tests_do_not_run_if_migrations_went_to_another_database(project: Project) -> None:
    elsewhere = project.root / "elsewhere.db"
    project.write("settings.py", f"import os\nos.environ['DATABASE_URL'] = '{elsewhere}'\n")
    project.write(
        "tables.py",
        "import os, settings, sqlite3\ndef make():\n"
        "    sqlite3.connect(os.environ['DATABASE_URL']).execute('CREATE TABLE t (x)')\n",
    )
    project.write("test_it.py", "import settings\ndef test_it():\n    open('ran', 'w')\n")
    project.write(
        "envkit.toml",
        'services = ["postgres"]\nexport_env = true\n[postgres]\nmigrate = "tables:make"\n',
    )
    pytest_alone = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:django"]
    done = subprocess.run(pytest_alone, cwd=project.root, capture_output=True, text=True)
    assert done.returncode == 4, done.stdout
    assert "[envkit.template.untouched]" in done.stderr
    assert elsewhere.exists()
    assert not (project.root / "ran").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE SCHEMA mine",
        "CREATE TYPE mood AS ENUM ('x')",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE EXTENSION pg_trgm",
        "SELECT lo_create(0)",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = on', current_database()); END $$",
    ],
)
def test_whatever_a_command_leaves_counts(project: Project, statement: str) -> None:
    project.write("1.sql", statement)
    configured(project, "migrate = 'psql -v ON_ERROR_STOP=1 -qf 1.sql'")
    assert project.envkit("run", "--", "true").returncode == 0


def test_next_run_tries_again_what_has_failed(project: Project) -> None:
    configured(project, f"migrate = 'test -e ready && {SOMETHING}'")
    assert project.envkit("up").returncode == 0
    failed = project.envkit("run", "--", "true")
    assert failed.returncode == 125
    assert "[envkit.template.failed]" in failed.stderr
    project.write("ready", "")
    assert project.envkit("run", "--", "true").returncode == 0


def test_killed_builder_leaves_no_half_template(project: Project) -> None:
    configured(
        project,
        'migrate = \'psql -qc "CREATE TABLE half (x int)"; echo made >> count; '
        'until test -e go; do sleep 0.05; done; psql -qc "CREATE TABLE whole (x int)"\'\n'
        "watch = ['envkit.toml']",
    )
    assert project.envkit("up").returncode == 0
    builder = project.spawn("run", "--", "true")
    limit = time.monotonic() + 20
    while not lines(project.root / "count"):
        assert time.monotonic() < limit
        time.sleep(0.01)
    waiting = project.spawn("run", "--", sys.executable, "-c", ROWS, ASK="SELECT * FROM whole")
    time.sleep(0.3)  # it waits for the template by then; if not, the test proves less
    os.kill(builder.pid, signal.SIGKILL)
    builder.communicate()
    project.write("go", "")  # what it had started ends as well, on a database that is gone
    said, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, said
    assert lines(project.root / "count") == 2
    assert len([name for name in databases(project) if name.startswith("template_")]) == 1


def test_what_a_migration_leaves_running_is_ended(project: Project) -> None:
    configured(project, f"migrate = 'sleep 62 & {SOMETHING}'")
    assert answer(project, "SELECT 1") == "[(1,)]"
    sleeping = subprocess.run(["pgrep", "-f", "sleep 62"], capture_output=True, text=True)
    assert not sleeping.stdout


def test_wrong_statement_is_told_with_file_and_line(project: Project) -> None:
    project.write("db/schema.sql", "CREATE TABLE a (x int);\n\nCREATE TABEL b (x int);\n")
    configured(project, 'schema = ["db/schema.sql"]')
    done = project.envkit("run", "--", "true")
    assert done.returncode == 125
    assert "db/schema.sql:3: ERROR:  syntax error at or near" in done.stderr


def test_schema_that_is_not_there_is_a_configuration_error(project: Project) -> None:
    configured(project, 'schema = ["db/schema.sql"]')
    done = project.envkit("run", "--", "true")
    assert done.returncode == 125
    assert "envkit.toml:3: schema names 'db/schema.sql', and there is no such file" in done.stderr
    result = _pytest(project)
    assert result.returncode == 4
    assert "schema names 'db/schema.sql'" in result.stderr


def test_unknown_template_is_told_with_those_that_are_known(project: Project) -> None:
    project.write("s.sql", "")
    configured(project, '[postgres.templates.small]\nschema = ["s.sql"]')
    done = project.envkit("run", "--template", "smal", "--", "true")
    assert done.returncode == 125
    assert "there is no template 'smal' of postgres; there are small, empty" in done.stderr
    assert "did you mean 'small'?" in done.stderr


def test_extension_that_is_not_there_is_told_before_any_test(project: Project) -> None:
    configured(project, 'extensions = ["postgis"]')
    done = _pytest(project)
    assert done.returncode == 2
    assert "this Postgres has no extension postgis" in done.stdout
    assert "[pg.extension.missing]" in done.stdout


def test_migration_that_makes_roles_is_told_where_roles_are_declared(project: Project) -> None:
    project.write("s.sql", "CREATE ROLE app_reader;")
    configured(project, 'schema = ["s.sql"]')
    done = project.envkit("run", "--", "true")
    assert "permission denied to create role" in done.stderr
    assert 'roles = ["…"] of [tool.envkit.postgres]' in done.stderr
    project.write("s.sql", "CREATE TABLE t (x int); GRANT SELECT ON t TO app_reader;")
    configured(project, 'schema = ["s.sql"]\nroles = ["app_reader"]')
    assert answer(project, "SELECT has_table_privilege('app_reader', 't', 'SELECT')") == "[(True,)]"


def test_role_made_by_a_superuser_is_refused(project: Project) -> None:
    project.write("s.sql", "CREATE ROLE app_reader;")
    configured(project, 'schema = ["s.sql"]\nsuperuser = true')
    done = project.envkit("run", "--", "true")
    assert done.returncode == 125
    assert "made the role app_reader" in done.stderr
    assert "[envkit.template.shared]" in done.stderr


def test_interrupted_builder_ends_its_command(project: Project, leftovers: Leftovers) -> None:
    configured(project, "migrate = 'echo $$ >> count; sleep 63'")
    builder = project.spawn("run", "--", "true")
    limit = time.monotonic() + 20
    while not lines(project.root / "count"):
        assert time.monotonic() < limit
        time.sleep(0.01)
    builder.send_signal(signal.SIGINT)
    builder.communicate(timeout=20)
    assert builder.returncode != 0
    assert not leftovers.wait_until_none()
    assert start_time(int(project.root.joinpath("count").read_text())) is None


def test_interrupt_between_the_start_of_a_command_and_the_wait_for_it_leaves_none(
    project: Project,
) -> None:
    """It comes while the command says that it has begun."""
    configured(project, "migrate = 'echo $$ >> count; kill -INT $PPID; sleep 63'")
    for _ in range(5):
        assert project.envkit("run", "--", "true").returncode != 0
        for pid in project.root.joinpath("count").read_text().split():
            assert start_time(int(pid)) is None


def test_files_changed_while_the_template_was_made_are_told(project: Project) -> None:
    project.write("migrations/1.sql", "")
    configured(
        project,
        f"migrate = '{SOMETHING}; test -e done || echo x >> migrations/1.sql; touch done'",
    )
    assert project.envkit("up").returncode == 0
    done = project.envkit("run", "--", "true")
    assert done.returncode == 125
    assert "have changed since this run asked for it [envkit.template.failed]" in done.stderr
    assert project.envkit("run", "--", "true").returncode == 0


def test_password_of_the_template_is_not_shown(project: Project) -> None:
    configured(project, "migrate = 'echo it is $PGPASSWORD; exit 1'")
    done = project.envkit("run", "--", "true")
    assert "    it is ***\n" in done.stderr


def test_role_of_a_superuser_is_not_given_to_leases(project: Project) -> None:
    configured(project, 'roles = ["postgres"]')
    done = project.envkit("run", "--", "true")
    assert done.returncode == 125
    assert "roles names 'postgres', who is a superuser" in done.stderr


def test_asynchronous_function_is_awaited(project: Project) -> None:
    project.write(
        "tables.py",
        "import psycopg\nasync def make(url):\n"
        "    async with await psycopg.AsyncConnection.connect(url) as c:\n"
        "        await c.execute('CREATE TABLE t AS SELECT 7 AS x')\n",
    )
    configured(project, 'migrate = "tables:make"')
    assert answer(project, "SELECT x FROM t") == "[(7,)]"


def test_killed_keeper_is_told_as_such_and_not_as_a_failed_migration(project: Project) -> None:
    configured(project, "migrate = 'echo made >> count; sleep 2; psql -c \"SELECT 1\"'")
    builder = project.spawn("run", "--", "true")
    limit = time.monotonic() + 20
    while not lines(project.root / "count"):
        assert time.monotonic() < limit
        time.sleep(0.01)
    data = json.loads(project.envkit("status", "--format", "json").stdout)
    os.kill(data["keepers"][0]["pid"], signal.SIGKILL)
    said, _ = builder.communicate(timeout=30)
    assert "[envkit.keeper.lost]" in said
    assert "[envkit.template.failed]" not in said


def test_export_of_one_service_starts_no_other(project: Project) -> None:
    project.write("seed.redis", "SET greeting hello\n")
    project.write("s.sql", "CREATE TABLE t (x int);")
    project.write(
        "envkit.toml",
        'services = ["postgres", "redis"]\n[postgres]\nschema = ["s.sql"]\n'
        '[redis]\nseed = ["seed.redis"]\n',
    )
    assert project.envkit("up", "redis").returncode == 0
    exported = project.envkit("export", "--format", "json")
    assert list(json.loads(exported.stdout)["services"]) == ["redis"], exported.stderr
    said = project.envkit("shell", "redis", stdin="GET greeting\n")
    assert "hello" in said.stdout
    status = json.loads(project.envkit("status", "--format", "json").stdout)
    assert [row["service"] for row in status["keepers"][0]["services"]] == ["redis"]


def test_interrupt_within_the_start_of_a_command_comes_after_it() -> None:
    begun = []

    def begin() -> None:
        with interrupts_later():
            os.kill(os.getpid(), signal.SIGINT)
            begun.append("a process, which is known now")

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert begun
