from tests.doctor.case import Case, log, told

CASES = {
    "pytest.select.empty": Case(
        fires=(
            # pytest 7.4, 8.3 and 9.2 say the same
            log("collected 2 items / 2 deselected / 0 selected"),
            log("============================ 2 deselected in 0.01s ============================="),
            log("no tests collected (2 deselected) in 0.00s"),
            log("============================ no tests ran in 0.01s ============================="),
            told("pytest", "5", "1 deselected in 0.00s"),
            told("pytest", "5", "", data={"collected": "12", "expression": "-k 'agent'"}),
            told("pytest", "5", "collected 0 items"),
        ),
        silent=(
            log("collected 12 items / 3 deselected / 9 selected"),
            log("9 passed, 3 deselected in 0.11s"),
            log("collected 0 items / 1 skipped"),
            log("collected 0 items / 1 error"),
            told("process", "5", "the server ended with exit code 5"),
            told("pytest", "5", "collected 0 items / 1 skipped\n=== 1 skipped in 0.01s ==="),
            told("pytest", "5", "", data={"skipped": "1"}),
            log("1/2 tests collected (1 deselected) in 0.00s"),
        ),
    ),
    "pytest.select.all-skipped": Case(
        fires=(
            log("collected 0 items / 1 skipped"),
            log("============================== 1 skipped in 0.01s =============================="),
            log("3 skipped, 2 deselected in 0.02s"),
            told("pytest", "5", "collected 0 items / 1 skipped\n=== 1 skipped in 0.01s ==="),
            told("pytest", "5", "", data={"skipped": "2", "reason": "could not import 'nosuch'"}),
        ),
        silent=(
            log("========================= 9 passed, 1 skipped in 0.11s ========================="),
            log("collected 4 items / 1 skipped"),
            told("pytest", "5", "", data={"collected": "12", "skipped": "0"}),
            log("1 failed, 1 skipped in 0.11s"),
        ),
    ),
    "pytest.path.missing": Case(
        fires=(
            log("ERROR: file or directory not found: nodir/"),
            log("ERROR: file or directory not found: tests/data base\n"),
            log(
                "config/__init__.py:1810: PytestConfigWarning: No files were found in testpaths; "
                "consider removing or adjusting your testpaths configuration. Searching "
                "recursively from the current directory instead."
            ),
        ),
        silent=(
            log("FileNotFoundError: [Errno 2] No such file or directory: 'nodir/'"),
            log("ERROR: not found: /project/test_t.py::test_zz"),
            log("error: no such file or directory: nodir/"),
        ),
    ),
    "pytest.node.missing": Case(
        fires=(
            log(
                "ERROR: not found: /project/test_t.py::TestA::test_zz\n"
                "(no match in any of [<Class TestA>])"
            ),
            # up to pytest 8, where the file itself is not collected
            log("ERROR: found no collectors for /project/test_t.py::test_a"),
        ),
        silent=(
            log("ERROR: file or directory not found: test_t.py"),
            log("ERROR: not found: the requested object"),
            log("E       fixture 'test_zz' not found"),
        ),
    ),
    "pytest.select.bad-expr": Case(
        fires=(
            log(
                "ERROR: Wrong expression passed to '-k': a and: at column 6: expected not OR left "
                "parenthesis OR identifier; got end of input"
            ),
            log(
                "ERROR: Wrong expression passed to '-m': a and (b: at column 9: expected right "
                "parenthesis; got end of input"
            ),
        ),
        silent=(
            log("ERROR: syntax error at or near 'and'"),
            log("ERROR: Unknown marker(s) in '-m' expression: slow. Use 'pytest --markers' to see"),
        ),
    ),
}
