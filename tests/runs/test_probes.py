"""A measurement on a model is made once, found again, and published beside the runs."""

import json

import pytest

from beft_lib import workspace
from beft_lib.runs import archive, probes
from beft_lib.runs.published import INDEX

ROWS = [{"term": "key", "x": 0.1 + 0.2}, {"term": "value", "x": float("inf")}]


@pytest.fixture
def measure():
    """Something to measure, which counts how often it is."""
    calls = []

    def made():
        calls.append(1)
        return ROWS

    made.calls = calls
    return made


def test_it_is_measured_once_for_the_same_arguments(measure):
    assert probes.measured("norms", "tiny-bert", {"size": 1.0}, measure) == ROWS
    assert probes.measured("norms", "tiny-bert", {"size": 1.0}, measure) == ROWS and len(measure.calls) == 1
    for what, model, arguments in (
        ("norms", "tiny-bert", {"size": 2.0}),
        ("shifts", "tiny-bert", {"size": 1.0}),
        ("norms", "tiny-roberta", {"size": 1.0}),
    ):
        probes.measured(what, model, arguments, measure)
    assert len(measure.calls) == 4


def test_what_is_not_what_was_written_is_measured_again(measure):
    probes.measured("norms", "tiny-bert", {}, measure)
    (file,) = (workspace.runs_folder() / probes.FOLDER).glob("*.json")
    for broken in ("{", "[]", json.dumps({"probe_id": "other", "model": "tiny-bert", "rows": [], "recorded": 1})):
        file.write_text(broken)
        assert probes.measured("norms", "tiny-bert", {}, measure) == ROWS
    assert len(measure.calls) == 4


def test_published_probes_stand_in_for_the_store(measure, tmp_path):
    probes.measured("norms", "tiny-bert", {}, measure)
    probes.measured("norms", "tiny-roberta", {}, measure)
    records = tmp_path / "records"
    assert probes.keep({"tiny-bert"}, records) == 0  # no records to be added to
    records.mkdir()
    (records / INDEX).write_text('{"source": "bundled"}')
    assert probes.keep({"tiny-bert"}, records) == 1 and probes.keep({"tiny-bert"}, records) == 0
    said = tmp_path / "said"
    with workspace.using(workspace.Workspace(runs=records, published=True, progress=said)):
        assert probes.measured("norms", "tiny-bert", {}, measure) == ROWS and not said.exists()
        assert probes.measured("norms", "tiny-roberta", {}, measure) == ROWS
    assert len(measure.calls) == 3 and "tiny-roberta" in said.read_text()
    assert len(archive.read_lines(records / archive.PROBES).found) == 1
