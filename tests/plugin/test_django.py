"""pytest-django where ``export_env`` has put a lease into the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.plugin.runs import OPTIONS

if TYPE_CHECKING:
    from tests.conftest import Leftovers
    from tests.foreign import Foreign

CONFIGURATION = """
services = ["postgres"]
export_env = true
[postgres]
migrate = "python manage.py migrate"
watch = ["shop/migrations/*.py"]
"""
# Everything from PG*; what a test adds to DATABASES comes after it.
SETTINGS = """
import os
LEASE = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ["PGDATABASE"],
    "USER": os.environ["PGUSER"],
    "PASSWORD": os.environ["PGPASSWORD"],
    "HOST": os.environ["PGHOST"],
    "PORT": os.environ["PGPORT"],
}
DATABASES = {"default": dict(LEASE)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["shop"]
SECRET_KEY = "for tests only"
"""
MODELS = """
from django.db import models
class Item(models.Model):
    name = models.TextField()
"""
MIGRATION = """
from django.db import migrations, models
def first(apps, editor):
    # Of all databases that these tests migrate, in one only; each has the table.
    if editor.connection.alias == "default":
        apps.get_model("shop", "Item").objects.create(name="first")
class Migration(migrations.Migration):
    dependencies = []
    operations = [
        migrations.CreateModel("Item", [
            ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False,
                                       verbose_name="ID")),
            ("name", models.TextField()),
        ]),
        migrations.RunPython(first),
    ]
"""
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
execute_from_command_line(sys.argv)
"""
TEST = """
import os, pytest
from django.db import connection
from shop.models import Item

@pytest.mark.django_db
def test_own():
    assert connection.settings_dict["NAME"] == os.environ["PGDATABASE"]
    assert Item.objects.filter(name="first").exists()

@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("n", range(2))
def test_committed(n):
    Item.objects.create(name="mine")
    assert Item.objects.filter(name="mine").count() == 1
"""


@pytest.fixture
def site(suite: pytest.Pytester) -> pytest.Pytester:
    suite.makefile(".toml", envkit=CONFIGURATION)
    suite.makeini("[pytest]\nDJANGO_SETTINGS_MODULE = site_settings\npythonpath = .")
    suite.makepyfile(site_settings=SETTINGS, manage=MANAGE)
    suite.mkpydir("shop").joinpath("models.py").write_text(MODELS)
    migrations = suite.path / "shop" / "migrations"
    migrations.mkdir()
    (migrations / "__init__.py").touch()
    (migrations / "0001_initial.py").write_text(MIGRATION)
    return suite


def run(site: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return site.runpytest_subprocess(
        *OPTIONS, "-p", "pytest_django.plugin", *arguments, timeout=120
    )


def add_to_settings(site: pytest.Pytester, text: str) -> None:
    site.makepyfile(site_settings=SETTINGS + text)


@pytest.mark.parametrize(
    "option", ["-v", "--reuse-db", "--create-db", "--no-migrations"], ids=lambda one: one.strip("-")
)
def test_database_is_the_migrated_lease_with_every_option(
    site: pytest.Pytester, leftovers: Leftovers, option: str
) -> None:
    site.makepyfile(TEST)
    run(site, option).assert_outcomes(passed=3)
    assert not leftovers.wait_until_none()


def test_each_worker_has_its_own(site: pytest.Pytester) -> None:
    site.makepyfile(TEST)
    result = run(site, "-p", "xdist", "-n", "2", "--dist", "each")
    result.assert_outcomes(passed=6)


@pytest.mark.parametrize("test", ['{"NAME": "other"}', '{"MIGRATE": False}', '{"TEMPLATE": "x"}'])
def test_what_settings_say_of_a_test_database_makes_no_other(
    site: pytest.Pytester, test: str
) -> None:
    add_to_settings(site, f'\nDATABASES["default"]["TEST"] = {test}')
    site.makepyfile(TEST)
    run(site).assert_outcomes(passed=3)


def test_aliases_of_one_lease_are_one_database(site: pytest.Pytester) -> None:
    add_to_settings(
        site,
        '\nDATABASES["again"] = dict(LEASE)'
        '\nDATABASES["replica"] = LEASE | {"TEST": {"MIRROR": "default"}}',
    )
    site.makepyfile(
        """
        import pytest
        from shop.models import Item
        @pytest.mark.django_db(transaction=True, databases="__all__")
        def test():
            Item.objects.create(name="mine")
            for alias in ("default", "again", "replica"):
                assert Item.objects.using(alias).filter(name="mine").count() == 1
        """
    )
    run(site).assert_outcomes(passed=1)


def test_live_server_answers_from_it(site: pytest.Pytester) -> None:
    add_to_settings(site, '\nROOT_URLCONF = "site_urls"\nSTATIC_URL = "static/"')
    site.makepyfile(
        site_urls="""
        from django.http import JsonResponse
        from django.urls import path
        from shop.models import Item
        def names(request):
            return JsonResponse({"names": list(Item.objects.values_list("name", flat=True))})
        urlpatterns = [path("names/", names)]
        """
    )
    site.makepyfile(
        """
        import json
        from urllib.request import urlopen
        from shop.models import Item
        def test(live_server):
            Item.objects.create(name="mine")
            with urlopen(live_server.url + "/names/") as answer:
                assert "mine" in json.load(answer)["names"]
        """
    )
    run(site).assert_outcomes(passed=1)


def test_migration_that_the_template_has_not_is_applied(site: pytest.Pytester) -> None:
    site.makefile(".toml", envkit='services = ["postgres"]\nexport_env = true')
    site.makepyfile(TEST)
    run(site).assert_outcomes(passed=3)


def test_tables_of_an_empty_lease_can_be_those_of_the_models(site: pytest.Pytester) -> None:
    site.makefile(".toml", envkit='services = ["postgres"]\nexport_env = true')
    site.makepyfile(
        """
        import pytest
        from shop.models import Item
        @pytest.mark.django_db
        def test():
            assert not Item.objects.exists()
        """
    )
    run(site, "--no-migrations").assert_outcomes(passed=1)


def test_projects_own_setup_goes_on_from_it(site: pytest.Pytester) -> None:
    site.makeconftest(
        """
        import pytest
        @pytest.fixture(scope="session")
        def django_db_setup(django_db_setup, django_db_blocker):
            from shop.models import Item
            with django_db_blocker.unblock():
                Item.objects.create(name="second")
        """
    )
    site.makepyfile(
        """
        import pytest
        from shop.models import Item
        @pytest.mark.django_db
        def test():
            assert set(Item.objects.values_list("name", flat=True)) == {"first", "second"}
        """
    )
    run(site).assert_outcomes(passed=1)


def test_database_that_is_no_lease_is_left_to_django(
    site: pytest.Pytester, foreign_postgres: Foreign
) -> None:
    # As without envkit: Django makes test_precious beside it, and removes that.
    with psycopg.connect(foreign_postgres.url, autocommit=True) as boss:
        boss.execute("DROP DATABASE IF EXISTS precious")
        boss.execute("CREATE DATABASE precious")
        where = boss.info
        add_to_settings(
            site,
            f'\nDATABASES["other"] = LEASE | {{"NAME": "precious", "HOST": {where.host!r},'
            f' "PORT": {where.port}, "USER": {where.user!r}, "PASSWORD": {where.password!r}}}',
        )
        site.makepyfile(
            """
            import os, pytest
            from django.db import connections
            from shop.models import Item
            @pytest.mark.django_db(transaction=True, databases=["default", "other"])
            def test():
                assert connections["default"].settings_dict["NAME"] == os.environ["PGDATABASE"]
                assert connections["other"].settings_dict["NAME"] == "test_precious"
                Item.objects.using("other").create(name="mine")
            """
        )
        run(site).assert_outcomes(passed=1)
        found = boss.execute("SELECT datname FROM pg_database").fetchall()
        assert ("precious",) in found
        assert ("test_precious",) not in found
    url = foreign_postgres.url.rpartition("/")[0] + "/precious"
    with psycopg.connect(url) as db:
        tables = db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchone() == (0,)


def test_fixture_of_that_name_without_django_is_nothing_special(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit='services = ["postgres"]\nexport_env = true')
    suite.makepyfile(
        """
        import pytest
        @pytest.fixture
        def django_db_setup(): return 7
        def test(django_db_setup):
            import sys
            assert django_db_setup == 7
            assert "django" not in sys.modules
        """
    )
    suite.runpytest_subprocess(*OPTIONS, timeout=60).assert_outcomes(passed=1)
