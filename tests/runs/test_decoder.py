"""Runs of decoders: what b_k can do, three ways to hold a tuned bias, what a result keeps of prompts and answers."""

import json

import families
import numpy as np
import peft
import pytest
import torch

import beft_lib
from beft_lib import adapters, biases, evidence, runs, sweep, tasks
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec, archive, records, store
from beft_lib.tasks import metrics

MODELS = ("tiny-opt", "tiny-llama")
OPTIONS, CHOICE, ANSWER = "toy-sentiment-prompt", "toy-causes", "toy-reading"


def spec(method="value", model="tiny-opt", task=OPTIONS, **more) -> RunSpec:
    sizes = {"n_train": 8, "epochs": 1, "n_eval": 12, "learning_rate": 1e-2}
    return RunSpec(**{"model": model, "task": task, "source": "bundled", "method": method} | sizes | more)


def scores(made: RunSpec) -> np.ndarray:
    runs.run(made)
    return runs.predictions(made)["validation/scores"]


# --------------------------------------------------------------------------------------------------- identities


@pytest.mark.parametrize("task", [OPTIONS, CHOICE])
def test_an_opt_with_tuned_b_k_is_the_untuned_one_and_a_llama_is_not(task):
    opt, llama = ({m: scores(spec(m, model, task)) for m in ("key", "zero_shot", "value")} for model in MODELS)
    np.testing.assert_allclose(opt["key"], opt["zero_shot"], rtol=0, atol=2e-6)
    assert np.abs(opt["value"] - opt["zero_shot"]).max() > 1e-4  # the run was not too short to move anything
    assert np.abs(llama["key"] - llama["zero_shot"]).max() > 1e-4


def test_an_opt_with_tuned_b_k_writes_what_the_untuned_one_writes():
    tuned, bare = spec("key", task=ANSWER), spec("zero_shot", task=ANSWER)
    written = []
    for made in (tuned, bare):
        runs.run(made)
        written.append(json.loads((store.folder(made.run_id) / "answers.json").read_bytes()))
    assert written[0] == written[1] and any(written[0]["validation"])


@pytest.mark.parametrize("name", ["opt", "llama"])
def test_a_bias_in_place_added_or_in_stock_peft_gives_the_same_logits(name, tmp_path):
    def fresh():
        return families.build(name, "lm").double()

    batch = families.batch(fresh())
    given = {key: batch[key] for key in ("input_ids", "attention_mask")}
    handles = biases.term_biases(fresh(), "value")
    random = torch.Generator().manual_seed(0)
    delta = {h.key: torch.randn(h.size, generator=random, dtype=torch.float64) for h in handles}

    in_place = fresh()
    adapters.merge(in_place, delta)  # a missing bias is added first

    added = fresh()
    for layer, handle in enumerate(biases.term_biases(added, "value")):
        handle.module.register_forward_hook(lambda _, __, out, d=delta[f"{layer}/value"]: out + d)

    stock = peft.get_peft_model(fresh(), peft.BeftConfig(target_modules=["v_proj"]))
    for layer, module in enumerate(m for m in stock.modules() if isinstance(m, peft.tuners.beft.Linear)):
        module.beft_bias["default"].data = delta[f"{layer}/value"][None]
    stock.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(fresh(), tmp_path).double()

    with torch.no_grad():
        found = [model(**given).logits for model in (in_place, added, loaded)]
        untouched = fresh()(**given).logits
    assert (found[0] - untouched).abs().max() > 0.1
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-10)


# ---------------------------------------------------------------------------------------------- what is stored


def test_a_result_holds_points_prompt_hashes_and_counts():
    made = spec()
    result = runs.run(made)
    arrays = runs.predictions(made)
    points = arrays["validation/points"]
    assert points.shape == (12, 1) and set(np.unique(points)) <= {0.0, 1.0}
    (value,) = result.metrics
    assert (value.metric, value.n) == ("accuracy", 12)
    assert value.value == points.mean() and value.stderr == metrics.standard_error_of_points(points[:, 0])
    assert arrays["validation/scores"].shape == (12, 2) and arrays["validation/labels"].dtype == np.int64
    assert {len(digest) for digest in result.data["prompts"].values()} == {64}
    assert set(result.data["prompts"]) == {"train", "validation"}
    assert result.cost["head"] == 0 and result.cost["trainable"] == 2 * 32
    assert tasks.get(OPTIONS).identity in made.data  # other words, other runs


def test_an_answer_has_points_by_every_metric_and_its_text_stays_at_home(tmp_path):
    made = spec(task=ANSWER)
    runs.run(made)
    result = runs.stored(made)
    assert [v.metric for v in result.metrics] == ["squad_f1", "squad_em"]
    assert runs.predictions(made)["validation/points"].shape == (12, 2)
    assert "answers.json" in result.files
    records.keep([result], tmp_path / "records")
    kept = archive.record(tmp_path / "records", made.run_id)
    assert set(kept.predictions) == set(runs.predictions(made))
    assert set(kept.predictions) == {f"validation/{name}" for name in ("points", "labels", "ids")}
    texts = json.loads((store.folder(made.run_id) / "answers.json").read_bytes())
    content = b"".join(path.read_bytes() for path in (tmp_path / "records").iterdir())
    assert texts and not any(text.encode() in content for text in map(str, texts["validation"]) if len(text) > 8)


def test_what_demonstrations_lost_is_counted_and_they_decide_the_prompts():
    shown = {"method": "in_context", "demonstrations": "fixed"}
    few, many = spec(**shown, shots=2), spec(**shown, shots=8)
    made = {s: runs.run(s).data for s in (few, many, spec("zero_shot"))}
    assert made[few]["validation_dropped"] == made[few]["validation_shortened"] == 0
    assert made[many]["validation_dropped"] >= made[many]["validation_shortened"] == 12  # the model reads 512 tokens
    assert len({data["prompts"]["validation"] for data in made.values()}) == 3
    assert all("validation_dropped" not in data for s, data in made.items() if s.method != "in_context")


def test_more_demonstrations_than_training_examples_are_refused():
    with pytest.raises(UserError, match="shots: 9 of 8 "):
        runs.run(spec("in_context", shots=9, demonstrations="fresh"))


def test_fresh_and_fixed_demonstrations_are_different_runs_of_one_seed():
    fixed, fresh = (spec("in_context", shots=2, demonstrations=kind) for kind in ("fixed", "fresh"))
    assert fixed.run_id != fresh.run_id and not np.array_equal(scores(fixed), scores(fresh))


@pytest.mark.parametrize("task", [OPTIONS, ANSWER])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["value", "lora", "prefix", "full", "in_context"])
def test_in_bf16_every_method_says_about_what_it_says_in_fp32(method, model, task):
    shown = {"shots": 2, "demonstrations": "fixed"} if method == "in_context" else {}
    exact, half = (spec(method, model, task, precision=p, learning_rate=1e-3, **shown) for p in ("fp32", "bf16"))
    for made in (exact, half):
        assert runs.run(made).done
    if task == OPTIONS:
        found = [runs.predictions(made)["validation/scores"] for made in (exact, half)]
        np.testing.assert_allclose(*found, rtol=0, atol=0.15)


@pytest.mark.parametrize(("model", "defined"), [("tiny-opt", True), ("tiny-llama", False)])
def test_a_decoders_ranking_rests_on_the_change_of_its_biases(model, defined):
    """Without Fisher, which is of a classifier; and undefined where the biases were zero before."""
    result = runs.run(spec("all_biases", model, ranking=True, learning_rate=1e-3))
    found = {(entry.approach, entry.term): entry.scores for entry in result.importance}
    assert {approach for approach, _ in found} == {"projection", "magnitude", "null_model"}
    assert all((score is not None) == defined for score in found["projection", "value"])


def test_a_bias_is_selected_only_where_there_was_one_before():
    sizes = {"n_train": 8, "epochs": 1, "n_eval": 12, "learning_rate": 1e-3}
    frame = beft_lib.select("tiny-opt", OPTIONS, **sizes)
    assert set(frame.index) == {"query", "key", "value"} and frame.projection.is_monotonic_decreasing
    with pytest.raises(UserError, match="'tiny-llama'.*b_q, b_k and b_v were zero"):
        beft_lib.select("tiny-llama", OPTIONS, **sizes)


def test_runs_of_decoders_are_compared_example_by_example():
    specs = [spec(method, seed=seed) for method in ("value", "key") for seed in (0, 1)] + [spec("zero_shot")]
    frame = sweep.sweep(specs, workers=1)
    assert list(frame.metric.unique()) == ["accuracy"] and (frame.status == "done").all()
    comparison = evidence.compare_one(specs)
    assert comparison.control == "zero_shot" and list(comparison.scores.index) == [0, 1]
    assert comparison.scores["zero_shot"].nunique() == 1  # one run, for every seed
    gap = comparison.gap("key", "zero_shot")
    assert (gap.mean, gap.low, gap.high, gap.n) == (0, 0, 0, 2)
