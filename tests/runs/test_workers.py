"""Processes that carry out runs: kept for the next sweep, told what their caller knows, gone when not needed."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch
from processes import children, gone, needs_proc
from small_runs import specs

from beft_lib import sweep, workspace
from beft_lib.biases import Layout, contiguous, register_layout
from beft_lib.errors import UserError
from beft_lib.models import architectures
from beft_lib.runs import workers

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def none_before():
    workers.close()
    yield
    workers.close()


def until(happened) -> bool:
    """Wait until it has happened, half a minute at most; whether it has."""
    deadline = time.time() + 30
    while not (found := bool(happened())) and time.time() < deadline:
        time.sleep(0.02)
    return found


def started_by_servers(pid: int) -> list[int]:
    """The workers of a process: what its children started."""
    return [worker for server in children(pid, depth=1) for worker in children(server, depth=1)]


def asked(function, *arguments, threads=1, **environment):
    """What a worker answers."""
    with workers.pool(1, threads) as executor:
        known = {**os.environ, **environment}
        return executor.submit(workers.call, known, os.getcwd(), {}, function, *arguments).result()


def test_the_next_call_finds_the_same_process_and_another_number_of_threads_a_new_one():
    first, again, other = asked(os.getpid), asked(os.getpid), asked(os.getpid, threads=2)
    assert first == again != other and os.getpid() not in (first, other)
    assert gone([first])
    assert asked(torch.get_num_threads, threads=2) == 2 and asked(torch.get_num_threads) == 1


def test_a_call_has_the_folder_and_the_environment_of_its_time(tmp_path, monkeypatch):
    first = asked(os.getpid)
    assert asked(os.getenv, "BEFT_RUNS") == os.environ["BEFT_RUNS"]
    monkeypatch.setenv("BEFT_RUNS", "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert (asked(os.getenv, "BEFT_RUNS"), asked(os.getcwd)) == ("elsewhere", str(tmp_path))
    monkeypatch.delenv("BEFT_RUNS")
    assert asked(os.getenv, "BEFT_RUNS") is None and asked(os.getpid) == first


def test_after_an_error_the_workers_end_whatever_they_do():
    busy = asked(os.getpid)
    with pytest.raises(RuntimeError, match="in the block"), workers.pool(1, 1) as executor:
        executor.submit(time.sleep, 600)
        raise RuntimeError("in the block")
    assert gone([busy]) and asked(os.getpid) != busy


def test_workers_that_nobody_needs_end(monkeypatch):
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.2)
    assert gone([asked(os.getpid)])


def test_an_interrupt_between_calls_is_nothing_to_a_worker_and_a_killed_one_is_replaced():
    first = asked(os.getpid)
    os.kill(first, signal.SIGINT)  # an interrupted notebook: the signal goes to all its processes
    assert asked(os.getpid) == first
    os.kill(first, signal.SIGKILL)

    def replaced() -> bool:
        try:
            return asked(os.getpid) != first
        except BrokenProcessPool:  # not yet noticed
            return False

    assert gone([first]) and until(replaced)


def test_two_threads_share_no_pool():
    found = []
    with workers.pool(1, 1) as executor:
        outer = executor.submit(os.getpid).result()
        thread = threading.Thread(target=lambda: found.append(asked(os.getpid)))
        thread.start()
        thread.join()
    assert found != [outer] and gone(found) and asked(os.getpid) == outer


def test_gpus_are_shared_out_and_kept_whatever_the_caller_knows(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    with workers.pool(2, 1) as executor:
        about = {**os.environ}, os.getcwd(), {}, os.getenv, "CUDA_VISIBLE_DEVICES"
        found = {executor.submit(workers.call, *about).result() for _ in range(2)}
        processes = list(executor._processes)
    assert found <= {"5", "7"} and gone(processes)


@pytest.mark.slow
@needs_proc
def test_a_worker_that_dies_is_reported_and_the_rest_runs_one_at_a_time(capfd):
    if workspace.cores() < 2:
        pytest.skip("needs two workers")
    wanted = specs(4, n_train=100, epochs=10)

    def kill() -> None:
        until(lambda: list(workspace.runs_folder().glob("*/result.json")))
        os.kill(started_by_servers(os.getpid())[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    assert sweep.sweep(wanted, workers=2).status.eq("done").all()
    thread.join()
    assert "one worker at a time" in capfd.readouterr().out


SCRIPT = """
import os
from small_runs import specs
from beft_lib import sweep
os.environ["STARTED"] = "once"
print("script", flush=True)
sweep.sweep(specs({count}, n_train={n}, epochs={epochs}))
"""


def script(tmp_path, **size) -> subprocess.Popen:
    """A file that sweeps when it is executed, without `if __name__ == "__main__"`."""
    (tmp_path / "mine.py").write_text(SCRIPT.format(**size))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    return subprocess.Popen(
        [sys.executable, tmp_path / "mine.py"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where these tests ignore it
    )


@pytest.mark.slow
@needs_proc
def test_a_script_without_a_guard_runs_once_and_leaves_no_process(tmp_path):
    process = script(tmp_path, count=2, n=16, epochs=1)
    family = []
    while process.poll() is None:
        family += [pid for pid in children(process.pid) if pid not in family]
        time.sleep(0.05)
    said, wrong = process.communicate()
    assert (process.returncode, wrong) == (0, "") and said.count("script") == 1 and "[2/2]" in said
    assert family and gone(family)


@pytest.mark.slow
@needs_proc
def test_an_interrupt_ends_the_runs_at_once(tmp_path):
    process = script(tmp_path, count=4, n=500, epochs=200)  # minutes
    until(lambda: process.poll() is not None or len(started_by_servers(process.pid)) == min(4, workspace.cores()))
    time.sleep(0.5)  # into the runs
    family = children(process.pid)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    said, wrong = process.communicate()
    assert process.returncode in (1, -signal.SIGINT, 130) and wrong.strip().endswith("KeyboardInterrupt")
    assert len(family) > 1 and gone(family)
    assert not list(workspace.runs_folder().glob("*/result.json"))


def test_layouts_that_the_caller_registered_are_known_to_a_worker(monkeypatch):
    """Also to one that was started before, and no longer once the caller's are others."""
    monkeypatch.setattr(architectures, "_registered", {})
    monkeypatch.setattr(architectures, "ARCHITECTURES", dict(architectures.ARCHITECTURES))

    def known(name):
        with workers.pool(1, 1) as executor:
            return executor.submit(workers.call, *workers.caller(), layout_of, name).result()

    assert known("novel") is None
    register_layout("novel", Layout("layer.*.attention", "q", "k", "v"))
    assert known("novel") == "layer.*.attention with q, k, v"
    register_layout("bert", Layout("layer.*.attention", fused="qkv", split=contiguous))
    assert known("bert") == "layer.*.attention with qkv (fused)"
    architectures._registered.clear()
    assert known("novel") is None and known("bert") == "layer.*.attention.self with query, key, value"


def test_a_split_that_no_worker_can_import_is_refused(monkeypatch):
    monkeypatch.setattr(architectures, "_registered", {})
    monkeypatch.setattr(architectures, "ARCHITECTURES", dict(architectures.ARCHITECTURES))
    register_layout("novel", Layout("layer.*.attention", fused="qkv", split=lambda config: ([0], [1], [2])))
    with pytest.raises(UserError, match="'novel' splits with .*in a module"):
        workers.caller()


def layout_of(name):
    row = architectures.ARCHITECTURES.get(name)
    return row and str(row.layout)
