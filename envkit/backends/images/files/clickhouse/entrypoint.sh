#!/bin/bash
# Keeps the promises of the official image (https://hub.docker.com/_/clickhouse) that the chdb
# engine behind HTTP can keep.
#
# In bash, because init scripts that are not executable are sourced into it and may use what bash
# has.
set -eo pipefail
shopt -s nullglob

DATA=/var/lib/clickhouse
CONFIG=/run/clickhouse/server.json
SERVER=(python3 -I /usr/local/lib/envkit/envkit/chdb_server/__main__.py)

# take VARIABLE [DEFAULT]: from the variable itself, or from the file that VARIABLE_FILE names.
take() {
	local file="$1_FILE"
	if [ -z "${!1:-}" ] && [ -n "${!file:-}" ]; then
		export "$1=$(< "${!file}")"
	else
		export "$1=${!1:-${2:-}}"
	fi
}

json() {
	local text="${1//\\/\\\\}"
	text="${text//\"/\\\"}"
	text="${text//$'\n'/\\n}"
	printf '"%s"' "${text//$'\t'/\\t}"
}

# configure USER PASSWORD: in a file, because arguments are public.
configure() {
	(
		umask 0077
		printf '{"user": %s, "password": %s, "timezone": %s, "users": %s}\n' \
			"$(json "$1")" "$(json "$2")" "$(json "${TZ:-UTC}")" \
			'"/etc/clickhouse-server/users.d"' > "$CONFIG"
	)
}

# serve ADDRESS: become the server.
serve() {
	exec "${SERVER[@]}" --host="$1" --port=8123 --path="$DATA" --config="$CONFIG"
}

run_init_scripts() {
	local file
	for file in /docker-entrypoint-initdb.d/*; do
		case "$file" in
			*.sh)
				if [ -x "$file" ]; then
					echo "$0: running $file"
					"$file"
				else
					echo "$0: sourcing $file"
					. "$file"
				fi
				;;
			*.sql)    echo "$0: running $file"; clickhouse-client < "$file" ;;
			*.sql.gz) echo "$0: running $file"; gzip -dc "$file" | clickhouse-client ;;
			*)        echo "$0: ignoring $file" ;;
		esac
	done
}

# Init scripts talk to a server that only this container reaches.
initialise() {
	local scripts=(/docker-entrypoint-initdb.d/*) server
	if [ -n "$CLICKHOUSE_DB" ] || [ "${#scripts[@]}" -gt 0 ]; then
		configure "$CLICKHOUSE_USER" "$CLICKHOUSE_PASSWORD"
		serve 127.0.0.1 &
		server=$!
		if [ -n "$CLICKHOUSE_DB" ]; then
			echo "$0: create database '$CLICKHOUSE_DB'"
			# The client waits until the server answers; other servers than ours are not there yet.
			clickhouse-client -q "CREATE DATABASE IF NOT EXISTS \`$CLICKHOUSE_DB\`"
		else
			clickhouse-client -q "SELECT 1" > /dev/null
		fi
		run_init_scripts
		kill -s TERM "$server"
		wait "$server"
	fi
}

case "${1:-}" in
	"" | --*) ;;
	*) exec "$@" ;; # not for the server: a shell to look around, say
esac
if [ $# -gt 0 ]; then
	echo >&2 "$0: ignored, because the chdb engine does not take them: $*"
fi
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$DATA" /run/clickhouse
	if [ "${CLICKHOUSE_DO_NOT_CHOWN:-0}" != 1 ]; then
		find "$DATA" /run/clickhouse ! -user clickhouse -exec chown clickhouse:clickhouse '{}' +
	fi
	exec gosu "${CLICKHOUSE_UID:-clickhouse}:${CLICKHOUSE_GID:-clickhouse}" "$0"
fi

take CLICKHOUSE_USER default
take CLICKHOUSE_PASSWORD
take CLICKHOUSE_DB
if [ ! -e "$DATA/.initialised" ] || [ -n "${CLICKHOUSE_ALWAYS_RUN_INITDB_SCRIPTS:-}" ]; then
	initialise
	: > "$DATA/.initialised"
fi
# Nobody has named a user or chosen a password: the official image then closes the network to
# "default". A password that nobody knows does the same.
if [ "$CLICKHOUSE_USER" = default ] && [ -z "$CLICKHOUSE_PASSWORD" ] \
	&& [ "${CLICKHOUSE_SKIP_USER_SETUP:-0}" != 1 ] \
	&& [ "${CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT:-0}" = 0 ]; then
	echo >&2 "$0: neither CLICKHOUSE_USER nor CLICKHOUSE_PASSWORD is set, disabling network access" \
		"for user 'default'"
	configure default "$(head -c 32 /dev/urandom | base64)"
else
	configure "$CLICKHOUSE_USER" "$CLICKHOUSE_PASSWORD"
fi
serve 0.0.0.0
