"""The scores as identities: what the formulas imply, and parity with computations written another way."""

import math

import families
import pytest
import torch

from beft_lib import biases, importance
from beft_lib.errors import UserError
from beft_lib.importance import Score

FISHER_FAMILIES = [
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "mpnet",
    "deberta-v2",
    "opt",
    "gpt2",
    "bloom",
    "gpt_neox",
    "qwen2",
    "phi",
]


def vectors(seed=0, d=24):
    return torch.randn(2, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ------------------------------------------------------------------------------------------------ projection ratio


def test_no_change_scores_zero():
    pre, _ = vectors()
    assert importance.projection_ratio(pre, pre).item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("c", [0.01, 0.5, 1.0, 2.0, 30.0])
def test_scaling_by_c_scores_one_minus_the_smaller_of_c_and_its_inverse(c):
    pre, _ = vectors()
    assert importance.projection_ratio(pre, c * pre).item() == pytest.approx(1 - min(c, 1 / c))


def test_orthogonal_scores_one_and_reversed_two():
    pre, other = vectors()
    orthogonal = other - pre * (other @ pre) / (pre @ pre)
    assert importance.projection_ratio(pre, orthogonal).item() == pytest.approx(1)
    assert importance.projection_ratio(pre, -pre).item() == pytest.approx(2)


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_papers_two_cases_and_is_symmetric(seed):
    pre, post = vectors(seed)
    angle = torch.arccos(pre @ post / (pre.norm() * post.norm()))
    shorter, longer = sorted((pre.norm(), post.norm()))
    assert importance.projection_ratio(pre, post).item() == pytest.approx((1 - shorter * angle.cos() / longer).item())
    assert importance.projection_ratio(post, pre) == importance.projection_ratio(pre, post)


def test_does_not_depend_on_the_unit():
    pre, post = vectors()
    assert importance.projection_ratio(7 * pre, 7 * post).item() == pytest.approx(
        importance.projection_ratio(pre, post).item()
    )


@pytest.mark.parametrize("which", ["pre", "post"])
def test_a_zero_vector_has_no_direction(which):
    pair = {"pre": torch.ones(4), "post": torch.ones(4)} | {which: torch.zeros(4)}
    assert math.isnan(importance.projection_ratio(**pair).item())


def test_works_on_stacks_and_refuses_other_shapes():
    pre, post = torch.randn(3, 5), torch.randn(3, 5)
    one_by_one = torch.stack([importance.projection_ratio(a, b) for a, b in zip(pre, post)])
    assert torch.equal(importance.projection_ratio(pre, post), one_by_one)
    with pytest.raises(UserError, match="shape"):
        importance.projection_ratio(torch.ones(3), torch.ones(4))


def test_magnitude_is_the_manhattan_distance():
    pre, post = vectors()
    assert importance.magnitude(pre, post).item() == pytest.approx(sum(abs(a - b) for a, b in zip(pre, post)).item())


# ------------------------------------------------------------------------------------------------------ null model


def test_null_changes_are_as_large_as_the_real_one_and_seeded():
    pre, post = vectors()
    draws = importance.null_model(pre, post, draws=50, seed=3)
    assert torch.equal(draws, importance.null_model(pre, post, draws=50, seed=3))
    assert not torch.equal(draws, importance.null_model(pre, post, draws=50, seed=4))
    step = (post - pre).norm()
    # 1 − ⟨pre, pre + step·u⟩ / max(...)² lies between its values for u along and against pre
    lowest = importance.projection_ratio(pre, pre + step * pre / pre.norm())
    highest = importance.projection_ratio(pre, pre - step * pre / pre.norm())
    assert ((draws >= min(lowest, 0) - 1e-12) & (draws <= highest + 1e-12)).all()


def test_a_random_change_scores_like_its_null():
    random = torch.Generator().manual_seed(0)
    pre = torch.randn(384, generator=random, dtype=torch.float64)
    step = torch.randn(384, generator=random, dtype=torch.float64)
    real, null = importance.projection_ratio(pre, pre + step), importance.null_model(pre, pre + step, draws=1000)
    assert null.quantile(0.001) < real < null.quantile(0.999)


def test_no_change_has_a_null_of_zero():
    pre, _ = vectors()
    assert importance.null_model(pre, pre).abs().max() < 1e-15


# ---------------------------------------------------------------------------------------------------------- Fisher


def one_by_one_fisher(model, batch, handles):
    """The formula's own loop: a backward pass an example, the gradient read from the parameter."""
    total = {handle.key: 0.0 for handle in handles}
    labels = batch["labels"]
    biases.train_only(model, handles)
    for i in range(len(labels)):
        single = {name: value[i : i + 1] for name, value in batch.items() if name != "labels"}
        logits = model(**single).logits
        if logits.dim() == 3:
            logp = logits[0, :-1].log_softmax(-1)
            likelihood = sum(logp[t, labels[i, t + 1]] for t in range(len(logp)) if labels[i, t + 1] != -100)
        elif labels.is_floating_point():
            likelihood = -0.5 * (logits[0, 0] - labels[i]) ** 2
        else:
            likelihood = logits[0].log_softmax(-1)[labels[i]]
        model.zero_grad()
        likelihood.backward()
        for handle in handles:
            grad = handle.parameter.grad if handle.index is None else handle.parameter.grad[handle.index]
            total[handle.key] += grad.square().sum().item()
    return {key: value / len(labels) for key, value in total.items()}


def assert_equals_one_by_one(model):
    model = model.double()
    handles = biases.all_biases(model)
    batch = families.batch(model)
    found = importance.empirical_fisher(model, [batch])
    expected = one_by_one_fisher(model, batch, handles)
    largest = max(expected.values())
    for handle, score in zip(handles, found):
        assert score.score == pytest.approx(expected[handle.key], rel=1e-6, abs=1e-9 * largest), handle.key


@pytest.mark.parametrize("family", FISHER_FAMILIES)
def test_hook_fisher_equals_one_by_one(family):
    assert_equals_one_by_one(families.build(family))


@pytest.mark.parametrize("family", ["opt", "gpt2", "gpt_neox"])
def test_hook_fisher_of_a_language_model_equals_one_by_one(family):
    assert_equals_one_by_one(families.build(family, head="lm"))


def test_hook_fisher_of_a_regression_equals_one_by_one():
    assert_equals_one_by_one(families.build("bert", num_labels=1))


def test_fisher_does_not_depend_on_the_batches():
    model = families.build("bert").double()
    batch = families.batch(model, b=6)
    parts = [{name: value[rows] for name, value in batch.items()} for rows in (slice(0, 1), slice(1, 4), slice(4, 6))]
    whole, apart = importance.empirical_fisher(model, [batch]), importance.empirical_fisher(model, parts)
    assert [s.score for s in whole] == pytest.approx([s.score for s in apart], rel=1e-9)


def test_fisher_leaves_the_model_as_it_was():
    model = families.build("bert").train()
    biases.train_only(model, biases.term_biases(model, "query"))
    flags = [p.requires_grad for p in model.parameters()]
    importance.empirical_fisher(model, [families.batch(model)])
    assert model.training and flags == [p.requires_grad for p in model.parameters()]
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_key_bias_has_no_fisher_with_absolute_positions_and_some_with_rotary():
    for family, live in (("bert", False), ("roberta", False), ("opt", False), ("qwen2", True)):
        model = families.build(family).double()
        means = importance.means(importance.empirical_fisher(model, [families.batch(model)]))
        assert (means["key"] > 1e-12 * means["value"]) == live, family


def test_batch_fisher_is_the_squared_clipped_mean_gradient():
    model = families.build("bert").double()
    batch = families.batch(model)
    handles = biases.all_biases(model)
    found = {s.term + str(s.layer): s.score for s in importance.batch_fisher(model, [batch], clip=0.01)}
    biases.train_only(model, handles)
    torch.nn.functional.cross_entropy(
        model(**{k: v for k, v in batch.items() if k != "labels"}).logits, batch["labels"]
    ).backward()
    torch.nn.utils.clip_grad_norm_([h.parameter for h in handles], 0.01)
    for handle in handles:
        assert found[handle.term + str(handle.layer)] == pytest.approx(
            handle.parameter.grad.square().sum().item(), rel=1e-6
        )


def test_batches_of_one_make_both_fishers_equal():
    model = families.build("bert").double()
    batch = families.batch(model)
    singles = [{name: value[i : i + 1] for name, value in batch.items()} for i in range(4)]
    exact, authors = importance.empirical_fisher(model, singles), importance.batch_fisher(model, singles, clip=1e9)
    assert [s.score for s in exact] == pytest.approx([s.score for s in authors], rel=1e-9)


# --------------------------------------------------------------------------------------------------------- ranking


def test_rank_orders_by_the_mean_over_layers_and_puts_nan_last():
    scores = [
        Score("projection", term, layer, value)
        for term, values in {"query": (0.1, 0.3), "key": (math.nan, 0.9), "value": (0.0, 0.5)}.items()
        for layer, value in enumerate(values)
    ]
    assert [(r.term, r.place) for r in importance.rank(scores)] == [("value", 1), ("query", 2), ("key", 3)]
    assert importance.rank(scores)[0].score == pytest.approx(0.25)
    assert [r.term for r in importance.rank(scores, among=("key", "query"))] == ["query", "key"]


def test_rank_refuses_mixed_approaches_and_unknown_terms():
    mixed = [Score("fisher", "query", 0, 1.0), Score("magnitude", "query", 0, 1.0)]
    with pytest.raises(UserError, match="several approaches"):
        importance.rank(mixed)
    with pytest.raises(UserError, match="no score for value"):
        importance.rank({"query": 1.0}, among=("query", "value"))


def test_change_scores_of_a_snapshot():
    model = families.build("bert")
    handles = biases.all_biases(model)
    pre = biases.snapshot(handles)
    for handle in handles:
        handle.write(2 * handle.read())
    scores = importance.change_scores(handles, pre, biases.snapshot(handles))
    assert {s.approach for s in scores} == {"projection", "magnitude", "null_model"}
    assert all(s.score == pytest.approx(0.5) for s in scores if s.approach == "projection")
    for score, handle in zip([s for s in scores if s.approach == "magnitude"], handles):
        assert score.score == pytest.approx(pre[handle.key].abs().sum().item(), rel=1e-6)


def test_no_approach_has_a_name_that_csv_readers_take_for_missing():
    import io

    import pandas as pd

    names = pd.read_csv(io.StringIO("approach\n" + "\n".join(importance.APPROACHES)))
    assert names.approach.tolist() == list(importance.APPROACHES)
