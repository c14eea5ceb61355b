"""How long containers take to answer: envkit, testcontainers and `docker run` on the same images.

``python benchmarks/docker.py [--repeat N] [--format text|json] [--check]``

Everything is measured in one run and in turns, so that a machine that slows down slows all alike.
README.md says what each line means.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# This file's directory would hide the package `docker` behind this file.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ground import Ground, Sample, Samples, facts, in_turns, p90, since
from envkit import services
from envkit.engine.address import engine_address
from envkit.engine.look import look
from envkit.model import SERVICES, ServiceName
from envkit.recipes import FoundImage

_VARIANTS = ("plain", "ready")
_CONTENDER = str(Path(__file__).with_name("contender.py"))
_READY = "-ready"
_COUNTS = {"imported": "after imports", "begun": "whole process"}
_QUIET_S = 0.3
Images = dict[ServiceName, FoundImage]


class Unusable(Exception):
    """There is nothing to measure with; the text says what is missing."""


@dataclass(frozen=True)
class Ratio:
    """One contender's median by another's; the slowest one counts where there are several.

    Attributes:
        least: A budget: the ratio may not be lower.
        most: A budget: the ratio may not be higher.
    """

    what: str
    above: str
    below: tuple[str, ...]
    least: float | None = None
    most: float | None = None


def _runs(variant: str, kind: str) -> tuple[str, ...]:
    return tuple(f"{variant}/{kind}/{service}" for service in SERVICES)


_RATIOS = (
    Ratio("plain: testcontainers / envkit", "plain/tc", ("plain/envkit",), least=3),
    Ratio("plain: testcontainers in threads / envkit", "plain/threads", ("plain/envkit",)),
    Ratio("ready: testcontainers / envkit", "ready/tc", ("ready/envkit",)),
    Ratio("ready: testcontainers in threads / envkit", "ready/threads", ("ready/envkit",)),
    Ratio("plain: envkit / slowest docker run", "plain/envkit", _runs("plain", "run")),
    Ratio("plain: envkit / slowest, --tmpfs", "plain/envkit", _runs("plain", "tmpfs")),
    Ratio("ready: envkit / slowest docker run", "ready/envkit", _runs("ready", "run"), most=1.6),
    Ratio(
        "ready: envkit / slowest with --tmpfs", "ready/envkit", _runs("ready", "tmpfs"), most=1.6
    ),
)


# -- what is measured -----------------------------------------------------------------------------


def images() -> dict[str, Images]:
    """The newest images that envkit built, by variant.

    Raises:
        Unusable: No engine here, no docker command, or not all images in both variants.
    """
    address = engine_address()
    if not address.socket:
        raise Unusable(f"{address.url} ({address.origin}) is not an engine on this machine")
    if shutil.which("docker") is None:
        raise Unusable("there is no docker command on PATH to compare with")
    found: dict[str, Images] = {variant: {} for variant in _VARIANTS}
    for service in SERVICES:
        repository = services.load(service).image.built
        seen = look(address, [], repository)
        if seen.problem:
            raise Unusable("{observed}; {hint}".format(**seen.problem))
        named = {one.reference: one for one in seen.images if one.built}
        both = [name for name in named if f"{name}{_READY}" in named]
        if not both:
            raise Unusable(
                f"the engine does not have {repository} both plain and ready; envkit images build"
            )
        newest = max(both, key=lambda name: _numbers(name.rpartition(":")[2]))
        found["plain"][service], found["ready"][service] = named[newest], named[newest + _READY]
    return found


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


class Benchmark:
    """The contenders on all images, their names in the table, and their samples."""

    def __init__(self, ground: Ground, found: dict[str, Images], label: str) -> None:
        self.rows: dict[str, str] = {}
        self._ground = ground
        self._label = label
        self._steps: list[Callable[[], Sample]] = []
        for variant, of in found.items():
            references = {service: image.reference for service, image in of.items()}
            tables = (f'{service}.image = "{name}"\n' for service, name in references.items())
            project = ground.new_project(variant, "[tool.envkit]\n" + "".join(tables))
            job = {"images": references, "label": label, "project": str(project)}
            for service, image in of.items():
                alone = {"images": {service: image.reference}, "label": label}
                name = f"docker run {image.reference}"
                self._add(f"{variant}/run/{service}", name, "docker_run", alone | {"tmpfs": []})
                alone |= {"tmpfs": list(image.volumes)}
                self._add(f"{variant}/tmpfs/{service}", "  with --tmpfs", "docker_run", alone)
            one_by_one = f"testcontainers, {variant}, one after another"
            self._add(f"{variant}/tc", one_by_one, "testcontainers", job)
            self._add(f"{variant}/threads", "  in three threads", "testcontainers_threads", job)
            self._add(f"{variant}/envkit", f"envkit, {variant}, api.lease", "envkit", job)
            self.rows[f"{variant}/command"] = "  envkit run --backend docker -- true"
            self._steps.append(partial(self._command, f"{variant}/command", project))

    def measure(self, repeat: int) -> Samples:
        self._ground.compile()
        return in_turns(self._steps, repeat)

    def _add(self, key: str, what: str, contender: str, job: dict[str, Any]) -> None:
        self.rows[key] = what
        self._steps.append(partial(self._contender, key, contender, job))

    def _contender(self, key: str, contender: str, job: dict[str, Any]) -> Sample:
        # -P: this directory would hide the package `docker` from it as well.
        command = [sys.executable, "-P", _CONTENDER, contender, json.dumps(job)]
        environment = {}
        if contender.startswith("testcontainers"):
            environment["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # its image cannot be had here
        begun = time.monotonic()
        at = json.loads(self._ground.run(command, env=environment)[1]) | {"begun": begun}
        took = {f"{key}:{count}": at["answered"] - at[count] for count in _COUNTS}
        took[f"{key}:stop"] = at["removed"] - at["answered"]
        return {name: seconds * 1000 for name, seconds in took.items()}

    def _command(self, key: str, project: Path) -> Sample:
        command = [*self._ground.envkit, "run", "--backend", "docker", "--", "true"]
        return {f"{key}:begun": self._ground.run(command, cwd=project)[0]}


def sweep(marks: Sequence[str]) -> None:
    """Remove containers that carry one of these labels, until no more of them appear.

    An engine finishes what a process that was killed meanwhile has asked it for.
    """
    quiet = begun = time.monotonic()
    while time.monotonic() - quiet < _QUIET_S and since(begun) < 30_000:
        for mark in marks:
            listing = ["docker", "ps", "--all", "--quiet", f"--filter=label={mark}"]
            left = subprocess.run(listing, capture_output=True, text=True).stdout.split()
            if left:
                removing = ["docker", "rm", "--force", "--volumes", *left]
                subprocess.run(removing, capture_output=True)
                quiet = time.monotonic()
        time.sleep(0.05)


# -- what comes out -------------------------------------------------------------------------------


def figures(samples: Samples) -> dict[str, dict[str, float]]:
    """Of each contender and count, in milliseconds."""
    return {
        name: {"median_ms": statistics.median(own), "min_ms": min(own), "p90_ms": p90(own)}
        for name, own in samples.items()
    }


def compare(ratio: Ratio, found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """A ratio on both counts; a budget, if there is one, has to be kept on both."""
    values: dict[str, float] = {}
    slowest = max(ratio.below, key=lambda key: found[f"{key}:imported"]["median_ms"])
    for count in _COUNTS:
        above, below = found[f"{ratio.above}:{count}"], found[f"{slowest}:{count}"]
        values[count] = above["median_ms"] / below["median_ms"]
    kept = [value >= ratio.least for value in values.values()] if ratio.least else []
    kept += [value <= ratio.most for value in values.values()] if ratio.most else []
    judged = {"least": ratio.least, "most": ratio.most, "ok": all(kept) if kept else None}
    return {"what": ratio.what, "above": ratio.above, "below": slowest, **values, **judged}


def row(what: str, found: dict[str, dict[str, float]], key: str) -> str:
    """A line of the first table, at most 100 columns wide."""
    cells = ""
    for count, names in (
        ("imported", ("median_ms", "min_ms", "p90_ms")),
        ("begun", ("median_ms", "min_ms", "p90_ms")),
        ("stop", ("median_ms",)),
    ):
        own = found.get(f"{key}:{count}")
        cells += " " + "".join(f"{own[name]:>7.0f}" if own else " " * 7 for name in names)
    return f"{what:<43}{cells}".rstrip()


def comparison(found: dict[str, Any]) -> str:
    """A line of the second table."""
    numbers = "".join(f"{found[count]:>15.2f}" for count in _COUNTS)
    budget = f">= {found['least']:g}" if found["least"] else ""
    budget = f"<= {found['most']:g}" if found["most"] else budget
    verdict = {True: "ok", False: "MISSED", None: ""}[found["ok"]]
    return f"{found['what']:<43}{numbers}  {budget:<8}{verdict}".rstrip()


def report(machine: dict[str, Any], repeat: int, rows: dict[str, str], result: Any) -> None:
    print("{cpu}, {cores} cores, Linux {kernel}, Python {python}".format(**machine))
    print(
        f"load before {machine['load_before'][0]:.1f}; {repeat} rounds; milliseconds to answers\n"
    )
    print(f"{'':<43} {'after its imports':^21} {'from process start':^21}    stop")
    print(f"{'':<43} {'median':>7}{'min':>7}{'p90':>7} {'median':>7}{'min':>7}{'p90':>7}  median")
    for key, what in rows.items():
        print(row(what, result["figures"], key))
    print(f"\n{'ratios of medians':<43}{'after imports':>15}{'whole process':>15}  budget")
    for one in result["ratios"]:
        print(comparison(one))
    print("\n`docker run` is one service at a time; all others are three to their first answers.")
    print("`envkit run` counts from exec to exit, with start, lease, stop and removal.")


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rounds (default 5)")
    parser.add_argument("--format", choices=("text", "json"), default="text", dest="output")
    parser.add_argument("--check", action="store_true", help="exit 1 if a budget is missed")
    options = parser.parse_args()
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        found = images()
    except Unusable as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 3
    machine, ground, label = facts(), Ground(), f"envkit.benchmark.{uuid.uuid4().hex[:12]}"
    try:
        benchmark = Benchmark(ground, found, label)
        samples = benchmark.measure(options.repeat)
    except KeyboardInterrupt:
        return 130
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 3
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # cleaning up is not to be cut short
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ground.remove()
        sweep([label, *(f"envkit.project={path}" for path in ground.projects)])
    own = figures(samples)
    ratios = [compare(ratio, own) for ratio in _RATIOS]
    result = {"version": 1, "facts": machine, "figures": own, "ratios": ratios, "samples": samples}
    if options.output == "json":
        print(json.dumps(result, indent=1))
    else:
        report(machine, options.repeat, benchmark.rows, result)
    return int(options.check and any(one["ok"] is False for one in ratios))


if __name__ == "__main__":
    sys.exit(main())
