"""Probes run side by side, each within its limit."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from envkit.doctor.probes.look import Context, Looked, Probe, look_at_all
from envkit.errors import DockerDown


def context(root: Path) -> Context:
    return Context(root=root, config=None, environ=dict(os.environ))


def test_probe_that_hangs_is_not_checked_and_holds_nobody_up(tmp_path: Path) -> None:
    for_ever = threading.Event()

    def hang(_: Context) -> Looked:
        for_ever.wait()
        return Looked()

    probes = (
        Probe(name="hangs", group="g", limit=0.1, look=hang),
        Probe(name="answers", group="g", limit=5, look=lambda _: Looked(detail="fine")),
    )
    checks, symptoms = look_at_all(probes, context(tmp_path))
    for_ever.set()
    assert [(one.name, one.status) for one in checks] == [
        ("hangs", "not-checked"),
        ("answers", "pass"),
    ]
    assert symptoms == ()


def test_probes_look_at_the_same_time(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=20)

    def meet(_: Context) -> Looked:
        both.wait()
        return Looked()

    probes = [Probe(name=name, group="g", limit=30, look=meet) for name in "ab"]
    checks, _ = look_at_all(probes, context(tmp_path))
    assert [one.status for one in checks] == ["pass", "pass"]


def test_error_of_ours_is_a_symptom(tmp_path: Path) -> None:
    def refuse(_: Context) -> Looked:
        raise DockerDown("no engine")

    _, (symptom,) = look_at_all(
        [Probe(name="engine", group="g", limit=5, look=refuse)], context(tmp_path)
    )
    assert (symptom.code, symptom.check) == ("docker.daemon.down", "engine")


def test_fault_of_a_probe_is_no_statement_about_the_environment(tmp_path: Path) -> None:
    def stumble(_: Context) -> Looked:
        raise ZeroDivisionError("of all things")

    (check,), symptoms = look_at_all(
        [Probe(name="stumbles", group="g", limit=5, look=stumble)], context(tmp_path)
    )
    assert check.status == "not-checked"
    assert "ZeroDivisionError: of all things (test_look.py" in check.detail
    assert symptoms == ()
