"""What `envkit init` reads out of a project's Python files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from envkit.init import propose
from envkit.init.sources import Read, python_sources, reads

DRIVER = "[project]\nname = 'x'\ndependencies = ['psycopg']\n"
ALEMBIC = "[alembic]\nscript_location = %(here)s/migrations\n"
READS = "import os\nURL = os.environ['DATABASE_URL']\n"


def made(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def proposed(root: Path, files: dict[str, str]) -> dict[str, Any]:
    table = propose(made(root, {"pyproject.toml": DRIVER} | files)).table
    return tomllib.loads(table)["tool"]["envkit"]  # type: ignore[no-any-return] # a table


def noted(root: Path) -> str:
    return "\n".join(propose(root).notes)


def read(root: Path, text: str) -> list[Read]:
    return reads(list(python_sources(made(root, {"app.py": text}))))


# --- what code reads


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import os\nx = os.environ['DB_HOST']", "DB_HOST"),
        ("from os import environ\nx = environ['DB_HOST']", "DB_HOST"),
        ("import os\nx = os.environ.get('DB_HOST', 'localhost')", "DB_HOST"),
        ("from os import getenv\nx = getenv('DB_HOST')", "DB_HOST"),
        ("import environ\nenv = environ.Env()\nx = env('DB_HOST')", "DB_HOST"),
        ("import environ\nenv = environ.Env()\nx = env.str('DB_HOST', default='')", "DB_HOST"),
        ("import environ\nenv = environ.Env()\nx = env.db()", "DATABASE_URL"),
        ("import environ\nenv = environ.Env()\nx = env.db('DB_URL')", "DB_URL"),
        ("from environs import Env\nenv = Env()\nx = env.dj_db_url('DB_URL')", "DB_URL"),
        ("from decouple import config\nx = config('DB_HOST', default='db')", "DB_HOST"),
        (
            "from starlette.config import Config\nconfig = Config('.env')\nx = config('DB_URL')",
            "DB_URL",
        ),
        ("import dj_database_url\nx = dj_database_url.config(default='')", "DATABASE_URL"),
        ("import dj_database_url\nx = dj_database_url.config(env='DB_URL')", "DB_URL"),
    ],
)
def test_every_usual_way_to_read_a_variable_is_known(tmp_path: Path, code: str, name: str) -> None:
    (one,) = read(tmp_path, code)
    assert (one.name, one.when) == (name, "import")
    assert one.where == f"app.py, line {len(code.splitlines())}"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("    database_url: str", ["DATABASE_URL"]),
        (
            "    model_config = SettingsConfigDict(env_prefix='APP_')\n    db_url: str",
            ["APP_DB_URL"],
        ),
        ("    db_url: str\n    class Config:\n        env_prefix = 'app_'", ["APP_DB_URL"]),
        ("    url: str = Field(alias='DB_URL')", ["DB_URL"]),
        ("    url: str = Field(validation_alias='DB_URL')", ["DB_URL"]),
        ("    url: str = Field(..., env='DB_URL')", ["DB_URL"]),
        ("    kept: ClassVar[int] = 1\n    port: int = 5432", ["PORT"]),
    ],
)
def test_fields_of_settings_are_variables(tmp_path: Path, body: str, names: list[str]) -> None:
    found = read(tmp_path, f"class Mine(BaseSettings):\n{body}\nmine = Mine()\n")
    assert [(one.name, one.when) for one in found] == [(name, "import") for name in names]


@pytest.mark.parametrize(
    ("code", "when"),
    [
        ("class A:\n    x = os.environ['X']", "import"),
        ("def f(x=os.environ['X']): pass", "import"),
        ("def f(): return os.environ['X']", "call"),
        ("f = lambda: os.environ['X']", "call"),
        ("async def f(): return os.environ['X']", "call"),
        ("def f(): return os.environ['X']\nx = f()", "import"),
        ("def f(): return os.environ['X']\ndef g(): return f()\nx = g()", "import"),
        ("def f(): return g()\ndef g(): return f() or os.environ['X']", "call"),
        ("@lru_cache\ndef f(): return os.environ['X']", "kept"),
        ("@functools.cache\ndef f(): return os.environ['X']", "kept"),
        ("@lru_cache(maxsize=1)\ndef f(): return os.environ['X']", "kept"),
        ("class S(BaseSettings):\n    x: str", "call"),
        ("class S(BaseSettings):\n    x: str\n@cache\ndef get(): return S()", "kept"),
        ("class S(BaseSettings):\n    x: str\n@cache\ndef get(): return S()\ns = get()", "import"),
        ("class B(BaseSettings): pass\nclass S(B):\n    x: str\ns = S()", "import"),
    ],
)
def test_when_a_variable_is_read(tmp_path: Path, code: str, when: str) -> None:
    assert [(one.name, one.when) for one in read(tmp_path, code)] == [("X", when)]


def test_settings_of_a_class_in_another_file_are_known(tmp_path: Path) -> None:
    files = {
        "a/app.py": "class Mine(base.CommonSettings):\n    db_url: str\n",
        "b/base.py": "class CommonSettings(pydantic.BaseSettings):\n    x: str\n",
    }
    found = reads(list(python_sources(made(tmp_path, files))))
    assert {one.name for one in found} == {"DB_URL", "X"}


def test_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert [one.name for one in read(tmp_path, f"\ufeff{READS}")] == ["DATABASE_URL"]


@pytest.mark.parametrize(
    "code",
    [
        "os.environ['X'] = '1'",
        "del os.environ['X']",
        "os.environ[name]",
        "os.environ.setdefault('X', '1')",
        "env('X')  # environ",
        "config['X']  # decouple",
        "if __name__ == '__main__':\n    os.environ['X']",
        "os.environ['X'",
        "os.environ['not a name']",
    ],
)
def test_what_reads_no_variable_is_passed_over(tmp_path: Path, code: str) -> None:
    assert read(tmp_path, code) == []


def test_other_peoples_code_is_not_looked_at(tmp_path: Path) -> None:
    made(tmp_path, {"mine/pyvenv.cfg": "", "mine/lib/x.py": READS, "node_modules/x.py": READS})
    assert list(python_sources(tmp_path)) == []


def test_nothing_of_a_project_is_run(tmp_path: Path) -> None:
    files = {"app.py": f"{READS}open('{tmp_path}/ran', 'w')\n", "alembic.ini": ALEMBIC}
    propose(made(tmp_path, files | {"migrations/env.py": f"open('{tmp_path}/ran', 'w')\n"}))
    assert not (tmp_path / "ran").exists()


# --- export_env and env


def test_what_is_read_at_import_is_exported(tmp_path: Path) -> None:
    assert proposed(tmp_path, {"app.py": READS})["export_env"] is True
    assert "export_env: app.py, line 2 reads DATABASE_URL when it is imported" in "\n".join(
        propose(tmp_path).reasons
    )


def test_what_is_read_when_it_is_called_is_only_noted(tmp_path: Path) -> None:
    files = {"app.py": "import os\ndef url(): return os.environ['DATABASE_URL']\n"}
    assert "export_env" not in proposed(tmp_path, files)
    assert "app.py, line 2 reads DATABASE_URL when it is called" in noted(tmp_path)


def test_variables_of_something_else_are_no_reason_to_export(tmp_path: Path) -> None:
    assert "export_env" not in proposed(
        tmp_path, {"app.py": "import os\nx = os.environ['SENTRY_DSN']\n"}
    )


def test_parts_that_code_reads_are_mapped(tmp_path: Path) -> None:
    code = "import os\n" + "".join(
        f"{name.lower()} = os.environ['{name}']\n"
        for name in ("DB_NAME", "DB_USER", "DATABASE_HOST", "POSTGRES_PORT", "MONGO_DB_NAME")
    )
    assert proposed(tmp_path, {"app.py": code})["env"] == {
        "DB_NAME": "postgres.database",
        "DB_USER": "postgres.user",
        "DATABASE_HOST": "postgres.host",
        "POSTGRES_PORT": "postgres.port",
    }


def test_with_two_databases_a_guess_is_only_noted(tmp_path: Path) -> None:
    made(tmp_path, {"requirements.txt": "pymysql\n", ".env.example": "DB_HOST=\n"})
    assert "env" not in proposed(tmp_path, {})
    assert "DB_HOST in .env.example, line 1 is left out" in noted(tmp_path)


@pytest.mark.parametrize(
    ("example", "code", "reference"),
    [
        ("postgresql+asyncpg://u:p@h/d", "", "postgres.url as postgresql+asyncpg"),
        ("postgresql+psycopg_async://", "", "postgres.url as postgresql+psycopg_async"),
        ("postgis://u:p@h/d", "", "postgres.url as postgis"),
        ("", "'postgresql+psycopg://localhost/x'", "postgres.url as postgresql+psycopg"),
        ("postgresql+asyncpg://", "'postgresql+psycopg://'", "postgres.url as postgresql+asyncpg"),
    ],
)
def test_scheme_of_a_url_is_kept(tmp_path: Path, example: str, code: str, reference: str) -> None:
    files = {".env.example": f"DATABASE_URL={example}\n"}
    if code:
        files["app.py"] = f"import os\nx = os.environ.get('DATABASE_URL', {code})\n"
    assert proposed(tmp_path, files)["env"] == {"DATABASE_URL": reference}


def test_scheme_in_the_compose_file_counts_for_what_the_code_reads(tmp_path: Path) -> None:
    compose = (
        "services:\n  app:\n    environment:\n      DATABASE_URL: postgresql+asyncpg://u:p@h/d\n"
        "  other:\n    environment:\n      - OTHER_DB_URL=postgresql+asyncpg://u:p@h/d\n"
    )
    assert proposed(tmp_path, {"app.py": READS, "compose.yml": compose})["env"] == {
        "DATABASE_URL": "postgres.url as postgresql+asyncpg"
    }


@pytest.mark.parametrize(
    ("packages", "driver"),
    [
        (("sqlalchemy", "psycopg"), "psycopg"),
        (("sqlmodel", "asyncpg"), "asyncpg"),
        (("sqlalchemy", "psycopg", "psycopg2-binary"), ""),
        (("sqlalchemy",), ""),
        (("psycopg",), ""),
    ],
)
def test_url_without_the_driver_that_sqlalchemy_needs_is_noted(
    tmp_path: Path, packages: tuple[str, ...], driver: str
) -> None:
    made(tmp_path, {"app.py": READS, "requirements.txt": "\n".join(packages)})
    note = f'DATABASE_URL = "postgres.url as postgresql+{driver}" in env'
    assert (note in noted(tmp_path)) == bool(driver)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_usual_schemes_need_no_line(tmp_path: Path, scheme: str) -> None:
    assert "env" not in proposed(tmp_path, {".env.example": f"DATABASE_URL={scheme}://u:p@h/d\n"})


def test_sqlite_as_a_fallback_does_not_outweigh_a_driver(tmp_path: Path) -> None:
    code = "import os\nx = os.environ.get('DATABASE_URL', 'sqlite:///dev.db')\n"
    assert proposed(tmp_path, {"app.py": code}) == {"services": ["postgres"], "export_env": True}


def test_secret_that_settings_cannot_do_without_is_declared(tmp_path: Path) -> None:
    code = (
        "import os\na = os.environ['SECRET_KEY']\nb = os.environ.get('OTHER_SECRET', 'x')\n"
        "c = os.environ['STRIPE_API_KEY']\n"
    )
    assert proposed(tmp_path, {"app.py": code})["secrets"] == {"SECRET_KEY": {}}


# --- what a Redis of tests has


def test_redis_by_host_and_port_is_noted_to_have_a_password_and_a_user(tmp_path: Path) -> None:
    code = "import os\nHOST = os.environ['REDIS_HOST']\nPORT = os.environ['REDIS_PORT']\n"
    said = noted(made(tmp_path, {"pyproject.toml": DRIVER, "app.py": code}))
    assert 'add REDIS_PASSWORD = "redis.password" to env' in said
    assert 'add isolation = "server" to the table of redis' in said


def test_redis_by_its_url_needs_no_note(tmp_path: Path) -> None:
    code = "import os\nURL = os.environ['REDIS_URL']\n"
    assert "Redis" not in noted(made(tmp_path, {"pyproject.toml": DRIVER, "app.py": code}))


def test_two_urls_of_redis_are_noted_to_lead_to_one_database(tmp_path: Path) -> None:
    code = (
        "import os\nA = os.environ.get('CELERY_BROKER_URL', 'redis://localhost/0')\n"
        "B = os.environ.get('CELERY_RESULT_BACKEND', 'redis://localhost/1')\n"
    )
    said = noted(made(tmp_path, {"pyproject.toml": DRIVER, "app.py": code}))
    assert "CELERY_BROKER_URL, CELERY_RESULT_BACKEND lead to the same database of Redis" in said
