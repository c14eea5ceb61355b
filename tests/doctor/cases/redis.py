"""Texts of Redis 7.0, Valkey 9.1, redis-py 8.1 as they said them; older ones from their sources."""

from envkit.doctor.model import Facts, ServiceFacts
from tests.doctor.case import Case, log, told

FACTS = Facts(
    services={
        "redis": ServiceFacts(
            backend="attach", host="127.0.0.1", port=6379, user="app", origin="REDIS_URL"
        )
    }
)
HELLO = (
    "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
    "<user> <pass> option can be used to authenticate the client and select the RESP protocol "
    "version at the same time"
)
PROTECTED = (
    "Running in protected mode because protected mode is enabled and no password is set for the "
    "default user. In this mode connections are only accepted from the loopback interface."
)

CASES = {
    "redis.auth.required": Case(
        fires=(
            told("redis", "NOAUTH", "NOAUTH Authentication required."),
            log("redis.exceptions.AuthenticationError: Authentication required."),
            log(f"redis.exceptions.AuthenticationError: {HELLO}"),
            log("(error) NOAUTH Authentication required."),
            log("-NOAUTH Authentication required."),
            log("ReplyError: NOAUTH Authentication required."),
        ),
        silent=(
            told("redis", "WRONGPASS", "WRONGPASS invalid username-password pair"),
            log("HTTP 407 Proxy Authentication Required"),
            log("requests.exceptions.HTTPError: 401: Authentication required."),
        ),
    ),
    "redis.auth.wrong": Case(
        fires=(
            told("redis", "", "invalid username-password pair or user is disabled."),
            told("redis", "WRONGPASS", "WRONGPASS invalid username-password pair"),
            log(
                "redis.exceptions.AuthenticationError: invalid username-password pair or user is "
                "disabled."
            ),
            log("redis.exceptions.AuthenticationError: invalid password"),
            log("(error) ERR invalid password"),
            log("AUTH failed: WRONGPASS invalid username-password pair or user is disabled."),
            log(
                "redis.exceptions.AuthenticationWrongNumberOfArgsError: wrong number of arguments "
                "for 'auth' command"
            ),
        ),
        silent=(
            told("redis", "NOAUTH", "NOAUTH Authentication required."),
            log("AssertionError: login page says 'invalid password'"),
            log('FATAL:  password authentication failed for user "app"'),
        ),
        facts=FACTS,
    ),
    "redis.auth.unexpected": Case(
        fires=(
            told(
                "redis",
                "",
                "AUTH <password> called without any password configured for the default user. Are "
                "you sure your configuration is correct?",
            ),
            log("(error) ERR Client sent AUTH, but no password is set"),
        ),
        silent=(log("redis.exceptions.AuthenticationError: invalid password"),),
    ),
    "redis.acl.denied": Case(
        fires=(
            told("redis", "NOPERM", "User lim has no permissions to run the 'set' command"),
            log(
                "redis.exceptions.NoPermissionError: this user has no permissions to access one of "
                "the keys used as arguments"
            ),
            log("redis.exceptions.NoPermissionError: No permissions to access a key"),
            log("redis.exceptions.NoPermissionError: No permissions to access database"),
            log(
                "redis.exceptions.NoPermissionError: Command # 1 (SET zz 1) of pipeline caused "
                "error: this user has no permissions to access one of the keys used as arguments"
            ),
            log(
                "(error) NOPERM this user has no permissions to run the 'config|get' command or "
                "its subcommand"
            ),
            log(
                "redis.exceptions.ResponseError: ACL failure in script: No permissions to access a "
                "key script: on @user_script:1."
            ),
            log(
                "redis.exceptions.ResponseError: The user executing the script can't access at "
                "least one of the keys mentioned in the command arguments"
            ),
        ),
        silent=(
            log("PermissionError: this user has no permissions to delete the file"),
            log("ERROR:  permission denied for table users"),
        ),
        facts=FACTS,
    ),
    "redis.net.protected": Case(
        fires=(
            told("redis", "DENIED", f"DENIED {PROTECTED}"),
            log(f"redis.exceptions.ResponseError: DENIED {PROTECTED}"),
            log(
                "-DENIED Redis is running in protected mode because protected mode is enabled, no "
                "bind address was specified, no authentication password is requested to clients."
            ),
        ),
        silent=(log("ACCESS DENIED for user default"), log("the lift runs in protected mode")),
    ),
    "redis.conn.maxclients": Case(
        fires=(
            told("redis", "ERR", "ERR max number of clients reached"),
            log("redis.exceptions.ConnectionError: max number of clients reached"),
            log("-ERR max number of clients + cluster connections reached"),
            told("host", "REDIS_CLIENTS", "connected_clients:99\nmaxclients:100"),
            log(
                "1:M 01 Jan 2026 10:00:00.000 # Current maximum open files is 1024. maxclients has "
                "been reduced to 992 to compensate for low ulimit. If you need higher maxclients "
                "increase 'ulimit -n'."
            ),
        ),
        silent=(
            log("FATAL:  sorry, too many clients already"),
            log("redis.exceptions.ConnectionError: Too many connections"),
            log("OSError: [Errno 24] Too many open files: 'data.csv'"),
        ),
    ),
    "redis.conn.pool": Case(
        fires=(
            told("redis", "POOL", "Too many connections"),
            log("redis.exceptions.MaxConnectionsError: Too many connections"),
            log("redis.exceptions.ConnectionError: No connection available."),
        ),
        silent=(
            log("pymysql.err.OperationalError: (1040, 'Too many connections')"),
            log("redis.exceptions.ConnectionError: max number of clients reached"),
        ),
    ),
    "redis.db.missing": Case(
        fires=(
            told("redis", "ERR", "ERR DB index is out of range", data={"database": "99"}),
            log("redis.exceptions.ResponseError: DB index is out of range"),
            log("(error) ERR SELECT is not allowed in cluster mode"),
            log("(error) ERR invalid DB index"),
        ),
        silent=(
            log("IndexError: list index out of range"),
            told("host", "REDIS_DATABASES", "ERR SELECT 1 refused"),
        ),
    ),
    "redis.databases.few": Case(
        fires=(told("host", "REDIS_DATABASES", "ERR SELECT 1 refused"),),
        silent=(log("redis.exceptions.ResponseError: DB index is out of range"),),
    ),
    "redis.protocol.mismatch": Case(
        fires=(
            told(
                "host",
                "REDIS_FOREIGN",
                "unexpected answer b'HTTP/1.1 400 Bad Request': not a Redis server?",
                data={"answers": "an HTTP server", "host": "127.0.0.1", "port": "8080"},
            ),
            log(
                "17763:M 21 Nov 2026 11:15:13.782 # Possible SECURITY ATTACK detected. It looks "
                "like somebody is sending POST or Host: commands to Valkey."
            ),
        ),
        silent=(
            told("host", "REDIS_TLS", "EOF occurred", data={"wanted": "rediss"}),
            log("possible security attack: too many logins"),
        ),
    ),
    "redis.tls.mismatch": Case(
        fires=(
            told("host", "REDIS_TLS", "closed", data={"wanted": "rediss", "host": "127.0.0.1"}),
            told("host", "REDIS_TLS", "timed out", data={"wanted": "redis"}),
            log(
                "redis.exceptions.ConnectionError: Error 1 connecting to localhost:6379. [SSL: "
                "WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)."
            ),
            log(
                "1:M 01 Jan 2026 10:00:00.000 # Error accepting a client connection: "
                "error:1408F10B:SSL routines:ssl3_get_record:wrong version number"
            ),
        ),
        silent=(
            log("ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
            log("redis.exceptions.ConnectionError: Connection closed by server."),
        ),
    ),
    "redis.state.loading": Case(
        fires=(
            told("redis", "LOADING", "LOADING Valkey is loading the dataset in memory"),
            told("redis", "LOADING", "Redis is loading the dataset in memory"),
            log("redis.exceptions.BusyLoadingError: Redis is loading the dataset in memory"),
            log("(error) LOADING Redis is loading the dataset in memory"),
        ),
        silent=(
            log("LOADING configuration from settings.py"),
            log("pandas is loading the dataset in memory"),
        ),
    ),
    "redis.persist.misconf": Case(
        fires=(
            told(
                "redis",
                "MISCONF",
                "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to "
                "persist to disk.",
                data={"overcommit": "0", "host": "127.0.0.1", "port": "6379"},
            ),
            log(
                "redis.exceptions.ResponseError: MISCONF Redis is configured to save RDB "
                "snapshots, but it is currently not able to persist on disk."
            ),
            log("1:M 01 Jan 2026 10:00:00.000 # Background saving error"),
            log(
                "1:C 01 Jan 2026 10:00:00.000 # Failed opening the temp RDB file temp-1.rdb (in "
                "server root dir /data) for saving: Permission denied"
            ),
            log("1:M 01 Jan # Can't save in background: fork: Cannot allocate memory"),
            log("1:C 01 Jan # Write error saving DB on disk: No space left on device"),
        ),
        silent=(
            told(
                "redis",
                "MISCONF",
                "MISCONF Errors writing to the AOF file: No space left on device",
            ),
            log("Background saving started by pid 17754"),
            log("could not save the snapshots of this test"),
        ),
    ),
    "redis.aof.misconf": Case(
        fires=(
            told(
                "redis",
                "MISCONF",
                "MISCONF Errors writing to the AOF file: No space left on device",
            ),
            log(
                "redis.exceptions.ResponseError: MISCONF Errors writing to the AOF file: "
                "Permission denied"
            ),
            log(
                "1:M 01 Jan 2026 10:00:00.000 # Error writing to the AOF file: No space left on "
                "device"
            ),
            log("Can't open or create append-only dir appendonlydir: Permission denied"),
        ),
        silent=(
            told("redis", "MISCONF", "MISCONF Redis is configured to save RDB snapshots, but"),
            log("DB loaded from append only file: 0.000 seconds"),
        ),
    ),
    "redis.mem.oom": Case(
        fires=(
            told("redis", "OOM", "OOM command not allowed when used memory > 'maxmemory'."),
            told("redis", "OOM", "command not allowed when used memory > 'maxmemory'."),
            log(
                "redis.exceptions.OutOfMemoryError: command not allowed when used memory > "
                "'maxmemory'. script: on @user_script:1."
            ),
            log("(error) OOM command not allowed when used memory > 'maxmemory'."),
        ),
        silent=(
            log("Out of memory: Killed process 4711 (redis-server)"),
            log("OOM score of this process: 200"),
        ),
        facts=FACTS,
    ),
    "redis.role.readonly": Case(
        fires=(
            told("redis", "READONLY", "role:slave", data={"master": "10.0.0.1:6379"}),
            log("redis.exceptions.ReadOnlyError: You can't write against a read only replica."),
            log("redis.exceptions.ReadOnlyError: You can't write against a read only slave."),
            log("(error) READONLY You can't write against a read only replica."),
            log(
                "redis.exceptions.ReadOnlyError: Command # 1 (SET a 1) of pipeline caused error: "
                "You can't write against a read only replica."
            ),
        ),
        silent=(
            log("ERROR:  cannot execute INSERT in a read-only transaction"),
            log("Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)"),
            log("OSError: [Errno 30] Read-only file system: '/data'"),
        ),
        facts=FACTS,
    ),
    "redis.masterdown": Case(
        fires=(
            told(
                "redis",
                "MASTERDOWN",
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            ),
            log(
                "redis.exceptions.MasterDownError: Link with MASTER is down and "
                "replica-serve-stale-data is set to 'no'."
            ),
            log(
                "redis.exceptions.ResponseError: MASTERDOWN Link with MASTER is down and "
                "slave-serve-stale-data is set to 'no'."
            ),
        ),
        silent=(log("redis.exceptions.ReadOnlyError: You can't write against a read only slave."),),
    ),
    "redis.replicas": Case(
        fires=(
            told("redis", "NOREPLICAS", "NOREPLICAS Not enough good replicas to write."),
            log("redis.exceptions.ResponseError: NOREPLICAS Not enough good replicas to write."),
            log("(error) NOREPLICAS Not enough good slaves to write."),
        ),
        silent=(log("deployment web: not enough replicas available"),),
    ),
    "redis.busy": Case(
        fires=(
            told("redis", "BUSY", "BUSY Redis is busy running a script. You can only call SCRIPT"),
            log(
                "redis.exceptions.ResponseError: BUSY Valkey is busy running a script. You can "
                "only call SCRIPT KILL or SHUTDOWN NOSAVE."
            ),
            log(
                "(error) BUSY Redis is busy running a script. You can only call FUNCTION KILL or "
                "SHUTDOWN NOSAVE."
            ),
        ),
        silent=(
            told("redis", "", "BUSYGROUP Consumer Group name already exists"),
            told("redis", "", "BUSYKEY Target key name already exists."),
            log("redis.exceptions.ResponseError: BUSYGROUP Consumer Group name already exists"),
            log("OSError: [Errno 16] Device or resource busy"),
        ),
        facts=FACTS,
    ),
    "redis.kernel.overcommit": Case(
        fires=(
            log(
                "17748:M 21 Nov 2026 11:15:12.943 # WARNING Memory overcommit must be enabled! "
                "Without it, a background save or replication may fail under low memory condition."
            ),
            log(
                "1:M 01 Jan 2020 10:00:00.000 # WARNING overcommit_memory is set to 0! Background "
                "save may fail under low memory condition."
            ),
        ),
        silent=(
            told("redis", "OOM", "OOM command not allowed when used memory > 'maxmemory'."),
            log("WARNING: the hotel overcommits its rooms"),
        ),
    ),
    "redis.cluster.moved": Case(
        fires=(
            told("redis", "MOVED", "MOVED 15495 127.0.0.1:7001"),
            told("redis", "MOVED", "15495 127.0.0.1:7001"),
            log("redis.exceptions.MovedError: 15495 127.0.0.1:7001"),
            log("redis.exceptions.ResponseError: MOVED 15495 127.0.0.1:7001"),
            log("(error) MOVED 866 10.0.0.2:6379"),
            told("redis", "ASK", "ASK 866 10.0.0.2:6379"),
            told("host", "REDIS_CLUSTER", "cluster_size:3"),
        ),
        silent=(log("HTTP/1.1 301 Moved Permanently"), log("MOVED 3 files to /tmp")),
    ),
    "redis.cluster.crossslot": Case(
        fires=(
            told("redis", "CROSSSLOT", "Keys in request don't hash to the same slot"),
            log(
                "redis.exceptions.ClusterCrossSlotError: Keys in request don't hash to the same "
                "slot"
            ),
            log("(error) CROSSSLOT Keys in request don't hash to the same slot"),
        ),
        silent=(log("two cards in the same slot"),),
    ),
    "redis.cluster.down": Case(
        fires=(
            told("redis", "CLUSTERDOWN", "CLUSTERDOWN Hash slot not served"),
            told("redis", "CLUSTERDOWN", "cluster_state:fail", data={"slots": "0"}),
            log("redis.exceptions.ClusterDownError: The cluster is down"),
            log("redis.exceptions.ClusterDownError: Hash slot not served"),
            log("(error) CLUSTERDOWN The cluster is down and only accepts read commands"),
            log(
                "redis.exceptions.RedisClusterException: All slots are not covered after query all "
                "startup_nodes. 8001 of 16384 covered..."
            ),
        ),
        silent=(log("The cluster is down for maintenance, says kubectl"),),
        facts=FACTS,
    ),
    "redis.cluster.disabled": Case(
        fires=(
            log(
                "redis.exceptions.RedisClusterException: Redis Cluster cannot be connected. Please "
                "provide at least one reachable node: Cluster mode is not enabled on this node"
            ),
            log("(error) ERR This instance has cluster support disabled"),
        ),
        silent=(log("cluster autoscaling is not enabled for this node pool"),),
    ),
}
