"""Scalars drawn at random train as one vector: they move as in a masked dense computation, and no other bit does."""

from collections import Counter
from dataclasses import replace

import families
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import stats
from test_loop import RECIPE, Killed, assert_equal, data, parameters
from torch.optim.optimizer import register_optimizer_step_pre_hook

from beft_lib import biases, runs
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec
from beft_lib.tuning import batches, loop, random_scalars
from beft_lib.tuning.head import head_parameters
from beft_lib.tuning.prepare import Prepared, apply_method, trainable

either_encoder = pytest.mark.parametrize("family", ["bert", "roberta"])


def prepared(family="bert", seed=1, **config):
    return apply_method(families.build(family, **config), "random", seed)


def tuned(family="bert", recipe=RECIPE, **more):
    model, _, scalars = prepared(family)
    trace = loop.tune(model, data(), recipe, scalars=scalars, **more)
    return model, scalars, trace


def drawn(scalars, model):
    """True where a scalar was drawn, by the parameter's name."""
    masks = {name: torch.zeros(p.shape, dtype=torch.bool) for name, p in model.named_parameters()}
    for name, positions in scalars.places.items():
        masks[name].view(-1)[positions] = True
    return masks


@pytest.fixture
def at_each_step():
    """Register a function that sees the optimizer before each of its steps."""
    hooks = []

    def register(watch):
        def hook(optimizer, *_):
            watch(optimizer)

        hooks.append(register_optimizer_step_pre_hook(hook))

    yield register
    for hook in hooks:
        hook.remove()


# ------------------------------------------------------------------------------------------------------- training


@either_encoder
def test_the_drawn_scalars_and_the_head_train_and_no_other_bit_changes(family, at_each_step):
    model, handles, scalars = prepared(family)
    assert handles == [] and len(scalars) == sum(h.size for h in biases.term_biases(model, "value")) == 64
    head = {id(p) for p in head_parameters(model)}
    before, start, largest = parameters(model), scalars.values.detach().clone(), torch.zeros(64)
    at_each_step(lambda _: torch.maximum(largest, scalars.values.grad.abs(), out=largest))
    assert loop.tune(model, data(), RECIPE, scalars=scalars).steps == 24

    masks = drawn(scalars, model)
    assert sum(int(mask.sum()) for mask in masks.values()) == 64
    for name, parameter in model.named_parameters():
        changed = parameter.detach().view(torch.int32) != before[name].view(torch.int32)
        assert changed.any() if id(parameter) in head else not changed[~masks[name]].any(), name
    moved = scalars.values.detach() != start
    assert (largest > 1e-9).sum() > 32  # the rest are embeddings of tokens that do not occur, and rounding
    assert moved[largest > 1e-9].all() and not moved[largest == 0].any()
    inside = torch.cat([model.get_parameter(name).flatten()[places] for name, places in scalars.places.items()])
    assert torch.equal(inside, scalars.values)


@either_encoder
def test_the_optimizer_sees_the_vector_and_the_head_and_no_dense_gradient(family, at_each_step, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    model, _, scalars = prepared(family)
    head, seen = {id(p) for p in head_parameters(model)}, []

    def watch(optimizer):
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        with_gradient = {id(p) for p in model.parameters() if p.grad is not None}
        seen.append((held == head | {id(scalars.values)}, with_gradient == head))

    at_each_step(watch)
    loop.tune(model, data(), RECIPE, checkpoint=tmp_path, scalars=scalars)
    assert seen == [(True, True)] * 24
    assert all(p.grad is None for p in model.parameters())
    sizes = Counter()
    for name, tensor in load_file(tmp_path / "checkpoint.safetensors").items():
        sizes[name.rpartition("/")[0]] += tensor.numel()
    trained = 64 + sum(p.numel() for p in head_parameters(model))
    assert trainable(Prepared(model, [], scalars)) == trained
    assert [sizes[kind] for kind in ("parameter", "optimizer/exp_avg", "optimizer/exp_avg_sq")] == [trained] * 3


@either_encoder
def test_training_equals_dense_gradients_that_are_masked(family):
    """The same in PyTorch alone: every gradient in full, zero but at the drawn scalars and in the head."""
    model, scalars, trace = tuned(family)
    plain = families.build(family)
    head, masks = {id(p) for p in head_parameters(plain)}, drawn(scalars, plain)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=RECIPE.learning_rate, eps=1e-6, weight_decay=0)
    examples, norms = data(), []
    for epoch in range(1, RECIPE.epochs + 1):
        plain.train()
        torch.manual_seed(loop._epoch_seed(RECIPE.seed, epoch))
        for rows in batches.shuffled(examples.lengths, RECIPE.batch_size, np.random.default_rng([RECIPE.seed, epoch])):
            optimizer.zero_grad()
            plain(**batches.collate(examples, rows)).loss.backward()
            for name, parameter in plain.named_parameters():
                if id(parameter) not in head:
                    parameter.grad *= masks[name]
            norms.append(torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0).item())
            optimizer.step()
    assert min(norms) < 1 < max(norms)  # clipping is part of what is compared
    for (name, ours), theirs in zip(model.named_parameters(), plain.parameters()):
        assert torch.allclose(ours, theirs, rtol=0, atol=2e-6), name


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch, schedule):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    recipe = replace(RECIPE, schedule=schedule)
    whole, _, trace = tuned(recipe=recipe)

    def die(step):
        raise Killed

    with pytest.raises(Killed):
        tuned(recipe=recipe, checkpoint=tmp_path, look=die, at=[13])
    resumed, scalars, again = tuned(recipe=recipe, checkpoint=tmp_path, look=lambda step: step, at=range(1, 25))
    assert again.notes == list(range(13, 25)) and (again.losses, again.steps) == (trace.losses, trace.steps)
    assert_equal(parameters(whole), parameters(resumed))


def test_a_look_sees_the_scalars_where_they_are():
    model, _, scalars = prepared()
    names = list(scalars.places)

    def inside(_):
        return torch.cat([model.get_parameter(name).flatten()[scalars.places[name]] for name in names]).tolist()

    def look(step):
        return inside(step) == scalars.values.tolist() != start

    start = inside(0)
    assert loop.tune(model, data(), RECIPE, look=look, at=[1, 7, 24], scalars=scalars).notes == [True] * 3


def test_released_gradients_are_ordinary_again():
    model, _, scalars = prepared()
    model(**families.batch(model)).loss.backward()
    name = max(scalars.places, key=lambda name: len(scalars.places[name]))
    parameter = model.get_parameter(name)
    assert parameter.grad is None and scalars.values.grad is not None
    scalars.release()
    model(**families.batch(model)).loss.backward()
    part = torch.cat([torch.full_like(p, key == name, dtype=torch.bool) for key, p in scalars.places.items()])
    assert torch.equal(parameter.grad.flatten()[scalars.places[name]], scalars.values.grad[part])


def test_another_method_afterwards_trains_what_it_says():
    model, fresh = prepared()[0], families.build("bert")
    for one in (model, fresh):
        apply_method(one, "full")
        loop.tune(one, data(), RECIPE)
    assert_equal(parameters(fresh), parameters(model))


def test_a_run_trains_as_many_scalars_as_b_v_has():
    common = {"model": "tiny-bert", "task": "toy-sentiment", "source": "bundled", "n_train": 16, "epochs": 1}
    results = [runs.run(RunSpec(**common, n_eval=20, method=method)) for method in ("random", "value")]
    assert all(result.done and np.isfinite(result.losses).all() for result in results)
    assert results[0].cost["trainable"] == results[1].cost["trainable"] == 64
    assert results[0].cost["head"] == results[1].cost["head"] == 98
    with pytest.raises(UserError, match="tunes no bias"):
        runs.delta(RunSpec(**common, n_eval=20, method="random"))


# ----------------------------------------------------------------------------------------------------------- draw


def among_all(model, size, seed):
    scalars = random_scalars.draw(model, model.parameters(), size, seed)
    scalars.release()
    return scalars.places


def test_no_scalar_is_drawn_twice():
    model = families.build("bert")
    everything = sum(p.numel() for p in model.parameters())
    for size in (64, everything - 1, everything):
        places = among_all(model, size, seed=0)
        assert sum(map(len, places.values())) == size
        for positions in places.values():
            assert (positions.diff() > 0).all() and positions.min() >= 0
        assert all(positions.max() < model.get_parameter(name).numel() for name, positions in places.items())


def test_a_draw_is_the_seeds():
    def flat(seed):
        return {(name, int(p)) for name, positions in prepared(seed=seed).scalars.places.items() for p in positions}

    assert flat(1) == flat(1) and len(flat(1) & flat(2)) < 8


def test_every_scalar_is_as_likely_as_every_other():
    """Counts over 400 draws: tensor by tensor, large and small, and in 50 equal stretches of all scalars."""
    model = families.build("bert")
    named = dict(model.named_parameters())
    starts = dict(zip(named, np.cumsum([0, *(p.numel() for p in named.values())])))
    everything = sum(p.numel() for p in named.values())
    places = [among_all(model, 64, seed) for seed in range(400)]
    counts = Counter()
    for one in places:
        counts.update({name: len(positions) for name, positions in one.items()})
    expected = [400 * 64 * p.numel() / everything for p in named.values()]
    assert stats.chisquare([counts[name] for name in named], expected).pvalue > 0.01
    positions = np.concatenate([starts[name] + one[name].numpy() for one in places for name in one])
    stretches, _ = np.histogram(positions, np.linspace(0, everything, 51))
    assert stats.chisquare(stretches).pvalue > 0.01
    distinct = everything * (1 - np.exp(-len(positions) / everything))
    assert len(set(positions)) == pytest.approx(distinct, rel=0.02)


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
def test_the_head_is_never_drawn_and_all_the_rest_can_be(family):
    model = families.build(family)
    head = {id(p) for p in head_parameters(model)}
    size = sum(h.size for h in biases.term_biases(model, "value"))
    found = set()
    for seed in range(40):
        _, _, scalars = apply_method(model, "random", seed)
        scalars.release()
        assert len(scalars) == size
        found |= set(scalars.places)
    outside = {name for name, p in model.named_parameters() if id(p) in head}
    large = {name for name, p in model.named_parameters() if p.dim() > 1} - outside
    assert not found & outside and large <= found


@pytest.mark.parametrize("size", [-1, 0, 98 + 1])
def test_more_scalars_than_there_are_cannot_be_drawn(size):
    model = families.build("bert")
    with pytest.raises(UserError, match=f"{size} scalars .* 98"):
        random_scalars.draw(model, head_parameters(model), size, seed=0)
    with pytest.raises(UserError, match="1 scalars .* 0"):
        random_scalars.draw(model, [], 1, seed=0)
