"""What `envkit init` proposes for the tables of a project, and that it leads nowhere else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from envkit.init import propose
from tests.test_init_code import ALEMBIC, DRIVER, READS, made, noted, proposed

MANAGE = (
    "import os\nfrom django.core.management import execute_from_command_line\n"
    "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')\n"
)
SETTINGS = (
    "import os\nDATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql',"
    " 'NAME': os.environ['DB_NAME']}}\n"
)
ENV_PY = "import os\nconfig.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'])\n"


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
        ("H = 'db.prod'\nURL = f'postgresql://u:p@{H}/app'", "app/db.py, line 2 has the URL"),
        ("URL = 'postgresql://' + 'db.prod' + '/app'", "app/db.py, line 1 has the URL"),
        ("URL = 'postgresql://%s/%s' % ('db.prod', x)", "app/db.py, line 1 has the URL"),
        ("URL = 'PostgreSQL://{}/{}'.format('db.prod', x)", "app/db.py, line 1 has the URL"),
        ("URL = URL.create('postgresql', 'u', 'p', 'db.prod')", "line 1 names the host"),
        ("URL = Settings(database_url=vault()).database_url", "line 1 gives its settings a value"),
        ("import os\nos.environ |= vault()", "line 2 sets variables in the environment"),
        ("import os\ndel os.environ['DATABASE_URL']", "line 2 sets variables in"),
        ("import os\nos.environ.pop('DATABASE_URL')", "line 2 sets variables in"),
        ("load_dotenv(path, None, False, True)", "line 1 loads a .env file over"),
        ("load_dotenv(**how)", "line 1 loads a .env file over"),
        ("exec(open('app/more.py').read())", "line 1 runs a text that is not looked at"),
        ("URL = import_module('app.more').URL", "app/more.py, line 1 has the URL of a database"),
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
            f"{READS}try:\n    config.set_main_option('sqlalchemy.url', URL)\nexcept X:\n    pass",
            "not always",
        ),
        (f"{READS}config.set_section_option('other', 'sqlalchemy.url', URL)", "not always"),
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
        ("DATABASES['default']['HOST'] = 'db.prod'", "line 3 names the host"),
        ("DATABASES['default'].update(HOST='db.prod', NAME='x')", "line 3 names the host"),
        ("D = {'default': dict(ENGINE='x', HOST='db.prod', NAME='x')}", "line 3 names the host"),
        ("D = {'default': {'ENGINE': 'x', 'HOST': os.environ['H'], 'NAME': 'x'}}", "line 3 names"),
        ("D = {'default': env.db('MAIN')}", "line 3 reads the URL of a database that envkit"),
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
