"""Many runs: cached, in order, in processes that die with their parent, and resumed to the same numbers."""

import time
from pathlib import Path

import pandas as pd
import pytest
from small_runs import specs

from beft_lib import runs, sweep, workspace
from beft_lib.errors import UserError
from beft_lib.runs import frames, records, store

ROOT = Path(__file__).resolve().parents[2]


def test_runs_each_once_and_returns_a_row_each_in_order(capfd):
    wanted = specs()
    frame = sweep.sweep([*wanted, wanted[0]])
    assert list(frame.columns) == list(frames.COLUMNS)
    assert frame.run_id.tolist() == [s.run_id for s in wanted]
    assert frame.status.eq("done").all() and frame.value.between(0, 1).all() and frame.n_eval.eq(400).all()
    lines = capfd.readouterr().out
    assert "3 runs to do" in lines and "[3/3]" in lines
    recorded = [runs.stored(s).recorded for s in wanted]
    again = sweep.sweep(wanted)
    assert capfd.readouterr().out == "" and again.equals(frame)
    assert recorded == [runs.stored(s).recorded for s in wanted]


def test_a_damaged_run_is_reported_and_run_again(capfd):
    wanted = specs(1)
    before = sweep.sweep(wanted)
    (store.folder(wanted[0].run_id) / "result.json").write_text("{")
    after = sweep.sweep(wanted)
    assert "is not a run's result" in capfd.readouterr().out
    assert after.drop(columns="train_seconds").equals(before.drop(columns="train_seconds"))


def test_a_damaged_run_is_left_out_of_every_reading():
    wanted = specs(1, method="all_biases", ranking=True)
    sweep.sweep(wanted)
    (store.folder(wanted[0].run_id) / "result.json").write_text("{")
    assert frames.results(wanted).empty and frames.importance_scores(wanted).empty


def test_a_failed_run_does_not_stop_the_others_and_is_not_repeated():
    wanted = [*specs(1), *specs(1, method="full", learning_rate=1e30, epochs=2)]
    frame = sweep.sweep(wanted)
    assert frame.status.tolist() == ["done", "failed"]
    assert not sweep.plan(wanted).new


def test_fresh_makes_runs_again(monkeypatch):
    wanted = specs(1)
    sweep.sweep(wanted)
    monkeypatch.setenv("BEFT_FRESH", str(time.time()))
    assert sweep.plan(wanted).new == tuple(wanted)
    sweep.sweep(wanted)
    assert not sweep.plan(wanted).new


def test_published_records_are_read_and_never_added_to(tmp_path):
    wanted = specs(2)
    made = sweep.sweep(wanted[:1])
    records.keep([store.read(wanted[0])], tmp_path / "records")
    told = workspace.Workspace(runs=tmp_path / "records", published=True)
    before = {path: path.read_bytes() for path in (tmp_path / "records").iterdir()}
    with workspace.using(told):
        pd.testing.assert_frame_equal(sweep.sweep(wanted[:1]), made)
        with pytest.raises(UserError, match="1 of 2 runs .*published"):
            sweep.sweep(wanted)
    assert before == {path: path.read_bytes() for path in (tmp_path / "records").iterdir()}


def test_workers_run_in_the_workspace_of_the_sweep(tmp_path):
    (wanted,) = specs(1)
    with workspace.using(workspace.Workspace(runs=tmp_path / "others")):
        sweep.sweep([wanted])
        assert store.read(wanted) is not None
    assert (tmp_path / "others" / wanted.run_id).is_dir() and store.read(wanted) is None


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"engine": "spark"}, "unknown engine 'spark'; valid: local, ray"),
        ({"workers": 0}, "workers 0; valid: 1 to"),
        ({"workers": 10_000}, "workers 10000; valid: 1 to"),
    ],
)
def test_options_are_checked(options, names):
    with pytest.raises(UserError, match=names):
        sweep.sweep(specs(1), **options)


def test_short_runs_come_first():
    wanted = [*specs(1, epochs=3), *specs(1), *specs(1, method="none")]
    assert [s.epochs if s.method != "none" else 0 for s in sweep.plan(wanted).new] == [0, 1, 3]


def test_time_is_estimated_from_what_this_machine_has_done():
    done, new = specs(2), specs(2, epochs=30)
    assert sweep.speed("tiny-bert") is None
    assert sweep.estimate(new, 2, {"tiny-bert": None}) is None
    sweep.sweep(done)
    speed = sweep.speed("tiny-bert")
    seconds = sum(runs.stored(s).cost["seconds"] for s in done)
    assert speed == pytest.approx(sum(map(sweep.work, done)) / seconds)
    one, two = (sweep.estimate(new, workers, {"tiny-bert": speed}) for workers in (1, 2))
    assert one == pytest.approx(2 * two) and one == pytest.approx(sum(map(sweep.work, new)) / speed)


def test_work_grows_with_what_is_trained():
    head, value, ranking, full = (
        sweep.work(spec)
        for spec in (
            *specs(1, method="head_only"),
            *specs(1),
            *specs(1, method="all_biases", ranking=True),
            *specs(1, method="full"),
        )
    )
    assert head < value < full and value < ranking
    assert sweep.work(*specs(1, epochs=2)) > value
