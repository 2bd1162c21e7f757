"""`run_all.sh` from end to end in the smoke profile."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from processes import run_all

from beft_lib.runs.frames import COLUMNS, IMPORTANCE_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow  # the report takes a minute or more to make


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """One smoke report, its runs and what was printed."""
    base = tmp_path_factory.mktemp("smoke")
    done = run_all("smoke", "--out", base / "report", BEFT_RUNS=str(base / "runs"))
    assert done.returncode == 0, done.stdout + done.stderr
    return base, done


def test_smoke_leaves_what_the_contract_says(smoke):
    base, done = smoke
    out = base / "report"
    assert {p.name for p in out.iterdir()} == {
        "report.html",
        "notebooks",
        "figures",
        "tables",
        "results.csv",
        "importance.csv",
        "claims.csv",
        "provenance.json",
        "records",
    }
    results, scores = pd.read_csv(out / "results.csv"), pd.read_csv(out / "importance.csv")
    assert tuple(results.columns) == COLUMNS and tuple(scores.columns) == IMPORTANCE_COLUMNS
    assert results.status.eq("done").all() and results.value.notna().all()
    assert {p.stem for p in (out / "figures").glob("*.svg")} == {p.stem for p in (out / "figures").glob("*.png")}
    assert {p.suffix for p in (out / "tables").iterdir()} == {".csv", ".md", ".tex"}
    executed = json.loads((out / "notebooks" / "01_bias_selection.ipynb").read_text())
    counts = [c["execution_count"] for c in executed["cells"] if c["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert "runs to do" in done.stdout and "left" in done.stdout and done.stderr == ""
    ledger = pd.read_csv(out / "claims.csv")
    untested = ledger.verdict == "not tested"
    assert set(ledger.reason[untested]) == {"toy data judge nothing"} and untested.sum() > 40
    assert ledger.model[~untested].str.contains("BERT|OPT").all()  # what the paper prints, and needs no run


def test_the_report_names_no_folder_of_this_machine(smoke):
    base, _ = smoke
    for path in (base / "report").rglob("*"):
        if path.suffix in {".html", ".ipynb", ".csv", ".json", ".svg", ".md"}:
            text = path.read_text(encoding="utf-8")
            assert str(base) not in text and str(ROOT) not in text, path


def test_the_second_time_every_run_is_reused_and_the_files_are_the_same(smoke):
    base, _ = smoke
    before = {name: (base / "report" / name).read_bytes() for name in ("results.csv", "importance.csv", "claims.csv")}
    some = ["--only", "04_extension"]  # the files are of all that is stored
    again = run_all("smoke", "--out", base / "report", *some, BEFT_RUNS=str(base / "runs"))
    assert again.returncode == 0 and "0 runs to do" in again.stdout
    assert before == {name: (base / "report" / name).read_bytes() for name in before}


def test_published_records_rebuild_the_report_without_training(smoke):
    base, _ = smoke
    out = base / "rebuilt"
    shutil.copytree(base / "report" / "records", out / "records")
    some = ["--only", "03_efficiency", "06_why_b_v"]  # timings and probes; the others are in the files too
    done = run_all("smoke", "--out", out, "--published", *some, BEFT_RUNS=str(base / "none"))
    assert done.returncode == 0, done.stderr
    assert (out / "results.csv").read_bytes() == (base / "report" / "results.csv").read_bytes()
    assert not (base / "none").exists()
