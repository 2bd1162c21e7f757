"""From a notebook's parameters to its runs, and from runs to published records and back."""

import json
import multiprocessing
import shutil
import zipfile

import numpy as np
import pytest
from constructed import setting

from beft_lib import evidence, models, runs, sweep, workspace
from beft_lib.chapters import plans, registry
from beft_lib.chapters.bias_selection import plan as bias_selection
from beft_lib.chapters.glue_regimes import plan as glue_regimes
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec, archive, published, records, store

TOYS = {"low": ["toy-sentiment", "toy-similarity"], "medium": ["toy-sentiment"]}
TINY = {"model": "tiny-bert", "source": "bundled", "settings": TOYS, "seeds": [0, 1]}


def plan(**more) -> glue_regimes.Plan:
    return glue_regimes.plan(**TINY | more)


def count(specs, **fields) -> int:
    return sum(all(getattr(spec, name) == value for name, value in fields.items()) for spec in specs)


# ------------------------------------------------------------------------------------------- what plans share


SHARED = {"model": "tiny-bert", "source": "bundled", "epochs": {"toy-sentiment": 2}, "n_eval": {"toy-sentiment": 40}}


def test_shared_fields_are_a_tasks_own_or_the_papers_and_give_way_to_a_runs():
    shared = plans.Shared(**SHARED, learning_rates={"toy-sentiment": None})
    own, other = shared.spec("toy-sentiment", "value"), shared.spec("toy-similarity", "value", seed=3, n_eval=30)
    papers = RunSpec(model="tiny-bert", source="bundled", task="toy-similarity", method="value")
    assert (own.epochs, own.n_eval, other.epochs, other.n_eval, other.seed) == (2, 40, papers.epochs, 30, 3)
    assert (own.learning_rate, other.learning_rate) == (papers.learning_rate, papers.learning_rate)


@pytest.mark.parametrize(("keeps", "regime"), [(False, "custom"), (True, "medium")])
def test_a_number_of_examples_makes_a_custom_regime_unless_it_is_kept(keeps, regime):
    shared = plans.Shared(**SHARED, regime="medium", keeps_regime=keeps, n_train={"toy-sentiment": 48})
    assert shared.spec("toy-sentiment", "value").regime == shared.spec("toy-similarity", "value", n_train=20).regime
    assert shared.spec("toy-sentiment", "value").regime == regime
    assert shared.spec("toy-similarity", "value").regime == "medium"


@pytest.mark.parametrize("ranked", [True, False])
def test_runs_of_all_biases_rank_them_but_for_those_of_a_search(ranked):
    shared = plans.Shared(**SHARED, ranked=ranked)
    assert shared.spec("toy-sentiment", "all_biases").ranking == ranked
    tried = shared.search("toy-sentiment", "all_biases", [1e-3, 2e-3], held_out=30, epochs=5)
    assert [(s.learning_rate, s.n_eval, s.epochs, s.seed) for s in tried] == [
        (rate, 30, 5, plans.SEARCH_SEED) for rate in (1e-3, 2e-3)
    ]
    assert all((s.evaluation, s.each_epoch, s.ranking) == ("development", True, False) for s in tried)


def test_the_first_name_that_is_not_valid_is_named_with_its_parameter():
    plans.check_names("task", {"epochs": {"a": 1}, "search": ["b"], "rates": {}}, ("a", "b"))
    with pytest.raises(UserError, match="task .*search.*'ab'.*valid: a, b"):
        plans.check_names("task", {"epochs": {"a": 1}, "search": ["b", "ab"], "rates": ["c"]}, iter(("a", "b")))


# ------------------------------------------------------------------------------------------------- notebooks' plans


def test_bias_selection_compares_runs_of_one_recipe():
    made = bias_selection.plan(model="tiny-bert", task="toy-sentiment", source="bundled", seeds=[0, 1])
    assert len({(s.method, s.seed) for s in made.compared}) == len(made.compared) == 2 * 5
    assert made.specs == made.compared


def test_every_setting_compares_the_methods_over_the_seeds():
    made = plan()
    assert [(s.task, s.regime) for s in made.settings] == [
        ("toy-sentiment", "low"),
        ("toy-similarity", "low"),
        ("toy-sentiment", "medium"),
    ]
    assert len(made.specs) == len(set(made.specs)) == 3 * 2 * 4 and made.search == ()  # no b_k: the head stands for it
    assert count(made.specs, method="key") == 0 and count(made.specs, ranking=True) == 6
    for setting_ in made.settings:
        assert {(s.task, s.regime, s.n_train) for s in setting_.specs} == {
            (setting_.task, setting_.regime, setting_.n_train)
        }
        assert all(s.ranking == (s.method == "all_biases") for s in setting_.specs)


def test_b_k_is_run_where_it_is_not_known_to_be_inert(monkeypatch):
    assert plans.single_terms("minilm-l6") == ["query", "value"]
    assert set(plans.single_terms("hub:org/name")) == {"query", "key", "value"}
    monkeypatch.setattr(models, "key_is_inert", lambda name: False)
    made = plan()
    assert len(made.specs) == 3 * 2 * 5 and count(made.specs, method="key") == 6


def test_parameters_are_by_task_and_regime():
    made = plan(
        learning_rates={"toy-sentiment": 0.01},
        epochs={"medium": {"toy-sentiment": 3}},
        n_train={"low": {"toy-similarity": 50}},
        n_eval={"toy-similarity": 40},
    )
    low, similarity, medium = (setting_.specs[0] for setting_ in made.settings)
    papers = plan().settings
    assert low.learning_rate == medium.learning_rate == 0.01
    assert similarity.learning_rate == papers[1].specs[0].learning_rate != 0.01
    assert (medium.epochs, low.epochs) == (3, papers[0].specs[0].epochs)
    assert (similarity.n_train, made.settings[1].n_train, similarity.regime) == (50, 50, "low")
    assert (low.n_eval, similarity.n_eval) == (None, 40)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"settings": {"lots": ["toy-sentiment"]}}, ["'lots'", "low", "medium", "high", "all"]),
        ({"epochs": {"lots": {"toy-sentiment": 3}}}, ["regime in epochs", "'lots'", "medium"]),
        ({"n_train": {"lots": {"toy-sentiment": 3}}}, ["regime in n_train", "'lots'", "medium"]),
        (
            {"learning_rates": {"toy-sentimen": 1e-3}},
            ["learning_rates", "'toy-sentimen'", "did you mean 'toy-sentiment'"],
        ),
        ({"n_eval": {"sst2": 10}}, ["n_eval", "'sst2'", "toy-similarity"]),
        ({"search": {"sst2": 10}}, ["search", "'sst2'", "toy-similarity"]),
        ({"epochs": {"low": {"sst2": 3}}}, ["epochs: low", "'sst2'", "toy-sentiment"]),
        ({"n_train": {"low": {"sst2": 3}}}, ["n_train: low", "'sst2'", "toy-sentiment"]),
        ({"settings": {"low": ["toy-sentiments"]}}, ["'toy-sentiments'", "toy-sentiment"]),
        ({"settings": {"low": ["toy-sentiment"] * 2}}, ["repeats a task", "low"]),
        ({"settings": {}}, ["settings", "no task"]),
        ({"settings": {"low": []}}, ["settings", "no task"]),
        ({"seeds": []}, ["seeds", "at least one"]),
        ({"seeds": [1, 1]}, ["seeds", "repeats a seed"]),
        ({"model": "tiny-burt"}, ["'tiny-burt'", "tiny-bert"]),
    ],
)
def test_parameters_that_cannot_work_are_refused_with_names(given, said):
    with pytest.raises(UserError) as error:
        plan(**given)
    assert all(name in str(error.value) for name in said), str(error.value)


def test_a_search_is_held_out_of_the_training_examples():
    made = plan(search={"toy-sentiment": 7}, search_rates=[1e-3, 2e-3], n_eval={"toy-sentiment": 40})
    assert [s.learning_rate for s in made.search] == [1e-3, 2e-3]
    for spec in made.search:
        assert (spec.task, spec.regime, spec.method, spec.epochs) == ("toy-sentiment", "low", "all_biases", 7)
        assert (spec.evaluation, spec.n_eval, spec.each_epoch) == ("development", glue_regimes.HELD_OUT, True)
        assert spec.seed not in TINY["seeds"] and not spec.ranking
    assert set(made.specs) == {*made.search, *made.compared} and not set(made.search) & set(made.compared)


def test_a_search_is_in_the_tasks_first_regime():
    settings = {"medium": ["toy-sentiment"], "low": ["toy-sentiment", "toy-similarity"]}
    made = plan(settings=settings, search={"toy-sentiment": 7})
    assert {s.regime for s in made.search} == {"medium"} and len(made.search) == 3


def test_notebooks_share_the_runs_of_one_setting():
    glue = plan(settings={"low": ["toy-sentiment"]})
    first = bias_selection.plan(model="tiny-bert", task="toy-sentiment", source="bundled", seeds=[0, 1])
    assert {s.run_id for s in glue.compared} == {s.run_id for s in first.compared if s.method != "none"}


def test_plans_are_found_by_notebook():
    assert registry.plan("02_glue_regimes", TINY) == plan()


# --------------------------------------------------------------------------------------------------------- records


@pytest.fixture
def kept_records(tmp_path):
    """Records of constructed runs, as another machine has them: no data, no weights, no run store."""
    specs = setting({"value": [0.80, 0.81], "query": [0.70, 0.70], "head_only": [0.6, 0.6]})
    (tmp_path / "kept").mkdir()
    records.keep([runs.stored(spec) for spec in specs], tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "runs")
    with workspace.using(workspace.Workspace(runs=tmp_path / "elsewhere", published=True)):
        yield tmp_path / "elsewhere"


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def asked(**more) -> RunSpec:
    given = {"model": "minilm-l6", "task": "sst2", "source": "hub", "method": "value", "n_train": 1000, "regime": "low"}
    return RunSpec(**given | more)


@pytest.mark.parametrize("source", ["hub", "bundled", "local:nowhere"])
def test_records_are_found_without_data_whatever_the_source(kept_records, source):
    assert runs.stored(asked(source=source)).metrics[0].value == pytest.approx(0.80)
    assert set(runs.predictions(asked(source=source))) == {f"validation/{n}" for n in ("logits", "labels", "ids")}


def test_records_judge_as_the_runs_did(kept_records):
    specs = [asked(method=m, seed=s) for m in ("value", "query", "head_only") for s in (0, 1)]
    specs += [asked(method="all_biases", seed=s, ranking=True) for s in (0, 1)]
    found = evidence.compare_one(specs)
    assert found.gap("value", "query").mean == pytest.approx(10.5) and found.selected("projection") == "value"


def test_records_know_how_many_examples_all_are(kept_records):
    assert asked(regime="all", n_train=None).n_train == 60000


def test_what_is_not_in_the_records_is_named(kept_records):
    with pytest.raises(UserError, match="task .*'rte'.*valid: sst2"):
        asked(task="rte")
    with pytest.raises(UserError, match="model .*'bert-base'.*valid: minilm-l6"):
        asked(model="bert-base")
    assert store.read(asked(seed=5)) is None


def test_published_runs_are_of_the_records_recipe(kept_records):
    """An index that says none is of records made before there was another."""
    assert published.read_index(kept_records).recipe == asked().recipe == 3
    index = json.loads((kept_records / published.INDEX).read_text())
    del index["recipe"]
    (kept_records / published.INDEX).write_text(json.dumps(index))
    assert published.read_index(kept_records).recipe == asked().recipe == 2
    assert store.read(asked()) is None


def test_a_broken_index_is_reported(kept_records):
    (kept_records / published.INDEX).write_text('{"source": ')
    with pytest.raises(UserError, match="not the index of published records"):
        asked()
    (kept_records / published.INDEX).write_text('{"source": "hub", "task": {}}')
    with pytest.raises(UserError, match="restore the file"):
        asked()
    (kept_records / published.INDEX).unlink()
    with pytest.raises(UserError, match="no published records"):
        asked()


def of(folder, kind: str):
    """The records' only file of that kind."""
    (file,) = folder.glob(f"*{kind}")
    return file


@pytest.mark.parametrize("keeps", [0.0, 0.5, 0.99, None])
def test_damaged_arrays_are_never_trusted(kept_records, keeps):
    file = of(kept_records, archive.ARRAYS)
    content = file.read_bytes()
    file.unlink() if keeps is None else file.write_bytes(content[: int(keeps * len(content))])
    assert store.trusted(asked()) is None
    with pytest.raises(runs.Damaged, match="missing from .*, or not what was written"):
        runs.stored(asked())


def test_other_arrays_under_the_names_of_a_runs_are_never_trusted(kept_records):
    file = of(kept_records, archive.ARRAYS)
    with zipfile.ZipFile(file) as packed:
        named = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in zip(named, reversed(named.values())):
            packed.writestr(name, content)
    with pytest.raises(runs.Damaged, match="not what was written"):
        runs.stored(asked())


def test_a_line_that_is_cut_short_is_reported_and_the_others_are_read(kept_records):
    file = of(kept_records, archive.RUNS)
    *whole, last = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole) + last[:-20])
    specs = [asked(method=m, seed=s) for m in ("value", "query", "head_only") for s in (0, 1)]
    specs += [asked(method="all_biases", seed=s, ranking=True) for s in (0, 1)]
    assert sum(store.trusted(spec) is not None for spec in specs) == len(specs) - 1
    with pytest.raises(UserError, match=f"1 of 8 runs .* line 8 of {file} .*restore"):
        sweep.plan(specs)


def test_a_line_that_is_no_result_is_reported(kept_records):
    file = of(kept_records, archive.RUNS)
    file.write_bytes(file.read_bytes().replace(b'"status":"done"', b'"state":"done"'))
    with pytest.raises(runs.Damaged, match="a line of .* is not a run's record: .*restore the file"):
        runs.stored(asked())


def test_keeping_more_runs_adds_to_the_index(tmp_path):
    (tmp_path / "kept").mkdir()
    for task in ("sst2", "rte"):
        records.keep([runs.stored(spec) for spec in setting({"value": [0.8]}, task=task)], tmp_path / "kept")
    found = published.read_index(tmp_path / "kept")
    assert set(found.tasks) == {"sst2", "rte"} and found.source == "local"
    assert found.tasks["rte"] == published.Data(version="constructed", train=60000)


def test_records_that_are_there_are_compared_with_and_not_replaced(tmp_path):
    kept = tmp_path / "kept"
    results = [runs.stored(spec) for spec in setting({"value": [0.8]})]
    assert records.keep(results, kept).added == len(results)
    moved = results[0].model_copy(deep=True)
    moved.metrics[0].value += 0.03
    before = contents(kept)
    again = records.keep([moved, *results[1:]], kept)
    assert again.added == 0 and max(again.differences) == pytest.approx(3)
    assert contents(kept) == before


@pytest.mark.parametrize("what", ["another machine", "other data", "another recipe"])
def test_runs_of_another_machine_or_data_are_not_mixed_in(tmp_path, what):
    kept = tmp_path / "kept"
    records.keep([runs.stored(spec) for spec in setting({"value": [0.8]})], kept)
    other = runs.stored(setting({"query": [0.7]})[0]).model_copy(deep=True)
    if what == "other data":
        other.spec["data"] = "other"
    elif what == "another recipe":
        other.spec["recipe"] = 2
    else:
        other.environment["processor"] = "another"
    before = contents(kept)
    found = records.keep([other], kept)
    assert found.added == 0 and "left alone" in found.notice
    assert contents(kept) == before


@pytest.mark.parametrize("kind", [published.INDEX, archive.RUNS, archive.ARRAYS])
def test_a_copy_that_was_cut_short_is_completed(tmp_path, kind):
    kept = tmp_path / "kept"
    results = [runs.stored(spec) for spec in setting({"value": [0.8, 0.9]})]
    records.keep(results, kept)
    before = contents(kept)
    of(kept, kind).unlink()
    assert records.keep(results, kept).added == (0 if kind == published.INDEX else len(results))
    assert contents(kept) == before


def test_a_damaged_line_is_reported_and_no_line_is_lost(tmp_path):
    kept = tmp_path / "kept"
    records.keep([runs.stored(spec) for spec in setting({"value": [0.8]})], kept)
    file = of(kept, archive.RUNS)
    file.write_bytes(file.read_bytes()[:-20])
    before = contents(kept)
    found = records.keep([runs.stored(spec) for spec in setting({"query": [0.7]})], kept)
    assert found.added == 0 and f"line 2 of {file} is not what was written" in found.notice
    assert contents(kept) == before


def test_a_damaged_archive_is_completed_and_what_is_whole_in_it_stays(tmp_path):
    kept = tmp_path / "kept"
    first, second = ([runs.stored(s) for s in setting({m: [0.8]}, ids=m, ranked=False)] for m in ("value", "query"))
    records.keep([*first, *second], kept)
    before, file = contents(kept), of(kept, archive.ARRAYS)
    lost = archive.record(kept, first[0].run_id).predictions["validation/ids"]
    with zipfile.ZipFile(file) as packed:
        named = {name: packed.read(name) for name in packed.namelist() if name != lost}
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in named.items():
            packed.writestr(name, content)
    assert records.keep([*first, *second], kept).added == 1 and contents(kept) == before


def test_records_hold_the_same_bytes_however_runs_were_added(tmp_path):
    specs = setting({"value": [0.8, 0.9], "query": [0.7, 0.7]}) + setting({"value": [0.8]}, task="rte")
    results = [runs.stored(spec) for spec in specs]
    records.keep(results, tmp_path / "at once")
    for result in (*results[1::2], *results[::2]):
        records.keep([result], tmp_path / "one by one")
    first, second = contents(tmp_path / "at once"), contents(tmp_path / "one by one")
    assert json.loads(first.pop(published.INDEX)) == json.loads(second.pop(published.INDEX)) and first == second
    for file in (tmp_path / "at once").glob(f"*{archive.RUNS}"):
        ids = [json.loads(line)["result"]["run_id"] for line in file.read_bytes().splitlines()]
        assert ids == sorted(ids)


def test_adding_runs_writes_only_the_files_of_their_model_and_task(tmp_path):
    kept = tmp_path / "kept"
    records.keep([runs.stored(spec) for spec in setting({"value": [0.8]})], kept)
    before = {path.name: path.stat().st_ino for path in kept.iterdir()}
    records.keep([runs.stored(spec) for spec in setting({"value": [0.8]}, task="rte")], kept)
    after = {path.name: path.stat().st_ino for path in kept.iterdir()}
    assert {name for name in before if after[name] == before[name]} == set(before) - {published.INDEX}
    assert len(after) == len(before) + 2


def test_arrays_that_runs_share_are_kept_once_and_read_as_they_were(tmp_path):
    specs = setting({"value": [0.8, 0.8], "query": [0.7, 0.7]}, ranked=False)
    made = {spec: runs.predictions(spec) for spec in specs}
    records.keep([runs.stored(spec) for spec in specs], tmp_path / "kept")
    with zipfile.ZipFile(of(tmp_path / "kept", archive.ARRAYS)) as packed:
        assert len(packed.namelist()) < 3 * len(specs)
    with workspace.using(workspace.Workspace(runs=tmp_path / "kept", published=True)):
        for spec, arrays in made.items():
            found = runs.predictions(spec)
            assert list(found) == list(arrays)
            for name in arrays:
                np.testing.assert_array_equal(found[name], arrays[name], strict=True)


def _keep_slowly(folder, runs_folder, numbers) -> None:
    """In a process of its own: keep these runs of the store, one after the other."""
    with workspace.using(workspace.Workspace(runs=runs_folder)):
        results = sorted(store.recorded(), key=lambda result: result.run_id)
        for number in numbers:
            assert records.keep([results[number]], folder).added == 1


def test_two_processes_that_keep_runs_at_once_lose_none(tmp_path):
    specs = setting({"value": [0.8] * 6, "query": [0.7] * 6}, ranked=False)
    context = multiprocessing.get_context("spawn")
    folders = tmp_path / "kept", tmp_path / "runs"
    own = [context.Process(target=_keep_slowly, args=(*folders, range(first, 12, 2))) for first in (0, 1)]
    for process in own:
        process.start()
    for process in own:
        process.join()
    assert [process.exitcode for process in own] == [0, 0]
    with workspace.using(workspace.Workspace(runs=tmp_path / "kept", published=True)):
        assert all(store.trusted(spec) is not None for spec in specs)


def test_a_writer_that_was_killed_leaves_records_as_they_were(tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    records.keep([runs.stored(spec) for spec in setting({"value": [0.8]})], kept)
    before = {name: content for name, content in contents(kept).items() if not name.endswith(archive.ARRAYS)}

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "write_lines", killed)  # the arrays are there, the lines that name them are not
    with pytest.raises(KeyboardInterrupt):
        records.keep([runs.stored(spec) for spec in setting({"query": [0.7]})], kept)
    assert {name: content for name, content in contents(kept).items() if name in before} == before


# ------------------------------------------------------------------------------------------ records of two machines


def made_on(processor: str, model: str, scores=None, **more) -> list:
    """Results of a model's runs, as this machine would have made them."""
    results = [runs.stored(s) for s in setting(scores or {"value": [0.8, 0.9]}, model, ranked=False, **more)]
    return [r.model_copy(update={"environment": r.environment | {"processor": processor}}) for r in results]


def test_a_model_of_another_machine_is_added_and_each_model_has_its_machine(tmp_path):
    kept = tmp_path / "kept"
    assert records.keep(made_on("first", "minilm-l6"), kept).added == 2
    added = records.keep(made_on("second", "bert-base", task="rte"), kept)
    assert (added.added, added.notice) == (2, "")
    found = published.read_index(kept)
    assert found.machine_of("minilm-l6").startswith("first; ") and found.machine_of("bert-base").startswith("second; ")
    assert set(found.models) == {"minilm-l6", "bert-base"} and found.machine_of("roberta-base") is None
    assert list(found.machines) == ["bert-base"]


def test_two_models_of_two_machines_can_be_kept_at_once(tmp_path):
    results = made_on("first", "minilm-l6") + made_on("second", "bert-base") + made_on("first", "roberta-base")
    assert records.keep(results, tmp_path / "kept").added == 6
    found = published.read_index(tmp_path / "kept")
    machines = [found.machine_of(model).partition(";")[0] for model in ("minilm-l6", "bert-base", "roberta-base")]
    assert machines == ["first", "second", "first"]


@pytest.mark.parametrize("model", ["minilm-l6", "bert-base"])
@pytest.mark.parametrize("machine", ["first", "second", "third"])
def test_more_runs_of_a_model_come_from_its_own_machine(tmp_path, model, machine):
    kept = tmp_path / "kept"
    own = {"minilm-l6": "first", "bert-base": "second"}
    for name, where in own.items():
        records.keep(made_on(where, name), kept)
    before = {r.run_id for r in archive.results(kept)}
    found = records.keep(made_on(machine, model, {"query": [0.7]}), kept)
    assert (found.added, "left alone" in found.notice) == ((1, False) if machine == own[model] else (0, True))
    assert sum(1 for _ in archive.results(kept)) == len(before) + found.added


def test_runs_of_one_model_and_two_machines_are_never_kept_together(tmp_path):
    mixed = made_on("first", "minilm-l6") + made_on("second", "minilm-l6", {"query": [0.7]})
    assert records.keep(mixed, tmp_path / "kept").added == 0 and not (tmp_path / "kept").exists()
    beside = (
        made_on("first", "minilm-l6") + made_on("second", "bert-base") + made_on("third", "bert-base", {"key": [0.7]})
    )
    found = records.keep(beside, tmp_path / "kept")
    assert found.added == 0 and "left alone" in found.notice


def test_runs_of_two_states_of_the_data_are_never_kept_together(tmp_path):
    other = made_on("first", "minilm-l6", {"query": [0.7]}, data="other")
    assert records.keep(made_on("first", "minilm-l6") + other, tmp_path / "kept").added == 0


def test_an_index_without_machines_of_its_models_has_one_for_all():
    found = published.Index(source="hub", machine="first", models={"minilm-l6": "w"})
    assert found.machine_of("minilm-l6") == "first" and found.machine_of("bert-base") is None
