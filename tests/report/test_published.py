"""The committed records: they rebuild notebooks without data or training, and hold what is said of them."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beft_lib import evidence, workspace
from beft_lib.chapters import registry
from beft_lib.chapters.efficiency import plan as efficiency
from beft_lib.chapters.quickstart import select
from beft_lib.evidence.claims import finding
from beft_lib.report import profiles
from beft_lib.runs import archive, store, timing
from beft_lib.runs.published import read_index

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "reports" / "cpu" / "records"


def cells() -> tuple[profiles.Cell, ...]:
    """The profile's notebooks, as the records have them."""
    index = read_index(RECORDS)
    return profiles.published(profiles.load("cpu"), index.source, index.models).cells


@pytest.fixture
def published():
    """The committed records in the run store's place."""
    with workspace.using(workspace.Workspace(runs=RECORDS, published=True)):
        yield


@pytest.fixture
def comparisons(published):
    """The settings of the GLUE notebook, from the committed records."""
    (cell,) = (cell for cell in cells() if cell.name == "02_glue_regimes__minilm-l6")
    return evidence.compare(registry.plan(cell.notebook, cell.parameters).compared)


def test_every_setting_has_three_seeds_and_all_methods(comparisons):
    assert {c.regime for c in comparisons} == {"low", "medium", "high"}
    assert len({c.task for c in comparisons}) == 8
    for comparison in comparisons:
        assert {"value", "query", "key", "head_only", "all_biases"} <= set(comparison.scores)
        assert len(comparison.scores.dropna()) >= 3 and len(comparison.ranking) >= 3


def test_the_reliability_of_early_selection_is_that_of_the_records(comparisons):
    stated = pd.read_csv(Path(select.__file__).with_name("reliability.csv"))
    pd.testing.assert_frame_equal(select.measure(comparisons), stated, check_dtype=False)


def test_no_example_is_in_the_records():
    """Numbers, names and ids only: no text of a data set, which is not ours to publish."""
    files = list(RECORDS.iterdir())
    assert all(
        path.name.endswith(("index.json", archive.RUNS, archive.ARRAYS, archive.TIMINGS, archive.PROBES))
        for path in files
    )
    assert len(files) < 50 and sum(path.stat().st_size for path in files) < 10e6
    for path in RECORDS.glob(f"*{archive.ARRAYS}"):
        with zipfile.ZipFile(path) as packed:
            arrays = [np.load(packed.open(name), allow_pickle=False) for name in packed.namelist()]
        assert {array.dtype.kind for array in arrays} <= {"f", "i", "U"}
        assert all(len(text) <= 64 and " " not in text for a in arrays if a.dtype.kind == "U" for text in a.flat)


@pytest.mark.parametrize(("notebook", "seeds"), [("03_efficiency", 5), ("04_extension", 3)])
def test_every_method_of_a_setting_has_its_seeds(notebook, seeds, published):
    (cell,) = (cell for cell in cells() if cell.notebook == notebook)
    plan = registry.plan(cell.notebook, cell.parameters)
    for comparison in evidence.compare_groups(plan.groups):
        least = 5 if comparison.task == "cb" else seeds - (comparison.variant in (efficiency.KIN, efficiency.APART))
        assert len(comparison.scores) >= least and not comparison.scores.isna().any(axis=None)
    assert all(timing.stored(one) is not None for one in registry.timings(plan))


def test_the_published_report_judges_every_claim_and_is_small():
    report = RECORDS.parent
    ledger, runs_made = pd.read_csv(report / "claims.csv"), pd.read_csv(report / "results.csv")
    assert set(ledger.verdict) <= set(finding.VERDICTS) and len(ledger) > 50
    assert ledger.reason.notna().all() and runs_made.constant.between(0, 1).sum() > 700
    assert (runs_made.status == "done").all() and set(runs_made.source) == {"local"}
    names = {path.stem for path in (report / "notebooks").glob("*.ipynb")}
    assert names == {cell.name for cell in cells()}
    kept = [path for path in report.rglob("*") if path.is_file() and path.suffix != ".png"]  # drawings are kept as SVG
    assert sum(path.stat().st_size for path in kept) < 16e6


def test_the_reasons_for_b_v_rest_on_three_seeds(published):
    (cell,) = (cell for cell in cells() if cell.notebook == "06_why_b_v")
    plan = registry.plan(cell.notebook, cell.parameters)
    (comparison,) = evidence.compare_groups(plan.groups)
    assert len(comparison.scores) == 3 and not comparison.scores.isna().any(axis=None)
    assert all(store.trusted(spec) is not None for spec in (*plan.ranked, *plan.precision))


def test_every_method_of_a_decoder_task_has_its_seeds(published):
    (cell,) = (cell for cell in cells() if cell.notebook == "05_autoregressive")
    plan = registry.plan(cell.notebook, cell.parameters)
    for comparison in evidence.compare_groups(plan.groups):
        assert set(comparison.scores) == set(cell.parameters["compared"])
        assert len(comparison.scores) >= 2 and not comparison.scores.isna().any(axis=None)
    assert all(timing.stored(one) is not None for one in registry.timings(plan))
