"""The encoder pass computes what transformers' own forward does, for each of its families; its masks are dropout's."""

from collections import defaultdict
from contextlib import contextmanager

import families
import numpy as np
import pytest
import torch
from scipy import stats as distributions
from test_loop import RECIPE, data
from torch import nn

from beft_lib import biases, importance
from beft_lib.tuning import encoder_pass, loop
from beft_lib.tuning.prepare import apply_method

FAMILIES = ("bert", "roberta", "xlm-roberta", "electra", "mpnet")
B, T = 4, 10


def inputs(model, padded=True):
    """A batch without labels: its rows of different lengths, or all of one length and without a mask."""
    made = families.batch(model, b=B, t=T)
    made.pop("labels")
    if not padded:
        made = {"input_ids": made["input_ids"].where(made["attention_mask"] == 1, 7)}
    if (
        "token_type_embeddings" in dict(model.base_model.embeddings.named_children())
        and model.config.type_vocab_size > 1
    ):
        made["token_type_ids"] = (torch.arange(T) > 4).long().expand(B, T)
    return made


def given(model, seed=0):
    """Masks for every token: as the pass asks for them, by place, and the places in the order of dropout's calls.

    Those that the pass is given for the last layer have the first token's rows alone.
    """
    full, order = {}, []
    config = model.config
    last = config.num_hidden_layers - 1

    def masks(place, shape, p, like):
        if place not in full:
            whole = list(shape)
            if place.startswith(f"{last}/"):
                whole[2 if place.endswith("attention") else 1] = T
            drawn = torch.rand(whole, generator=torch.Generator().manual_seed(seed + len(full)))
            full[place] = (drawn >= p).to(like.dtype)
            order.append(place)
        kept = full[place]
        if place.startswith(f"{last}/"):
            kept = kept[:, :, : shape[2]] if place.endswith("attention") else kept[:, : shape[1]]
        return kept.to(like.dtype), 1 - p

    return masks, full, order


@contextmanager
def dropped_by(full, order):
    """transformers' forward with these masks: each call of dropout takes the next one."""
    places, own = iter(order), nn.functional.dropout

    def dropout(x, p=0.5, training=True, inplace=False):
        if not training or p == 0:
            return x
        kept = full[next(places)].to(x.dtype)
        assert kept.shape == x.shape
        return x * kept / (1 - p)

    nn.functional.dropout = dropout
    try:
        yield
    finally:
        nn.functional.dropout = own


def gradients(model, found, labels):
    for parameter in model.parameters():
        parameter.grad = None
    nn.functional.cross_entropy(found.float(), labels).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def both(family, method="full", padded=True, masked=True, precision="fp32", double=False):
    """Logits and gradients of the pass and of transformers with the same masks."""
    model = families.build(family)
    model.set_attn_implementation("eager")
    model = model.double() if double else model
    apply_method(model, method)
    model.train(masked)
    batch, labels = inputs(model, padded), torch.arange(B) % model.config.num_labels
    assert encoder_pass.name(model) == "encoder"
    masks, full, order = given(model)
    with loop.autocast(precision, torch.device("cpu")):
        ours = encoder_pass.logits(model, batch, masks=masks)
        own = gradients(model, ours, labels)
        with dropped_by(full, order):
            theirs = model(**batch).logits
    return (ours.detach(), own), (theirs.detach(), gradients(model, theirs, labels))


def apart(first, second):
    """‖first − second‖ / ‖second‖"""
    return ((first - second).norm() / second.norm()).item()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_the_gradient_of_every_parameter_are_those_of_transformers(family, padded, masked):
    (ours, own), (theirs, their) = both(family, padded=padded, masked=masked, double=True)
    assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    assert set(own) == set(their) and len(own) > 30
    scale = max(g.norm() for g in their.values())
    for name, gradient in their.items():
        assert (own[name] - gradient).norm() < 1e-10 * max(gradient.norm(), 1e-3 * scale), name


@pytest.mark.parametrize("family", FAMILIES)
def test_in_fp32_they_are_equal_up_to_rounding(family):
    (ours, own), (theirs, their) = both(family, "all_biases")
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for name, gradient in their.items():
        if "key" not in name and ".k." not in name:  # which rounding alone makes: b_k has no gradient
            assert apart(own[name], gradient) < 1e-4, name


@pytest.mark.parametrize("family", FAMILIES)
def test_in_bf16_they_are_as_near_to_fp32_as_autocasts(family):
    (exact, exactly), _ = both(family, "all_biases")
    (ours, own), (theirs, their) = both(family, "all_biases", precision="bf16")
    assert apart(ours.float(), exact) < max(0.02, 2 * apart(theirs.float(), exact))

    def error(found):
        names = [n for n in exactly if "key" not in n and ".k." not in n]
        return apart(*(torch.cat([g[n].flatten() for n in names]) for g in (found, exactly)))

    assert error(own) < max(0.02, 1.5 * error(their))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_fisher_through_the_pass_is_that_of_hooks(family, padded):
    model = families.build(family).double()
    batch = inputs(model, padded) | {"labels": torch.arange(B) % 2}
    for ours, theirs in zip(
        importance.fishers(model, [batch], forward=encoder_pass.logits), importance.fishers(model, [batch])
    ):
        largest = max(score.score for score in theirs)
        assert len(ours) == len(theirs) > 16
        for own, their in zip(ours, theirs):
            assert own.score == pytest.approx(their.score, rel=1e-5, abs=1e-10 * largest), (own.term, own.layer)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_that_reads_every_token_gets_the_whole_last_layer(family):
    model = families.build(family).double()
    batch = inputs(model)
    with torch.no_grad():
        real = batch["attention_mask"].bool()
        assert torch.allclose(encoder_pass.states(model, batch)[real], model.base_model(**batch)[0][real], atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_in_the_projections_trains_as_in_transformers(family):
    (ours, own), (theirs, their) = both(family, "lora", double=True)
    assert torch.allclose(ours, theirs, atol=1e-6)  # adapters are fp32
    assert set(own) == set(their) and any("lora_B" in name for name in own)
    assert all(torch.allclose(own[name], their[name], rtol=1e-3, atol=1e-6) for name in their)


# --------------------------------------------------------------------------------------------------- which models


def test_another_family_goes_through_transformers():
    for family in ("distilbert", "deberta-v2"):
        model = families.build(family)
        batch = inputs(model)
        assert encoder_pass.name(model) == "transformers"
        with torch.no_grad():
            assert torch.equal(encoder_pass.logits(model, batch), model(**batch).logits)
        with pytest.raises(ValueError, match="not computed by the encoder pass"):
            encoder_pass.states(model, batch)


class _Other(nn.Linear):
    pass


def _hook(model):
    model.base_model.encoder.layer[0].output.register_forward_hook(lambda *_: None)


def _replaced(model):
    model.base_model.encoder.layer[1].intermediate.dense = _Other(32, 48)


def _patched(model):
    model.base_model.encoder.layer[0].forward = lambda *a, **k: None


def _chunked(model):
    model.config.chunk_size_feed_forward = 2


def _checkpointed(model):
    model.gradient_checkpointing_enable()
    model.train()


def _causal(model):
    model.config.is_decoder = True


@pytest.mark.parametrize("change", [_hook, _replaced, _patched, _chunked, _checkpointed, _causal])
def test_a_model_that_is_not_the_plain_one_goes_through_transformers(change):
    model = families.build("bert")
    assert encoder_pass.name(model) == "encoder"
    change(model)
    assert encoder_pass.name(model) == "transformers"


def test_another_activation_goes_through_transformers():
    assert encoder_pass.name(families.build("bert", hidden_act="relu")) == "transformers"
    assert encoder_pass.name(families.build("bert", hidden_act="gelu_new")) == "transformers"


def test_prefix_tuning_goes_through_transformers():
    assert encoder_pass.name(apply_method(families.build("bert"), "prefix").model) == "transformers"


def test_other_inputs_and_outputs_inside_lora_go_through_transformers():
    model = families.build("roberta")
    batch = inputs(model)
    positions = batch | {"position_ids": torch.arange(2, 2 + T).expand(B, T).flip(1)}
    with torch.no_grad():
        assert torch.equal(encoder_pass.logits(model, positions), model(**positions).logits)
    model = apply_method(model, "lora").model
    inner = model.roberta.encoder.layer[0].attention.self.value.base_layer
    outputs = {inner: []}
    encoder_pass.logits(model, batch, outputs)
    assert [tuple(output.shape) for output in outputs[inner]] == [(B, T, 32)]


def test_the_pass_leaves_nothing_in_the_model():
    model = families.build("roberta").train()
    before, modules = {n: t.clone() for n, t in model.state_dict().items()}, [vars(m).keys() for m in model.modules()]
    encoder_pass.logits(model, inputs(model)).sum().backward()
    assert list(before) == list(model.state_dict()) and modules == [vars(m).keys() for m in model.modules()]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


# -------------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_mask_keeps_the_share_that_it_says(p, dtype):
    torch.manual_seed(1)
    n = 400_003  # no multiple of four
    kept, share = encoder_pass.random_mask("", (n,), p, torch.empty(0, dtype=dtype))
    assert kept.dtype == dtype and set(kept.unique().tolist()) == {0.0, 1.0}
    assert abs(share - (1 - p)) < 2**-16
    assert distributions.binomtest(int(kept.float().sum()), n, share).pvalue > 1e-4


def test_masks_use_all_sixteen_bits():
    """Without the sign bit every fourth number would never be in the lower half."""
    torch.manual_seed(0)
    kept, _ = encoder_pass.random_mask("", (100_000, 4), 0.5, torch.empty(0))
    assert ((kept.mean(0) - 0.5).abs() < 0.01).all()
    rare, _ = encoder_pass.random_mask("", (1_000_000, 4), 3 / 2**16, torch.empty(0))
    assert distributions.binomtest(int((1 - rare).sum()), 4_000_000, 3 / 2**16).pvalue > 1e-4


def test_neighbours_rows_and_masks_are_independent():
    torch.manual_seed(2)
    first, second = (encoder_pass.random_mask("", (1000, 384), 0.1, torch.empty(0))[0].numpy() for _ in range(2))
    for a, b in (
        (first[:, :-1], first[:, 1:]),
        (first[:, :-4], first[:, 4:]),
        (first[:-1], first[1:]),
        (first, second),
    ):
        table = [[((a == i) & (b == j)).sum() for j in (0, 1)] for i in (0, 1)]
        assert distributions.chi2_contingency(table).pvalue > 1e-4
    runs = np.diff(np.flatnonzero(first.ravel() == 0))  # distances of dropped elements are geometric
    expected = distributions.geom.pmf(np.arange(1, 30), 1 - encoder_pass.random_mask("", (1,), 0.1, torch.empty(0))[1])
    observed = np.bincount(runs, minlength=30)[1:30]
    rest = len(runs) - observed.sum()
    assert (
        distributions.chisquare([*observed, rest], np.array([*expected, 1 - expected.sum()]) * len(runs)).pvalue > 1e-4
    )


def test_nothing_and_everything_can_be_dropped():
    assert encoder_pass.random_mask("", (5,), 1.0, torch.empty(0))[0].sum() == 0
    assert encoder_pass.random_mask("", (500,), 1e-9, torch.empty(0))[0].sum() == 500


def test_every_place_layer_and_step_has_a_mask_of_its_own():
    model = families.build("bert").train()
    seen = defaultdict(list)

    def masks(place, *given):
        kept, share = encoder_pass.random_mask(place, *given)
        seen[place].append(kept)
        return kept, share

    batch = inputs(model)
    for _ in range(2):
        encoder_pass.logits(model, batch, masks=masks)
    parts = ("attention", "attention.output", "output")
    assert set(seen) == {"embeddings", "head", *(f"{layer}/{part}" for layer in (0, 1) for part in parts)}
    assert all(len(own) == 2 and not torch.equal(*own) for own in seen.values())
    assert not torch.equal(seen["0/attention.output"][0], seen["0/output"][0])
    assert seen["0/attention"][0].shape == (B, 4, T, T) and seen["1/attention"][0].shape == (B, 4, 1, T)


def test_the_mean_over_masks_is_what_nothing_dropped_gives():
    """Inverse scaling, at the places where the pass is linear in what is dropped: the head's input."""
    model = families.build("bert").double().train()
    batch = inputs(model)
    for module in model.modules():
        if isinstance(module, nn.Dropout) and module is not model.dropout:
            module.p = 0.0
    model.dropout.p = 0.3
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = torch.stack([encoder_pass.logits(model, batch) for _ in range(3000)])
        plain = encoder_pass.logits(model.eval(), batch)
    assert ((drawn.mean(0) - plain).abs() < 4.5 * drawn.std(0) / len(drawn) ** 0.5).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_attention_is_scaled_inversely_too(precision):
    """With values and weights that are all one, the mean of what attention gathers is one."""
    run = encoder_pass._Run(None, {}, encoder_pass.random_mask)
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    zeros, ones = torch.zeros(64, 32, 16, dtype=dtype), torch.ones(64, 32, 16, dtype=dtype)
    torch.manual_seed(0)
    gathered = encoder_pass._attend(run, nn.Dropout(0.1).train(), "", zeros, zeros, ones, 4, None)
    assert gathered.float().mean().item() == pytest.approx(1, abs=2e-3)


# ------------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_depends_on_its_seed_alone_and_learns(family):
    def tuned(seed):
        from dataclasses import replace
        from functools import partial

        model = families.build(family)
        apply_method(model, "value")
        loss = partial(loop.head_loss, logits=encoder_pass.logits)
        torch.manual_seed(seed)  # what was drawn before does not matter
        trace = loop.tune(model, data(), replace(RECIPE, seed=3), loss=loss)
        return trace.losses, biases.snapshot(biases.term_biases(model, "value"))

    (first, left), (second, right) = tuned(0), tuned(1)
    assert first == second and first[-1] < first[0]
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_predictions_are_those_of_transformers():
    model = families.build("mpnet")
    ours = loop.predict(model, data(), logits=encoder_pass.logits)
    assert np.allclose(ours, loop.predict(model, data()), atol=1e-5)
