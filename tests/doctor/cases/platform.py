from tests.doctor.case import Case, log, told

CASES = {
    "platform.module-missing": Case(
        fires=(
            log("ModuleNotFoundError: No module named 'fcntl'"),
            log("E   ModuleNotFoundError: No module named 'resource'"),
            log("ModuleNotFoundError: No module named 'winreg'"),
            log("ModuleNotFoundError: No module named '_sqlite3'"),
            log("ModuleNotFoundError: No module named 'pipes'"),
            log("ModuleNotFoundError: No module named 'venv'"),
            told("python", "ModuleNotFoundError", "ModuleNotFoundError: No module named 'pwd'"),
        ),
        silent=(
            log("ModuleNotFoundError: No module named 'clickhouse_driver'"),
            log("ModuleNotFoundError: No module named 'acme_billing'"),
            log("ModuleNotFoundError: No module named 'tests.resource'"),
            log("ModuleNotFoundError: No module named 'distutils.core'"),
        ),
    ),
    "platform.encoding": Case(
        fires=(
            log(
                "UnicodeEncodeError: 'charmap' codec can't encode character '\\u2713' in position "
                "0: character maps to <undefined>"
            ),
            log("UnicodeDecodeError: 'ascii' codec can't decode byte 0xc3 in position 9"),
            log("UnicodeDecodeError: 'cp1252' codec can't decode byte 0x81 in position 3"),
            told("host", "ENCODING", "Python's encoding here is ascii", data={"codec": "ascii"}),
        ),
        silent=(
            log("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0"),
            log(
                "UnicodeEncodeError: 'utf-8' codec can't encode character '\\udcff': surrogates "
                "not allowed"
            ),
            log('invalid byte sequence for encoding "UTF8": 0x00'),
        ),
    ),
}
