"""b_v in the bias of the output projection is the same function, on every architecture."""

import pytest
import torch
from families import FAMILIES, build
from tuned import PAIRS, logits, same, state, tuned

from beft_lib import adapters, biases
from beft_lib.biases import Layout, register_layout
from beft_lib.errors import UserError
from beft_lib.models import ARCHITECTURES

SOFTMAX_IN_FP32 = ("bloom",)  # whose attention weights sum to 1 up to that, in any precision

every_family = pytest.mark.parametrize("name", FAMILIES)
every_pair = pytest.mark.parametrize(("name", "head"), PAIRS)


def value_delta(model, seed=0, scale=0.1):
    random = torch.Generator().manual_seed(seed)
    return {
        handle.key: scale * torch.randn(handle.size, generator=random, dtype=torch.float64)
        for handle in biases.term_biases(model, "value")
    }


def restored(model, before):
    """Whether the weights are as they were; biases that were added stay, and are zero."""
    now = state(model)
    return same({name: now[name] for name in before}, before) and not any(
        values.any() for name, values in now.items() if name not in before
    )


@every_family
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["fp32", "fp64"])
def test_folded_is_merged(name, dtype, tolerance):
    merged, folded = (build(name, "lm").to(dtype) for _ in range(2))
    delta, weights, unmoved = value_delta(merged), state(folded), logits(folded)
    adapters.merge(merged, delta)
    before = adapters.fold(folded, delta)
    tolerance = 1e-6 if name in SOFTMAX_IN_FP32 and dtype is torch.float64 else tolerance
    assert torch.allclose(logits(folded), logits(merged), rtol=0, atol=tolerance)
    assert (logits(folded) - unmoved).abs().max() > 1e-2
    values = {handle.name for handle in biases.term_biases(folded, "value")}
    assert all(
        torch.equal(values_now, weights[n]) for n, values_now in state(folded).items() if n in values & {*weights}
    )
    assert all(output.bias.read().any() for output in biases.outputs(folded))
    adapters.unmerge(folded, before)
    assert restored(folded, weights) and torch.equal(logits(folded), unmoved)


@every_pair
def test_an_adapter_is_folded_with_its_head(name, head):
    model, fresh = tuned(name, head), build(name, head)
    weights, unmoved = state(fresh), logits(fresh)
    before = adapters.fold(fresh, adapters.of(model))
    assert torch.allclose(logits(fresh), logits(model), rtol=0, atol=1e-5)
    adapters.unmerge(fresh, before)
    assert restored(fresh, weights) and torch.equal(logits(fresh), unmoved)


@every_family
def test_the_models_own_bias_moves_and_its_place_is_empty(name):
    model = build(name, "lm").double()
    if all(handle.missing for handle in biases.term_biases(model, "value")):
        with pytest.raises(UserError, match="has no value bias to move"):
            adapters.fold(model)
        return
    weights, unmoved = state(model), logits(model)
    others = biases.snapshot(bias for layer in biases.attention_biases(model) for bias in (layer.query, layer.key))
    before = adapters.fold(model)
    assert torch.allclose(logits(model), unmoved, rtol=0, atol=1e-6 if name in SOFTMAX_IN_FP32 else 1e-10)
    assert not any(handle.read().any() for handle in biases.term_biases(model, "value"))
    kept = biases.snapshot(bias for layer in biases.attention_biases(model) for bias in (layer.query, layer.key))
    assert same(kept, others)
    adapters.unmerge(model, before)
    assert restored(model, weights) and torch.equal(logits(model), unmoved)


def test_a_model_whose_value_bias_was_moved_takes_an_adapter_by_folding_it():
    model, fresh = tuned("bert"), build("bert")
    made = adapters.of(model)
    adapters.fold(fresh)
    adapters.fold(fresh, made)
    assert torch.allclose(logits(fresh), logits(model), rtol=0, atol=1e-5)


@every_family
def test_the_delta_of_the_output_is_the_matrix_times_that_of_the_value(name):
    model = build(name, "lm")
    delta, weights = value_delta(model), state(model)
    found = adapters.folded(model, delta)
    assert same(state(model), weights)
    outputs = biases.outputs(model)
    assert [*found] == [output.bias.key for output in outputs]
    for handle, output in zip(biases.term_biases(model, "value"), outputs):
        expected = output.weight.double() @ delta[handle.key]
        assert found[output.bias.key].dtype is torch.float64
        torch.testing.assert_close(found[output.bias.key], expected, rtol=1e-12, atol=1e-12)
    one = next(iter(delta))
    assert len(adapters.folded(model, {one: delta[one]})) == 1


def test_a_head_of_a_group_counts_for_all_its_queries():
    """Two key/value heads for four: a part of δ_v is repeated for both queries of its group."""
    model = build("llama", "lm")
    delta = value_delta(model)
    weight = model.model.layers[1].self_attn.o_proj.weight.double()  # (32, 4·8)
    repeated = delta["1/value"].view(2, 1, 8).expand(2, 2, 8).flatten()
    torch.testing.assert_close(adapters.folded(model, delta)["1/self_attn.o_proj"], weight @ repeated)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_only_the_value_bias_can_be_folded(name):
    model = build(name, "lm")
    weights = state(model)
    for key, size in (("0/query", 32), ("1/nothing", 32), ("9/value", 32)):
        with pytest.raises(UserError, match=f"folded: '{key}' is no value bias of {type(model).__name__}.*0/value"):
            adapters.fold(model, value_delta(model) | {key: torch.zeros(size)})
    with pytest.raises(UserError, match=r"folded: bias 0/value has \d+ scalars .* the delta \(5,\)"):
        adapters.fold(model, {"0/value": torch.zeros(5)})
    with pytest.raises(UserError, match="'0/query' is no value bias"):
        adapters.fold(model, adapters.of(tuned(name, "lm", term="query")))
    assert same(state(model), weights)


def test_a_layout_that_does_not_name_the_output_is_told_of(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "llama", ARCHITECTURES["llama"])
    register_layout("llama", Layout("layers.*.self_attn", query="q_proj", key="k_proj", value="v_proj"))
    model = build("llama", "lm")
    delta = value_delta(model)
    with pytest.raises(UserError, match="does not name the attention's output projection"):
        adapters.fold(model, delta)
    adapters.unmerge(model, adapters.merge(model, delta))
