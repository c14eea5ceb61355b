from tests.doctor.case import Case, log, told

_DAEMON = "docker: Error response from daemon: "
_LIMIT = (
    "toomanyrequests: You have reached your pull rate limit. You may increase the limit by "
    "authenticating and upgrading: https://www.docker.com/increase-rate-limit"
)
_NO_HOST = "dial tcp: lookup registry-1.docker.io on 10.0.0.53:53: no such host"

CASES = {
    "docker.pull.rate-limit": Case(
        fires=(
            log(_DAEMON + _LIMIT),
            log(
                "Error response from daemon: error from registry: You have reached your "
                "unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit"
            ),
            log(
                "ERROR: failed to solve: postgres:18: failed to resolve source metadata for "
                "docker.io/library/postgres:18: failed to copy: httpReadSeeker: failed open: "
                "unexpected status code https://registry-1.docker.io/v2/library/postgres/manifests/"
                f"sha256:ab: 429 Too Many Requests - Server message: {_LIMIT}"
            ),
            log(f"{_LIMIT}\nError response from daemon: No such image: postgres:18"),
            log(
                "docker.errors.ImageNotFound: 404 Client Error for http+docker://localhost/v1.41/"
                f'images/create: Not Found ("No such image: postgres:18, {_LIMIT}")'
            ),
            log("no more images for now (redis:9) [docker.pull.rate-limit]"),
        ),
        silent=(
            log("HTTP/1.1 429 Too Many Requests"),
            log("the pull request's API says 429 Too Many Requests"),
            log("FATAL:  sorry, too many clients already"),
            log("Error response from daemon: No such image: postgres:18"),
        ),
    ),
    "docker.pull.denied": Case(
        fires=(
            log(
                _DAEMON + "pull access denied for acme/api, repository does not exist or may "
                "require 'docker login': denied: requested access to the resource is denied"
            ),
            log(
                "ERROR: failed to solve: acme/base:1: failed to resolve source metadata for "
                "docker.io/acme/base:1: pull access denied, repository does not exist or may "
                "require authorization: server message: insufficient_scope: authorization failed"
            ),
            log('Error response from daemon: Head "https://ghcr.io/v2/a/b/manifests/1": denied'),
            log(
                'Error response from daemon: Get "https://registry.acme.io/v2/": unauthorized: '
                "authentication required"
            ),
            log("Error response from daemon: no basic auth credentials"),
            log(
                "Error: initializing source docker://acme/api:1: reading manifest 1 in "
                "docker.io/acme/api: requested access to the resource is denied"
            ),
            log(
                "Error response from daemon: repository acme/api not found: does not exist or no "
                "pull access"
            ),
            log("acme/api may not be fetched [docker.pull.denied]\n  → docker login"),
        ),
        silent=(
            log("manifest for redis:99 not found: manifest unknown: manifest unknown"),
            log(_DAEMON + "unauthorized: " + _LIMIT),
            log("403 Forbidden: missing SERVICE_SECRET"),
            log("failed to fetch the user: 401 Unauthorized"),
            log('Get "https://api.acme.io/v2/users": unauthorized'),
            log("ValueError: username unknown"),
            log("AccessDenied: requested access to bucket"),
            log("getaddrinfo: host name unknown: registry"),
        ),
    ),
    "docker.image.tag-unknown": Case(
        fires=(
            log(_DAEMON + "manifest for redis:99 not found: manifest unknown: manifest unknown"),
            log(
                "ERROR: failed to solve: redis:99: failed to resolve source metadata for "
                "docker.io/library/redis:99: docker.io/library/redis:99: not found"
            ),
            log(
                'failed to resolve reference "docker.io/library/redis:99": '
                "docker.io/library/redis:99: not found"
            ),
            log(
                "Error: initializing source docker://redis:99: reading manifest 99 in "
                "docker.io/library/redis: manifest unknown"
            ),
            log("there is no tag '99' of redis [docker.image.tag-unknown]"),
        ),
        silent=(
            log("pull access denied for redis, repository does not exist"),
            log("no matching manifest for linux/arm64/v8 in the manifest list entries"),
            log("error: tag 'v1.0' not found."),
        ),
    ),
    "docker.image.missing": Case(
        fires=(
            log(_DAEMON + "No such image: nosuch/image:1"),
            log(
                "docker.errors.ImageNotFound: 404 Client Error for http+docker://localhost/v1.41/"
                'images/nosuch:1/json: Not Found ("no such image: nosuch:1: No such image: '
                'nosuch:1")'
            ),
            log(_DAEMON + f'Get "https://registry-1.docker.io/v2/": {_NO_HOST}'),
            log(
                "docker.errors.APIError: 500 Server Error for http+docker://localhost/v1.41/images/"
                'create?tag=1&fromImage=nosuch%2Fim: Internal Server Error ("Get '
                f'"https://registry-1.docker.io/v2/": {_NO_HOST}")'
            ),
            log(
                "ERROR: failed to solve: redis:9: failed to do request: Head "
                f'"https://registry-1.docker.io/v2/library/redis/manifests/9": {_NO_HOST}'
            ),
            log("Error: nosuch/image:1: image not known"),
            log("redis:9 is not on this machine [docker.image.missing]\n→ docker pull redis:9"),
        ),
        silent=(
            log(_LIMIT + " No such image: postgres:18"),
            log("Unable to find image 'redis:9' locally"),
            log('Get "https://api.acme.io/v2/things": dial tcp: i/o timeout'),
            log("PIL.UnidentifiedImageError: cannot identify image file"),
        ),
    ),
    "docker.image.platform": Case(
        fires=(
            log(_DAEMON + "no matching manifest for linux/arm64/v8 in the manifest list entries."),
            log(
                "Error response from daemon: image with reference redis:9 was found but does not "
                "match the specified platform: wanted linux/arm64, actual: linux/amd64"
            ),
            log("exec /usr/local/bin/docker-entrypoint.sh: exec format error"),
            log(
                "Error: choosing an image from manifest list: no image found in manifest list for "
                'architecture arm64, variant "v8", OS linux'
            ),
            log(
                "failed to create shim task: OCI runtime create failed: runc create failed: "
                "unable to start container process: exec /program: exec format error: unknown"
            ),
            log("not made for the engine's machine [docker.image.platform]"),
            log("standard_init_linux.go:228: exec user process caused: exec format error"),
        ),
        silent=(
            log(
                "WARNING: The requested image's platform (linux/amd64) does not match the detected "
                "host platform (linux/arm64/v8) and no specific platform was requested"
            ),
            log("ValueError: unsupported format character"),
            log("manifest unknown"),
            log("zsh: exec format error: ./tool"),
        ),
    ),
    "docker.image.emulated": Case(
        fires=(
            log(
                "WARNING: The requested image's platform (linux/amd64) does not match the detected "
                "host platform (linux/arm64/v8) and no specific platform was requested"
            ),
            log(
                "WARNING: image platform (linux/amd64) does not match the expected platform "
                "(linux/arm64)"
            ),
            told("docker", "EMULATED", "x", data={"image": "amd64", "host": "arm64"}),
        ),
        silent=(
            log(
                "image with reference redis:9 was found but does not match the specified platform: "
                "wanted linux/arm64, actual: linux/amd64"
            ),
        ),
    ),
    "docker.image.failed": Case(
        fires=(log("there is no Postgres to put into it [docker.image.failed]"),),
        silent=(log("image build failed"),),
    ),
}
