"""The committed records rebuild notebooks without data or training."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from beft_lib.evidence.claims import finding

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "reports" / "cpu" / "records"


@pytest.mark.slow
def test_the_notebooks_are_rebuilt_without_data(tmp_path):
    shutil.copytree(RECORDS, tmp_path / "report" / "records")
    chosen = ["05_autoregressive"]  # the smoke profile rebuilds others
    command = ["run", "cpu", "--published", "--only", *chosen, "--out", str(tmp_path / "report")]
    environment = {**os.environ, "BEFT_RUNS": str(tmp_path / "none"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "beft_lib", *command], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 runs to do" in done.stdout and not (tmp_path / "none").exists()
    ledger = pd.read_csv(tmp_path / "report" / "claims.csv")
    judged = ledger[ledger.evidence.str.match("|".join(chosen))]
    assert set(judged.verdict) <= set(finding.VERDICTS) and len(judged) > 8
