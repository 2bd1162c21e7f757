"""Every test runs on one thread, without a network, and in a store of its own.

With several processes (pytest-xdist) a file's tests stay together. What executes notebooks takes minutes, and goes
first (`FIRST`), so that all processes end at about the same time.
"""

import os
import random

os.environ["HF_HUB_OFFLINE"] = "1"  # before any Hub library is imported

import pytest
import torch

torch.set_num_threads(1)
os.fsync = lambda file: None  # what tests write need not survive a power cut, and a disk is slow

PLACE = ("BEFT_ENGINE", "BEFT_ADDRESS", "BEFT_STARTED")
FIRST = ("test_smoke", "test_rebuilt", "test_elsewhere", "test_killed")  # files, the longest first


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, metavar="SEED", help="random order: of the files, and of each file's tests")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
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
