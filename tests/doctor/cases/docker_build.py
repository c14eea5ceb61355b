from tests.doctor.case import Case, log

_SUM = "failed to compute cache key: failed to calculate checksum of ref 8ff4d1a1-41::ab7pq2"

CASES = {
    "docker.build.copy-missing": Case(
        fires=(
            log(f'ERROR: failed to solve: {_SUM}: "/requirements.txt": not found'),
            log('failed to solve: failed to compute cache key: "/x.txt" not found: not found'),
            log('#10 ERROR: failed to calculate checksum of ref a9::dh4: "/entry.sh": not found'),
            log(
                f"ERROR: failed to solve: {_SUM}: failed to walk /tmp/buildkit-mount3059587245/"
                "config: lstat /tmp/buildkit-mount3059587245/config: no such file or directory"
            ),
            log(
                "COPY failed: file not found in build context or excluded by .dockerignore: stat "
                "missing.txt: file does not exist"
            ),
            log(
                "COPY failed: stat /var/lib/docker/tmp/docker-builder123/app: no such file or "
                "directory"
            ),
            log(
                'Error: building at STEP "COPY x /": checking on sources under "/ctx": copier: '
                'stat: "/x": no such file or directory'
            ),
        ),
        silent=(
            log(f"ERROR: failed to solve: {_SUM}"),
            log("cp: cannot stat 'missing.txt': No such file or directory"),
            log("docker.io/library/redis:99: not found"),
        ),
    ),
    "docker.build.checksum-unknown": Case(
        fires=(
            log(f"ERROR: failed to solve: {_SUM}"),
            log(
                "failed to solve: failed to compute cache key: failed to calculate checksum of ref"
            ),
            log("target api: failed to solve: failed to compute cache key"),
            log(f"ERROR: failed to solve: {_SUM}: rpc error: code = Unknown"),
        ),
        silent=(
            log(f'ERROR: failed to solve: {_SUM}: "/requirements.txt": not found'),
            log(f"ERROR: failed to solve: {_SUM}: write /x: no space left on device"),
            log("WARNING: 2 computed checksums did NOT match"),
        ),
    ),
    "docker.build.dockerfile-missing": Case(
        fires=(
            log(
                "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat "
                "/src/Dockerfile.dev: no such file or directory"
            ),
            log(
                "ERROR: failed to solve: failed to read dockerfile: open Dockerfile: no such file "
                "or directory"
            ),
        ),
        silent=(log("cat: Dockerfile: No such file or directory"),),
    ),
    "docker.compose.file-missing": Case(
        fires=(
            log("no configuration file provided: not found"),
            log(
                'compose file "/src/nosuch.yml" is invalid: open /src/nosuch.yml: no such file or '
                "directory"
            ),
            log("open /src/docker-compose.test.yml: no such file or directory"),
            log("open C:\\src\\docker-compose.yml: The system cannot find the file specified."),
            log("stat /src/compose.ci.yaml: no such file or directory"),
            log(
                "ERROR:\n        Can't find a suitable configuration file in this directory or any"
                "\n        parent. Are you in the right directory?"
            ),
            log("ERROR: .FileNotFoundError: [Errno 2] No such file or directory: './compose.yml'"),
        ),
        silent=(
            log("FileNotFoundError: [Errno 2] No such file or directory: 'settings.yml'"),
            log("validating /src/compose.yml: services.r.imag false schema"),
            log("no configuration file found, using defaults"),
        ),
    ),
    "docker.compose.plugin-missing": Case(
        fires=(
            log("docker: 'compose' is not a docker command."),
            log("docker: unknown command: docker compose"),
            log("bash: docker-compose: command not found"),
            log("FileNotFoundError: [Errno 2] No such file or directory: 'docker-compose'"),
            log("unknown shorthand flag: 'f' in -f\nSee 'docker --help'."),
        ),
        silent=(
            log("docker: 'composee' is not a docker command."),
            log("docker: unknown command: docker buildx"),
            log("no configuration file provided: not found"),
            log("unknown shorthand flag: 'f' in -foo"),
        ),
    ),
}
