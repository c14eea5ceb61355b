from tests.doctor.case import Case, log, told

CASES = {
    "pytest.plugin.missing": Case(
        fires=(
            # pytest 9
            log(
                "ERROR: usage: python -m pytest [options] [file_or_dir] [file_or_dir] [...]\n"
                "python -m pytest: error: unrecognized arguments: --timeout=10 --reruns\n"
                "  inifile: /project/pytest.ini\n"
                "  rootdir: /project"
            ),
            # pytest 7 and 8, run as a module and as a program
            log(
                "__main__.py: error: unrecognized arguments: --cov=src --cov-report\n"
                "  inifile: None\n"
                "  rootdir: /project"
            ),
            log("pytest: error: unrecognized arguments: -n"),
            log("pytest.exe: error: unrecognized arguments: -n4"),
            log("ERROR: Missing required plugins: pytest-django>=1, pytest-foo"),
        ),
        silent=(
            log("pytest: error: unrecognized arguments: --run-slow"),
            log("manage.py: error: unrecognized arguments: --timeout=10"),
            log("usage: ctl [--timeout N]"),
        ),
    ),
    "pytest.usage.unknown-option": Case(
        fires=(
            log(
                "python -m pytest: error: unrecognized arguments: --run-slo\n"
                "  inifile: /project/pytest.ini\n"
                "  rootdir: /project"
            ),
            log("pytest: error: unrecognized arguments: --run-slow --fast"),
            log("pytest: error: unrecognized arguments: --max-warnings=0"),
        ),
        silent=(
            log("pytest: error: unrecognized arguments: --timeout=10"),
            log("deploy.py: error: unrecognized arguments: --run-slow"),
            log("pytest: error: argument -p: expected one argument"),
        ),
    ),
    "pytest.plugin.import": Case(
        fires=(
            # exit code 4 of pytest 9; a traceback and exit code 1 before
            log("ERROR: Error importing plugin \"nosuchplugin\": No module named 'nosuchplugin'"),
            log(
                'ImportError: Error importing plugin "pytest_timeout": '
                "No module named 'pytest_timeout'"
            ),
            log("ImportError: Error importing plugin \"mine\": cannot import name 'x' from 'os'"),
        ),
        silent=(
            log("ModuleNotFoundError: No module named 'pytest_timeout'"),
            log("Error loading plugin of the web server: not found"),
        ),
    ),
    "pytest.config.unknown-key": Case(
        fires=(
            log(
                "  _pytest/config/__init__.py:1636: PytestConfigWarning: "
                "Unknown config option: asyncio_mode"
            ),
            log("ERROR: Unknown config option: timeoutt"),
        ),
        silent=(
            log("envkit.toml:1: the top level has no key 'servces'"),
            log("Bad directive or wrong number of arguments: unknown config option"),
        ),
    ),
    "pytest.marker.unregistered": Case(
        fires=(
            log("'slow' not found in `markers` configuration option"),
            log("ERROR test_t.py - Failed: 'slow' not found in `markers` configuration option"),
            log(
                "  /project/test_t.py:2: PytestUnknownMarkWarning: Unknown pytest.mark.slow - is "
                "this a typo?  You can register custom marks to avoid this warning"
            ),
            log(
                "E   pytest.PytestUnknownMarkWarning: Unknown pytest.mark.slow - is this a typo?  "
                "You can register custom marks to avoid this warning"
            ),
            log(
                "ERROR: Unknown marker(s) in '-m' expression: slow. Use 'pytest --markers' to see "
                "available markers."
            ),
            told("python", "Failed", "'timeout' not found in `markers` configuration option"),
        ),
        silent=(
            log("E       fixture 'slow' not found"),
            log("'slow' not found in the list of markers on the map"),
        ),
    ),
    "pytest.max-warnings": Case(
        fires=(
            log("Tests pass, but maximum allowed warnings exceeded: 2 > 0"),
            told("pytest", "6", ""),
        ),
        silent=(
            log("========================= 1 passed, 2 warnings in 0.01s ========================"),
            told("process", "6", "aborted"),
        ),
    ),
    "pytest.version.old": Case(
        fires=(
            log(
                "ERROR: /project/pytest.ini: 'minversion' requires pytest-99, actual pytest-9.2.0'"
            ),
        ),
        silent=(log("ERROR: this project requires pytest-asyncio, actual pytest-9.2.0"),),
    ),
}
