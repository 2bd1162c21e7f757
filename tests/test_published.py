"""The committed records: they rebuild the notebook of GLUE without data or training, and hold what is said of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from beft_lib import evidence, experiments, profiles, selection

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "reports" / "minilm" / "records"


@pytest.fixture
def comparisons(monkeypatch):
    """The settings of the GLUE notebook, from the committed records."""
    monkeypatch.setenv("BEFT_RUNS", str(RECORDS))
    monkeypatch.setenv("BEFT_PUBLISHED", "1")
    (cell,) = (cell for cell in profiles.load("minilm").cells if cell.notebook == "02_glue_regimes")
    return evidence.compare(experiments.plan(cell.notebook, cell.parameters).compared)


def test_every_setting_has_three_seeds_and_all_methods(comparisons):
    assert {c.regime for c in comparisons} == {"low", "medium", "high"}
    assert len({c.task for c in comparisons}) == 8
    for comparison in comparisons:
        assert {"value", "query", "key", "head_only", "all_biases"} <= set(comparison.scores)
        assert len(comparison.scores.dropna()) >= 3 and len(comparison.ranking) >= 3


def test_the_reliability_of_early_selection_is_that_of_the_records(comparisons):
    stated = pd.read_csv(ROOT / "beft_lib" / "selection" / "reliability.csv")
    pd.testing.assert_frame_equal(selection.measure(comparisons), stated, check_dtype=False)


def test_no_example_is_in_the_records():
    """Numbers, names and ids only: no text of a data set, which is not ours to publish."""
    for path in RECORDS.rglob("*"):
        assert path.is_dir() or path.name in ("index.json", "result.json", "predictions.npz")
    assert sum(path.stat().st_size for path in RECORDS.rglob("*") if path.is_file()) < 10e6


@pytest.mark.slow
def test_the_notebook_is_rebuilt_without_data(tmp_path):
    shutil.copytree(RECORDS, tmp_path / "report" / "records")
    command = ["run", "minilm", "--published", "--only", "02_glue_regimes", "--out", str(tmp_path / "report")]
    environment = {**os.environ, "BEFT_RUNS": str(tmp_path / "none"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "beft_lib", *command], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 runs to do" in done.stdout and not (tmp_path / "none").exists()
    ledger = pd.read_csv(tmp_path / "report" / "claims.csv")
    judged = ledger[ledger.evidence.str.startswith("02_glue_regimes")]
    assert set(judged.verdict) <= {"supported", "contradicted", "inconclusive"}
