#!/bin/sh
# Keeps the promises of the official image (https://hub.docker.com/_/redis).
set -e

# Only options, or only a configuration file: they are for the server.
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
	set -- redis-server "$@"
fi
case "$1" in
	redis-server | valkey-server)
		if [ "$(id -u)" = 0 ]; then
			find . ! -user redis -exec chown redis '{}' +
			exec gosu redis "$0" "$@"
		fi
		;;
esac
# Dumps are nobody else's business, unless somebody has set a umask of their own.
if [ "$(umask)" = 0022 ]; then
	umask 0077
fi
exec "$@"
