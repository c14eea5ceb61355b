"""Errors of container engines in our words; the texts are as the programs print them."""

from __future__ import annotations

import pytest

from envkit.engine.words import from_engine
from envkit.errors import (
    DockerDiskFull,
    EngineRefused,
    EnvkitError,
    ImageMissing,
    ImagePlatform,
    ImageTagUnknown,
    PortsExhausted,
    PullDenied,
    PullRateLimit,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # moby, of layers and of containers
        (
            "write /var/lib/docker/tmp/GetImageBlob019283746: no space left on device",
            DockerDiskFull,
        ),
        # containerd
        (
            "failed to copy: failed to send write: write /var/lib/containerd/io.containerd.content."
            "v1.content/ingest/0a1b/data: no space left on device: unknown",
            DockerDiskFull,
        ),
        ("mkdir /home/me/.local/share/containers/storage: disk quota exceeded", DockerDiskFull),
        # libnetwork
        (
            "driver failed programming external connectivity on endpoint envkit-redis "
            "(b6f760b12220): Bind for 127.0.0.1:0 failed: all ports are allocated",
            PortsExhausted,
        ),
        # Docker Hub through moby, containerd and Podman
        (
            "toomanyrequests: You have reached your pull rate limit. You may increase the limit by "
            "authenticating and upgrading: https://www.docker.com/increase-rate-limit",
            PullRateLimit,
        ),
        (
            "failed to copy: httpReadSeeker: failed open: unexpected status code "
            "https://registry-1.docker.io/v2/library/rust/manifests/sha256:de6e: "
            "429 Too Many Requests - Server message: toomanyrequests: …",
            PullRateLimit,
        ),
        (
            "initializing source docker://n8n:latest: reading manifest latest in docker.n8n.io/n8n:"
            " toomanyrequests: You have reached your unauthenticated pull rate limit. "
            "https://www.docker.com/increase-rate-limit",
            PullRateLimit,
        ),
        # moby, with and without containerd's store
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", ImagePlatform),
        (
            "no matching manifest for linux/arm64/v8 in the manifest list entries: "
            "no match for platform in manifest: not found",
            ImagePlatform,
        ),
        (
            "image with reference postgres:18 was found but does not match the specified platform: "
            "wanted linux/amd64, actual: linux/arm64/v8",
            ImagePlatform,
        ),
        # containerd
        (
            "no match for platform in manifest sha256:44a54734fa33b549162845: not found",
            ImagePlatform,
        ),
        # Podman, older and newer
        (
            "choosing an image from manifest list docker://ubuntu:latest: no image found in "
            'manifest list for architecture arm, variant "", OS linux',
            ImagePlatform,
        ),
        (
            "choosing an image from manifest list docker://budibase/budibase:latest: no image found"
            ' in image index for architecture amd64, variant "", OS linux',
            ImagePlatform,
        ),
        # runc
        (
            "failed to create task for container: exec /usr/local/bin/docker-entrypoint.sh: "
            "exec format error: unknown",
            ImagePlatform,
        ),
        # moby
        ("manifest for redis:99 not found: manifest unknown: manifest unknown", ImageTagUnknown),
        ("manifest for redis:99 not found", ImageTagUnknown),
        # containerd
        (
            'failed to resolve reference "quay.io/gpustack/runner:cuda12.9": '
            "quay.io/gpustack/runner:cuda12.9: not found",
            ImageTagUnknown,
        ),
        # Podman
        (
            "initializing source docker://redis:99: reading manifest 99 in "
            "docker.io/library/redis: manifest unknown",
            ImageTagUnknown,
        ),
        # moby
        (
            "pull access denied for team/redis, repository does not exist or may require "
            "'docker login': denied: requested access to the resource is denied",
            PullDenied,
        ),
        (
            'Get "https://registry.example/v2/": unauthorized: authentication required',
            PullDenied,
        ),
        (
            "Get https://registry.example/v2/team/redis/manifests/8: no basic auth credentials",
            PullDenied,
        ),
        ("repository registry.example/team/redis not found: name unknown: …", PullDenied),
        # containerd
        (
            'failed to resolve reference "registry.example/team/redis:8": pull access denied, '
            "repository does not exist or may require authorization: server message: "
            "insufficient_scope: authorization failed",
            PullDenied,
        ),
        (
            'failed to resolve reference "ghcr.io/team/redis:8": failed to authorize: failed to '
            "fetch anonymous token: unexpected status from GET request to "
            "https://ghcr.io/token?scope=repository%3Ateam: 403 Forbidden",
            PullDenied,
        ),
        # Podman, older and newer
        (
            "Error initializing source docker://sonartype/nexus3:latest: Error reading manifest "
            "latest in docker.io/sonartype/nexus3: errors:\n"
            "denied: requested access to the resource is denied\n"
            "unauthorized: authentication required\n",
            PullDenied,
        ),
        (
            "initializing source docker://jasonacox/weather41:0.2.2: reading manifest 0.2.2 in "
            "docker.io/jasonacox/weather41: requested access to the resource is denied",
            PullDenied,
        ),
        # moby
        (
            'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on '
            "127.0.0.53:53: server misbehaving",
            ImageMissing,
        ),
        (
            'Get "https://registry-1.docker.io/v2/": net/http: request canceled while waiting for '
            "connection (Client.Timeout exceeded while awaiting headers)",
            ImageMissing,
        ),
        ('Get "https://registry.example/v2/": net/http: TLS handshake timeout', ImageMissing),
        (
            'Get "https://registry.example/v2/": tls: failed to verify certificate: x509: '
            "certificate signed by unknown authority",
            ImageMissing,
        ),
        ('Get "https://registry.example/v2/": EOF', ImageMissing),
        (
            'Get "https://registry-1.docker.io/v2/": proxyconnect tcp: dial tcp 10.0.0.1:3128: '
            "connect: no route to host",
            ImageMissing,
        ),
        # containerd
        (
            'failed to resolve reference "docker.io/library/redis:8": failed to do request: Head '
            '"https://registry-1.docker.io/v2/library/redis/manifests/8": dial tcp: lookup '
            "registry-1.docker.io: no such host",
            ImageMissing,
        ),
        # Podman
        (
            "initializing source docker://redis:8: pinging container registry registry.example: "
            'Get "https://registry.example/v2/": dial tcp 192.0.2.1:443: connect: connection '
            "refused",
            ImageMissing,
        ),
        # moby and Podman, of what was removed meanwhile
        ("No such image: redis:8", ImageMissing),
        ("redis:8: image not known", ImageMissing),
    ],
)
def test_wording_of_an_engine_is_recognised(text: str, expected: type[EnvkitError]) -> None:
    error = from_engine(text, IMAGE)
    assert type(error) is expected
    assert error.detail == text
    assert error.hint


@pytest.mark.parametrize(
    "text",
    [
        "invalid reference format",
        'Conflict. The container name "/x" is already in use by container "0a1b".',
        "driver failed programming external connectivity on endpoint x (b6f7): "
        "Bind for 0.0.0.0:2375 failed: port is already allocated",
        "Minimum memory limit allowed is 6MB",
    ],
)
def test_what_is_not_recognised_is_quoted_and_not_guessed_at(text: str) -> None:
    error = from_engine(text, IMAGE)
    assert type(error) is EngineRefused
    assert error.detail == text


def test_unknown_tag_is_named_apart_from_its_repository() -> None:
    error = from_engine("manifest unknown", IMAGE)
    assert error.observed == "there is no tag '8' of registry.example/team/redis"


def test_unknown_digest_is_not_called_a_tag() -> None:
    assert (
        from_engine("manifest unknown", "redis@sha256:ab").observed == "there is no redis@sha256:ab"
    )


IMAGE = "registry.example/team/redis:8"
