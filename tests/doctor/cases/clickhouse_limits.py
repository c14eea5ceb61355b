"""Limits of ClickHouse, as 18.16 and 26.9 said them; the rest from its issues and sources."""

from tests.doctor.case import Case, log, told

CASES = {
    "ch.queries.too-many": Case(
        fires=(
            told(
                "clickhouse",
                "202",
                "Too many simultaneous queries. Maximum: 100. (TOO_MANY_SIMULTANEOUS_QUERIES)",
            ),
            log(
                "Code: 202. DB::Exception: Received from localhost:9000. DB::Exception: Too many "
                "simultaneous queries. Maximum: 100."
            ),
            log(
                "ClickHouse exception: Code: 1002, host: 10.1.1.1, port 8123,Code: 202, DB::"
                "Exception Received from 10.1.1.2:9100 Too many simultaneous queries Maximum: 350. "
                "(TOO_MANY_SIMULTANEOUS_QUERIES)(version 21.9.2.1)"
            ),
        ),
        silent=(
            log("Status Code: 202. Accepted"),
            log("FATAL:  sorry, too many clients already"),
        ),
    ),
    "ch.memory.limit": Case(
        fires=(
            told(
                "clickhouse",
                "241",
                "Code: 241. DB::Exception: Query memory limit exceeded: would use 1.06 MiB (attempt"
                " to allocate chunk of 0.00 B), maximum: 976.56 KiB: While executing "
                "AggregatingTransform. (MEMORY_LIMIT_EXCEEDED)",
            ),
            log(
                "Code: 241. DB::Exception: Memory limit (total) exceeded: would use 3.60 GiB "
                "(attempt to allocate chunk of 4219140 bytes), maximum: 3.60 GiB. OvercommitTracker"
                " decision: Query was selected to stop by OvercommitTracker."
            ),
            log("DB::Exception: (total) memory limit exceeded: would use 1.80 GiB"),
        ),
        silent=(
            log("ERROR:  out of memory"),
            log("MemoryError: memory limit exceeded"),
        ),
    ),
    "ch.oom-killed": Case(
        fires=(
            told("docker", "OOMKilled", "container clickhouse", service="clickhouse"),
            told("process", "137", "ended with 137", service="clickhouse"),
            log("kernel: Out of memory: Killed process 4711 (clickhouse-serv) total-vm:9876543kB"),
            log("clickhouse-1 exited with code 137"),
            log(
                '1a2b  clickhouse/clickhouse-server:25.8  "/entrypoint.sh"  2 minutes ago  '
                "Exited (137) 1 minute ago"
            ),
            log(
                "2026.01.01 10:00:00.0 [ 1 ] {} <Fatal> Application: Child process was terminated "
                "by signal 9 (KILL). If it is not done by 'forcestop' command or manually, the "
                "possible cause is OOM Killer (see 'dmesg' and look at the '/var/log/kern.log' for "
                "the details)."
            ),
        ),
        silent=(
            told("process", "137", "ended with 137", service="postgres"),
            told("docker", "OOMKilled", "container db", service="postgres"),
            log("postgres-1 exited with code 137"),
            log("kernel: Out of memory: Killed process 4711 (python)"),
            log("clickhouse-1 exited with code 0"),
        ),
    ),
    "ch.parts.too-many": Case(
        fires=(
            told("clickhouse", "252", "Too many parts (300). Merges are processing significantly"),
            log(
                "ClickHouse exception, code: 1002, host: 10.129.170.80, port: 8123; Code: 252. DB::"
                "Exception: Too many parts (300). Merges are processing significantly slower than "
                "inserts. (TOO_MANY_PARTS)"
            ),
            log(
                "DynamicQueryHandler: Code: 252, e.displayText() = DB::Exception: Too many parts "
                "(300). Parts cleaning are processing significantly slower than inserts"
            ),
        ),
        silent=(
            log("Code: 161. DB::Exception: Too many columns to read (TOO_MANY_COLUMNS)"),
            log("the assembly has too many parts"),
        ),
    ),
    "ch.disk.full": Case(
        fires=(
            told("clickhouse", "243", "Cannot reserve 1.00 MiB, not enough space."),
            told("host", "CH_DISK_LOW", "free_space 1000000", data={"free": "1 MB"}),
            log(
                "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. "
                "(NOT_ENOUGH_SPACE)"
            ),
            log(
                "Code: 75. DB::ErrnoException: Cannot write to file /var/lib/clickhouse/store/a: , "
                "errno: 28, strerror: No space left on device. "
                "(CANNOT_WRITE_TO_FILE_DESCRIPTOR)"
            ),
        ),
        silent=(
            log("OSError: [Errno 28] No space left on device"),
            log("could not write to file: No space left on device"),
        ),
    ),
    "ch.table.readonly": Case(
        fires=(
            told("clickhouse", "242", "Table is in readonly mode"),
            log(
                "Code: 242. DB::Exception: Table is in readonly mode (replica path: "
                "/clickhouse/tables/1/t/replicas/r1). (TABLE_IS_READ_ONLY)"
            ),
        ),
        silent=(
            log("Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)"),
            log("the table is read-only in this view"),
        ),
    ),
}
