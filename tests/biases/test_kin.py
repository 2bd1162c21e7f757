"""Encoders close to others keep the identities that the grid of `test_biases` holds for all."""

import pytest
import torch
from families import KIN, batch, build
from tuned import logits, move, stock

import beft_lib
from beft_lib import adapters, biases
from beft_lib.models import ARCHITECTURES, limits

every_kin = pytest.mark.parametrize("name", KIN)
COUNT = {"albert": 1}  # of attentions; else one a layer


@torch.no_grad()
def moved_by(model, handles, amount=0.5) -> float:
    """The largest change of a logit when every scalar of the biases is moved at random."""
    before = logits(model)
    random = torch.Generator().manual_seed(3)
    for handle in handles:
        handle.write(handle.read() + amount * torch.randn(handle.size, generator=random))
    return float((logits(model) - before).abs().max())


@every_kin
def test_their_biases_are_found_and_b_k_is_inert_where_the_table_says_so(name):
    model = build(name)
    assert len(biases.attention_biases(model)) == COUNT.get(name, 2)
    assert all(handle.size == 32 for layer in biases.attention_biases(model) for handle in layer)
    for term, live in (("query", True), ("value", True), ("key", not ARCHITECTURES[name].key_is_inert)):
        change = moved_by(build(name), biases.term_biases(build(name), term))
        assert change == 0.0  # handles of another model: nothing of this one moves
        model = build(name)
        change = moved_by(model, biases.term_biases(model, term))
        assert change > 1e-3 if live else change < 1e-4, (term, change)


@every_kin
@torch.no_grad()
def test_their_b_v_is_a_bias_of_the_output(name):
    """(b_v + δ) and (b_o + W_o δ) give the same logits."""
    model, other = build(name), build(name)
    for handle, output in zip(biases.term_biases(model, "value"), biases.outputs(other), strict=True):
        delta = torch.randn(handle.size, generator=torch.Generator().manual_seed(handle.layer))
        handle.write(handle.read() + delta)
        output.bias.write(output.bias.read() + output.weight @ delta)
    assert (logits(model) - logits(build(name))).abs().max() > 1e-3
    torch.testing.assert_close(logits(model), logits(other), rtol=1e-4, atol=1e-4)


@every_kin
def test_they_train_their_b_v_and_are_saved_for_stock_peft(name, tmp_path):
    model = beft_lib.beft(build(name))
    model(**batch(model)).loss.backward()
    assert all(bool(handle.parameter.grad.abs().sum() > 0) for handle in biases.term_biases(model, "value"))
    move(model)
    adapters.save(model, tmp_path / "mine")
    again = build(name)
    adapters.merge(again, adapters.load(tmp_path / "mine", again))
    torch.testing.assert_close(logits(again), logits(model))
    torch.testing.assert_close(logits(stock(build(name), tmp_path / "mine")), logits(model), rtol=1e-4, atol=1e-4)


def test_positions_are_those_that_a_token_can_have():
    assert {
        name: limits.positions(build(name)) for name in ("bert", "roberta", "mpnet", "opt", "gpt2", "distilbert")
    } == {**{"bert": 32, "roberta": 31, "mpnet": 30, "opt": 32, "gpt2": 32, "distilbert": 32}}
    assert {name: limits.positions(build(name)) for name in ("llama", "t5", "modernbert", "deberta-v2")} == {
        **{"llama": None, "t5": None, "modernbert": None, "deberta-v2": None}
    }
