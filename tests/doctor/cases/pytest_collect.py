from tests.doctor.case import Case, log, told

CASES = {
    "pytest.conftest.import": Case(
        fires=(
            log(
                "ImportError while loading conftest '/project/conftest.py'.\n"
                "conftest.py:2: in <module>\n"
                "    X = limits['open']\n"
                "E   KeyError: 'open'"
            ),
            log(
                "_pytest.config.ConftestImportFailure: ValueError: not a number "
                "(from /project/tests/conftest.py)"
            ),
            log(
                "E   _pytest.config.ConftestImportFailure: (PosixPath('/app/conftest.py'), "
                "(<class 'ValueError'>, ValueError('x')))"
            ),
        ),
        silent=(
            log("ImportError while importing test module '/project/test_t.py'."),
            log("importing conftest files takes long"),
        ),
    ),
    "pytest.collect.module-missing": Case(
        fires=(
            log("E   ModuleNotFoundError: No module named 'nosuchmod'"),
            log("ImportError: No module named 'nosuchmod'"),  # raised by hand, as libraries do
            # What a conftest lacks comes before that it cannot be imported.
            log(
                "ImportError while loading conftest '/project/conftest.py'.\n"
                "conftest.py:1: in <module>\n"
                "    import nosuchmod\n"
                "E   ModuleNotFoundError: No module named 'nosuchmod'"
            ),
            log(
                "E   ModuleNotFoundError: No module named 'yaml'\n"
                "!!!!!!!!!!!!!!!!!!!! Interrupted: 1 error during collection !!!!!!!!!!!!!!!!!!!!"
            ),
            told(
                "python",
                "ModuleNotFoundError",
                "ModuleNotFoundError: No module named 'tests'",
                data={"module": "tests"},
            ),
        ),
        silent=(
            # As pytest's summary shows it in 80 columns.
            log("FAILED test_t.py::test_a - ModuleNotFoundError: No module named ..."),
            log("FAILED test_t.py::test_a - ModuleNotFoundError: No module named 'nosuc..."),
            log("ModuleNotFoundError: No module named 'clickhouse_driver'"),
            log("ModuleNotFoundError: No module named 'psycopg2.extras'"),
            log("ModuleNotFoundError: No module named 'sqlalchemy.dialects.clickhouse'"),
            log("ModuleNotFoundError: No module named 'fcntl'"),
            log("ModuleNotFoundError: No module named 'distutils'"),
            log("ImportError: cannot import name 'x' from 'os' (/usr/lib/python3.11/os.py)"),
        ),
    ),
    "pytest.collect.import-name": Case(
        fires=(
            log(
                "E   ImportError: cannot import name 'nosuchname' from 'os' "
                "(/usr/lib/python3.11/os.py)"
            ),
            log(
                "ImportError: cannot import name 'Order' from partially initialized module "
                "'shop.models' (most likely due to a circular import) (/project/shop/models.py)"
            ),
            log(
                "ImportError: cannot import name 'url_quote' from 'werkzeug.urls' "
                "(/venv/lib/python3.11/site-packages/werkzeug/urls.py)"
            ),
            log("ImportError: cannot import name 'x' from 'y' (unknown location)"),
        ),
        silent=(
            log("ModuleNotFoundError: No module named 'shop'"),
            log("AttributeError: module 'os' has no attribute 'nosuchname'"),
        ),
    ),
    "pytest.collect.import-mismatch": Case(
        fires=(
            log(
                "import file mismatch:\n"
                "imported module 'test_x' has this __file__ attribute:\n"
                "  /project/a/test_x.py\n"
                "which is not the same as the test file we want to collect:\n"
                "  /project/b/test_x.py\n"
                "HINT: remove __pycache__ / .pyc files and/or use a unique basename for your test "
                "file modules"
            ),
            told(
                "pytest",
                "",
                "import file mismatch:\n"
                "imported module 'test_x' has this __file__ attribute:\n"
                "  /project/build/lib/test_x.py\n"
                "which is not the same as the test file we want to collect:\n"
                "  /project/test_x.py\n",
            ),
            log(
                "_pytest.pathlib.ImportPathMismatchError: ('conftest', '/app/conftest.py', "
                "PosixPath('/project/conftest.py'))"
            ),
            log(
                "py._path.local.LocalPath.ImportMismatchError: ('conftest', '/a/conftest.py', "
                "local('/b/conftest.py'))"
            ),
        ),
        silent=(
            log("the imported file does not match the expected one"),
            log("ImportError while importing test module '/project/test_t.py'."),
        ),
    ),
    "pytest.collect.init-class": Case(
        fires=(
            log(
                "  /project/test_t.py:1: PytestCollectionWarning: cannot collect test class "
                "'TestX' because it has a __init__ constructor (from: test_t.py)"
            ),
            log(
                "  /project/test_t.py:1: PytestCollectionWarning: cannot collect test class "
                "'TestX' because it has a __new__ constructor (from: test_t.py)"
            ),
            told(
                "pytest",
                "5",
                "collected 0 items\n"
                "test_t.py:1: PytestCollectionWarning: cannot collect test class 'TestX' "
                "because it has a __init__ constructor (from: test_t.py)",
            ),
        ),
        silent=(
            log("cannot collect 'TestX' because it is not a class."),
            told("pytest", "5", "collected 0 items"),
        ),
    ),
    "pytest.collect.interrupted": Case(
        fires=(
            log("!!!!!!!!!!!!!!!!!!!! Interrupted: 1 error during collection !!!!!!!!!!!!!!!!!!!!"),
            log("!!!!!!!!!!!!!!!!!!! Interrupted: 2 errors during collection !!!!!!!!!!!!!!!!!!!!"),
        ),
        silent=(
            log("!!!!!!!!!!!!!!!!!!!!!!!!!!!!!! KeyboardInterrupt !!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"),
            log("!!!!!!!!!!!!!!!!!!!!!!!!! stopping after 1 failures !!!!!!!!!!!!!!!!!!!!!!!!!!"),
        ),
    ),
}
