"""Which distribution on the package index gives pytest an option, key, marker, fixture or plugin.

Names are those of the plugins' own documentation; ``pip install`` takes each as it stands here.
"""

from __future__ import annotations

import shlex
from typing import Final

__all__ = [
    "owner_of_fixture",
    "owner_of_ini_key",
    "owner_of_marker",
    "owner_of_option",
    "owner_of_plugin",
    "pip_install",
]

_OPTIONS: Final = {
    "allure-pytest": "--alluredir --allure-",
    "anyio": "--anyio-mode",
    "envkit-services": "--envkit --envkit-",
    "hypothesis": "--hypothesis-",
    "inline-snapshot": "--inline-snapshot",
    "nbval": "--nbval --nbval-",
    "pytest-asyncio": "--asyncio-",
    "pytest-base-url": "--base-url",
    "pytest-bdd": "--gherkin-terminal-reporter --cucumberjson --generate-missing",
    "pytest-benchmark": "--benchmark-",
    "pytest-black": "--black",
    "pytest-cov": "--cov --cov- --no-cov --no-cov-on-fail",
    "pytest-django": "--ds --dc --reuse-db --create-db --migrations --no-migrations "
    "--nomigrations --fail-on-template-vars --django-debug-mode",
    "pytest-flakefinder": "--flake-finder --flake-runs --flake-max-minutes",
    "pytest-forked": "--forked",
    "pytest-html": "--html --self-contained-html --css",
    "pytest-instafail": "--instafail",
    "pytest-json-report": "--json-report --json-report-",
    "pytest-memray": "--memray --memray-",
    "pytest-mypy": "--mypy --mypy-",
    "pytest-order": "--order-scope --order-dependencies --indulgent-ordering --sparse-ordering",
    "pytest-picked": "--picked --mode",
    "pytest-playwright": "--headed --browser --browser-channel --slowmo --tracing --screenshot",
    "pytest-postgresql": "--postgresql-",
    "pytest-profiling": "--profile --profile-svg",
    "pytest-random-order": "--random-order --random-order-",
    "pytest-randomly": "--randomly-",
    "pytest-recording": "--record-mode --block-network --disable-recording --allowed-hosts",
    "pytest-repeat": "--count --repeat-scope",
    "pytest-rerunfailures": "--reruns --reruns-delay --only-rerun --rerun-except --rerun-show-",
    "pytest-ruff": "--ruff --ruff-",
    "pytest-socket": "--disable-socket --allow-hosts --allow-unix-socket --force-enable-socket",
    "pytest-split": "--splits --group --store-durations --durations-path --splitting-algorithm",
    "pytest-sugar": "--force-sugar",
    "pytest-testmon": "--testmon --testmon-",
    "pytest-timeout": "--timeout --timeout-method --timeout_method --session-timeout "
    "--timeout-disable-debugger-detection --timeout-func-only",
    "pytest-xdist": "-n --numprocesses --dist --maxprocesses --max-worker-restart --tx --px "
    "--rsyncdir --looponfail --maxschedchunk --testrunuid --loadscope-reorder "
    "--no-loadscope-reorder",
    "syrupy": "--snapshot-",
}
_INI_KEYS: Final = {
    "anyio": "anyio_mode",
    "pytest-asyncio": "asyncio_mode asyncio_debug asyncio_default_fixture_loop_scope "
    "asyncio_default_test_loop_scope",
    "pytest-base-url": "base_url",
    "pytest-bdd": "bdd_features_base_dir bdd_strict_gherkin",
    "pytest-django": "DJANGO_SETTINGS_MODULE DJANGO_CONFIGURATION django_find_project "
    "FAIL_INVALID_TEMPLATE_VARS django_debug_mode",
    "pytest-dotenv": "env_files env_override_existing_values",
    "pytest-env": "env",
    "pytest-html": "render_collapsed initial_sort generate_report_on_test",
    "pytest-mock": "mock_traceback_monkeypatch mock_use_standalone_module",
    "pytest-postgresql": "postgresql_",
    "pytest-pythonpath": "python_paths site_dirs",
    "pytest-qt": "qt_api qt_default_raising qt_no_exception_capture",
    "pytest-redis": "redis_",
    "pytest-rerunfailures": "reruns reruns_delay",
    "pytest-timeout": "timeout timeout_method timeout_func_only session_timeout "
    "timeout_disable_debugger_detection",
    "pytest-vcr": "vcr_",
    "xdoctest": "xdoctest_",
}
_MARKERS: Final = {
    "anyio": "anyio",
    "envkit-services": "real_services",
    "pytest-asyncio": "asyncio",
    "pytest-benchmark": "benchmark",
    "pytest-dependency": "dependency",
    "pytest-django": "django_db urls ignore_template_errors",
    "pytest-flakefinder": "no_flake_finder",
    "pytest-forked": "forked",
    "pytest-httpx": "httpx_mock",
    "pytest-order": "order",
    "pytest-recording": "vcr block_network default_cassette",
    "pytest-repeat": "repeat",
    "pytest-rerunfailures": "flaky",
    "pytest-retry": "retry",
    "pytest-socket": "disable_socket enable_socket allow_hosts",
    "pytest-timeout": "timeout",
    "pytest-trio": "trio",
    "pytest-xdist": "xdist_group",
}
_FIXTURES: Final = {
    "anyio": "anyio_backend anyio_backend_name",
    "envkit-services": "real_services real_services_fixture real_services_session real_postgres "
    "real_redis real_clickhouse isolated_env",
    "Faker": "faker",
    "pytest-aiohttp": "aiohttp_client aiohttp_server aiohttp_raw_server",
    "pytest-asyncio": "event_loop event_loop_policy unused_tcp_port unused_udp_port "
    "unused_tcp_port_factory",
    "pytest-base-url": "base_url",
    "pytest-benchmark": "benchmark benchmark_weave",
    "pytest-datadir": "datadir shared_datadir original_datadir",
    "pytest-django": "db transactional_db django_db_setup django_db_blocker admin_client "
    "admin_user async_client django_user_model live_server mailoutbox rf "
    "django_assert_num_queries",
    "pytest-flask": "client_class",
    "pytest-freezer": "freezer",
    "pytest-httpserver": "httpserver",
    "pytest-httpx": "httpx_mock",
    "pytest-mock": "mocker class_mocker module_mocker package_mocker session_mocker",
    "pytest-playwright": "page browser_context browser_name playwright",
    "pytest-postgresql": "postgresql postgresql_proc postgresql_noproc",
    "pytest-qt": "qtbot qapp",
    "pytest-recording": "vcr vcr_config vcr_cassette",
    "pytest-redis": "redisdb redis_proc redis_noproc",
    "pytest-regressions": "data_regression file_regression num_regression",
    "pytest-subprocess": "fp fake_process",
    "pytest-subtests": "subtests",
    "pytest-xdist": "worker_id testrun_uid",
    "requests-mock": "requests_mock",
    "syrupy": "snapshot",
}
# What stands after `-p` or in `pytest_plugins`: entry point or module.
_PLUGINS: Final = {
    "allure_pytest": "allure-pytest",
    "anyio": "anyio",
    "envkit": "envkit-services",
    "syrupy": "syrupy",
    "xdist": "pytest-xdist",
}
_PREFIXED: Final = (
    *("asyncio", "bdd", "benchmark", "cov", "django", "env", "flask", "forked", "freezer", "html"),
    *("httpserver", "httpx", "instafail", "mock", "order", "postgresql", "randomly", "redis"),
    *("repeat", "rerunfailures", "socket", "split", "sugar", "timeout", "trio", "twisted"),
)


def _owner(table: dict[str, str], name: str, *, joint: str) -> str:
    """Whose the name is; a name in a table that ends with the joint is a beginning."""
    for distribution, names in table.items():
        for one in names.split():
            if name == one or (one.endswith(joint) and name.startswith(one)):
                return distribution
    return ""


def owner_of_option(option: str) -> str:
    """Of ``--timeout=3``, ``-n4``, …; empty if no plugin of that option is known."""
    name = option.partition("=")[0]
    if name.startswith("-n") and not name.startswith("--"):
        name = "-n"
    return _owner(_OPTIONS, name, joint="-")


def owner_of_ini_key(key: str) -> str:
    """Of a key in ``[pytest]``; empty if unknown."""
    return _owner(_INI_KEYS, key, joint="_")


def owner_of_marker(marker: str) -> str:
    """Of ``pytest.mark.<marker>``; empty if unknown."""
    return _owner(_MARKERS, marker, joint=" ")


def owner_of_fixture(fixture: str) -> str:
    """Of a fixture; empty if unknown, or if too many have one of that name."""
    return _owner(_FIXTURES, fixture, joint=" ")


def owner_of_plugin(plugin: str) -> str:
    """Of what stands after ``-p`` or in ``pytest_plugins``; empty if unknown."""
    top = plugin.partition(".")[0]
    if top in _PLUGINS:
        return _PLUGINS[top]
    bare = top.removeprefix("pytest_")
    return f"pytest-{bare.replace('_', '-')}" if bare in _PREFIXED else ""


def pip_install(*distributions: str, upgrade: bool = False) -> str:
    """The command that installs these; empty if there is none to install."""
    wanted = [one for one in distributions if one]
    option = " --upgrade" if upgrade else ""
    return f"python -m pip install{option} {shlex.join(wanted)}" if wanted else ""
