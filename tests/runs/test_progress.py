"""How far a run is can be read while it goes on, and costs it nothing."""

import re

import pytest

from beft_lib.engines import Finished, Waited, local
from beft_lib.runs import RunSpec, progress, store
from beft_lib.sweep import sweep

SPEC = {"model": "tiny-bert", "task": "toy-sentiment", "source": "bundled", "method": "value", "n_train": 32}


def test_steps_are_read_back_and_what_is_none_is_nothing(monkeypatch):
    clock = iter([10.0, 10.5, 13.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    steps = progress.Steps("a" * 16, 40)
    for step in (1, 2, 3):
        steps(step)
        assert progress.read("a" * 16).steps == (1, 1, 3)[step - 1]
    assert progress.read("a" * 16) == progress.Going(3, 40, 3.0)
    for text in ("", "1 2", "a b c"):
        (store.work_folder("a" * 16) / progress.FILE).write_text(text)
        assert progress.read("a" * 16) is None
    progress.Steps("a" * 16, 40)
    assert progress.read("a" * 16) is None  # what an earlier process noted says nothing of this one


def test_a_run_whose_steps_cannot_be_noted_goes_on(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BEFT_RUNS", str(tmp_path / "file" / "no-folder"))
    progress.Steps("a" * 16, 40)(1)
    assert progress.read("a" * 16) is None


def test_one_waits_and_hears_how_far_the_runs_are(monkeypatch, capsys):
    monkeypatch.setattr(local, "PATIENCE", (0.2, 0.4))
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    specs = [RunSpec(**SPEC, seed=seed, epochs=30, n_eval=20) for seed in (0, 1)]
    engine = local.Local(1, print)
    engine.start(specs)
    events = list(engine.ended())
    assert [event.spec for event in events if isinstance(event, Finished)] == specs
    waited = [event for event in events if isinstance(event, Waited)]
    assert waited and all(len(event.specs) == 1 for event in waited)
    assert not list(store.folder(specs[0].run_id).parent.glob("*.work"))  # nothing is left of it


@pytest.mark.parametrize("ended", [0, 3])
def test_the_time_left_is_that_of_the_speed_so_far(ended, monkeypatch):
    """Of 10 equal runs one at a time, at 2 s a step of 6 and no time else; the first one's loading is not counted."""
    from beft_lib import sweep as sweeps
    from beft_lib.runs import RunResult, Value

    score = Value.model_construct(metric="accuracy", value=0.5)
    said, specs = [], [RunSpec(**SPEC, seed=seed, epochs=3, n_eval=2) for seed in range(10)]
    schedule = sweeps.Schedule(tuple(specs), 0, ())
    told = sweeps._Progress(schedule, local.Local(1, print), said.append)
    for seed in range(ended):
        cost = {"seconds": 100.0 if seed == 0 else 12.0}
        told.ended(specs[seed], RunResult.model_construct(status="done", cost=cost, metrics=[score], reason=""))
    monkeypatch.setattr(progress, "read", lambda run_id: progress.Going(4, 6, 6.0))
    told.waited(specs[ended : ended + 1])
    left = re.search(r"step 4 of 6; about (\d+) (s|min) left", said[-1])
    seconds = int(left[1]) * (60 if left[2] == "min" else 1)
    assert seconds == pytest.approx((10 - ended) * 12 - 8, rel=0.1, abs=60 if left[2] == "min" else 1)


def test_a_sweep_leaves_no_note(capsys):
    sweep([RunSpec(**SPEC, epochs=1, n_eval=20)], workers=1)
    assert progress.read(RunSpec(**SPEC, epochs=1, n_eval=20).run_id) is None
