"""Adapters beside a model: one for all rows, or each row as its adapter alone gives it, and no weight changed."""

import copy

import peft
import pytest
import torch
from families import FAMILIES, batch, build
from tuned import PAIRS, logits, move, same, state, stock, tuned

import beft_lib
from beft_lib import adapters, biases
from beft_lib.errors import UserError
from beft_lib.tuning import prepare

every_pair = pytest.mark.parametrize(("name", "head"), PAIRS)


def two(name, head="classification", **config):
    """A fresh model, two adapters of it, and the models they were made of."""
    models = [tuned(name, head, seed=seed, **config) for seed in (1, 2)]
    return build(name, head, **config), {n: adapters.of(model) for n, model in zip("ab", models)}, models


@every_pair
def test_each_is_used_in_turn_and_no_weight_changes(name, head):
    model, made, tuned_models = two(name, head)
    weights, base = state(model), logits(model)
    attached = adapters.attach(model, made)
    assert attached.names == ("a", "b") and torch.equal(logits(model), base)
    for one, other in zip("aba", (*tuned_models, tuned_models[0])):
        attached.use(one)
        assert torch.allclose(logits(model), logits(other), rtol=0, atol=1e-5)
        assert (logits(model) - base).abs().max() > 1e-2
    attached.use(None)
    assert torch.equal(logits(model), base)
    attached.use("a")
    attached.detach()
    assert torch.equal(logits(model), base) and same(state(model), weights)
    assert not any(module._forward_hooks for module in model.modules())


@every_pair
def test_every_row_is_what_its_adapter_alone_gives(name, head):
    model, made, _ = two(name, head)
    with adapters.attach(model, made) as attached:
        alone = {}
        for one in ("a", "b", None):
            attached.use(one)
            alone[one] = logits(model, b=6)
        rows = ["b", None, "a", "a", None, "b"]
        attached.use(rows)
        mixed = logits(model, b=6)
        for row, one in enumerate(rows):
            assert torch.allclose(mixed[row], alone[one][row], rtol=0, atol=1e-6 * max(1, alone[one].abs().max())), row
        attached.use(["a"] * 6)
        assert torch.allclose(logits(model, b=6), alone["a"], rtol=0, atol=1e-6 * max(1, alone["a"].abs().max()))
        attached.use([None] * 6)
        assert torch.allclose(logits(model, b=6), alone[None], rtol=0, atol=1e-6 * max(1, alone[None].abs().max()))
        attached.use("b")
        assert torch.equal(logits(model, b=6), alone["b"])


def test_a_batch_of_another_number_of_rows_is_refused():
    model, made, _ = two("bert")
    with adapters.attach(model, made) as attached:
        attached.use(["a", "b", None])
        with pytest.raises(UserError, match="use named 3 rows and a batch of 4 rows came"):
            logits(model, b=4)
        assert logits(model, b=3).shape == (3, 2)


def test_an_attached_name_must_be_known_and_attached():
    model, made, _ = two("bert")
    attached = adapters.attach(model, made)
    with pytest.raises(UserError, match="unknown attached adapter 'c'; valid: a, b"):
        attached.use("c")
    with pytest.raises(UserError, match="unknown attached adapter 'c'"):
        attached.use(["a", "c"])
    with pytest.raises(UserError, match="no row is named"):
        attached.use([])
    attached.detach()
    attached.detach()
    with pytest.raises(UserError, match="were detached; attach them again"):
        attached.use("a")
    with pytest.raises(UserError, match="no adapter is given"):
        adapters.attach(model, {})
    with pytest.raises(UserError, match="'a' is a dict, not an Adapter"):
        adapters.attach(model, {"a": made["a"].delta})


def test_leaving_the_context_detaches_even_after_an_error():
    model, made, _ = two("bert")
    base = logits(model)
    with pytest.raises(ZeroDivisionError), adapters.attach(model, made) as attached:
        attached.use("a")
        raise ZeroDivisionError
    assert torch.equal(logits(model), base)


def with_head_of(model, count, seed):
    """An adapter of the same base model with another number of classes."""
    other = build("bert", num_labels=count)
    other.bert.load_state_dict(model.bert.state_dict())
    move(beft_lib.beft(other), seed=seed)
    return adapters.of(other), other


def test_heads_of_other_sizes_are_used_one_after_the_other_and_not_mixed():
    model = build("bert")
    (three, three_model), (again, again_model) = (with_head_of(model, 3, seed) for seed in (1, 2))
    made = {"two": adapters.of(tuned("bert")), "three": three, "again": again}
    with adapters.attach(model, made) as attached:
        attached.use("three")
        inputs = {key: value for key, value in batch(model).items() if key != "labels"}
        with torch.no_grad():
            assert model(**inputs).logits.shape == (4, 3)
            for rows in (["two", "three"], [None, "three"], ["again", "two", None]):
                with pytest.raises(UserError, match=r"heads of .* differ in weight of Linear, .*cannot be mixed"):
                    attached.use(rows)
            attached.use(["three", "again", "again", "three"])
            mixed = model(**inputs).logits
            assert torch.allclose(mixed[0], three_model(**inputs).logits[0], rtol=0, atol=1e-5)
            assert torch.allclose(mixed[1], again_model(**inputs).logits[1], rtol=0, atol=1e-5)
        with pytest.raises(UserError, match="in another class|num_labels"):
            adapters.merge(model, three)


def test_adapters_with_and_without_a_part_of_the_head_are_mixed():
    """One saved the pooler whole, one its bias alone, one has no head at all."""
    drawn = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    made = {"whole": adapters.of(tuned("bert", seed=1), fresh=drawn), "bias": adapters.of(tuned("bert", seed=2))}
    full = adapters.of(tuned("bert", seed=3))
    values = {key: change for key, change in full.delta.items() if not key.startswith("-")}
    made["headless"] = adapters.Adapter(delta=values, head={}, base=full.base, form=full.form)
    model = build("bert")
    with adapters.attach(model, made) as attached:
        alone = {}
        for one in (*made, None):
            attached.use(one)
            alone[one] = logits(model)
        rows = ["headless", "whole", None, "bias"]
        attached.use(rows)
        mixed = logits(model)
    for row, one in enumerate(rows):
        assert torch.allclose(mixed[row], alone[one][row], rtol=0, atol=1e-6), one


def test_a_stock_adapter_of_a_whole_tied_head_is_mixed_with_one_of_ours(tmp_path):
    """Their head is one module with the tied matrix, ours are modules inside it."""
    base = build("bert", "lm")
    config = peft.BeftConfig(target_modules=["value"], modules_to_save=["cls"], init_weights=False)
    wrapped = peft.get_peft_model(build("bert", "lm"), config).eval()
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "transform" in name:
                parameter.add_(0.1)
    wrapped.save_pretrained(tmp_path)
    made = {"theirs": adapters.load(tmp_path, base), "ours": adapters.of(tuned("bert", "lm"))}
    with adapters.attach(base, made) as attached:
        alone = {}
        for one in (*made, None):
            attached.use(one)
            alone[one] = logits(base)
        assert torch.equal(alone["theirs"], logits(wrapped))
        rows = ["ours", "theirs", None, "ours"]
        attached.use(rows)
        mixed = logits(base)
    for row, one in enumerate(rows):
        assert torch.allclose(mixed[row], alone[one][row], rtol=0, atol=1e-5), one


@pytest.mark.parametrize("name", ["llama", "phi3", "t5"])
def test_texts_are_generated_with_one_adapter_or_one_a_row(name):
    model, made, models = two(name, "lm")
    prompt = {"input_ids": batch(model)["input_ids"][:3, :5], "attention_mask": torch.ones(3, 5, dtype=torch.long)}

    def written(model):
        return model.generate(**prompt, max_new_tokens=6, min_new_tokens=6, do_sample=False, pad_token_id=0)

    alone = dict(zip(("a", "b", None), map(written, (*models, copy.deepcopy(model)))))
    assert not (torch.equal(alone["a"], alone[None]) and torch.equal(alone["b"], alone[None]))
    with adapters.attach(model, made) as attached:
        for one in ("a", "b", None):
            attached.use(one)
            assert torch.equal(written(model), alone[one])
        attached.use(["b", None, "a"])
        assert torch.equal(written(model), torch.stack([alone["b"][0], alone[None][1], alone["a"][2]]))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "gpt2"])
@pytest.mark.parametrize("term", ["query", "key"])
def test_the_other_terms_are_attached_as_stock_peft_computes_them(name, term, tmp_path):
    adapters.save(tuned(name, "lm", term=term), tmp_path)
    model = build(name, "lm")
    with adapters.attach(model, {"it": adapters.load(tmp_path, model)}) as attached:
        attached.use("it")
        assert torch.equal(logits(model), logits(stock(build(name, "lm"), tmp_path)))
        attached.use(["it", None, "it", None])
        if name == "deberta-v2":  # its query and key are projections of positions too, once for all rows
            with pytest.raises(UserError, match="a batch of 1 rows came"):
                logits(model)
        else:
            logits(model)


def test_a_bias_that_is_of_no_projection_is_attached_too():
    model, other = build("bert"), tuned("bert", term="attention.output.LayerNorm")
    with adapters.attach(model, {"it": adapters.of(other)}) as attached:
        attached.use("it")
        assert torch.allclose(logits(model), logits(other), rtol=0, atol=1e-5)


def test_a_model_in_half_precision_computes_what_stock_peft_does(tmp_path):
    adapters.save(tuned("llama", "lm"), tmp_path)
    model = build("llama", "lm").bfloat16()
    with adapters.attach(model, {"it": adapters.load(tmp_path, model)}) as attached:
        attached.use("it")
        theirs = stock(build("llama", "lm").bfloat16(), tmp_path)
        assert logits(model).dtype is torch.bfloat16 and torch.equal(logits(model), logits(theirs))
        attached.use(["it", None, "it", None])
        assert torch.equal(logits(model)[::2], logits(theirs)[::2])


def test_an_adapter_of_another_model_is_refused():
    made = adapters.of(tuned("bert"))
    with pytest.raises(UserError, match="unknown bias|has no"):
        adapters.attach(build("bert", "base", num_hidden_layers=1), {"it": made})
    bare = build("bert", "base")
    bare.load_state_dict(build("bert").bert.state_dict())
    with pytest.raises(UserError, match="BertModel has no classifier.weight, which is in the adapter's head"):
        adapters.attach(bare, {"it": made})


def test_stock_peft_takes_any_adapter_names_and_does_nothing():
    """Why `use` takes rows: if this fails, PEFT's BEFT has learnt to, and the docstring of `use` is out of date."""
    model = build("bert")
    wrapped = peft.get_peft_model(model, peft.BeftConfig(target_modules=["value"], init_weights=False)).eval()
    wrapped.add_adapter("x", peft.BeftConfig(target_modules=["value"], init_weights=False))
    inputs = {key: value for key, value in batch(model).items() if key != "labels"}
    with torch.no_grad():
        alone = wrapped(**inputs).logits
        named = wrapped(**inputs, adapter_names=["x", "nonsense"]).logits
    assert torch.equal(named, alone)


def test_training_goes_on_under_an_attached_adapter():
    model, made, _ = two("bert")
    beft_lib.beft(model)
    with adapters.attach(model, made) as attached:
        attached.use(["a", None, "b", "a"])
        model(**batch(model)).loss.backward()
    assert all(handle.parameter.grad.any() for handle in biases.term_biases(model, "value"))
    assert prepare.before(model) is not None
