"""Tuned biases go in, add up and come out as arithmetic says, and a merged run is what its parts make it."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
import transformers
from families import FAMILIES, batch, build
from tuned import same, state, tuned

from beft_lib import adapters, biases, engines, models, runs, sweep, tasks, workspace
from beft_lib.errors import UserError
from beft_lib.runs import Damaged, RunSpec, execute, records, store
from beft_lib.runs.examples import evaluation_sets
from beft_lib.tuning import batches, encoder_pass, loop

every_family = pytest.mark.parametrize("name", FAMILIES)
SIZES = {"0/value": 32, "1/value": 32, "1/output.dense": 7}


def random_delta(seed, sizes=SIZES):
    random = torch.Generator().manual_seed(seed)
    return {key: torch.randn(size, generator=random, dtype=torch.float64) for key, size in sizes.items()}


def bits(values):
    return values.contiguous().view(torch.int64 if values.dtype is torch.float64 else torch.int32)


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(bits(first[key]), bits(second[key])), key


# -------------------------------------------------------------------------------------------------------- average


def test_the_average_of_one_is_itself_and_weights_one_and_zero_give_the_first():
    first, second = random_delta(0), random_delta(1)
    assert_same_bits(adapters.average([first]), first)
    assert_same_bits(adapters.average([first, second], (1, 0)), first)
    assert_same_bits(adapters.average([first, second], (0.0, 1.0)), second)
    assert_same_bits(adapters.average([first, first]), first)


@pytest.mark.parametrize("weights", [None, (0.5, 0.25, 0.25), (2.0, -1.0, 0.3), (0, 0, 0), (1e-3, 7, 1e3)])
def test_an_average_is_the_weighted_sum_that_numpy_gives(weights):
    deltas = [random_delta(seed) for seed in range(3)]
    found = adapters.average(deltas, weights)
    assert found.keys() == SIZES.keys()
    for key, values in found.items():
        stacked = np.stack([delta[key].numpy() for delta in deltas])  # (3, d)
        expected = stacked.mean(0) if weights is None else np.tensordot(np.array(weights, float), stacked, 1)
        np.testing.assert_allclose(values.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_an_average_is_in_fp64_and_leaves_its_parts_alone():
    parts = [{"0/value": torch.tensor([1.0, -3.0])}, {"0/value": torch.tensor([2.0, 3.0])}]
    found = adapters.average(iter(parts))
    assert found["0/value"].dtype is torch.float64 and found["0/value"].tolist() == [1.5, 0.0]
    assert parts[0]["0/value"].tolist() == [1.0, -3.0] and parts[1]["0/value"].tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("second", "weights", "names"),
    [
        ({}, None, ["deltas 0 and 1", "'0/value'"]),
        ({"7/value": 32}, None, ["deltas 0 and 1", "'7/value'"]),
        ({"1/value": 48}, None, ["'1/value'", "deltas 0 and 1", "(32,)", "(48,)"]),
        (SIZES, (1.0,), ["[1.0]", "2 deltas"]),
        (SIZES, (1.0, 2.0, 3.0), ["[1.0, 2.0, 3.0]", "2 deltas"]),
        (SIZES, (), ["[]", "2 deltas"]),
        (SIZES, (1.0, math.inf), ["inf", "finite"]),
        (SIZES, (math.nan, 1.0), ["nan", "finite"]),
    ],
)
def test_what_cannot_be_averaged_is_named(second, weights, names):
    other = random_delta(1, SIZES | second if second else {"1/value": 32})
    with pytest.raises(UserError) as error:
        adapters.average([random_delta(0), other], weights)
    assert all(name in str(error.value) for name in names), str(error.value)


@pytest.mark.parametrize("weights", [None, (), (1.0,)])
def test_there_must_be_something_to_average(weights):
    with pytest.raises(UserError, match="no delta is given"):
        adapters.average([], weights)


def test_the_third_part_that_differs_is_named():
    with pytest.raises(UserError, match="deltas 0 and 2 .*'9/value'"):
        adapters.average([random_delta(0), random_delta(1), random_delta(2, SIZES | {"9/value": 4})])


def test_the_average_of_adapters_is_that_of_their_deltas_and_heads():
    made = [adapters.of(tuned("bert", seed=seed)) for seed in range(3)]
    for weights in (None, (0.5, 0.25, 0.25), (2, -1, 0.5)):
        found, shares = adapters.average(made, weights), weights or [1 / 3] * 3
        assert_same_bits(found.delta, adapters.average([one.delta for one in made], weights))
        assert found.head.keys() == made[0].head.keys()
        for name, values in found.head.items():
            expected = sum(share * one.head[name].double() for share, one in zip(shares, made))
            assert values.dtype is torch.float32 and torch.equal(values, expected.float())
        assert found.base is made[0].base and found.form is made[0].form
    first = adapters.average(made, (1, 0, 0))
    assert_same_bits(first.delta, made[0].delta)
    assert_same_bits(first.head, made[0].head)


def test_an_averaged_adapter_is_saved_to_the_bit(tmp_path):
    found = adapters.average([adapters.of(tuned("bert", seed=seed, cancel=True)) for seed in range(2)], (0.3, 0.7))
    adapters.save(found, tmp_path)
    model, other = build("bert"), build("bert")
    loaded = adapters.load(tmp_path, model)
    assert_same_bits(dict(loaded.delta), dict(found.delta))
    adapters.merge(model, loaded)
    adapters.merge(other, found)
    assert same(state(model), state(other))


def test_labels_that_differ_are_not_those_of_an_average():
    first, second = (adapters.of(tuned("bert", seed=seed)) for seed in range(2))
    named = [dataclasses.replace(one, labels=("no", "yes")) for one in (first, second)]
    assert adapters.average(named).labels == ("no", "yes")
    assert adapters.average([named[0], second]).labels == ()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: adapters.of(tuned("bert", num_labels=3)), "0 and 1 were tuned on different models"),
        (lambda: adapters.of(tuned("bert", term="query")), "deltas 0 and 1 are not of the same biases"),
        (lambda: dict(adapters.of(tuned("bert")).delta), "part 1 is no Adapter and others are"),
        (lambda: dataclasses.replace(adapters.of(tuned("bert")), head={}), "heads of adapters 0 and 1 differ"),
    ],
)
def test_adapters_of_other_models_or_heads_are_not_averaged(other, said):
    with pytest.raises(UserError, match=said):
        adapters.average([adapters.of(tuned("bert")), other()])


def test_the_entries_of_some_layers_are_the_deltas():
    delta = random_delta(0, SIZES | {"10/value": 3, "-/pooler.dense": 4})
    assert_same_bits(adapters.only(delta, [1]), {key: delta[key] for key in ("1/value", "1/output.dense")})
    assert_same_bits(adapters.only(delta, (0, 10)), {key: delta[key] for key in ("0/value", "10/value")})
    assert adapters.only(delta, []) == {}
    with pytest.raises(UserError, match="no bias in layer 2; it has some in 0, 1, 10, -"):
        adapters.only(delta, [1, 2])


@pytest.mark.parametrize("rank", [1, 2, 5, 9])
def test_a_lower_rank_is_the_nearest_that_numpy_finds(rank):
    delta = random_delta(0, {f"{layer}/value": 7 for layer in (2, 10, 0, 1, 3)})
    found = adapters.low_rank(delta, rank)
    assert [*found] == [*delta]
    stacked = np.stack([values.numpy() for values in delta.values()])  # (5, 7)
    left, strength, right = np.linalg.svd(stacked, full_matrices=False)
    expected = left[:, :rank] * strength[:rank] @ right[:rank]
    made = np.stack([values.numpy() for values in found.values()])
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-12)
    assert np.linalg.matrix_rank(made) == min(rank, 5)


@pytest.mark.parametrize(("sizes", "rank"), [(SIZES, 1), ({}, 1), ({"0/value": 3}, 0)])
def test_what_has_no_rank_is_refused(sizes, rank):
    with pytest.raises(UserError, match=f"low_rank: rank {rank} of {len(sizes)} biases"):
        adapters.low_rank(random_delta(0, sizes), rank)


def test_products_are_numpys():
    first, second = random_delta(0), random_delta(1)
    found = adapters.products(first, second)
    assert found.keys() == SIZES.keys()
    for key, values in found.items():
        a, b = first[key].numpy(), second[key].numpy()
        assert values == pytest.approx((a @ b, np.linalg.norm(a), np.linalg.norm(b)), rel=1e-12)
    (dot, *norms), *_ = adapters.products(first, {key: -2 * values for key, values in first.items()}).values()
    assert dot == pytest.approx(-norms[0] * norms[1]) and norms[1] == pytest.approx(2 * norms[0])
    single = adapters.products({"0/value": torch.tensor([1e30])}, {"0/value": torch.tensor([1e30])})
    assert single["0/value"] == pytest.approx((1e60, 1e30, 1e30), rel=1e-6)  # fp32 would overflow


# ---------------------------------------------------------------------------------------------------------- merge


def adversarial():
    """Pairs of fp32 numbers: random, equal, opposite, neighbours, from and to zero, subnormal, and far apart."""
    random = torch.Generator().manual_seed(0)
    sizes = 2.0 ** torch.arange(-28, 29)  # where they are further apart, fp64 rounds their difference
    plain = torch.randn(4096, generator=random)
    pre = [
        plain,
        plain,
        plain,
        plain,
        torch.zeros(4096),
        plain,
        torch.full((57,), 1.5),
        torch.tensor([1e-45, 3e38, 1e-30]),
    ]
    post = [
        torch.randn(4096, generator=random),
        plain,
        -plain,
        torch.nextafter(plain, torch.tensor(math.inf)),
        plain,
        torch.zeros(4096),
        -1.3 * sizes,
        torch.tensor([-3e-45, -3e38, 1e30]),
    ]
    return torch.cat(pre), torch.cat(post)


def test_a_bias_and_its_change_are_the_tuned_bias_to_the_bit():
    pre, post = adversarial()
    delta = adapters.difference({"0/value": pre}, {"0/value": post})["0/value"]
    assert delta.dtype is torch.float64
    assert torch.equal(bits((pre.double() + delta).float()), bits(post))


def test_merging_a_change_gives_the_tuned_model_to_the_bit():
    base, tuned = build("bert"), build("bert")
    states = []
    for model, values in zip((base, tuned), adversarial()):
        handles = biases.all_biases(model)
        parts = values[-sum(h.size for h in handles) :].split([h.size for h in handles])
        for handle, part in zip(handles, parts):
            handle.write(part)
        states.append(biases.snapshot(handles))
    adapters.merge(base, adapters.difference(*states))
    assert_same_bits(dict(base.named_parameters()), dict(tuned.named_parameters()))


@torch.no_grad()
def logits(model):
    return model(**batch(model)).logits


@every_family
@pytest.mark.parametrize("kind", ["attention", "all biases"])
def test_merge_moves_the_biases_and_unmerge_restores_the_base_to_the_bit(name, kind):
    model = build(name, "lm")
    layers = biases.attention_biases(model)
    handles = [h for layer in layers for h in layer] if kind == "attention" else biases.all_biases(model)
    delta = random_delta(0, {h.key: h.size for h in handles})
    missing = {h.name for h in handles if h.missing}
    weights, values = {k: v.clone() for k, v in model.state_dict().items()}, biases.snapshot(handles)
    unmoved = logits(model)

    before = adapters.merge(model, delta)
    assert_same_bits(before, values)
    for handle in handles:
        expected = (values[handle.key].double() + delta[handle.key]).float()
        assert torch.equal(bits(handle.read()), bits(expected)), handle.key
    touched = {h.name for h in handles}
    for key, value in model.state_dict().items():  # what is added beside them, so that they can be saved, is zero
        assert key in touched or torch.equal(value, weights.get(key, torch.zeros_like(value))), key
    assert not handles or (logits(model) - unmoved).abs().max() > 1e-2

    adapters.unmerge(model, before)
    state = model.state_dict()
    assert_same_bits({key: state[key] for key in weights}, weights)
    added = state.keys() - weights.keys()
    assert added >= missing and not any(state[key].any() for key in added)
    assert torch.equal(logits(model), unmoved)


@every_family
def test_a_merge_moves_only_the_term_it_is_of(name):
    model = build(name, "lm")
    handles = biases.term_biases(model, "value")
    others = [h for layer in biases.attention_biases(model) for h in (layer.query, layer.key)]
    before = biases.snapshot(others)
    adapters.merge(model, random_delta(0, {h.key: h.size for h in handles}))
    assert_same_bits(biases.snapshot(others), before)
    assert all(h.read().any() for h in handles)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("other", ["deeper", "wider", "another term"])
def test_another_models_delta_changes_nothing_and_is_named(name, other):
    model = build(name, "lm")
    delta = random_delta(0, {h.key: h.size for h in biases.term_biases(model, "value")})
    more = {"deeper": {"2/value": 32}, "wider": {"1/value": 48}, "another term": {"1/values": 32}}[other]
    said = {"deeper": "'2/value'", "wider": r"1/value .*\(48,\).* another model", "another term": "'1/value'"}[other]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match=said):
        adapters.merge(model, delta | random_delta(1, more))
    assert_same_bits(dict(model.state_dict()), before)


def test_a_model_is_restored_only_to_what_it_was():
    model, other = build("bert"), build("bert", "base")
    before = adapters.merge(model, adapters.of(tuned("bert")))
    assert {key for key in before if key.startswith("head/")} == {"head/classifier.weight", "head/classifier.bias"}
    with pytest.raises(UserError, match="unmerge: BertModel has no parameter 'classifier"):
        adapters.unmerge(other, before)


# ---------------------------------------------------------------------------------------------------- merged runs


TINY = {"model": "tiny-bert", "source": "bundled", "n_train": 24, "epochs": 2, "n_eval": 60}


def spec(task="toy-sentiment", method="value", **more) -> RunSpec:
    return RunSpec(**{**TINY, "task": task, "method": method, **more})


def merged(parts, heads=None, **more) -> RunSpec:
    """A merged run of these specs with their weights, with the heads of those."""
    parts = tuple((part.run_id, weight) for part, weight in parts)
    return spec(method="merged", parts=parts, head_of=heads and tuple(head.run_id for head in heads), **more)


def logits_of(made):
    return runs.predictions(made)["validation/logits"]


@pytest.fixture
def single():
    """Two stored runs of b_v: of toy-sentiment, and of toy-paraphrase."""
    made = spec(), spec("toy-paraphrase")
    for one in made:
        assert runs.run(one).done
    return made


# ------------------------------------------------------------------------------------------------ adapters of runs


def predicted(made, model):
    """The logits of a model on the evaluation examples of a run, by the pass that runs go through."""
    task = tasks.get(made.task)
    pool = tasks.load(task, task.train, made.source)
    examples = evaluation_sets(task, pool, made)["validation"]
    encoded = batches.encode(models.tokenizer(made.model), examples, made.max_length)
    biases.train_only(model, [])  # as in a run most of it is: kernels are chosen by it, and with them the last bit
    return loop.predict(model, encoded, logits=encoder_pass.logits)


@pytest.mark.parametrize(
    ("fields", "labels"),
    [
        ({}, ("negative", "positive")),
        ({"task": "toy-similarity", "method": "query"}, ()),
        ({"model": "tiny-roberta", "head": "bias", "layers": (1,)}, ("negative", "positive")),
    ],
)
def test_a_stored_run_is_an_adapter_of_the_model_as_it_comes(fields, labels, tmp_path):
    made = spec(**fields)
    runs.run(made)
    found = runs.adapter(made)
    assert found.labels == labels and (found.base.name, found.base.revision) == (made.model, None)
    change = runs.delta(made)
    assert found.delta.keys() == change.keys() | ({"-/pooler.dense"} if made.model == "tiny-bert" else set())
    assert all((found.delta[key] - change[key]).abs().max() <= 1e-7 * change[key].abs().max() for key in change)
    adapters.save(found, tmp_path / "adapter")
    model = models.classifier(made.model, tasks.get(made.task).num_labels, seed=5)
    adapters.merge(model, adapters.load(tmp_path / "adapter", model))
    assert np.array_equal(predicted(made, model), logits_of(made))


def test_a_stored_run_of_a_decoder_is_an_adapter_without_a_head(tmp_path):
    made = RunSpec(
        model="tiny-llama", task="toy-causes", source="bundled", method="value", n_train=8, n_eval=4, epochs=1
    )
    runs.run(made)
    found = runs.adapter(made)
    assert found.form.task == "CAUSAL_LM" and not found.head and not found.labels
    adapters.save(found, tmp_path / "adapter")
    model = models.causal("tiny-llama")
    before = adapters.merge(model, adapters.load(tmp_path / "adapter", model))
    assert_same_bits(before, {key: torch.zeros(16) for key in before})
    assert_same_bits(
        biases.snapshot(biases.term_biases(model, "value")),
        {key: values.float() for key, values in runs.delta(made).items()},
    )


def test_a_pooler_that_the_checkpoint_lacks_is_in_the_adapter(tmp_path):
    """A folder with a backbone alone, saved without its pooler."""
    whole = models.classifier("tiny-bert", 2, seed=0)
    bare = transformers.BertModel(whole.config, add_pooling_layer=False)
    bare.load_state_dict(whole.bert.state_dict(), strict=False)
    folder = tmp_path / "bare"
    bare.save_pretrained(folder)
    models.tokenizer("tiny-bert").save_pretrained(folder)
    drawn = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert models.missing(str(folder), models.classifier(str(folder), 2, seed=0)) == drawn | {
        "classifier.weight",
        "classifier.bias",
    }
    made = spec(model=str(folder))
    runs.run(made)
    found = runs.adapter(made)
    assert drawn < found.head.keys() and not any(key.startswith("-") for key in found.delta)
    assert found.base.name == str(folder) and found.form.modules == ("bert.pooler", "classifier")
    adapters.save(found, tmp_path / "adapter")
    model = models.classifier(str(folder), 2, seed=9)
    adapters.merge(model, adapters.load(tmp_path / "adapter", model))
    assert np.array_equal(predicted(made, model), logits_of(made))


def test_of_a_random_model_only_the_head_is_drawn_for_a_run():
    for name, head in (("tiny-bert", 2), ("tiny-roberta", 4)):
        model = models.classifier(name, 2, seed=0)
        assert models.missing(name, model) == {n for n, _ in model.named_parameters() if n.startswith("classifier.")}
        assert len(models.missing(name, model)) == head


def test_a_run_without_a_tuned_bias_has_no_adapter(tmp_path):
    with pytest.raises(UserError, match="is not in .*run it with sweep"):
        runs.adapter(spec(seed=7))
    for method in ("head_only", "none", "full", "lora"):
        runs.run(spec(method=method))
        with pytest.raises(UserError, match=f"has no change of biases: method '{method}' tunes no bias"):
            runs.adapter(spec(method=method))
    failed = spec(learning_rate=1e30)
    runs.run(failed)
    with pytest.raises(UserError, match="failed, so it tuned nothing"):
        runs.adapter(failed)
    other = spec(weights="another download")
    runs.run(other)
    with pytest.raises(UserError, match="tuned the weights another download; tiny-bert has random bert v1 now"):
        runs.adapter(other)


def test_all_biases_of_a_run_are_an_adapter_that_is_saved_in_our_own_format(tmp_path):
    made = spec(method="all_biases")
    runs.run(made)
    found = runs.adapter(made)
    model = models.classifier("tiny-bert", 2, seed=3)
    adapters.merge(model, found)
    assert np.array_equal(predicted(made, model), logits_of(made))
    again = models.classifier("tiny-bert", 2, seed=4)
    adapters.merge(again, adapters.load(adapters.save(found, tmp_path / "adapter"), again))
    assert np.array_equal(predicted(made, again), logits_of(made))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_task_alone_with_its_head_is_the_single_task_run_to_the_bit(single, seed):
    for task in (0, 1):
        weights = [(part, float(part is single[task])) for part in single]
        made = merged(weights, [single[task]], task=single[task].task, seed=seed)
        result = runs.run(made)
        assert result.done and np.array_equal(logits_of(made), logits_of(single[task]))
        assert result.metrics == runs.stored(single[task]).metrics


def test_weight_zero_and_a_fresh_head_is_the_model_as_it_comes(single):
    for seed in (0, 1):
        made, untuned = merged([(single[0], 0.0), (single[1], 0.0)], seed=seed), spec(method="none", seed=seed)
        runs.run(made), runs.run(untuned)
        assert np.array_equal(logits_of(made), logits_of(untuned))
    assert not np.array_equal(logits_of(made), logits_of(single[0]))


def test_nothing_trains_in_a_merged_run(single):
    made = merged([(single[0], 0.5), (single[1], 0.5)], [single[0]])
    runs.run(made)
    result = runs.stored(made)
    assert result.losses == [] and result.importance == [] and set(result.files) == {"predictions.npz"}
    assert [result.cost[name] for name in ("trainable", "head", "steps", "tokens", "delta_bytes")] == [0] * 5


def test_the_alignment_of_the_parts_is_the_products_of_their_changes(single):
    parts = [*single, spec(seed=1)]
    runs.run(parts[2])
    result = runs.run(merged([(part, 1 / 3) for part in parts]))
    again = store.read_id(result.run_id)
    assert again.alignment == result.alignment
    deltas = [runs.delta(part) for part in parts]
    expected = {
        (pair, key): adapters.products(deltas[pair[0]], deltas[pair[1]])[key]
        for pair in itertools.combinations(range(3), 2)
        for key in deltas[0]
    }
    assert {(a.parts, a.key): (a.dot, *a.norms) for a in result.alignment} == expected
    own = biases.snapshot(biases.term_biases(models.classifier("tiny-bert", 2, 0), "value"))
    tuned = [{key: own[key].double() + delta[key] for key in delta} for delta in deltas]
    whole = {
        (pair, key): adapters.products(tuned[pair[0]], tuned[pair[1]])[key]
        for pair in itertools.combinations(range(3), 2)
        for key in own
    }
    assert {(a.parts, a.key): (a.tuned_dot, *a.tuned_norms) for a in result.alignment} == whole and whole != expected
    assert len(expected) == 6 and {a.size for a in result.alignment} == {32}
    order = [(a.parts, a.key) for a in result.alignment]
    assert order == sorted(order), "the same bytes each time"
    assert all(abs(a.dot) <= a.norms[0] * a.norms[1] and min(a.norms) > 0 for a in result.alignment)
    assert runs.run(merged([(single[0], 1.0)])).alignment == []


@pytest.mark.parametrize("method", ["value", "all_biases"])
def test_biases_add_up_and_heads_are_averaged(method):
    """The model put together by hand from the stored files has the merged run's predictions."""
    from safetensors.torch import load_file

    parts = [spec(method=method), spec("toy-paraphrase", method)]
    for part in parts:
        runs.run(part)
    made = merged([(parts[0], 0.7), (parts[1], -0.2)], parts)
    runs.run(made)
    files = [store.folder(part.run_id) for part in parts]
    model = models.classifier("tiny-bert", 2, made.seed)
    deltas, heads = ([load_file(folder / f"{name}.safetensors") for folder in files] for name in ("delta", "head"))
    with torch.no_grad():
        for handle in biases.all_biases(model):
            if handle.key in deltas[0]:
                change = 0.7 * deltas[0][handle.key] - 0.2 * deltas[1][handle.key]
                handle.write(handle.read().double() + change)
        named = dict(model.named_parameters())
        for name in ("classifier.weight", "classifier.bias", "bert.pooler.dense.bias"):
            named[name].copy_((heads[0][name] + heads[1][name]) / 2)
    assert len(heads[0]) == 3 and not torch.equal(heads[0]["classifier.weight"], heads[1]["classifier.weight"])

    task = tasks.get(made.task)
    pool = tasks.load(task, task.train, made.source)
    examples = evaluation_sets(task, pool, made)["validation"]
    encoded = batches.encode(models.tokenizer("tiny-bert"), examples, made.max_length)
    np.testing.assert_allclose(loop.predict(model, encoded), logits_of(made), rtol=0, atol=1e-6)


def test_a_run_that_is_not_there_is_named(single):
    absent, control = spec(seed=7), spec(method="head_only")
    assert runs.run(control).done
    for made, said in (
        (merged([(single[0], 0.5), (absent, 0.5)]), f"run {absent.run_id} is not stored"),
        (merged([(single[0], 1.0)], [absent]), f"run {absent.run_id} is not stored"),
        (merged([(control, 1.0)]), f"run {control.run_id} was stored without its delta"),
    ):
        with pytest.raises(UserError, match=said):
            runs.run(made)
        assert store.read(made) is None
    assert runs.run(merged([(single[0], 1.0)], [control])).done


def test_a_merged_run_of_one_that_failed_is_stored_as_failed(single):
    failed = spec(learning_rate=1e30)
    reason = runs.run(failed).reason
    for made in (
        merged([(failed, 1.0)]),
        merged([(single[0], 0.5), (failed, 0.5)], [single[0]]),
        merged([(failed, 0.0), (single[0], 1.0)], [failed]),
        merged([(single[0], 1.0)], [failed]),
        merged([], [single[0], failed]),
    ):
        result = runs.run(made)
        assert not result.done and store.read(made) == result
        assert result.reason == f"it is made from run {failed.run_id}, which failed: {reason}"
        assert (result.metrics, result.alignment, result.files) == ([], [], {})


def test_a_sweep_goes_on_past_a_part_that_fails(monkeypatch):
    parts = [spec(learning_rate=1e30), spec()]
    made = [merged([(part, 1.0)], [part]) for part in parts]
    last_first(monkeypatch)
    frame = sweep.sweep([*parts, *made]).set_index("run_id")
    assert frame.status[[one.run_id for one in (*parts, *made)]].tolist() == ["failed", "done"] * 2
    assert sweep.plan([*parts, *made]).cached == 4


class LastFirst:
    """An engine in place of worker processes, of which any may be the first; `waves`: the ids of what was started."""

    attempts, width = 1, 1

    def __init__(self, *_):
        self.waves = []

    def start(self, specs, lost=()):
        self.waves.append(list(specs))

    def ended(self):
        for one in reversed(self.waves[-1]):
            yield engines.Finished(one, execute.run(one))

    def state(self):
        return ""


def last_first(monkeypatch) -> LastFirst:
    engine = LastFirst()
    monkeypatch.setattr(engines, "opened", lambda *_: engine)
    return engine


def without(made: RunSpec, file: str) -> None:
    """Store a run again as if it had been written without this file."""
    result, folder = store.read(made), store.folder(made.run_id)
    kept = {name: (folder / name).read_bytes() for name in result.files if name != file}
    store.write(result, kept)


@pytest.mark.parametrize(("file", "as_head"), [("head.safetensors", True), ("delta.safetensors", False)])
def test_a_run_that_cannot_be_merged_is_run_again_where_it_is_to_be(single, file, as_head, monkeypatch):
    first, second = single
    made = merged([(second, 1.0)], [first]) if as_head else merged([(first, 0.5), (second, 0.5)])
    without(first, file)
    assert sweep.plan(single).cached == 2  # for its scores it is good
    planned = sweep.plan([first, second, made])
    assert planned.new == (first, made) and planned.cached == 1
    (reason,) = planned.damaged
    assert first.run_id in reason and f"no {file}, from which other runs are made" in reason
    last_first(monkeypatch)
    assert sweep.sweep([first, second, made]).status.eq("done").all()
    assert file in store.read(first).files and sweep.plan([first, second, made]).cached == 3


def test_only_a_run_that_ended_well_must_have_something_to_merge(single):
    failed, both = runs.run(spec(learning_rate=1e30)), {"delta.safetensors", "head.safetensors"}
    store.check_holds(failed, both)
    store.check_holds(store.read(single[0]), both)
    without(single[0], "head.safetensors")
    with pytest.raises(Damaged, match=single[0].run_id):
        store.check_holds(store.read(single[0]), both)


def test_published_records_leave_out_what_is_merged(single, tmp_path):
    made = merged([(single[0], 1.0)], [single[0]])
    runs.run(made)
    wanted = [*single, made]
    records.keep([runs.stored(spec) for spec in wanted], tmp_path / "records")
    without(single[0], "head.safetensors")
    assert sweep.plan(wanted).cached == len(wanted) - 1
    with workspace.using(workspace.Workspace(runs=tmp_path / "records", published=True)):
        assert sweep.plan(wanted).cached == len(wanted)
        with pytest.raises(UserError, match="published records hold none"):
            runs.delta(made)


def test_parts_from_other_weights_are_refused(single):
    other = spec(weights="another download")
    runs.run(other)
    for made in (
        merged([(single[0], 0.5), (other, 0.5)]),
        merged([(single[0], 1.0)], [other]),
        merged([], [single[0], other]),
    ):
        with pytest.raises(UserError) as error:
            runs.run(made)
        said = (made.run_id, f"run {other.run_id} was made from the weights another download", spec().weights)
        assert all(text in str(error.value) for text in said) and store.read(made) is None


def test_parts_of_another_term_are_refused(single):
    other = spec(method="query")
    runs.run(other)
    with pytest.raises(UserError, match="not of the same biases"):
        runs.run(merged([(single[0], 0.5), (other, 0.5)]))


def test_a_damaged_part_is_not_trusted(single):
    (store.folder(single[0].run_id) / "delta.safetensors").write_bytes(b"torn")
    with pytest.raises(Damaged, match="delta.safetensors"):
        runs.run(merged([(single[0], 1.0)]))


def test_a_head_can_be_put_into_the_model_as_it_comes(single):
    made = merged([], [single[0]])
    runs.run(made)
    zero = merged([(single[0], 0.0)], [single[0]])
    runs.run(zero)
    assert np.array_equal(logits_of(made), logits_of(zero))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"task": "toy-similarity"}, "the head of run {} has the shapes"),
        ({"task": "toy-entailment"}, "the head of run {} has the shapes"),
        ({"model": "tiny-roberta"}, "run {} was made from the weights"),
    ],
)
def test_a_head_of_another_shape_is_refused(single, other, said):
    runs.run(spec(**other))
    for heads in ([spec(**other)], [single[0], spec(**other)]):
        with pytest.raises(UserError, match=said.format(spec(**other).run_id)):
            runs.run(merged([(single[0], 1.0)], heads))


def test_a_part_of_another_model_is_refused(single):
    other = spec(model="tiny-roberta")
    runs.run(other)
    with pytest.raises(UserError, match=other.run_id):
        runs.run(merged([(single[0], 0.5), (other, 0.5)]))


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "merged"},
        {"method": "merged", "head_of": ("a" * 16,)},
        {"parts": (("a" * 16, 1.0),)},
        {"method": "none", "parts": (("a" * 16, 1.0),)},
        {"method": "head_only", "head_of": ("a" * 16,)},
    ],
)
def test_parts_and_the_method_merged_go_together(fields):
    with pytest.raises(UserError, match="method '.*': a merged run needs parts"):
        spec(**fields)


@pytest.mark.parametrize("fields", [{"method": "full"}, {"method": "none"}, {"method": "merged", "parts": ()}])
def test_what_trains_no_head_or_all_of_it_has_no_smaller_one(fields):
    with pytest.raises(UserError, match=f"head 'bias': method '{fields['method']}'.*leave it out"):
        spec(head="bias", **fields)
    assert spec(**fields).head is None and spec(head="bias").head == "bias"


@pytest.mark.parametrize("parts", [(("a" * 16,),), (("a" * 16, "half"),), ((1, 1.0),)])
def test_a_part_is_a_run_and_a_weight(parts):
    with pytest.raises(UserError, match="parts"):
        spec(method="merged", parts=parts)


def test_the_id_of_a_merged_run_follows_its_parts_weights_and_heads():
    parts, heads = [(spec(), 0.5), (spec("toy-paraphrase"), 0.5)], [spec()]
    base = merged(parts, heads)
    assert base.run_id == merged(parts, heads).run_id
    assert merged([(spec(), 1), (spec(seed=1), 0)]).run_id == merged([(spec(), 1.0), (spec(seed=1), 0.0)]).run_id
    changed = [
        merged([(parts[0][0], 0.4), (parts[1][0], 0.6)], heads),
        merged([(parts[0][0], 0.5), (spec("toy-paraphrase", seed=1), 0.5)], heads),
        merged(parts[:1], heads),
        merged(parts, [spec("toy-paraphrase")]),
        merged(parts, [spec(), spec("toy-paraphrase")]),
        merged(parts),
        merged(parts, heads, seed=1),
        merged(parts, heads, task="toy-paraphrase"),
    ]
    assert len({base.run_id, *(made.run_id for made in changed)}) == len(changed) + 1


def test_a_sweep_makes_merged_runs_after_the_runs_they_are_made_from(monkeypatch, capfd):
    parts = [spec(), spec(seed=1)]
    made = merged([(parts[0], 0.5), (parts[1], 0.5)], parts[:1])
    assert sweep.plan([made, *parts]).new[-1] == made
    engine = last_first(monkeypatch)
    frame = sweep.sweep([made, *parts])
    assert [sorted(one.run_id for one in wave) for wave in engine.waves] == [
        sorted(part.run_id for part in parts),
        [made.run_id],
    ]
    assert frame.run_id.tolist() == [made.run_id, *(part.run_id for part in parts)]
    assert frame.status.eq("done").all() and frame.trainable.tolist() == [0, 64, 64]
    assert "[3/3] tiny-bert toy-sentiment n=24 merged" in capfd.readouterr().out
    assert sweep.plan([made, *parts]).cached == 3
