"""A run's identity, what it stores, and a store that is never trusted unread."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest

from beft_lib import biases, importance, models, runs, tasks
from beft_lib.errors import UserError
from beft_lib.runs import RECIPE_VERSION, Damaged, RunSpec, frames, scores, store
from beft_lib.runs.execute import prepare, recipe_of
from beft_lib.tasks import metrics
from beft_lib.tuning import loop
from beft_lib.tuning.prepare import apply_method

TINY = {"model": "tiny-bert", "task": "toy-sentiment", "source": "bundled", "n_train": 24, "epochs": 2}


def spec(**more) -> RunSpec:
    return RunSpec(**{**TINY, "method": "value", **more})


# ---------------------------------------------------------------------------------------------------------- spec


def test_the_papers_settings_fill_what_is_left_out():
    paper = RunSpec(model="bert-base", task="sst2", source="hub", method="value")
    assert (paper.n_train, paper.learning_rate, paper.epochs, paper.batch_size) == (1000, 4e-4, 16, 16)
    assert (paper.eps, paper.weight_decay, paper.clip, paper.max_length, paper.schedule) == (
        1e-6,
        0,
        1,
        128,
        "constant",
    )
    assert RunSpec(model="bert-base", task="sst2", source="hub", method="full").learning_rate == 1e-5
    assert RunSpec(model="bert-base", task="rte", source="hub", method="value", regime="high").n_train == 1200


def test_the_recipe_is_part_of_the_id_and_recipe_2_names_the_runs_that_it_named():
    known = {"source": "local:x", "data": "d", "weights": "w"}
    asked = {
        "b5f4ecab743d2b5f": {"model": "minilm-l6", "task": "sst2", "method": "value"},
        "2949d758aa35110e": {"model": "smollm2-135m", "task": "squad", "method": "lora", "n_train": 50},
    }
    for run_id, fields in asked.items():
        assert RunSpec(**known, **fields, recipe=2).run_id == run_id != RunSpec(**known, **fields).run_id
        assert RunSpec(**known, **fields).recipe == RECIPE_VERSION == 3
    with pytest.raises(UserError, match="recipe"):
        spec(recipe=1)


def test_recipe_2_is_transformers_pass_and_recipe_3_the_encoders():
    """Recipe 2 makes the numbers that it made: those of the loop over the model's own forward, to the bit."""
    old, new = spec(recipe=2), spec()
    made = {one: runs.run(one) for one in (old, new)}
    assert (made[old].cost["pass"], made[new].cost["pass"]) == ("transformers", "encoder")
    form, _ = prepare(old)
    apply_method(form.model, "value")
    assert loop.tune(form.model, form.data, recipe_of(old)).losses == made[old].losses != made[new].losses
    assert np.array_equal(
        loop.predict(form.model, form._held_out["validation"][1]), runs.predictions(old)["validation/logits"]
    )
    assert runs.run(spec(method="prefix")).cost["pass"] == "transformers"
    assert runs.run(spec(method="lora")).cost["pass"] == "encoder"  # its projections are called where they stand
    assert runs.run(spec(model="tiny-roberta", method="full")).cost["pass"] == "encoder"


def test_fisher_is_the_same_through_either_pass():
    found = []
    for recipe in (2, 3):
        scores = runs.run(spec(method="all_biases", ranking=True, recipe=recipe)).importance
        found.append({(s.approach, s.term): s.scores for s in scores if s.approach.startswith("fisher")})
    assert found[0].keys() == found[1].keys()
    largest = max(score for scores in found[0].values() for score in scores)
    for key, scores in found[0].items():
        assert found[1][key] == pytest.approx(scores, rel=1e-4, abs=1e-6 * largest), key


def test_the_id_follows_from_everything_that_decides_the_numbers():
    base = spec()
    assert base.run_id == spec().run_id and len(base.run_id) == 16
    for change in (
        {"seed": 1},
        {"method": "query"},
        {"n_train": 25},
        {"learning_rate": 0.5},
        {"epochs": 3},
        {"precision": "bf16"},
        {"eps": 1e-8},
        {"ranking": True},
        {"model": "tiny-roberta"},
        {"data": "other"},
        {"weights": "other"},
        {"schedule": "linear"},
        {"batch_size": 8},
        {"evaluation": "development", "n_eval": 10},
        {"n_eval": 10},
        {"each_epoch": True},
        {"steps": 2},
    ):
        assert spec(**change).run_id != base.run_id, change


def test_the_id_follows_the_content_of_a_local_folder_not_its_place(tmp_path):
    ids = []
    for name, text in (("a", "fine"), ("b", "fine"), ("c", "poor")):
        folder = tmp_path / name / "sst2"
        folder.mkdir(parents=True)
        for split in ("train", "validation"):
            (folder / f"{split}.jsonl").write_text(json.dumps({"sentence": text, "label": 1, "idx": 0}) + "\n")
        local = RunSpec(model="tiny-bert", task="sst2", source=f"local:{tmp_path / name}", method="value", n_train=1)
        ids.append(local.run_id)
        assert str(tmp_path) not in json.dumps(local.portable)
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"model": "minilm"}, ["unknown model 'minilm'", "minilm-l6"]),
        ({"model": "./nowhere"}, ["config.json", "save_pretrained"]),
        ({"task": "sst3"}, ["unknown task 'sst3'", "sst2"]),
        ({"method": "values"}, ["unknown method 'values'", "did you mean 'value'"]),
        ({"source": "disk"}, ["'disk'", "hub", "bundled", "local:DIR"]),
        ({"regime": "tiny"}, ["unknown regime 'tiny'", "medium"]),
        ({"learn_rate": 1e-3}, ["learn_rate", "learning_rate"]),
        ({"learning_rate": -1.0}, ["learning_rate", "-1.0", "greater than 0"]),
        ({"epochs": "3"}, ["epochs", "'3'", "integer"]),
        ({"n_train": 0}, ["n_train", "0"]),
        ({"precision": "fp16"}, ["precision", "fp16", "bf16"]),
    ],
)
def test_what_cannot_be_is_refused_with_names(change, names):
    with pytest.raises(UserError) as error:
        spec(**change)
    assert all(name in str(error.value) for name in names), str(error.value)


@pytest.mark.parametrize(("field", "value"), [("precision", "bf16"), ("eps", 1e-8), ("weight_decay", 0.1)])
def test_a_ranking_is_held_to_its_recipe(field, value):
    with pytest.raises(UserError, match=f"{field}.*ranking"):
        spec(method="all_biases", ranking=True, **{field: value})
    assert spec(method="all_biases", **{field: value}).ranking is False


ENCODER = {"model": "tiny-bert", "task": "toy-sentiment", "source": "bundled", "recipe": 2}
DECODER = {"model": "tiny-opt", "task": "toy-causes", "source": "bundled", "recipe": 2}
PARTS = (("0123456789abcdef", 0.5), ("fedcba9876543210", 0.5))
NAMED = {  # runs are stored and published under these names: they never change, whatever becomes of the code
    "774950bc2ab84b4d": ENCODER | {"method": "value"},
    "c2dc66d1ecfdb09d": ENCODER | {"method": "full", "regime": "medium", "seed": 1},
    "157f37d014d058d0": ENCODER
    | {"model": "minilm-l6", "task": "toy-paraphrase", "method": "all_biases", "ranking": True}
    | {"n_train": 500, "fisher_along": True},
    "34a7ff8a1e189e37": ENCODER
    | {"method": "query", "evaluation": "development", "n_eval": 200, "each_epoch": True, "epochs": 3}
    | {"learning_rate": 1e-3},
    "8f34a2954787c761": ENCODER | {"method": "value", "layers": (0, 1), "head": "bias"},
    "4a2c0e6b38380559": ENCODER
    | {"model": "roberta-base", "task": "toy-similarity", "method": "lora", "weights": "w"}
    | {"precision": "bf16", "eps": 1e-8},
    "6e969ff91184ec2a": DECODER | {"method": "value", "n_train": 64},
    "f1be75f8da2bfbfe": DECODER | {"method": "in_context", "demonstrations": "fixed", "shots": 4},
    "a72d8fde42c54820": DECODER
    | {"model": "smollm2-135m", "task": "toy-reading", "method": "key", "n_train": 32}
    | {"micro_batch": 4, "steps": 3},
    "e670241d110f1935": ENCODER | {"method": "merged", "parts": PARTS, "head_of": (PARTS[0][0],), "rank": 1},
}


@pytest.mark.parametrize("name", NAMED)
def test_a_run_keeps_its_name(name):
    assert RunSpec(**NAMED[name]).run_id == name


# ---------------------------------------------------------------------------------------------------- a spec but for


def test_what_was_filled_in_is_filled_in_anew():
    tuned = spec()
    assert tuned.but(method="full").learning_rate == 1e-5 != tuned.learning_rate
    for changes in ({"method": "full"}, {"seed": 3}, {"task": "toy-similarity"}, {"model": "tiny-roberta"}, {}):
        assert tuned.but(**changes) == spec(**changes) and tuned.but(**changes).run_id == spec(**changes).run_id
    low = RunSpec(model="tiny-bert", task="toy-sentiment", source="bundled", method="value")
    assert low.but(regime="medium").n_train > low.n_train and low.but(n_train=9).regime == "custom"
    asked = RunSpec(**DECODER, method="value")
    shown = asked.but(method="in_context")
    assert (shown.shots, shown.demonstrations) == (32, "fresh") and shown.but(method="value") == asked


def test_what_was_given_stays_until_it_is_given_back():
    given = spec(learning_rate=0.5)
    assert given.but(method="full").learning_rate == given.but(seed=1).but(method="full").learning_rate == 0.5
    assert (
        given.but(learning_rate=None) == spec() and given.but(method="full", learning_rate=None).learning_rate == 1e-5
    )
    assert given.model_fields_set == {*TINY, "method", "learning_rate"}
    assert pickle.loads(pickle.dumps(given)).but(method="full").learning_rate == 0.5


def test_a_variant_that_is_impossible_is_refused():
    with pytest.raises(UserError, match="field.*'methods'"):
        spec().but(methods="full")
    with pytest.raises(UserError, match="fisher_along"):
        spec(method="all_biases", ranking=True, fisher_along=True).but(ranking=False)


# --------------------------------------------------------------------------------------------------------- result


def test_a_result_holds_what_can_be_computed_again_from_its_files():
    ranked = spec(method="all_biases", ranking=True)
    result = runs.run(ranked)
    assert result.done and runs.stored(ranked).model_dump() == store.read(ranked).model_dump()
    kept = runs.predictions(ranked)
    examples = tasks.load("toy-sentiment", "validation", "bundled")
    assert kept["validation/ids"].tolist() == list(examples.ids)
    value = result.metrics[0]
    assert value.value == pytest.approx(float((kept["validation/logits"].argmax(-1) == examples.labels).mean()))
    assert value.stderr == metrics.standard_error("accuracy", kept["validation/logits"].argmax(-1), examples.labels)
    # the scores follow from the untuned model and the stored change
    model = models.classifier("tiny-bert", 2, ranked.seed)
    handles = biases.all_biases(model)
    pre, delta = biases.snapshot(handles), runs.delta(ranked)
    again = importance.change_scores(handles, pre, {key: pre[key] + delta[key] for key in pre})
    found = {(s.approach, s.term, layer): v for s in result.importance for layer, v in zip(s.layers, s.scores)}
    assert {s.approach for s in result.importance} == set(importance.APPROACHES)
    for score in again:
        assert found[score.approach, score.term, score.layer] == pytest.approx(score.score, rel=1e-3, abs=1e-6)
    assert result.cost["trainable"] == sum(h.size for h in handles)
    assert result.data["train"] == 24 and result.data["validation"] == len(examples)
    assert result.environment["packages"]["torch"] and result.environment["threads"] == 1


def test_a_run_scores_with_the_metrics_that_a_user_gets(monkeypatch):
    asked, get = [], metrics.get
    monkeypatch.setattr(metrics, "get", lambda name: asked.append(name) or get(name))
    result = runs.run(spec(method="none", each_epoch=True))
    assert asked == [value.metric for value in result.metrics]  # once a split and metric: an untuned run has no epochs


def test_of_several_right_options_the_chosen_one_counts():
    predicted, right = scores.chosen([np.array([0.1, 0.9, 0.2])] * 3, [(0, 1), (2, 0), (1,)])
    assert (predicted, right) == ([1, 1, 1], [1, 2, 1])
    value = scores.value(metric="accuracy", split="validation", predictions=predicted, references=right, stderr=0.1)
    assert (value.value, value.n, value.stderr) == (2 / 3, 3, 0.1)


def test_methods_of_one_seed_share_examples_and_the_untrained_head():
    results = {method: runs.run(spec(method=method)) for method in ("value", "query", "head_only")}
    assert len({r.data["train_ids"] for r in results.values()}) == 1
    assert runs.run(spec(seed=1)).data["train_ids"] != results["value"].data["train_ids"]
    heads = [models.classifier("tiny-bert", 2, seed).classifier.weight for seed in (0, 0, 1)]
    assert (heads[0] == heads[1]).all() and not (heads[0] == heads[2]).all()


def test_a_run_again_gives_the_same_numbers():
    first, second = runs.run(spec()), runs.run(spec())
    assert first.metrics == second.metrics and first.losses == second.losses and first.files == second.files


def test_a_diverged_run_is_stored_as_failed_with_the_reason():
    failed = runs.run(spec(method="full", learning_rate=1e30))
    assert failed.status == "failed" and "learning rate" in failed.reason and failed.metrics == []
    row = frames.sorted_results([spec(method="full", learning_rate=1e30)]).iloc[0]
    assert row.status == "failed" and np.isnan(row.value)


def test_no_tuning_changes_nothing():
    assert runs.run(spec(method="none", n_train=3)).metrics == runs.run(spec(method="none", n_train=9)).metrics


def test_more_examples_than_there_are_is_refused():
    with pytest.raises(UserError, match="n_train 100000 "):
        runs.run(spec(n_train=100000))


def test_importance_rows_hold_layers_and_their_mean():
    ranked = spec(method="all_biases", ranking=True)
    runs.run(ranked)
    frame = frames.importance_scores([ranked, spec()])
    assert list(frame.columns) == list(frames.IMPORTANCE_COLUMNS)
    own = frame[(frame.approach == "projection") & (frame.term == "value")].set_index("layer").score
    assert own["mean"] == pytest.approx((own["0"] + own["1"]) / 2)


# ---------------------------------------------------------------------------------------------------------- store


@pytest.fixture
def stored():
    runs.run(spec())
    return store.folder(spec().run_id)


def test_nothing_is_there_before_it_ran():
    assert store.read(spec()) is None
    with pytest.raises(UserError, match="sweep"):
        runs.stored(spec())


@pytest.mark.parametrize(
    "damage", ["half", "garbage", "empty", "no result", "flipped bit", "no delta", "foreign", "renamed"]
)
def test_a_damaged_run_is_never_trusted(stored, damage):
    result = stored / "result.json"
    if damage == "half":
        result.write_bytes(result.read_bytes()[:200])
    elif damage == "garbage":
        result.write_bytes(b"\xff\xfe\x00")
    elif damage == "empty":
        result.write_bytes(b"")
    elif damage == "no result":
        result.unlink()
    elif damage == "flipped bit":
        data = bytearray((stored / "predictions.npz").read_bytes())
        data[len(data) // 2] ^= 1
        (stored / "predictions.npz").write_bytes(data)
    elif damage == "no delta":
        (stored / "delta.safetensors").unlink()
    elif damage == "foreign":
        content = json.loads(result.read_text())
        content["spec"]["learning_rate"] = 0.5
        result.write_text(json.dumps(content))
    else:
        runs.run(spec(seed=1))
        shutil.rmtree(stored)
        os.rename(store.folder(spec(seed=1).run_id), stored)
    with pytest.raises(Damaged):
        store.read(spec())


def test_writing_replaces_a_damaged_run_whole(stored):
    (stored / "result.json").write_text("{}")
    (stored / "stray").write_text("x")
    runs.run(spec())
    assert store.read(spec()).done and not (stored / "stray").exists()
    assert [p.name for p in stored.parent.iterdir()] == [stored.name]


def test_nothing_is_pickled(stored):
    for array in runs.predictions(spec()).values():
        assert array.dtype != object
