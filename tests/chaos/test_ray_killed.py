"""A sweep on a Ray cluster that loses workers, nodes and its driver: no run lost, the same bytes, nothing left behind.

The short form runs with the other slow tests; BEFT_CHAOS=long makes the long one, and prints its figures.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import children, gone, needs_proc
from ray_nodes import LIGHT, add, cluster, workers
from small_runs import specs

from beft_lib import sweep, workspace
from beft_lib.runs import frames, store

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("BEFT_CHAOS") == "long"
RUNS, KILLS, DRIVERS = (60, 10, 1) if LONG else (6, 2, 0)

DRIVER = """
import sys
from beft_lib import sweep
from test_ray_killed import wanted
sweep.sweep(wanted(int(sys.argv[2])), engine="ray", address=sys.argv[1])
"""


def wanted(runs: int):
    """Half of the runs are ranked, so that there are importance scores too."""
    ranked = specs(runs // 2, method="all_biases", ranking=True, n_train=48, epochs=4)
    return [*ranked, *specs(runs - runs // 2, n_train=48, epochs=8)]


def written(runs: int) -> tuple[str, str]:
    """results.csv, without its column of times, and importance.csv."""
    results = frames.sorted_results(wanted(runs)).drop(columns="train_seconds")
    return results.to_csv(index=False), frames.importance_scores(wanted(runs)).to_csv(index=False)


@pytest.mark.slow
@needs_proc
def test_killed_workers_nodes_and_drivers_cost_time_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{LIGHT}:{ROOT}:{ROOT / 'tests'}:{ROOT / 'tests' / 'chaos'}")
    monkeypatch.setenv("BEFT_PROGRESS", str(tmp_path / "progress"))
    draw = random.Random(0)
    counts = {"worker": 0, "node": 0, "driver": 0}
    with cluster(3) as made:
        command = [sys.executable, "-c", DRIVER, made.address, str(RUNS)]
        started = time.monotonic()
        driver = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for kill in range(KILLS + DRIVERS):
            stored = count()
            while count() < stored + max(1, RUNS // (KILLS + DRIVERS + 2)) and driver.poll() is None:
                time.sleep(0.2)
            if driver.poll() is not None:
                break
            if DRIVERS and kill == KILLS // 2:
                family = [*children(driver.pid), *workers(made)]
                driver.kill()
                driver.wait()
                assert gone(family, 120), "a process outlived the driver"
                assert not sweep.plan(wanted(RUNS)).damaged
                driver = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
                counts["driver"] += 1
            elif kill % 3 == 1:  # a node, not the head, and another one comes
                made.remove_node(draw.choice(sorted(made.worker_nodes, key=str)), allow_graceful=False)
                add(made)
                counts["node"] += 1
            elif family := workers(made):
                os.kill(draw.choice(family), signal.SIGKILL)
                counts["worker"] += 1
        assert driver.wait(1200) == 0
        seconds = time.monotonic() - started
        assert gone(workers(made), 60)
    planned = sweep.plan(wanted(RUNS))
    assert not planned.new and not planned.damaged
    disturbed = written(RUNS)
    results = [store.read(spec) for spec in wanted(RUNS)]
    assert all(result.done for result in results) and counts["worker"] and counts["node"]
    again = [reason for result in results for reason in result.environment.get("lost", [])]
    assert len(again) <= sum(counts.values()) * 3 and all(result.environment["node"] for result in results)
    monkeypatch.setenv("BEFT_RUNS", str(tmp_path / "undisturbed"))
    started = time.monotonic()
    sweep.sweep(wanted(RUNS), workers=workspace.cores())
    alone = time.monotonic() - started
    assert written(RUNS) == disturbed
    print(f"\n{counts}: {RUNS} runs, lost 0, made twice {len(again)}, {seconds:.0f} s; undisturbed here {alone:.0f} s")


def count() -> int:
    return len(list(workspace.runs_folder().glob("*/result.json")))
