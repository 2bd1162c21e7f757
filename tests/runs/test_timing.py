"""What methods cost: turns in order, measured once, stored whole, and compared turn by turn."""

import json
import shutil

import numpy as np
import pytest
from constructed import MACHINE, setting, timed
from safetensors.torch import save

from beft_lib import models, runs, workspace
from beft_lib.errors import UserError
from beft_lib.evidence.costs import ratio
from beft_lib.runs import RunSpec, archive, records, store, timing
from beft_lib.runs.timing import FILE, TimingSpec, Turn
from beft_lib.tuning.prepare import apply_method, tuned_tensors

TINY = {"model": "tiny-bert", "task": "toy-sentiment", "source": "bundled", "n_train": 32, "epochs": 1, "seed": 3}
B_V, HEAD = 2 * 32, 32 + 2 * 32 + 2  # scalars of tiny-bert: 2 layers, 32 wide, 2 classes


def asked(repeats: int = 2, **more) -> TimingSpec:
    return TimingSpec(tuple(RunSpec(**TINY | {"method": m} | more) for m in ("value", "random")), repeats)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A real measurement, and the folder it was stored in."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("timed")
        patch.setenv("BEFT_RUNS", str(root))
        return timing.measure(asked()), root


@pytest.fixture
def kept(measured, tmp_path):
    """The same in the test's own store."""
    shutil.copytree(measured[1], tmp_path / "runs")
    return measured[0]


TURNS = [("value", 0), ("random", 0), ("random", 1), ("value", 1)]
WARM_UP = [("value", 0)]


class Stopped(Exception):
    """The measurement ended in the middle."""


class Turns(list):
    """The turns that were started; `stop`: at how many the next one does not end."""

    stop = None


@pytest.fixture
def pools(monkeypatch) -> Turns:
    """In place of each turn's process: the run it would have timed."""
    started = Turns()

    class Pool:
        def __init__(self, workers, context):
            assert workers == 1

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, function, run, repeat):
            if len(started) == started.stop:
                raise Stopped
            started.append((run.method, repeat))
            self.result = lambda: timed({run.method: [1.0] * (repeat + 1)}).turns[-1]
            return self

    monkeypatch.setattr(timing, "ProcessPoolExecutor", Pool)
    return started


# ----------------------------------------------------------------------------------------------------- measurement


def test_methods_take_turns(measured):
    found, _ = measured
    assert [(t.method, t.repeat) for t in found.turns] == TURNS
    assert (found.methods, found.model, found.task) == (["value", "random"], "tiny-bert", "toy-sentiment")
    assert [t.repeat for t in found.of("random")] == [0, 1]


def test_each_round_begins_with_another_method():
    methods = ("value", "random", "full")
    made = TimingSpec(tuple(RunSpec(**TINY | {"method": method}) for method in methods), 4)
    order = [(run.method, repeat) for run, repeat in made.order]
    firsts = [[method for method, own in order if own == repeat] for repeat in range(4)]
    assert firsts == [list(methods), ["random", "full", "value"], ["full", "value", "random"], list(methods)]
    assert [repeat for _, repeat in order] == sorted(repeat for _, repeat in order) and made.order[0][0] == made.runs[0]
    assert [(run.method, repeat) for run, repeat in asked().order] == TURNS


def test_one_turn_goes_before_that_is_not_counted(pools):
    found = timing.measure(asked())
    assert pools == WARM_UP + TURNS and [(t.method, t.repeat) for t in found.turns] == TURNS


def test_memory_is_read_before_what_was_tuned_is_serialised(monkeypatch):
    import safetensors.torch

    from beft_lib import workspace
    from beft_lib.runs import machine

    done, peak = [], machine.peak_mb
    monkeypatch.setattr(workspace, "cores", lambda: 1)
    monkeypatch.setattr(machine, "reset_peak", lambda: True)
    monkeypatch.setattr(machine, "peak_mb", lambda: done.append("read") or peak() or 0.0)
    monkeypatch.setattr(safetensors.torch, "save", lambda tensors: done.append("saved") or save(tensors))
    turn = timing._turn(asked().runs[0], 0)
    assert done == ["read", "read", "saved"] and turn.saved_bytes > 4 * (B_V + HEAD)


def test_a_turn_has_a_time_and_what_trained(measured):
    for turn in measured[0].turns:
        assert turn.seconds > turn.loop_seconds > 0 and turn.samples == 32
        assert turn.memory_mb is None or turn.memory_mb > 0  # not every system can tell
        assert turn.trainable == B_V + HEAD
        assert turn.parameters == sum(p.numel() for p in models.classifier("tiny-bert", 2, 3).parameters())


def test_saved_bytes_are_those_of_the_parameters_that_train(measured):
    prepared = apply_method(models.classifier("tiny-bert", 2, 3), "value", 3)
    trained = {n: p.detach() for n, p in prepared.model.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in trained.values()) == B_V + HEAD
    assert {turn.saved_bytes for turn in measured[0].of("value")} == {len(save(trained))}


def test_random_scalars_are_saved_with_their_places(measured):
    scalars = 4 * (B_V + HEAD)
    (value,) = {turn.saved_bytes for turn in measured[0].of("value")}
    (random,) = {turn.saved_bytes for turn in measured[0].of("random")}
    prepared = apply_method(models.classifier("tiny-bert", 2, 3), "random", 3)
    names = 2 * len(prepared.scalars.places)  # a header entry each, of at least some tens of bytes
    assert value > scalars and random > scalars + 4 * B_V + 10 * names
    assert random == len(save(tuned_tensors(prepared)))


def test_a_timing_says_what_and_where(measured):
    found, root = measured
    assert found.timing_id == asked().timing_id and found.runs == [run.portable for run in asked().runs]
    assert {"processor", "packages", "threads"} <= set(found.environment)
    assert (root / found.timing_id / FILE).is_file()


def test_nothing_but_the_timing_is_left_in_the_store(kept, tmp_path):
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [asked().timing_id]
    assert list(store.recorded()) == [] and not any(store.read(run) for run in asked().runs)


def test_what_is_stored_is_not_measured_again(kept, pools):
    assert timing.measure(asked()) == timing.stored(asked()) == kept and pools == []


def test_another_number_of_turns_or_other_runs_are_another_timing(kept, pools):
    assert timing.stored(asked(repeats=3)) is timing.stored(asked(n_train=16)) is None
    found = timing.measure(asked(repeats=3))
    assert pools == [*WARM_UP, *TURNS, ("value", 2), ("random", 2)]
    assert [(t.method, t.repeat) for t in found.turns] == pools[1:] and timing.stored(asked()) == kept


def test_fresh_measures_anew_and_only_once(kept, pools, monkeypatch):
    monkeypatch.setenv("BEFT_FRESH", str(kept.recorded + 1e-3))
    assert timing.stored(asked()) is None
    found = timing.measure(asked())
    assert pools == WARM_UP + TURNS and found.recorded > kept.recorded
    assert timing.measure(asked()) == timing.stored(asked()) == found and len(pools) == 5


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"\xff\xfe", None])
def test_a_damaged_file_is_measured_again(kept, pools, damage):
    file = store.folder(asked().timing_id) / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:-40] if damage is None else damage)
    assert timing.stored(asked()) is None
    assert len(timing.measure(asked()).turns) == 4 and pools == WARM_UP + TURNS
    assert timing.stored(asked()) is not None


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_measurement_that_was_stopped_goes_on(pools, turns):
    pools.stop = 1 + turns
    with pytest.raises(Stopped):
        timing.measure(asked())
    assert timing.stored(asked()) is None  # it is not complete
    begun = timing.Timing.model_validate_json((store.folder(asked().timing_id) / FILE).read_bytes())
    assert [(t.method, t.repeat) for t in begun.turns] == TURNS[:turns]
    pools.stop = None
    found = timing.measure(asked())
    assert pools == WARM_UP + TURNS  # neither the warm-up nor what is stored again
    assert found.turns[:turns] == begun.turns and [(t.method, t.repeat) for t in found.turns] == TURNS
    assert timing.stored(asked()) == found and timing.measure(asked()) == found and len(pools) == 5


def test_a_measurement_that_was_begun_before_fresh_starts_over(pools, monkeypatch):
    pools.stop = 3
    with pytest.raises(Stopped):
        timing.measure(asked())
    begun = timing.Timing.model_validate_json((store.folder(asked().timing_id) / FILE).read_bytes())
    pools.clear()
    pools.stop = None
    monkeypatch.setenv("BEFT_FRESH", str(begun.recorded + 1e-3))
    assert len(timing.measure(asked()).turns) == 4 and pools == WARM_UP + TURNS


def test_a_stopped_warm_up_stores_nothing(pools, tmp_path):
    pools.stop = 1
    with pytest.raises(Stopped):
        timing.measure(asked())
    assert not (tmp_path / "runs").exists()


def test_each_round_is_reported(pools, monkeypatch, tmp_path, capfd):
    lines = ["timing 2 methods, turn 1 of 2", "timing 2 methods, turn 2 of 2"]
    timing.measure(asked())
    assert capfd.readouterr().out.splitlines() == lines
    timing.measure(asked())
    assert capfd.readouterr().out == ""
    monkeypatch.setenv("BEFT_PROGRESS", str(tmp_path / "progress"))
    timing.measure(asked(n_train=16))
    assert (tmp_path / "progress").read_text().splitlines() == ["  " + line for line in lines]
    assert capfd.readouterr().out == ""


def test_a_mistake_in_a_turn_is_raised_and_nothing_is_stored(monkeypatch, tmp_path):
    class Failing:
        def __init__(self, *_):
            raise UserError("in the turn")

    monkeypatch.setattr(timing, "ProcessPoolExecutor", Failing)
    with pytest.raises(UserError, match="in the turn"):
        timing.measure(asked())
    assert timing.stored(asked()) is None and not (tmp_path / "runs").exists()


def test_a_timing_of_other_runs_is_not_taken_for_it(kept):
    shutil.copytree(store.folder(asked().timing_id), store.folder(asked(n_train=16).timing_id))
    assert timing.stored(asked(n_train=16)) is None


# ------------------------------------------------------------------------------------------------ published records


@pytest.fixture
def published(kept, tmp_path):
    """The same as published records that stand in for the run store; its index knows the specs' data and weights."""
    of = asked().runs[0]
    index = {"source": "bundled", "recipe": of.recipe, "tasks": {of.task: {"version": of.data, "train": 1}}}
    index["models"] = {of.model: of.weights}
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "index.json").write_text(json.dumps(index))
    archive.write_lines(folder / archive.TIMINGS, {kept.timing_id: kept.model_dump_json().encode()})
    with workspace.using(workspace.Workspace(runs=folder, published=True, fresh=kept.recorded + 1)):
        yield folder


def test_published_records_are_read_and_never_added_to(published, kept, pools):
    there, absent = asked(), asked(repeats=3)
    assert timing.measure(there) == kept
    with pytest.raises(UserError, match=f"timing {absent.timing_id} .*--published"):
        timing.measure(absent)
    assert pools == []


@pytest.mark.parametrize("turns", [0, 3])
def test_an_incomplete_timing_among_published_records_is_none(published, kept, pools, turns):
    line = kept.model_copy(update={"turns": kept.turns[:turns]}).model_dump_json().encode()
    archive.write_lines(published / archive.TIMINGS, {kept.timing_id: line})
    with pytest.raises(UserError, match="--published"):
        timing.measure(asked())
    assert pools == []


def folder_of_records(tmp_path):
    """A records folder of constructed runs, all made on `MACHINE`."""
    (tmp_path / "kept").mkdir()
    records.keep([runs.stored(spec) for spec in setting({"value": [0.8]})], tmp_path / "kept")
    return tmp_path / "kept"


def test_a_timing_is_kept_with_records_of_its_machine(tmp_path):
    folder, found = folder_of_records(tmp_path), timed({"value": [1.0, 2.0]})
    assert timing.keep(found, folder)
    (line,) = (folder / archive.TIMINGS).read_bytes().splitlines()
    assert timing.Timing.model_validate_json(line) == found


def test_a_file_of_timings_that_is_damaged_is_left_alone(tmp_path):
    folder = folder_of_records(tmp_path)
    (folder / archive.TIMINGS).write_bytes(b'{"timing_id": "half')
    assert not timing.keep(timed({"value": [1.0, 2.0]}), folder)
    assert (folder / archive.TIMINGS).read_bytes() == b'{"timing_id": "half'


@pytest.mark.parametrize("other", [{"processor": "another"}, {"packages": {"torch": "1"}}])
def test_a_timing_of_another_machine_is_not(tmp_path, other):
    folder = folder_of_records(tmp_path)
    before = sorted(path.name for path in folder.iterdir())
    assert not timing.keep(timed({"value": [1.0]}, environment=MACHINE | other), folder)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_timing_that_is_there_is_not_replaced(tmp_path):
    folder = folder_of_records(tmp_path)
    assert timing.keep(timed({"value": [1.0]}), folder) and timing.keep(timed({"value": [9.0]}), folder)
    assert timing.keep(timed({"value": [9.0]}, environment=MACHINE | {"processor": "another"}), folder)
    assert "9.0" not in (folder / archive.TIMINGS).read_text()


def test_without_records_nothing_is_kept(tmp_path):
    assert not timing.keep(timed({"value": [1.0]}), tmp_path)
    (tmp_path / "index.json").write_text("{")
    assert not timing.keep(timed({"value": [1.0]}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]


def test_a_damaged_copy_in_the_records_is_completed(tmp_path):
    folder, found = folder_of_records(tmp_path), timed({"value": [1.0]})
    timing.keep(found, folder)
    whole = (folder / archive.TIMINGS).read_bytes()
    archive.write_lines(folder / archive.TIMINGS, {"constructed": b'{"timing_id": "constructed"}'})
    assert timing.keep(found, folder) and (folder / archive.TIMINGS).read_bytes() == whole


# ---------------------------------------------------------------------------------------------------------- numbers

FAST, SLOW = [1.0, 2.0, 1.5], [1.9, 4.4, 3.0]


def seconds(turn: Turn) -> float:
    return turn.seconds


def test_a_median_is_over_turns():
    found = timed({"value": FAST, "full": SLOW})
    assert found.median("value", seconds) == np.median(FAST) and found.median("full", seconds) == np.median(SLOW)
    assert found.median("full", lambda turn: turn.samples / turn.seconds) == pytest.approx(100 / 3)


def test_a_ratio_is_geometric_and_taken_within_each_turn():
    found = ratio(timed({"value": FAST, "full": SLOW}), "full", "value", seconds)
    logs = np.log(np.divide(SLOW, FAST))
    half = 4.302652729911275 * logs.std(ddof=1) / np.sqrt(3)  # Student's t of 2 degrees of freedom
    assert found == pytest.approx((np.exp(logs.mean()), np.exp(logs.mean() - half), np.exp(logs.mean() + half), 3))
    assert found.mean == pytest.approx(np.prod(np.divide(SLOW, FAST)) ** (1 / 3))
    back = ratio(timed({"value": FAST, "full": SLOW}), "value", "full", seconds)
    assert back == pytest.approx((1 / found.mean, 1 / found.high, 1 / found.low, 3))


def test_what_slows_a_whole_turn_slows_no_method():
    slowed = [np.multiply(own, [1, 10, 3]).tolist() for own in (FAST, SLOW)]
    found = ratio(timed(dict(zip(("value", "full"), slowed))), "full", "value", seconds)
    assert found == pytest.approx(ratio(timed({"value": FAST, "full": SLOW}), "full", "value", seconds))


def test_one_turn_has_no_interval_and_equal_ratios_no_spread():
    one = ratio(timed({"value": [1.0], "full": [2.0]}), "full", "value", seconds)
    assert one.mean == pytest.approx(2) and np.isnan(one.low) and np.isnan(one.high) and one.n == 1
    equal = ratio(timed({"value": FAST, "full": [2 * s for s in FAST]}), "full", "value", seconds)
    assert equal == pytest.approx((2, 2, 2, 3)) and ratio(timed({"value": FAST}), "value", "value", seconds).mean == 1
