"""Every test runs on one thread, without a network, and in a store of its own."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before any Hub library is imported

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test reads or writes the user's runs, reports or caches."""
    monkeypatch.setenv("BEFT_RUNS", str(tmp_path / "runs"))
    for name in ("BEFT_OUT", "BEFT_PROGRESS", "BEFT_FRESH", "BEFT_PUBLISHED", "BEFT_WORKERS", "BEFT_VARIANT"):
        monkeypatch.delenv(name, raising=False)
