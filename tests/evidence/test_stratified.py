"""Intervals over seeds and examples within tasks that are given: their formula, and how often they cover."""

import numpy as np
import pytest
from constructed import setting

from beft_lib import evidence
from beft_lib.evidence import fixed, stats


def measured(rng, s: int, n: int, seeds: float, examples: float, both: float, truth: float = 0.0, draws: int = 200):
    """One setting's scores (s,) and bootstrap samples (d, s): the mean over n examples of what each is off by."""
    parts = rng.normal(0, examples, n) + rng.normal(0, seeds, (s, 1)) + rng.normal(0, both, (s, n))
    counts = rng.multinomial(n, np.full(n, 1 / n), size=draws)
    return truth + parts.mean(1), truth + counts @ parts.T / n


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "examples", "both"),
    [(1.0, 3.0, 3.0), (1.0, 10.0, 5.0), (1.0, 0.5, 1.0)],
    ids=["alike", "examples", "seeds"],
)
def test_stratified_covers_the_mean_of_the_tasks_that_are_given(seeds, examples, both):
    rng, truths = np.random.default_rng(1), (5.0, -2.0, 0.0, 30.0)  # tasks that differ widely, and are no sample
    covered = 0
    for _ in range(2000):
        strata = [measured(rng, 3, 60, seeds, examples, both, truth) for truth in truths]
        found = stats.stratified(strata)
        covered += found.low <= np.mean(truths) <= found.high
    assert 0.93 <= covered / 2000 <= 0.97


def test_one_stratum_is_crossed():
    own = measured(np.random.default_rng(0), 3, 40, 1.0, 3.0, 2.0)
    assert stats.stratified([own]) == stats.crossed(*own)


def test_variances_of_independent_strata_add_up():
    rng = np.random.default_rng(0)
    strata = [measured(rng, 4, 40, 1.0, 3.0, 2.0) for _ in range(3)]
    alone, joint = [stats.spread([own]) for own in strata], stats.spread(strata, [0.5, 0.3, 0.2])
    for part in ("seeds", "beside", "examples"):
        wanted = sum(w**2 * getattr(own, part) for w, own in zip((0.5, 0.3, 0.2), alone))
        assert getattr(joint, part) == pytest.approx(wanted)
    assert 3 <= joint.freedom <= 9 and joint.n == 4
    found = stats.stratified(strata, [0.5, 0.3, 0.2])
    assert found.half == pytest.approx(joint.half()) and found.n == 4


def test_tasks_that_differ_do_not_widen_the_interval():
    rng = np.random.default_rng(0)
    strata = [measured(rng, 3, 60, 1.0, 3.0, 2.0, truth) for truth in (0.0, 40.0)]
    near = [(scores - np.mean(scores), drawn - np.mean(scores)) for scores, drawn in strata]
    assert stats.stratified(strata).half == pytest.approx(stats.stratified(near).half)
    assert stats.mean([np.mean(scores) for scores, _ in strata]).half > 50 * stats.stratified(strata).half


def test_more_seeds_narrow_what_seeds_widen_and_leave_what_examples_do():
    rng = np.random.default_rng(0)
    by_seeds = stats.spread([measured(rng, 3, 400, 3.0, 0.1, 0.1)])
    by_examples = stats.spread([measured(rng, 3, 40, 0.01, 5.0, 0.1)])
    assert by_seeds.half(seeds=12) < by_seeds.half() / 3
    assert by_examples.half(seeds=1000) == pytest.approx(by_examples.half(), rel=0.1)
    assert by_seeds.half(seeds=3) == by_seeds.half()


def test_a_stratum_of_one_seed_decides_nothing():
    rng = np.random.default_rng(0)
    strata = [measured(rng, s, 40, 0.1, 0.1, 0.1, 9.0) for s in (3, 1)]
    found = stats.stratified(strata)
    assert found.n == 1 and found.low > 0 and not found.decided


def test_nothing_has_no_interval():
    assert np.isnan(stats.stratified([]).mean)


@pytest.mark.parametrize(
    ("estimate", "wanted"),
    [
        (stats.Estimate(0.0, -2.0, 2.0, 3), 0.5),
        (stats.Estimate(2.0, 0.0, 4.0, 3), 0.975),
        (stats.Estimate(-2.0, -4.0, 0.0, 3), 0.025),
        (stats.Estimate(1.0, -1.0, 3.0, 3), 0.8365),
    ],
)
def test_a_lean_is_as_probable_as_its_interval_says(estimate, wanted):
    assert stats.probability(estimate) == pytest.approx(wanted, abs=1e-4)
    moved = stats.Estimate(estimate.mean - 3, estimate.low - 3, estimate.high - 3, 3)
    assert stats.probability(moved, above=-3) == pytest.approx(wanted, abs=1e-4)


def test_without_an_interval_nothing_is_probable():
    for own in ([1.0], [2.0, 2.0]):
        assert np.isnan(stats.probability(stats.mean(own)))


def test_a_share_of_runs_has_an_interval_even_where_all_agree():
    assert stats.share(42, 42) == pytest.approx((1, 0.025 ** (1 / 42), 1, 42))
    assert stats.share(0, 3) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 3), 3))
    assert stats.share(1, 2).mean == 0.5 and np.isnan(stats.share(0, 0).mean)


@pytest.mark.parametrize(
    ("value", "digits", "wanted"), [(-0.04, 1, "0.0"), (-0.06, 1, "−0.1"), (0.77, 1, "0.8"), (-12.34, 2, "−12.34")]
)
def test_numbers_for_readers_have_a_true_minus_and_no_negative_zero(value, digits, wanted):
    assert stats.number(value, digits) == wanted
    assert stats.number(3.0, sign=True) == "+3.0" and stats.number(-0.01, sign=True) == "0.0"


# ------------------------------------------------------------------------------------------------ several settings

CLEAR = {"value": [0.80, 0.80, 0.81], "query": [0.70, 0.71, 0.70], "key": [0.60, 0.60, 0.60]}


def pairs(*specs) -> list[fixed.Pair]:
    return [fixed.Pair(c, "value", "query") for own in specs for c in evidence.compare(own)]


def test_one_setting_is_its_own_gap():
    (pair,) = pairs(setting(CLEAR))
    assert fixed.mean_gap([pair]) == pair.comparison.gap("value", "query")


def test_regimes_of_a_task_share_its_examples_and_so_do_not_count_as_so_many():
    twice = pairs(setting(CLEAR, scattered=True), setting(CLEAR, regime="medium", scattered=True))
    tasks = pairs(setting(CLEAR, scattered=True), setting(CLEAR, task="rte", scattered=True))
    assert len(fixed.strata(twice)[0]) == 1 and len(fixed.strata(tasks)[0]) == 2
    assert fixed.mean_gap(tasks).half < fixed.mean_gap(twice).half


def test_every_task_weighs_the_same_whatever_its_regimes():
    other = {"value": [0.5] * 3, "query": [0.4] * 3, "key": [0.3] * 3}
    found = fixed.mean_gap(pairs(setting(CLEAR), setting(CLEAR, regime="medium"), setting(other, task="rte")))
    assert found.mean == pytest.approx((np.mean([10, 9, 11]) + 10) / 2)


def test_other_seeds_in_the_regimes_of_a_task_are_strata_of_their_own():
    fewer = {method: own[:2] for method, own in CLEAR.items()}
    strata, weights = fixed.strata(pairs(setting(CLEAR), setting(fewer, regime="medium"), setting(CLEAR, task="rte")))
    assert len(strata) == 3 and weights == [0.25, 0.25, 0.5]


def test_an_interval_over_tasks_needs_five():
    names = ("sst2", "rte", "qnli", "wic", "mrpc")
    assert fixed.over_tasks(pairs(*(setting(CLEAR, task=name) for name in names[:4]))) is None
    five = fixed.over_tasks(
        pairs(*(setting(CLEAR, task=name, n_eval=400) for name in names[:4]), setting(CLEAR, task="cb", n_eval=300))
    )
    assert five.n == 5


def test_choices_by_seed_are_gaps_too():
    (comparison,) = evidence.compare(setting(CLEAR))
    mixed = fixed.Pair(comparison, {0: "value", 1: "query", 2: "value"}, {0: "query", 1: "query", 2: "key"})
    assert mixed.seeds == [0, 1, 2] and fixed.mean_gap([mixed]).mean == pytest.approx((10 + 0 + 21) / 3)
    assert fixed.Pair(comparison, {0: "value"}, "query").seeds == [0]
