"""A sweep that is killed at any moment: no orphan, nothing damaged, and the same numbers when it goes on."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import children, gone, needs_proc
from small_runs import specs

from beft_lib import runs, sweep, workspace

ROOT = Path(__file__).resolve().parents[2]

DRIVER = """
from small_runs import specs
from beft_lib import sweep
sweep.sweep(specs(4, n_train=100, epochs=10), workers=1)
"""


@pytest.mark.slow
@needs_proc
def test_killed_at_any_moment_it_leaves_no_orphan_and_resumes_to_the_same_numbers(monkeypatch):
    """kill -9 of the parent alone, at random moments: workers end, nothing stored is damaged, the numbers stay (all
    runs are made with as many threads)."""
    wanted = specs(4, n_train=100, epochs=10)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    moments = random.Random(0)
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", DRIVER], env=environment, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(3, 7))
        family = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert gone(family), "a worker outlived the sweep"
        assert not sweep.plan(wanted).damaged
    resumed = outcome(wanted)
    monkeypatch.setenv("BEFT_RUNS", str(workspace.runs_folder().parent / "undisturbed"))
    assert resumed == outcome(wanted)


def outcome(wanted) -> list:
    """What decides a run's numbers, to the bit: its losses, and the hashes of its predictions and tensors."""
    assert sweep.sweep(wanted, workers=1).status.eq("done").all()
    return [(result.losses, result.files) for result in map(runs.stored, wanted)]
