#!/bin/bash
# Keeps the promises of the official image (https://hub.docker.com/_/postgres).
#
# In bash, because init scripts that are not executable are sourced into it and may use what bash
# has. User, password and database are set up by a server in single-user mode, which takes 50 ms;
# a server that listens (on its socket only) is started if there are init scripts to run.
set -Eeo pipefail

# A data directory made when the image was built; only the "ready" variant has one.
PRISTINE=/usr/share/envkit/pristine
# Where clients of the official image look, and where those of the wheel look.
SOCKETS='/var/run/postgresql, /tmp'

# take VARIABLE [DEFAULT]: from the variable itself, or from the file that VARIABLE_FILE names.
take() {
	local file="$1_FILE" value="${2:-}"
	if [ -n "${!1:-}" ] && [ -n "${!file:-}" ]; then
		echo >&2 "error: both $1 and $file are set (but are exclusive)"
		exit 1
	fi
	if [ -n "${!1:-}" ]; then
		value="${!1}"
	elif [ -n "${!file:-}" ]; then
		value="$(< "${!file}")"
	fi
	export "$1=$value"
	unset "$file"
}

# Directories, with owners if we are root and can give them away.
make_directories() {
	local directories=("$PGDATA" /var/run/postgresql)
	if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
		directories+=("$POSTGRES_INITDB_WALDIR")
		mkdir -p "$POSTGRES_INITDB_WALDIR"
		chmod 0700 "$POSTGRES_INITDB_WALDIR" || :
	fi
	mkdir -p "$PGDATA" /var/run/postgresql || :
	# Postgres itself says so if these are wrong and could not be set.
	chmod 0700 "$PGDATA" || :
	chmod 03775 /var/run/postgresql 2>/dev/null || :
	if [ "$(id -u)" = 0 ]; then
		find "${directories[@]}" ! -user postgres -exec chown postgres '{}' +
	fi
}

refuse_without_password() {
	if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
		cat >&2 <<-'EOT'
			Error: Database is uninitialized and superuser password is not specified.
			       Give one, for example with "-e POSTGRES_PASSWORD=password" on "docker run",
			       or let everybody in with "-e POSTGRES_HOST_AUTH_METHOD=trust".
		EOT
		exit 1
	fi
	if [ "$POSTGRES_HOST_AUTH_METHOD" = trust ]; then
		echo >&2 "WARNING: POSTGRES_HOST_AUTH_METHOD is \"trust\": anyone who reaches the port gets in."
	fi
}

# Data of another major version is in the volume: starting beside it would look like losing it.
refuse_older_data() {
	local place
	for place in /var/lib/postgresql /var/lib/postgresql/data /var/lib/postgresql/*/docker; do
		if [ -s "$place/PG_VERSION" ] && [ "$PGDATA" = "/var/lib/postgresql/$PG_MAJOR/docker" ]; then
			echo >&2 "Error: there is data of PostgreSQL $(< "$place/PG_VERSION") in $place, and this"
			echo >&2 "       image keeps its data in $PGDATA."
			exit 1
		fi
	done
}

# initdb and single-user mode ask for the name of their user, and `docker run --user` takes any number.
name_this_user() {
	if ! id -un >/dev/null 2>&1 && [ -w /etc/passwd ]; then
		echo "user$(id -u):x:$(id -u):$(id -g)::$PGDATA:/bin/sh" >> /etc/passwd
	fi
}

# quoted CHARACTER TEXT: an SQL literal (') or identifier (").
quoted() {
	printf '%s%s%s' "$1" "${2//$1/$1$1}" "$1"
}

# In this mode a statement ends with a semicolon and an empty line; the prompts go nowhere.
single_user() {
	postgres --single -F -O -j -D "$PGDATA" -c exit_on_error=on -c log_checkpoints=off \
		-c log_min_error_statement=panic postgres > /dev/null
}

make_data_directory() {
	local arguments=()
	eval "arguments=($POSTGRES_INITDB_ARGS)"
	if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
		arguments+=(--waldir "$POSTGRES_INITDB_WALDIR")
	fi
	name_this_user
	if [ -d "$PRISTINE" ] && [ "${#arguments[@]}" = 0 ]; then
		(umask 0077 && cp -R "$PRISTINE/." "$PGDATA")
		{
			if [ "$POSTGRES_USER" != postgres ]; then
				printf 'UPDATE pg_authid SET rolname = %s WHERE oid = 10;\n\n' \
					"$(quoted \' "$POSTGRES_USER")"
			fi
			if [ -n "$POSTGRES_PASSWORD" ]; then
				printf 'ALTER ROLE %s PASSWORD %s;\n\n' \
					"$(quoted \" "$POSTGRES_USER")" "$(quoted \' "$POSTGRES_PASSWORD")"
			fi
			create_database
		} | single_user
		return
	fi
	# Sorts the same everywhere; whoever asks for a provider or locale of their own gets that.
	case " ${arguments[*]} " in
		*" --locale"* | *" --icu-"* | *" --builtin-"* | *" --no-locale"*) ;;
		*) set -- --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C.UTF-8 ;;
	esac
	initdb -D "$PGDATA" --username="$POSTGRES_USER" --no-sync --no-instructions \
		--set="unix_socket_directories=$SOCKETS" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "$@" "${arguments[@]}"
	create_database | single_user
}

create_database() {
	case "$POSTGRES_DB" in
		postgres | template0 | template1) ;;
		*) printf 'CREATE DATABASE %s;\n\n' "$(quoted \" "$POSTGRES_DB")" ;;
	esac
}

# Who may come over the network, and how they prove it.
allow_hosts() {
	local method="$POSTGRES_HOST_AUTH_METHOD"
	method="${method:-$(postgres -C password_encryption -D "$PGDATA" "${@:2}")}"
	printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"
}

# For init scripts, under the name that the official image has for it.
docker_process_sql() {
	local database=()
	[ -z "$POSTGRES_DB" ] || database=(--dbname "$POSTGRES_DB")
	PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password \
		--no-psqlrc "${database[@]}" "$@"
}

run_init_scripts() {
	local file
	psql=(docker_process_sql) # older init scripts call "${psql[@]}"
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
			*.sql)     echo "$0: running $file"; docker_process_sql -f "$file" ;;
			*.sql.gz)  echo "$0: running $file"; gzip -dc "$file" | docker_process_sql ;;
			*.sql.xz)  echo "$0: running $file"; xz -dc "$file" | docker_process_sql ;;
			*.sql.zst) echo "$0: running $file"; zstd -dc "$file" | docker_process_sql ;;
			*)         echo "$0: ignoring $file" ;;
		esac
	done
}

initialise() {
	refuse_without_password
	refuse_older_data
	make_data_directory
	allow_hosts "$@"
	if [ -n "$(ls -A /docker-entrypoint-initdb.d)" ]; then
		# For connections over the socket where POSTGRES_INITDB_ARGS asks for passwords there too.
		export PGPASSWORD="${PGPASSWORD:-$POSTGRES_PASSWORD}"
		PGUSER="${PGUSER:-$POSTGRES_USER}" pg_ctl -D "$PGDATA" -w start \
			-o "$(printf '%q ' "${@:2}" -c listen_addresses= -p "${PGPORT:-5432}")"
		run_init_scripts
		pg_ctl -D "$PGDATA" -m fast -w stop
		unset PGPASSWORD
	fi
	echo
	echo 'PostgreSQL init process complete; ready for start up.'
	echo
}

only_informs() {
	local argument
	for argument; do
		case "$argument" in
			'-?' | --help | --describe-config | -V | --version) return 0 ;;
		esac
	done
	return 1
}

if [ "${1:0:1}" = - ]; then
	set -- postgres "$@"
fi
if [ "$1" = postgres ] && ! only_informs "$@"; then
	take POSTGRES_PASSWORD
	take POSTGRES_USER postgres
	take POSTGRES_DB "$POSTGRES_USER"
	take POSTGRES_INITDB_ARGS
	export POSTGRES_HOST_AUTH_METHOD="${POSTGRES_HOST_AUTH_METHOD:-}"
	make_directories
	if [ "$(id -u)" = 0 ]; then
		exec gosu postgres "$0" "$@"
	fi
	if [ -s "$PGDATA/PG_VERSION" ]; then
		echo 'PostgreSQL Database directory appears to contain a database; Skipping initialization'
	else
		initialise "$@"
	fi
fi
exec "$@"
