from tests.doctor.case import Case, log, told

_AT = {"place": "/data", "use": "the servers' data", "free": "1.0 MiB"}

CASES = {
    "host.disk.full": Case(
        fires=(
            told("host", "DISK_FULL", "/data has 1.0 MiB free", data=_AT),
            told("host", "DISK_LOW", "/data has 40 MiB free", data=_AT),
            log("no room for the servers' data (/tmp is full) [host.disk.full]"),
        ),
        silent=(
            # Whose disk it is, a text does not say.
            log("OSError: [Errno 28] No space left on device"),
            log('could not extend file "base/5/1": No space left on device'),
            told("host", "INODES_FULL", "no inodes", data=_AT),
        ),
    ),
    "host.inodes.full": Case(
        fires=(
            told("host", "INODES_FULL", "/data has 3 free inodes", data=_AT),
            told("host", "INODES_LOW", "/data has 300 free inodes", data=_AT),
        ),
        silent=(
            told("host", "DISK_FULL", "/data has 1.0 MiB free", data=_AT),
            log("inotify watch limit reached"),
        ),
    ),
    "host.tmp.readonly": Case(
        fires=(
            log(
                "FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp', "
                "'/var/tmp', '/usr/tmp', '/src']"
            ),
            log("OSError: [Errno 30] Read-only file system: '/tmp/pytest-of-ann'"),
            told("host", "TMP_READONLY", "x", data={"place": "/t", "why": "is not there"}),
            log("the servers' data cannot be written (/tmp: …) [host.tmp.readonly]"),
        ),
        silent=(
            log("OSError: [Errno 30] Read-only file system: '/usr/lib/x'"),
            log("cannot execute INSERT in a read-only transaction"),
            log("READONLY You can't write against a read only replica."),
        ),
    ),
    "host.ports.exhausted": Case(
        fires=(
            told("host", "NO_PORT", "bind to 127.0.0.1, port 0: Address already in use"),
            log("Error response from daemon: driver failed: all ports are allocated"),
            log("the kernel has no free port [host.ports.exhausted]"),
        ),
        silent=(
            log("Bind for 127.0.0.1:33659 failed: port is already allocated"),
            log("OSError: [Errno 98] Address already in use"),
            log("OSError: [Errno 99] Cannot assign requested address"),
        ),
    ),
    "host.shm.small": Case(
        fires=(told("host", "SHM_LOW", "/dev/shm has 1.0 MiB free", data={"free": "1.0 MiB"}),),
        silent=(
            log(
                'could not resize shared memory segment "/PostgreSQL.1" to 8388608 bytes: No space '
                "left on device"
            ),
        ),
    ),
    "host.memory.low": Case(
        fires=(
            told("host", "MEMORY_LOW", "12 MiB of memory can be had", data={"free": "12 MiB"}),
            told("socket", "ENOMEM", "[Errno 12] Cannot allocate memory"),
            log("OSError: [Errno 12] Cannot allocate memory"),
            log("bash: fork: Cannot allocate memory"),
        ),
        silent=(
            log("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB"),
            log("OOM command not allowed when used memory > 'maxmemory'."),
            log("Code: 241. DB::Exception: Memory limit (total) exceeded"),
        ),
    ),
    "host.files.limit": Case(
        fires=(
            log("OSError: [Errno 24] Too many open files: '/dev/null'"),
            told("socket", "EMFILE", "[Errno 24] Too many open files"),
            told("host", "FILES_LOW", "RLIMIT_NOFILE is 64", data={"limit": "64"}),
        ),
        silent=(log("too many files were collected"), log("sorry, too many clients already")),
    ),
    "host.processes.limit": Case(
        fires=(
            log("RuntimeError: can't start new thread"),
            log("bash: fork: retry: Resource temporarily unavailable"),
            told("host", "PROCESSES_LOW", "3 of pids.max are left", data={"free": "3"}),
        ),
        silent=(log("BlockingIOError: [Errno 11] Resource temporarily unavailable"),),
    ),
    "host.clock.wrong": Case(
        fires=(
            log(
                "x509: certificate has expired or is not yet valid: current time "
                "2019-01-01T00:00:00Z is before 2026-01-01T00:00:00Z"
            ),
            log(
                "ssl.SSLCertVerificationError: certificate verify failed: certificate is not yet "
                "valid (_ssl.c:992)"
            ),
            told("host", "CLOCK", "20 days behind", data={"what": "the clock is 20 days behind"}),
        ),
        silent=(
            log(
                "x509: certificate has expired or is not yet valid: current time "
                "2026-11-21T00:00:00Z is after 2026-01-01T00:00:00Z"
            ),
            log("certificate verify failed: certificate has expired"),
        ),
    ),
}
