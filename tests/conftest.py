"""Every test runs on one thread, without a network, and in a store of its own.

With several processes (pytest-xdist) a file's tests stay together. What executes notebooks takes minutes, and goes
first (`FIRST`), so that all processes end at about the same time.
"""

import os
import random
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before any Hub library is imported

import pytest
import torch

torch.set_num_threads(1)
os.fsync = lambda file: None  # what tests write need not survive a power cut, and a disk is slow

PLACE = ("BEFT_ENGINE", "BEFT_ADDRESS", "BEFT_STARTED")
SLOW = Path(__file__).with_name("slow.txt")  # tests that took longer than `SECONDS` of a processor, as measured
SECONDS = 0.15
TOOK = pytest.StashKey[dict[str, float]]()
FIRST = ("test_smoke", "test_rebuilt", "test_elsewhere", "test_killed")  # files, the longest first


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, metavar="SEED", help="random order: of the files, and of each file's tests")
    parser.addoption("--measure", action="store_true", help="write tests/slow.txt anew; in one process: -p no:xdist")


def function_of(item) -> str:
    return item.nodeid.partition("[")[0]


def spent() -> float:
    """Processor seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    before = spent()
    result = yield
    took = item.session.stash.setdefault(TOOK, {})
    took[function_of(item)] = max(spent() - before, took.get(function_of(item), 0.0))
    return result


def pytest_sessionfinish(session):
    if session.config.getoption("measure"):
        slow = sorted(name for name, seconds in session.stash.get(TOOK, {}).items() if seconds > SECONDS)
        SLOW.write_text("".join(f"{name}\n" for name in slow), encoding="utf-8")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    slow = set(SLOW.read_text(encoding="utf-8").split())
    for item in items:
        if function_of(item) in slow:
            item.add_marker("slow")
    if (seed := config.getoption("shuffle")) is not None:
        draw = random.Random(seed)
        files = {item.path: draw.random() for item in items}
        items.sort(key=lambda item: (files[item.path], draw.random()))
    if config.getoption("numprocesses", None) is not None or hasattr(config, "workerinput"):
        items.sort(key=lambda item: FIRST.index(name) if (name := item.path.stem) in FIRST else len(FIRST))


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test reads or writes the user's runs, reports or caches."""
    monkeypatch.setenv("BEFT_RUNS", str(tmp_path / "runs"))
    for name in ("BEFT_OUT", "BEFT_PROGRESS", "BEFT_FRESH", "BEFT_PUBLISHED", "BEFT_WORKERS", "BEFT_VARIANT", *PLACE):
        monkeypatch.delenv(name, raising=False)
