"""What is merged, folded or trained comes back from save_pretrained and from_pretrained, or a warning says no."""

import warnings

import pytest
import torch
from families import FAMILIES, batch, build
from tuned import logits, move

import beft_lib
from beft_lib import adapters, biases
from beft_lib.errors import UserError

LOST = {  # classes that make no such bias, whatever their configuration says
    "merge": {"mistral", "phi3", "gptj", "t5"},
    "fold": {"mistral", "phi3", "gptj", "t5", "qwen2"},
    "beft": {"mistral", "phi3", "gptj", "t5"},
}


def changed(model, how):
    """The model with a b_v that is merged, folded or trained."""
    if how == "beft":
        beft_lib.beft(model)
        move(model)
        return model
    random = torch.Generator().manual_seed(1)
    getattr(adapters, how)(
        model,
        {h.key: torch.randn(h.size, generator=random).double() for h in biases.term_biases(model, "value")},
    )
    return model


@pytest.mark.parametrize("name", [*FAMILIES, "modernbert", "albert"])
@pytest.mark.parametrize("how", LOST)
def test_a_change_comes_back_or_a_warning_says_that_it_will_not(name, how, tmp_path):
    base = build(name, "lm" if name not in ("modernbert", "albert") else "classification")
    before = logits(base)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = changed(base, how)
    said = [str(w.message) for w in said if "no place for" in str(w.message)]
    assert bool(said) == (name in LOST[how]), said
    wanted = logits(model)
    assert (wanted - before).abs().max() > 1e-2
    if name in LOST[how]:
        assert "adapters.save" in said[0]
        return
    model.save_pretrained(tmp_path)
    again, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert torch.equal(logits(again.eval()), wanted)


def test_the_zeros_that_go_with_a_switch_change_nothing_and_do_not_train():
    model, plain = beft_lib.beft(build("llama", "lm")), build("llama", "lm")
    assert model.config.attention_bias and torch.equal(logits(model), logits(plain))
    assert biases.trainable_scalars(model) == 2 * 16
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {
        f"model.layers.{layer}.self_attn.v_proj.bias" for layer in range(2)
    }


def test_a_merge_is_taken_out_again_to_the_bit():
    model = build("llama", "lm")
    before = logits(model)
    kept = adapters.merge(model, {h.key: torch.ones(h.size).double() for h in biases.term_biases(model, "value")})
    adapters.unmerge(model, kept)
    assert torch.equal(logits(model), before)


# ------------------------------------------------------------------------------------------------ wrapped models


@pytest.mark.parametrize("prepare", ["the wrapper", "the model"])
@pytest.mark.parametrize("wrap", [lambda m: torch.compile(m, backend="eager"), torch.nn.DataParallel])
def test_a_wrapper_is_looked_through(prepare, wrap, tmp_path):
    model = build("bert")
    wrapper = wrap(model)
    assert beft_lib.beft(wrapper if prepare == "the wrapper" else model) is (
        wrapper if prepare == "the wrapper" else model
    )
    inputs = batch(model)
    wrapper(**inputs).loss.backward()
    move(model)
    adapters.save(wrapper, tmp_path / "mine")
    again = build("bert")
    adapters.merge(wrap(again), adapters.load(tmp_path / "mine", wrap(again)))
    assert torch.equal(logits(again), logits(model))
    assert not [name for name in adapters.of(wrapper).head if "_orig_mod" in name or name.startswith("module")]


def test_what_peft_wraps_is_refused_before_training():
    import peft

    wrapped = peft.get_peft_model(build("bert"), peft.LoraConfig(target_modules=["query"], task_type="SEQ_CLS"))
    for use in (beft_lib.beft, adapters.of, lambda m: adapters.fold(m, {}), lambda m: adapters.merge(m, {})):
        with pytest.raises(UserError, match="wrapped by PEFT.*unload"):
            use(wrapped)


def test_a_compiled_part_of_a_model_is_refused_before_training():
    model = build("bert")
    model.bert.encoder.layer[1] = torch.compile(model.bert.encoder.layer[1], backend="eager")
    with pytest.raises(UserError, match="bert.encoder.layer.1 of .* is compiled"):
        beft_lib.beft(model)
    model = build("bert")
    model.compile(backend="eager")  # in place: no name changes
    beft_lib.beft(model)
