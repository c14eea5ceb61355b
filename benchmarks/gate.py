"""What the gate costs: ``envkit test`` and the same runs of pytest by hand.

``python benchmarks/gate.py [--repeat N] [--json FILE] [--check]``

README.md says what each line means.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import statistics
import sys
from pathlib import Path

# This directory would hide the package `docker` behind the benchmark of that name.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ground import Ground, Sample, facts, in_turns, p90

_CATEGORIES = 5
_FILES = 7
_TESTS = 100  # in each file
_MOST_MS = 300.0  # for each category, or
_MOST_SHARE = 0.03
_LINES = {"hand": "pytest by hand, 5 times", "gate": "envkit test"}


class Benchmark:
    """A project of 3,500 tests that do nothing."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        # Neither an engine nor what else this machine has is looked at: no category needs any.
        ground.environment["DOCKER_HOST"] = f"unix://{ground.top}/no-engine.sock"
        names = [f"category_{number}" for number in range(_CATEGORIES)]
        tables = [f'[tool.envkit.categories.{name}]\npaths = ["tests/{name}"]' for name in names]
        project = ground.new_project("gate", "\n".join(tables) + "\n[tool.pytest]\n")
        for name in names:
            directory = project / "tests" / name
            directory.mkdir(parents=True)
            for number in range(_FILES):
                tests = "".join(f"def test_{n}(): pass\n" for n in range(_TESTS))
                (directory / f"test_{name}_{number}.py").write_text(tests)
        self._paths = [f"tests/{name}" for name in names]

    def hand(self) -> Sample:
        return self._run("hand", [[sys.executable, "-m", "pytest", "-q", p] for p in self._paths])

    def gate(self) -> Sample:
        return self._run("gate", [[*self._ground.envkit, "test", "--", "-q"]])

    def _run(self, key: str, commands: list[list[str]]) -> Sample:
        before, took, said = _processor_ms(), 0.0, ""
        for command in commands:
            ms, output = self._ground.run(command)
            took, said = took + ms, said + output
        assert said.count(f"{_FILES * _TESTS} passed in") == _CATEGORIES, said
        return {key: took, f"{key}-cpu": _processor_ms() - before}


def _processor_ms() -> float:
    """Of all children that have ended, and theirs; a busy machine changes little of it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--repeat", type=int, default=5, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true", help="fail if the budget is missed")
    options = parser.parse_args()
    machine = facts()
    ground = Ground()
    try:
        ground.compile()
        made = Benchmark(ground)
        samples = in_turns([made.hand, made.gate], options.repeat)
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # cleaning up is not to be cut short
        ground.remove()
    print("{cpu}, {cores} cores, Linux {kernel}, Python {python}".format(**machine))
    print(f"load before {machine['load_before'][0]:.1f}; {options.repeat} rounds; milliseconds\n")
    print(f"{'':<32}{'median':>8}{'p90':>8}{'processor':>11}")
    for key, what in _LINES.items():
        processor = statistics.median(samples[f"{key}-cpu"])
        times = f"{statistics.median(samples[key]):>8.0f}{p90(samples[key]):>8.0f}"
        print(f"{what:<32}{times}{processor:>11.0f}")
    hand = statistics.median(samples["hand"])
    # Of pairs that were taken one after the other: whatever else slows the machine slows both.
    pairs = zip(samples["gate"], samples["hand"], strict=True)
    more = statistics.median(gate - by_hand for gate, by_hand in pairs)
    each = more / _CATEGORIES
    kept = each <= max(_MOST_MS, _MOST_SHARE * hand / _CATEGORIES)
    print(
        f"\nthe gate adds {each:.0f} ms a category, {more / hand:.1%}; budget {_MOST_MS:.0f} ms "
        f"or {_MOST_SHARE:.0%}: {'ok' if kept else 'MISSED'}"
    )
    if options.json:
        options.json.write_text(json.dumps({"facts": machine, "samples": samples}, indent=1))
    return int(options.check and not kept)


if __name__ == "__main__":
    sys.exit(main())
