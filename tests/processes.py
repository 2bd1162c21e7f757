"""Processes that tests start, as the system sees them.

needs_proc     marks a test that looks into /proc
children       the living descendants of a process
gone           waits until processes have ended
threads        a block in which torch computes with so many threads
run_all        the command line, from the checkout
"""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def children(pid: int, depth: int = 9) -> list[int]:
    """The processes that a process started, and those that they started, to this depth; dead ones left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found += [int(path.parent.name), *(children(int(path.parent.name), depth - 1) if depth > 1 else [])]
    return found


def gone(family: list[int], seconds: float = 15) -> bool:
    """Whether the processes end within so many seconds."""
    deadline = time.time() + seconds
    while (alive := [pid for pid in family if _runs(pid)]) and time.time() < deadline:
        time.sleep(0.1)
    return not alive


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def threads(number: int):
    """As many threads as a run had: with another number sums are taken in another order, and round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_all(*arguments, **environment):
    """The command line in a process of its own, from the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "beft_lib", "run", *map(str, arguments)],
        cwd=Path(__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
