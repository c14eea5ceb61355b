from tests.doctor.case import Case, log, told

CASES = {
    "async.loop-mismatch": Case(
        fires=(
            log(
                "E       RuntimeError: Task <Task pending name='Task-11' coro=<test() running at "
                "/project/test_a.py:14> cb=[_run_until_complete_cb()]> got Future <Future pending> "
                "attached to a different loop"
            ),
            log(
                "RuntimeError: <asyncio.locks.Lock object at 0x7ff7e2fd4a90 [locked]> is bound to "
                "a different event loop"
            ),
            log(
                "ValueError: The future belongs to a different loop than the one specified as the "
                "loop argument"
            ),
            log("RuntimeError: Event loop is closed"),
            told("python", "RuntimeError", "RuntimeError: Event loop is closed"),
            # pytest-asyncio 0.23
            log(
                "ScopeMismatch: You tried to access the function scoped fixture event_loop with a "
                "session scoped request object, involved factories:"
            ),
        ),
        silent=(
            log("RuntimeError: There is no current event loop in thread 'worker'."),
            log("RuntimeError: asyncio.run() cannot be called from a running event loop"),
            log("the main event loop is closed for the night"),
            log(
                "ScopeMismatch: You tried to access the function scoped fixture db with a session "
                "scoped request object"
            ),
        ),
    ),
}
