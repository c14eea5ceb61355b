from tests.doctor.case import Case, log, told

_LOG = "2026-11-21 11:08:57.817 UTC [7536] "
_SHM = 'could not resize shared memory segment "/PostgreSQL.2094" to 16777216 bytes: '
_FULL = "No space left on device"
_HINT = "\nHINT:  Check free disk space."

CASES = {
    "pg.disk.full": Case(
        fires=(
            told("postgres", "53100", f'could not extend file "base/5/16389": {_FULL}{_HINT}'),
            told("postgres", "53100", "konnte Datei »base/5/16389« nicht erweitern: Auf dem Gerät "
                 "ist kein Speicherplatz mehr verfügbar"),
            log(f'{_LOG}PANIC:  could not write to file "pg_wal/xlogtemp.30": {_FULL}'),
            log(f'{_LOG}FATAL:  could not write lock file "postmaster.pid": {_FULL}'),
            log(f'could not extend file "base/16384/16397" with FileFallocate(): {_FULL}'),
            log(f'initdb: error: could not create directory "/data/pg_wal": {_FULL}'),
            log(f'{_LOG}ERROR:  could not write to file "base/pgsql_tmp/pgsql_tmp7.0": Disk quota '
                "exceeded"),
        ),
        silent=(
            told("postgres", "53100", f"{_SHM}{_FULL}"),
            log(f"{_LOG}ERROR:  {_SHM}{_FULL}"),
            log(f"OSError: [Errno 28] {_FULL}: '/tmp/x'"),
            log(f"write /var/lib/docker/tmp/GetImageBlob: {_FULL}"),
        ),
    ),
    "pg.shm.small": Case(
        fires=(
            told("postgres", "53100", f"{_SHM}{_FULL}"),
            told("postgres", "53100", "konnte Größe des Shared-Memory-Segments nicht ändern",
                 data={"routine": "dsm_impl_posix_resize"}),
            log(f"psycopg.errors.DiskFull: {_SHM}{_FULL}"),
            log(f"{_LOG}ERROR:  {_SHM}{_FULL}"),
        ),
        silent=(
            told("postgres", "53100", f'could not extend file "base/5/16389": {_FULL}'),
            told("postgres", "53200", "out of shared memory\nHINT:  You might need to increase "
                 '"max_locks_per_transaction".'),
        ),
    ),
    "pg.mem": Case(
        fires=(
            told("postgres", "53200", "out of memory\nDETAIL:  Failed on request of size 1073 in "
                 'memory context "ExecutorState".'),
            told("postgres", "53200", "out of shared memory\nHINT:  You might need to increase "
                 '"max_locks_per_transaction".'),
            log(f"{_LOG}ERROR:  out of memory"),
            log(f"{_LOG}FATAL:  could not map anonymous shared memory: Cannot allocate memory"),
            log(f"{_LOG}LOG:  could not fork new process for connection: Cannot allocate memory"),
        ),
        silent=(
            log("redis.exceptions.OutOfMemoryError: command not allowed when used memory > "
                "'maxmemory'."),
            log("Killed: out of memory"),
            told("postgres", "53100", f"{_SHM}{_FULL}"),
        ),
    ),
    "pg.collation.mismatch": Case(
        fires=(
            told("host", "PG_COLLATION", 'database "app" has a collation version mismatch'),
            log(f'{_LOG}WARNING:  database "app" has a collation version mismatch\n'
                f"{_LOG}DETAIL:  The database was created using collation version 2.36, but the "
                "operating system provides version 2.41."),
            log('WARNING:  collation "en_US" has version mismatch'),
            log('ERROR:  template database "template1" has a collation version mismatch'),
            log('WARNING:  database "app" has no actual collation version, but a version was '
                "recorded"),
        ),
        silent=(
            log('ERROR:  collation "de_DE" for encoding "UTF8" does not exist'),
            log("ERROR:  could not determine which collation to use for string comparison"),
            log("the app has a version mismatch"),
        ),
    ),
    "pg.datadir.version": Case(
        fires=(
            log(f"{_LOG}FATAL:  database files are incompatible with server\n{_LOG}DETAIL:  The "
                "data directory was initialized by PostgreSQL version 16, which is not compatible "
                "with this version 18.6."),
            log("The data directory was initialized by PostgreSQL version 13, which is not "
                "compatible with this version 17.2 (Debian 17.2-1.pgdg120+1)."),
            log("       there appears to be PostgreSQL data in:\n"
                "         /var/lib/postgresql/data (unused mount/volume)"),
        ),
        silent=(
            log("server version 18.6, psql version 15.3: some psql features might not work"),
            log("pg_dump: error: aborting because of server version mismatch"),
        ),
    ),
    "pg.data.corrupt": Case(
        fires=(
            told("postgres", "XX001", 'invalid page in block 1 of relation "base/5/16389"'),
            told("postgres", "XX002", 'index "users_pkey" contains unexpected zero page at '
                 "block 3"),
            told("postgres", "58P01", 'could not open file "base/5/16389": No such file or '
                 "directory"),
            log(f'{_LOG}FATAL:  could not open file "global/pg_filenode.map": No such file or '
                "directory"),
            log(f"{_LOG}PANIC:  could not locate a valid checkpoint record at 0/1F0ACB8"),
            log("postgres: could not find the database system"),
        ),
        silent=(
            told("postgres", "58P01", 'could not access file "$libdir/postgis-3": No such file or '
                 "directory"),
            told("postgres", "58P01", 'could not open file "/data/import.csv" for reading: No such '
                 "file or directory"),
            log("zipfile.BadZipFile: invalid page"),
        ),
    ),
    "pg.lockfile": Case(
        fires=(
            log(f'{_LOG}FATAL:  lock file "postmaster.pid" already exists\n{_LOG}HINT:  Is another '
                'postmaster (PID 32551) running in data directory "/data"?'),
            log(f'{_LOG}FATAL:  lock file "/tmp/.s.PGSQL.5432.lock" already exists'),
            log(f'{_LOG}FATAL:  lock file "postmaster.pid" is empty'),
            log(f"{_LOG}FATAL:  pre-existing shared memory block (key 16, ID 7) is still in use"),
            told("postgres", "F0001", "Sperrdatei »postmaster.pid« existiert bereits"),
        ),
        silent=(
            log(f'{_LOG}LOG:  could not bind IPv4 address "127.0.0.1": Address already in use\n'
                f"{_LOG}HINT:  Is another postmaster already running on port 5432? If not, wait a "
                "few seconds and retry."),
            log("E: Could not get lock: lock file already exists"),
        ),
    ),
}  # fmt: skip
