"""What `envkit init` reads out of a project's Python files and its migrations."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from envkit.init import propose
from envkit.init.sources import Read, python_sources, reads

DRIVER = "[project]\nname = 'x'\ndependencies = ['psycopg']\n"
MANAGE = (
    "import os\nfrom django.core.management import execute_from_command_line\n"
    "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')\n"
)
SETTINGS = (
    "import os\nDATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql',"
    " 'NAME': os.environ['DB_NAME']}}\n"
)
ALEMBIC = "[alembic]\nscript_location = %(here)s/migrations\n"
ENV_PY = "import os\nconfig.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'])\n"
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


# --- migrations


def test_alembic_that_reads_the_environment_is_proposed(tmp_path: Path) -> None:
    files = {"alembic.ini": ALEMBIC, "migrations/env.py": ENV_PY}
    assert proposed(tmp_path, files)["postgres"] == {"migrate": "alembic upgrade head"}
    assert "postgres.migrate: alembic.ini, with migrations/env.py" in propose(tmp_path).reasons


@pytest.mark.parametrize(
    ("location", "place"),
    [("db/alembic", "db/alembic"), ("./m/", "m"), ("app:m", "app/m"), ("%(here)s/m", "m")],
)
def test_alembics_directory_may_be_written_in_every_form(
    tmp_path: Path, location: str, place: str
) -> None:
    files = {"alembic.ini": f"[alembic]\nscript_location = {location}\n", f"{place}/env.py": ENV_PY}
    assert "migrate" in proposed(tmp_path, files)["postgres"]


def test_revisions_that_are_not_watched_anyway_are_named(tmp_path: Path) -> None:
    files = {
        "alembic.ini": "[alembic]\nscript_location = db\nversion_locations = %(here)s/db/all\n",
        "db/env.py": ENV_PY,
        "db/all/0001.py": "",
    }
    assert proposed(tmp_path, files)["postgres"]["watch"] == [
        "alembic.ini",
        "db/env.py",
        "db/all/**",
    ]


@pytest.mark.parametrize(
    ("ini", "env_py", "why"),
    [
        (
            f"{ALEMBIC}sqlalchemy.url = postgresql://me:hunter22@db.prod/app\n",
            "engine_from_config(config.get_section('alembic'))  # not os.environ\n",
            "alembic.ini names a database (sqlalchemy.url), and migrations/env.py does not always",
        ),
        (ALEMBIC, "create_engine('postgresql://db.prod/app')\n", "env.py, line 1 has the URL"),
        ("[alembic]\n", ENV_PY, "no env.py is where it says"),
        ("nonsense", ENV_PY, "no env.py is where it says"),
    ],
)
def test_alembic_that_may_go_elsewhere_is_only_noted(
    tmp_path: Path, ini: str, env_py: str, why: str
) -> None:
    files = {"alembic.ini": ini, "migrations/env.py": env_py, "app.py": READS}
    assert "postgres" not in proposed(tmp_path, files)
    assert why in noted(tmp_path)
    assert "hunter22" not in repr(propose(tmp_path))


def test_alembic_in_a_project_that_reads_no_variable_is_only_noted(tmp_path: Path) -> None:
    code = "config.set_main_option('sqlalchemy.url', app.settings.url)\n"
    files = {"alembic.ini": ALEMBIC, "migrations/env.py": code}
    assert "postgres" not in proposed(tmp_path, files)
    assert (
        "nothing that migrations/env.py imports reads a variable that leads to Postgres"
        in noted(tmp_path)
    )


TARGET = "from app.db import URL\nconfig.set_main_option('sqlalchemy.url', URL)\n"
WRITTEN = f"{ALEMBIC}sqlalchemy.url = postgresql://me:hunter22@db.prod/app\n"


@pytest.mark.parametrize(
    "module",
    [
        "import os\nURL = os.environ['DATABASE_URL']",
        "import os\nURL = os.environ.get('DATABASE_URL', 'postgresql://db.prod/app')",
        "import os\nURL = os.environ.get('DATABASE_URL') or 'postgresql://db.prod/app'",
        "import os\nos.environ.setdefault('DATABASE_URL', 'postgresql://db.prod/app')\n"
        "URL = os.environ['DATABASE_URL']",
        "import os\nURL = os.environ['DATABASE_URL'].replace('postgresql://', 'postgresql+x://')",
        'import os\nURL = f\'postgresql://u:p@{os.environ["DB_HOST"]}/{os.environ["DB_NAME"]}\'',
        "import os\nURL = 'postgresql://%s/%s' % (os.environ['DB_HOST'], os.environ['DB_NAME'])",
        "from ..settings import settings\nURL = settings.database_url",
        "import app.settings\nURL = app.settings.settings.database_url",
        "from dotenv import load_dotenv\nload_dotenv()\nfrom app.settings import *",
        "from dotenv import load_dotenv\nload_dotenv(override=False)\nfrom app.settings import *",
        "import redis\nfrom app import settings\nx = redis.Redis(host='localhost', username='x')",
        '"""Such as postgresql://db.prod/app."""\nfrom app.settings import *',
    ],
)
def test_alembic_whose_url_comes_from_the_environment_is_proposed(
    tmp_path: Path, module: str
) -> None:
    settings = (
        "class Settings(BaseSettings):\n    database_url: str = 'postgresql://db.prod/app'\n"
        "settings = Settings()\n"
    )
    files = {"alembic.ini": WRITTEN, "migrations/env.py": TARGET, "app/settings.py": settings}
    files |= {"app/__init__.py": "", "app/db/__init__.py": module}
    assert proposed(tmp_path, files)["postgres"] == {"migrate": "alembic upgrade head"}, noted(
        tmp_path
    )


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("URL = 'postgresql://db.prod/app'", "app/db.py, line 1 has the URL of a database"),
        ("URL = 'postgresql:///app?host=db.prod'", "app/db.py, line 1 has the URL"),
        ("URL = 'sqlite:///dev.db'", "app/db.py, line 1 has the URL of a file of SQLite"),
        ("URL = 'host=db.prod dbname=app'", "app/db.py, line 1 names a database"),
        (
            "import os\nURL = f'postgresql://me:{os.environ[\"PGPASSWORD\"]}@db.prod/app'",
            "line 2 has",
        ),
        ("URL = URL.create('postgresql', host='db.prod', database='app')", "line 1 names the host"),
        ("from dotenv import load_dotenv\nload_dotenv(override=True)", "line 2 loads a .env file"),
        ("import environ\nenviron.Env.read_env(overwrite=True)", "line 2 loads a .env file"),
        ("from environs import env\nenv.read_env('.env', override=ON)", "line 2 loads a .env"),
        (
            "from dotenv import dotenv_values\nURL = dotenv_values()['DATABASE_URL']",
            "line 2 reads a",
        ),
        ("import os\nos.environ['DATABASE_URL'] = secret()", "line 2 sets DATABASE_URL in the"),
        ("import os\nos.environ.update(x)", "line 2 sets variables in the environment"),
        (
            "class S(BaseSettings):\n    database_url: str\n"
            "    def settings_customise_sources(cls, **x): ...",
            "line 3 changes what goes over the environment",
        ),
        ("from app.more import URL", "app/more.py, line 1 has the URL of a database"),
        ("from .more import URL", "app/more.py, line 1 has the URL of a database"),
        ("print 'x'", "app/db.py cannot be parsed"),
        (f"x = {'+'.join('1' * 9000)}", "app/db.py cannot be parsed"),
        ("\ufefffrom app.more import URL", "app/more.py, line 1 has the URL of a database"),
        ("from . import more", "app/more.py, line 1 has the URL of a database"),
    ],
)
def test_alembic_that_imports_what_may_lead_elsewhere_is_only_noted(
    tmp_path: Path, module: str, why: str
) -> None:
    files = {"alembic.ini": ALEMBIC, "migrations/env.py": TARGET + READS, "app/__init__.py": ""}
    files |= {"app/db.py": module, "app/more.py": "URL = 'postgres://me:hunter22@db.prod/app'\n"}
    assert "postgres" not in proposed(tmp_path, files)
    assert why in noted(tmp_path)
    assert "hunter22" not in repr(propose(tmp_path))


def test_migrations_of_a_project_that_is_too_large_to_look_at_are_only_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envkit.init.sources._MOST_FILES", 2)
    files = {"alembic.ini": ALEMBIC, "app.py": READS, "migrations/env.py": ENV_PY}
    assert "postgres" not in proposed(tmp_path, files)
    assert "too many Python files to look at all of them" in noted(tmp_path)


@pytest.mark.parametrize(
    ("env_py", "why"),
    [
        (f"{READS}engine_from_config(config.get_section('alembic'))", "does not always take"),
        (
            f"{READS}if not config.get_main_option('sqlalchemy.url'):\n"
            "    config.set_main_option('sqlalchemy.url', URL)",
            "does not always take another",
        ),
        (
            f"{READS}url = config.get_main_option('sqlalchemy.url')\ncreate_engine(url)",
            "not always",
        ),
        (f"{ENV_PY}x = os.environ['MIGRATIONS_DSN']", "line 3 reads MIGRATIONS_DSN"),
        ("config.set_main_option('sqlalchemy.url', app.url)", "nothing that migrations/env.py"),
    ],
)
def test_alembic_that_may_take_another_url_is_only_noted(
    tmp_path: Path, env_py: str, why: str
) -> None:
    files = {"alembic.ini": WRITTEN, "migrations/env.py": env_py, "app.py": READS}
    assert "postgres" not in proposed(tmp_path, files)
    assert why in noted(tmp_path)


@pytest.mark.parametrize(
    "env_py",
    [
        ENV_PY,
        f"{READS}def run():\n    c = config.get_section('alembic')\n    c['sqlalchemy.url'] = URL",
        f"{READS}if context.is_offline_mode():\n    pass\nelse:\n    create_async_engine(URL)",
        f"{READS}engine_from_config(config.get_section('alembic'), url=URL)",
        "import os\nconfig.set_main_option('sqlalchemy.url',"
        " os.environ.get('DATABASE_URL', config.get_main_option('sqlalchemy.url')))",
    ],
)
def test_alembic_that_always_takes_another_url_is_proposed(tmp_path: Path, env_py: str) -> None:
    files = {"alembic.ini": WRITTEN, "migrations/env.py": env_py}
    assert "migrate" in proposed(tmp_path, files)["postgres"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("DATABASES['other'] = {'ENGINE': 'x', 'HOST': 'db.prod', 'NAME': 'app'}", "line 3 names"),
        ("H = 'db.prod'\nO = {'ENGINE': 'x', 'HOST': H, 'NAME': 'app'}", "line 4 names the host"),
        ("O = {'ENGINE': 'x', 'OPTIONS': {'service': 'prod'}}", "line 3 names a service"),
        ("import environ\nenviron.Env.read_env(BASE / '.env', overwrite=True)", "line 4 loads"),
        ("D = {'default': {'ENGINE': 'x.sqlite3', 'NAME': 'dev'}}", "line 3 has SQLite as"),
        ("D = {'default': {'ENGINE': get('E', 'sqlite3')}}", "line 3 has SQLite as the default"),
        ("from .local import *", "site/local.py, line 1 has the URL"),
    ],
)
def test_django_whose_settings_may_lead_elsewhere_is_only_noted(
    tmp_path: Path, more: str, why: str
) -> None:
    local = "import dj_database_url\nX = dj_database_url.parse('postgres://db.prod/app')\n"
    local = local.replace("\n", ";", 1)
    files = {"manage.py": MANAGE, "site/settings.py": SETTINGS + more, "site/local.py": local}
    assert "postgres" not in proposed(tmp_path, files)
    assert f"site/settings.py, {why}" in noted(tmp_path) or why in noted(tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        "O = {'ENGINE': 'x', 'HOST': 'localhost', 'NAME': os.environ['DB_NAME']}",
        "O = {'ENGINE': 'django.db.backends.sqlite3', 'HOST': 'x', 'NAME': 'x'}",
        "if 'DB_NAME' not in os.environ: D = {'default': {'ENGINE': 'sqlite3'}}",
        "import environ\nenv = environ.Env(DATABASE_URL=(str, 'postgres://db.prod/app'))",
        "import environ\nenviron.Env.read_env(BASE / '.env')",
    ],
)
def test_django_whose_settings_lead_to_the_environments_database_is_proposed(
    tmp_path: Path, more: str
) -> None:
    code = f"{SETTINGS}x = os.environ.get('DATABASE_URL')\n{more}\n"
    assert (
        "migrate" in proposed(tmp_path, {"manage.py": MANAGE, "site/settings.py": code})["postgres"]
    )


def test_settings_that_the_tests_do_not_have_do_not_matter(tmp_path: Path) -> None:
    files = {"manage.py": MANAGE, "site/settings.py": SETTINGS, "site/__init__.py": ""}
    files |= {"site/prod.py": "DATABASES = {'default': {'ENGINE': 'x', 'HOST': 'db.prod'}}\n"}
    assert "migrate" in proposed(tmp_path, files)["postgres"]


def test_django_whose_settings_read_the_environment_is_proposed(tmp_path: Path) -> None:
    files = {"manage.py": MANAGE, "site/settings.py": SETTINGS}
    assert proposed(tmp_path, files)["postgres"] == {"migrate": "python manage.py migrate"}


def test_django_whose_settings_name_a_database_is_only_noted(tmp_path: Path) -> None:
    settings = "DATABASES = {'default': {'HOST': 'db.prod'}}\n"
    files = {"manage.py": MANAGE, "site/settings.py": settings, "other.py": READS}
    assert "postgres" not in proposed(tmp_path, files)
    assert "no file with DATABASES in it reads a variable" in noted(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        {"pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = site.for_tests\n"},
        {"setup.cfg": "[tool:pytest]\nDJANGO_SETTINGS_MODULE = site.for_tests\n"},
        {"tox.ini": "[pytest]\nDJANGO_SETTINGS_MODULE=site.for_tests\n"},
        {
            "pyproject.toml": f"{DRIVER}[tool.pytest.ini_options]\n"
            "DJANGO_SETTINGS_MODULE = 'site.for_tests'\n"
        },
        {
            "pytest.ini": "[pytest]\naddopts = -q --ds=site.for_tests\n"
            "DJANGO_SETTINGS_MODULE = site.settings\n"
        },
        {"pyproject.toml": f"{DRIVER}[tool.pytest]\naddopts = ['-q', '--ds=site.for_tests']\n"},
    ],
)
def test_migrations_have_the_settings_of_the_tests(tmp_path: Path, files: dict[str, str]) -> None:
    files |= {"manage.py": MANAGE, "site/settings.py": SETTINGS}
    assert proposed(tmp_path, files)["postgres"] == {
        "migrate": "python manage.py migrate --settings=site.for_tests"
    }


def test_same_settings_are_not_named_again(tmp_path: Path) -> None:
    files = {
        "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = site.settings\n",
        "manage.py": MANAGE,
        "site/settings.py": SETTINGS,
    }
    assert proposed(tmp_path, files)["postgres"] == {"migrate": "python manage.py migrate"}
    assert "DJANGO_SETTINGS_MODULE" not in noted(tmp_path)


def test_manage_py_in_a_directory_is_found_if_it_is_the_only_one(tmp_path: Path) -> None:
    files = {"src/manage.py": MANAGE, "src/site/settings.py": SETTINGS}
    assert proposed(tmp_path, files)["postgres"] == {"migrate": "python src/manage.py migrate"}
    made(tmp_path, {"other/manage.py": MANAGE})
    assert "postgres" not in tomllib.loads(propose(tmp_path).table)["tool"]["envkit"]


@pytest.mark.parametrize("directory", ["my site", "a'b", 'a"b', "$(x)"])
def test_manage_py_whose_path_needs_quotes_is_passed_over(tmp_path: Path, directory: str) -> None:
    files = {f"{directory}/manage.py": MANAGE, f"{directory}/settings.py": SETTINGS}
    assert "postgres" not in proposed(tmp_path, files)


def test_django_beside_alembic_is_only_noted(tmp_path: Path) -> None:
    files = {"manage.py": MANAGE, "site/settings.py": SETTINGS, "alembic.ini": ALEMBIC}
    assert "postgres" not in proposed(tmp_path, files)
    assert "alembic.ini and manage.py: postgres.migrate is left out" in noted(tmp_path)


@pytest.mark.parametrize(
    ("mount", "schema"),
    [
        ("./db/schema.sql:/docker-entrypoint-initdb.d/1.sql:ro", ["db/schema.sql"]),
        ("./db:/docker-entrypoint-initdb.d", ["db/*.sql"]),
        ("db/:/docker-entrypoint-initdb.d/", ["db/*.sql"]),
    ],
)
def test_what_the_compose_file_runs_is_the_schema(
    tmp_path: Path, mount: str, schema: list[str]
) -> None:
    compose = f"services:\n  db:\n    image: postgres:17\n    volumes:\n      - {mount}\n"
    files = {"compose.yml": compose, "db/schema.sql": ""}
    assert proposed(tmp_path, files)["postgres"] == {"schema": schema}


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ({"db/schema.sql": "", "db/make.sh": ""}, "compose.yml mounts db into"),
        (
            {"db/schema.sql": "", "c": "image: clickhouse/clickhouse-server"},
            "compose.yml mounts db",
        ),
        ({}, "compose.yml mounts db into"),
    ],
)
def test_what_may_be_more_than_a_schema_is_only_noted(
    tmp_path: Path, files: dict[str, str], note: str
) -> None:
    compose = (
        f"image: postgres\nvolumes: ['./db:/docker-entrypoint-initdb.d']\n{files.pop('c', '')}"
    )
    assert "postgres" not in proposed(tmp_path, files | {"compose.yml": compose})
    assert note in noted(tmp_path)


def test_schema_that_nothing_runs_is_only_noted(tmp_path: Path) -> None:
    assert "postgres" not in proposed(tmp_path, {"db/schema.sql": ""})
    assert 'add schema = ["db/schema.sql"]' in noted(tmp_path)
