"""Verdicts on combinations, equivalence, cost, merging, rates and epochs: the rules on constructed runs."""

import numpy as np
import pytest
from constructed import DENSE, UNDEFINED, VALUE, aligned, numbers, setting, specified, timed, written

from beft_lib import evidence, tasks
from beft_lib.chapters import counts
from beft_lib.chapters.efficiency import claims
from beft_lib.chapters.efficiency import plan as efficiency
from beft_lib.chapters.extension import plan as extension
from beft_lib.chapters.ledger import CLAIMS
from beft_lib.chapters.plans import CHOSEN, PAPER
from beft_lib.evidence import stats
from beft_lib.evidence.claims import costs, judge, performance, printed, scope, selection, trends
from beft_lib.evidence.claims.finding import Finding, Predicate
from beft_lib.evidence.costs import ratio
from beft_lib.runs import Value
from beft_lib.runs.groups import Group
from beft_lib.runs.result import Epoch, Snapshot

CLEAR = {"value": [0.80, 0.80, 0.81], "query": [0.70, 0.70, 0.70], "key": [0.60, 0.60, 0.60]}
TURNED = {"value": [0.60, 0.60, 0.60], "query": [0.80, 0.80, 0.81], "key": [0.50, 0.50, 0.50]}
NOISE = {"value": [0.60, 0.80, 0.70], "query": [0.71, 0.65, 0.73], "key": [0.50, 0.50, 0.50]}
VALUE_QUERY = performance.scores_higher("value", "query")
QUERY_KEY = performance.scores_higher("query", "key")
LOW, HIGH = 1e-4, 1e-3


def group(specs, variant: str = "") -> Group:
    return Group(specs, variant)


def judged(predicate, *groups: Group) -> Finding | None:
    return predicate(evidence.compare_groups(groups))


def verdict(predicate, *groups: Group) -> str | None:
    return (found := judged(predicate, *groups)) and found.verdict


def says(verdict: str, mean: float = 1.0, half: float = 0.5):
    """A predicate that always comes to this."""
    effect = stats.Estimate(mean, mean - half, mean + half, 3)
    return Predicate("always", lambda comparisons: Finding(verdict, effect, "points", f"{mean:g}"))


nothing = Predicate("never", lambda comparisons: None)


def told(found: Finding) -> tuple:
    """What a finding says: two of the same runs, put together twice, are never one and the same."""
    return tuple(found[:4])


# ----------------------------------------------------------------------------------------------------- combinations


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        (("supported", "supported"), "supported"),
        (("supported", "contradicted"), "contradicted"),
        (("leans", "contradicted"), "contradicted"),
        (("leans", "supported"), "leans"),
        (("leans", "leans"), "leans"),
        (("no difference", "supported"), "no difference"),
        (("no difference", "leans"), "leans"),
        (("nothing learned", "leans"), "nothing learned"),
        (("supported",), "supported"),
    ],
)
def test_all_hold_if_each_does_and_one_that_does_not_contradicts(verdicts, wanted):
    for order in (verdicts, verdicts[::-1]):
        assert verdict(scope.all_of(*map(says, order))) == wanted


def test_what_cannot_be_judged_leaves_all_of_them_unjudged():
    assert judged(scope.all_of(says("supported"), nothing)) is None
    assert judged(scope.all_of(nothing, says("contradicted"))) is None
    assert judged(scope.all_of()) is None


def test_the_effect_of_several_is_the_weakest_and_the_others_are_noted():
    found = judged(scope.all_of(says("supported", 3), says("supported", 2), says("supported", 4)))
    assert found.effect.mean == 2 and found.unit == "points"
    assert all(text in found.reason for text in ("3.0 [2.5, 3.5]", "4.0 [3.5, 4.5]", "supported"))


def test_what_speaks_least_is_shown_whatever_the_size_of_the_others():
    findings = [says("supported", 1), says("leans", -9, 20), says("contradicted", -2), says("contradicted", -1)]
    for order in (findings, findings[::-1]):
        found = judged(scope.all_of(*order))
        assert (found.verdict, found.effect.mean) == ("contradicted", -2) and found.reason.startswith("-2; -1, ")
        assert judged(scope.all_of(*[f for f in order if f not in findings[2:]])).effect.mean == -9


def test_an_order_of_three_holds_if_both_steps_do():
    order = scope.all_of(VALUE_QUERY, QUERY_KEY)
    assert verdict(order, group(setting(CLEAR))) == "supported"
    assert verdict(order, group(setting(TURNED))) == "contradicted"
    assert verdict(order, group(setting(NOISE))) == "leans"
    assert judged(order, group(setting({"value": [0.8] * 3, "query": [0.7] * 3}, model="hub:org/name"))) is None


@pytest.mark.parametrize(
    "found",
    [
        (says("contradicted", -1), says("leans", -5, 20)),
        (says("supported", 1), says("leans", 3, 4)),
    ],
)
def test_the_effect_that_is_shown_is_of_the_verdict(found):
    shown = judged(scope.all_of(*found))
    assert shown.effect.decided == (shown.verdict != "leans")


def test_the_first_variant_that_was_planned_is_judged():
    groups = [group(setting(TURNED), "paper"), group(setting(CLEAR, epochs=3), "chosen")]
    found = judged(scope.in_variant(VALUE_QUERY, "chosen", "paper"), *groups)
    assert found.verdict == "supported" and found.scope == "chosen"
    assert verdict(scope.in_variant(VALUE_QUERY, "paper", "chosen"), *groups) == "contradicted"
    assert verdict(scope.in_variant(VALUE_QUERY, "chosen", "paper"), groups[0]) == "contradicted"
    assert judged(scope.in_variant(VALUE_QUERY, "other"), *groups) is None
    assert judged(scope.in_variant(nothing, "paper"), *groups) is None


def test_a_variant_that_was_planned_and_failed_is_not_replaced_by_another():
    paper = group(setting(CLEAR), "paper")
    failed = group(setting(CLEAR | {"value": [None] * 3}, epochs=3), "chosen")
    chosen = scope.in_variant(VALUE_QUERY, "chosen", "paper")
    assert judged(chosen, paper, failed) is None and verdict(chosen, paper) == "supported"


def test_the_variant_without_a_name_is_the_plans_own():
    groups = [group(setting(CLEAR)), group(setting(TURNED, epochs=3), "other")]
    found = judged(scope.in_variant(VALUE_QUERY, ""), *groups)
    assert found.verdict == "supported" and found.scope == ""


def at(rate: float, scores=CLEAR, **more) -> Group:
    """A setting of CB at a learning rate."""
    given = {"task": "cb", "n_eval": 300, "learning_rate": rate}
    return group(setting(scores, **given | more), f"rate {rate:g}")


def test_one_learning_rate_is_judged():
    groups = [at(5e-4, NOISE), at(HIGH, CLEAR), at(LOW, TURNED)]
    high, low, between = (judged(scope.at_rate(VALUE_QUERY, rate), *groups) for rate in (HIGH, LOW, 5e-4))
    assert (high.verdict, low.verdict, between.verdict) == ("supported", "contradicted", "leans")
    assert high.reason.endswith("learning rate 0.001") and low.reason.endswith("at learning rate 0.0001")


def test_a_rate_that_was_not_run_is_not_judged_by_its_neighbours():
    assert verdict(scope.at_rate(VALUE_QUERY, HIGH), at(HIGH)) == "supported"  # no other rate is needed
    assert judged(scope.at_rate(VALUE_QUERY, HIGH), at(9e-4), at(LOW)) is None
    assert judged(scope.at_rate(VALUE_QUERY, HIGH)) is judged(scope.at_rate(nothing, HIGH), at(HIGH)) is None


# ------------------------------------------------------------------------------------------------------ equivalence

COMPARABLE = performance.comparable("value", "full")


def against_full(value, full=(0.75, 0.76, 0.77), n_eval: int = 2000, **more) -> Group:
    return group(setting({"value": value, "full": full}, n_eval=n_eval, **more))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([0.75, 0.76, 0.77], "supported"),
        ([0.74, 0.751, 0.759], "supported"),  # a point less, known well
        ([0.85, 0.86, 0.87], "supported"),
        ([0.65, 0.66, 0.67], "contradicted"),
        ([0.71, 0.73, 0.73], "leans"),  # about four points less, known to two
        ([0.60, 0.90, 0.75], "leans"),
    ],
)
def test_comparable_is_a_few_points_less_at_most_with_the_whole_interval(value, wanted):
    found = judged(COMPARABLE, against_full(value))
    gap = 100 * np.mean(np.subtract(value, [0.75, 0.76, 0.77]))
    assert found.verdict == wanted and found.effect.mean == pytest.approx(gap)  # as it is, without the margin
    assert found.unit == "points" and found.reason.startswith("b_v − all parameters") and "above −3" in found.reason


def test_every_setting_must_be_comparable_and_the_smallest_gap_is_the_effect():
    good, poor = against_full([0.75, 0.76, 0.77]), against_full([0.65, 0.66, 0.67], task="rte")
    found = judged(COMPARABLE, good, poor)
    assert found.verdict == "contradicted" and found.effect.mean == pytest.approx(-10)
    vague = against_full([0.60, 0.90, 0.75], task="rte")
    assert verdict(COMPARABLE, good, vague) == "leans"
    assert verdict(COMPARABLE, good, against_full([0.75, 0.76, 0.77], task="rte")) == "supported"


def test_one_seed_is_not_enough_to_be_called_comparable_or_not():
    assert verdict(COMPARABLE, against_full([0.75], [0.75])) == "leans"
    assert verdict(COMPARABLE, against_full([0.50], [0.75])) == "leans"
    assert verdict(COMPARABLE, against_full([0.75, None], [0.75, 0.76])) == "leans"


def test_missing_and_failed_methods_are_not_compared():
    assert judged(COMPARABLE, group(setting({"value": [0.8] * 3}))) is judged(COMPARABLE) is None
    assert judged(COMPARABLE, against_full([None] * 3)) is None
    assert judged(COMPARABLE, against_full([0.75, None], [None, 0.75])) is None  # no seed in common
    found = judged(COMPARABLE, against_full([0.75, None, 0.77]))
    assert found.verdict == "supported" and found.effect.n == 2


def test_a_setting_that_failed_is_not_comparable():
    assert verdict(COMPARABLE, against_full([0.75, 0.76, 0.77]), against_full([None] * 3, task="rte")) == "leans"


def test_two_methods_that_learned_nothing_prove_nothing():
    alike = [0.75, 0.76, 0.77]

    def beside(head_only, value=alike, full=alike, **more):
        return group(setting({"value": value, "full": full, "head_only": head_only}, n_eval=2000, **more))

    assert verdict(COMPARABLE, beside([0.50, 0.51, 0.52])) == "supported"
    for head_only in (alike, [0.85, 0.86, 0.88], [0.50, 0.99, 0.60]):
        idle = judged(COMPARABLE, beside(head_only))
        assert idle.verdict == "nothing learned"
        assert idle.reason.endswith("; neither is decidedly better than the head alone in 1 of 1")
    assert verdict(COMPARABLE, beside([0.50, 0.51, 0.52]), beside(alike, task="rte")) == "leans"
    assert verdict(COMPARABLE, beside(alike, value=[0.85, 0.86, 0.88])) == "supported"  # one of them learned
    below = beside([0.75, 0.76, 0.77], value=[0.65, 0.66, 0.67])
    assert verdict(COMPARABLE, below) == "contradicted"  # worse than the other, whatever the head does


def test_the_majority_of_tasks_is_more_than_half_of_them():
    most = performance.comparable("value", "full", majority=True)
    good, poor = [0.75, 0.76, 0.77], [0.65, 0.66, 0.67]
    names = ("sst2", "rte", "qnli")

    def of(*scores) -> list[Group]:
        return [against_full(own, task=task) for own, task in zip(scores, names)]

    assert (
        verdict(most, *of(good, good, poor)) == "supported"
        and verdict(COMPARABLE, *of(good, good, poor)) != "supported"
    )
    assert verdict(most, *of(good, poor, poor)) == "contradicted"
    assert verdict(most, *of(good, poor)) == "contradicted"  # half is not the majority
    assert verdict(most, *of(good, [0.60, 0.90, 0.75], [0.60, 0.90, 0.75])) == "leans"
    assert judged(most, *of(good, good, poor)).effect.mean == pytest.approx(-10 / 3)


# ------------------------------------------------------------------------------------------------------------- cost


@pytest.mark.parametrize(
    ("trained", "wanted"),
    [(10, "supported"), (6, "supported"), (14, "supported"), (16, "contradicted"), (4, "contradicted")],
)
def test_a_share_is_right_if_it_rounds_to_what_is_printed(trained, wanted):
    found = printed.rounds_to(trained, 100_000, 0.01)
    assert found.verdict == wanted and found.effect.mean == pytest.approx(trained / 1000) and np.isnan(found.effect.low)


@pytest.mark.parametrize(
    ("more", "at_least", "wanted"),
    [
        (90, False, "supported"),
        (103, False, "supported"),  # within 15 %
        (104, False, "contradicted"),
        (77, False, "supported"),
        (76, False, "contradicted"),
        (76, True, "contradicted"),
        (900, True, "supported"),  # fewer than claimed will do
    ],
)
def test_scalars_are_counted_exactly(more, at_least, wanted):
    found = printed.times_as_many(more, 10, 9, at_least=at_least)
    assert found.verdict == wanted and found.effect.mean == more / 10 and found.unit == "times as many"


def test_configurations_give_the_parameters_that_are_known_of_these_models():
    assert counts.bert(counts.BERT_BASE) == 108_310_272 and counts.BERT_BASE.term == 9216
    assert [counts.opt(own) for own in counts.OPT.values()] == [1_315_758_080, 6_658_473_984]


def test_biases_of_bert_are_counted_as_the_model_has_them():
    from transformers import BertConfig, BertModel

    small = counts.Configuration(2, 24, 48, 60, 40)
    config = BertConfig(
        num_hidden_layers=2,
        hidden_size=24,
        intermediate_size=48,
        vocab_size=60,
        max_position_embeddings=40,
        num_attention_heads=2,
    )
    model = BertModel(config)
    named = dict(model.named_parameters())
    assert counts.bert(small) == sum(p.numel() for p in named.values())
    assert counts.bert_biases(small) == sum(p.numel() for name, p in named.items() if name.endswith("bias"))


def test_printed_cells_that_tie_leave_a_lean_and_lower_ones_contradict():
    first = {"a": 83.0, "b": 60.0}
    assert printed.each_higher(first, {"a": 82.0, "b": 59.0}).verdict == "supported"
    tie = printed.each_higher(first, {"a": 83.0, "b": 59.0})
    assert tie.verdict == "leans" and tie.effect.mean == 0
    assert numbers(tie.reason) == [1, 2, 1] and tie.reason.endswith("(a)")
    lower = printed.each_higher(first, {"a": 83.1, "b": 59.0})
    assert lower.verdict == "contradicted" and lower.effect.mean == pytest.approx(-0.1)


def test_printed_cells_that_tie_may_still_be_the_highest():
    first = {"a": 83.0, "b": 60.0}
    assert printed.each_higher(first, {"a": 83.0, "b": 59.0}, strictly=False).verdict == "supported"
    assert printed.each_higher(first, {"a": 83.1, "b": 59.0}, strictly=False).verdict == "contradicted"


def test_printed_cells_are_near_in_most():
    first = {"a": 80.0, "b": 60.0, "c": 50.0}
    most = printed.each_at_least(first, {"a": 83.0, "b": 59.0, "c": 60.0})
    assert most.verdict == "supported" and most.effect.mean == pytest.approx(-10)
    assert printed.each_at_least(first, {"a": 83.1, "b": 59.0, "c": 60.0}).verdict == "contradicted"


def test_printed_numbers_grow_or_shrink_from_end_to_end():
    assert printed.grows({"few": 1.0, "many": 2.5}, 1).effect.mean == 1.5
    assert printed.grows({"few": 1.0, "many": 2.5}, -1).verdict == "contradicted"
    back = printed.grows({"few": 5.8, "some": 1.8, "many": 2.3}, -1)
    assert back.verdict == "supported" and "the other way in 1 of 2 steps" in back.reason


def test_printed_cells_within_the_margin_show_no_difference():
    found = printed.each_alike({"a": 53.5, "b": 24.2}, {"a": 53.5, "b": 27.2})
    assert found.verdict == "no difference" and found.effect.mean == pytest.approx(-1.5)
    assert printed.each_alike({"a": 53.5, "b": 24.2}, {"a": 53.5, "b": 27.3}).verdict == "contradicted"


def test_an_average_is_wrong_only_beyond_what_rounding_allows():
    cells = {"row": [64.7, 64.8, 64.8]}
    allowed = printed.averages(cells, {"row": 64.7})
    assert allowed.verdict == "supported" and "rounding" in allowed.reason
    assert printed.averages(cells, {"row": 64.6}).verdict == "contradicted"


def test_shares_ten_times_too_large_are_seen():
    found = printed.shares({"x": (37, 1_000_000), "y": (12, 10_000)}, {"x": 0.04, "y": 1.2})
    assert found.verdict == "contradicted" and found.effect.mean == pytest.approx(np.sqrt(0.04 / 0.0037 * 10))
    assert printed.shares({"x": (37, 100_000)}, {"x": 0.04}).verdict == "supported"


def test_the_papers_own_tables_are_judged_without_any_run():
    found = judge(CLAIMS, {}).set_index("id")
    wanted = {
        "value-is-small": "supported",
        "all-biases-are-nine-times": "contradicted",  # 11.2 times
        "value-is-a-thirtieth-of-lora": "supported",
        "value-is-a-tenth-of-prefix": "supported",
        "table1-averages": "supported",
        "table4-value-best": "supported",
        "table1-value-best": "supported",
        "table1-query-beats-key": "supported",
        "table1-gap-sst2": "supported",
        "table1-gap-stsb": "supported",
        "table4-query-beats-key": "supported",  # of BERT-base; of the others the paper does not say it
        "table5-value-best": "supported",
        "table5-value-matches-lora": "supported",
        "table5-value-matches-prefix": "supported",
        "table5-untrained-worse": "supported",
        "table5-key-is-zero-shot": "no difference",
        "table5-shares": "contradicted",
    }
    assert found.loc[list(wanted)].verdict.to_dict() == wanted
    assert "COPA at OPT-6.7B" in found.loc["table5-value-best"].reason
    assert "equal in 2 (RTE with BERT-large, WiC with BERT-large)" in found.loc["table4-query-beats-key"].reason
    assert "LoRA itself is below zero-shot in 6" in found.loc["table5-value-matches-lora"].reason
    assert found.loc["table1-gap-sst2"].effect == pytest.approx(3.5)
    assert found.loc["table1-gap-sst2"].reason.endswith("the other way in 1 of 2 steps")
    assert "64.7" in found.loc["table1-averages"].reason and "64.8" in found.loc["table1-averages"].reason
    assert all(said in found.loc["table4-query-beats-key"].reason for said in ("equal in 2 ", "RTE with", "WiC with"))


FASTER = costs.is_faster("value", ("all_biases", "full"), "rte")
BASE = [1.0, 1.1, 1.05]


def slower(times, noise=(0.0, 0.02, -0.01)) -> list[float]:
    return [(times + e) * own for own, e in zip(BASE, noise)]


@pytest.mark.parametrize(
    ("all_biases", "full", "wanted"),
    [
        (slower(1.2), slower(2.0), "supported"),
        (slower(0.8), slower(2.0), "contradicted"),
        (slower(1.05, (0.2, -0.2, 0)), slower(2.0), "leans"),
        (slower(0.8), slower(1.05, (0.2, -0.2, 0)), "contradicted"),
        (slower(1.2, (0, 0, 0)), slower(2.0), "leans"),  # no spread to judge by
    ],
)
def test_faster_is_in_less_time_than_each_of_the_others(all_biases, full, wanted):
    timing = timed({"value": BASE, "all_biases": all_biases, "full": full})
    found = FASTER([timing])
    slower = ratio(timing, "all_biases", "value", lambda turn: turn.loop_seconds)
    assert found.verdict == wanted and found.effect == pytest.approx((*(100 * (v - 1) for v in slower[:3]), 3))
    assert found.reason.startswith("loop") and f"all biases {slower.text(2)}, " in found.reason


def test_the_closest_other_is_the_effect():
    found = FASTER([timed({"value": BASE, "all_biases": slower(3.0), "full": slower(1.5)})])
    assert found.effect.mean == pytest.approx(50, abs=2)


def test_time_is_that_of_the_training_loop():
    fast, slow = ({"value": BASE, "all_biases": slower(by), "full": slower(by)} for by in (2.0, 0.5))
    assert FASTER([timed(slow, loop_seconds=fast)]).verdict == "supported"
    assert FASTER([timed(fast, loop_seconds=slow)]).verdict == "contradicted"


def test_a_timing_of_another_task_is_not_taken():
    fast, slow = ({"value": BASE, "all_biases": slower(by), "full": slower(by)} for by in (2.0, 0.5))
    assert FASTER([timed(fast, task="sst2")]) is None
    assert FASTER([timed(slow, task="sst2"), timed(fast)]) == FASTER([timed(fast)])


def test_one_turn_or_a_missing_method_is_no_verdict():
    assert FASTER([timed({"value": [1.0], "all_biases": [2.0], "full": [3.0]})]).verdict == "leans"
    assert FASTER([timed({"value": BASE, "full": BASE})]) is FASTER([]) is None


# ---------------------------------------------------------------------------------------------------------- merging


NEAR, FAR = (0.8, 0.75, 0.85), (0.1, 0.15, 0.05)  # cosines of changes by one task and by two


def directions(seed: int, cosine: float) -> list[dict[str, np.ndarray]]:
    """Two vectors with about this cosine."""
    first, other = np.random.default_rng(seed).normal(size=(2, 4000))
    return [{"0/value": first}, {"0/value": cosine * first + np.sqrt(1 - cosine**2) * other}]


def pair(seed: int, cosine: float, of: str = "both", changes: float | None = None, **more):
    """A merged run whose parts' tuned biases have about this cosine, and their `changes` that one or the same."""
    about = {"parts": ((f"{of} {seed} first", 0.5), (f"{of} {seed} second", 0.5))}
    changed = directions(seed, cosine if changes is None else changes)
    return aligned(seed, *changed, tuned=directions(seed, cosine), **about | more)


def controls(kin=NEAR, apart=FAR, tasks=("sst2",)) -> list[Group]:
    """Pairs of two seeds, of one task and of two, with these cosines of their changes; a tuned cosine tells nothing."""
    return [
        group([pair(s, 0.99, f"{variant} {t}", c, task=t) for t in tasks for s, c in enumerate(cosines)], variant)
        for variant, cosines in ((efficiency.KIN, kin), (efficiency.APART, apart))
    ]


def both(*cosines, arm: str = efficiency.MERGED, variant: str = efficiency.TASK_HEADS, **more) -> Group:
    """The pairs of two tasks' b_v of one seed."""
    specs = [pair(seed, cosine, **more) for seed, cosine in enumerate(cosines)]
    return Group(specs, variant, dict.fromkeys(specs, arm))


def test_tuned_biases_lie_apart_if_their_cosine_is_small_in_every_way_the_seeds_allow():
    found = judged(claims.lie_apart, both(0.1, 0.2, 0.15), *controls())
    assert found.verdict == "supported" and found.effect.mean == pytest.approx(0.15, abs=0.03) and found.effect.n == 3
    assert found.effect.low < found.effect.mean < found.effect.high < claims.DISSIMILAR
    assert "81" in found.reason.partition("°")[0] and "random directions 0 ± 0.03" in found.reason
    assert "sst2 0.7" in found.reason and found.unit == "cosine"


def test_tuned_biases_that_are_alike_do_not():
    found = judged(claims.lie_apart, both(0.9, 0.95, 0.85), *controls())
    assert found.verdict == "contradicted" and found.effect.mean == pytest.approx(0.9, abs=0.02)
    assert verdict(claims.lie_apart, both(0.9, 0.95, 0.85)) == "contradicted"  # no control is needed for that
    assert verdict(claims.lie_apart, both(0.1, 0.9, 0.5), *controls()) == "leans"
    assert verdict(claims.lie_apart, both(0.45, 0.5, 0.4), *controls()) == "leans"


def test_the_tuned_biases_are_judged_and_not_their_changes():
    alike = judged(claims.lie_apart, both(0.9, 0.95, 0.85, changes=0.1), *controls())
    assert alike.verdict == "contradicted" and "of their changes 0.1" in alike.reason
    dissimilar = judged(claims.lie_apart, both(0.1, 0.2, 0.15, changes=0.9), *controls())
    assert dissimilar.verdict == "supported" and "of their changes 0.9" in dissimilar.reason


@pytest.mark.parametrize(
    ("kin", "apart"),
    [
        (FAR, FAR),
        (FAR, NEAR),
        ((0.1, 0.9, 0.5), FAR),
        ((0.8,), (0.1,)),  # one pair of seeds
        (NEAR, ()),
        ((), FAR),
    ],
)
def test_what_two_seeds_of_one_task_do_as_well_says_nothing_of_tasks(kin, apart):
    found = judged(claims.lie_apart, both(0.1, 0.2, 0.15), *controls(kin, apart))
    assert found.verdict == "leans" and found.effect.mean == pytest.approx(0.15, abs=0.03)
    assert verdict(claims.lie_apart, both(0.9, 0.95, 0.85), *controls(kin, apart)) == "contradicted"


def test_without_pairs_of_two_seeds_nothing_is_decided():
    assert verdict(claims.lie_apart, both(0.1, 0.2, 0.15)) == "leans"


def test_only_the_averages_of_both_tasks_with_the_tasks_head_are_judged():
    wanted = told(judged(claims.lie_apart, both(0.1, 0.2, 0.15), *controls()))
    others = [both(0.9, 0.9, 0.8, of="own", arm=efficiency.OWN), both(0.9, 0.8, 0.9, variant=efficiency.OWN_HEADS)]
    assert judged(claims.lie_apart, *others, *controls()) is None
    assert told(judged(claims.lie_apart, both(0.1, 0.2, 0.15), others[1], *controls())) == wanted
    assert judged(claims.lie_apart, group(both(0.1, 0.2, 0.15).specs), *controls()) is None  # of no variant
    specs = [*both(0.1, 0.2, 0.15).specs, *others[0].specs]
    arms = both(0.1, 0.2, 0.15).arms | others[0].arms
    assert told(judged(claims.lie_apart, Group(specs, efficiency.TASK_HEADS, arms), *controls())) == wanted


def test_one_seed_or_equal_cosines_are_no_verdict():
    assert verdict(claims.lie_apart, both(0.1), *controls()) == "leans"
    same = [aligned(seed, {"0/value": [1.0, 0.0]}, {"0/value": [0.0, 1.0]}) for seed in range(3)]
    merged = Group(same, efficiency.TASK_HEADS, dict.fromkeys(same, efficiency.MERGED))
    assert verdict(claims.lie_apart, merged, *controls()) == "leans"


def test_both_tasks_are_one_pair_of_biases():
    specs = [pair(seed, 0.1 + seed / 20, task=task) for task in ("rte", "sst2") for seed in range(3)]
    merged = Group(specs, efficiency.TASK_HEADS, dict.fromkeys(specs, efficiency.MERGED))
    assert judged(claims.lie_apart, merged, *controls()).effect.n == 3


def test_without_two_parts_nothing_is_said_of_their_angle():
    single = aligned(0, {"0/value": [1.0, 2.0]})
    absent = specified("minilm-l6", "rte", "low", method="merged", parts=(("a", 0.5), ("b", 0.5)))
    still = aligned(0, {"0/value": [0.0, 0.0]}, {"0/value": [0.0, 1.0]})
    for own in (single, absent, still):
        merged = Group([own], efficiency.TASK_HEADS, {own: efficiency.MERGED})
        assert judged(claims.lie_apart, merged, *controls()) is None
    assert judged(claims.lie_apart, group(setting(CLEAR))) is judged(claims.lie_apart) is None


# ------------------------------------------------------------------------------------------------------------ rates

RISES = trends.score_rises_with("projection", "value")


def moved(rate: float, value, projection, **more) -> Group:
    scores = {"value": value, "query": [0.5] * len(value)}
    return at(rate, scores, importance={"projection": VALUE | {"value": projection}}, **more)


UP, DOWN, WIDE = [0.70, 0.72, 0.71], [0.50, 0.51, 0.52], [0.40, 0.90, 0.60]
SMALL, LARGE = [0.1, 0.12, 0.11], [0.5, 0.55, 0.6]


@pytest.mark.parametrize(
    ("values", "scores", "wanted"),
    [
        ((DOWN, UP), (SMALL, LARGE), "supported"),
        ((UP, DOWN), (SMALL, LARGE), "contradicted"),
        ((DOWN, WIDE), (SMALL, LARGE), "leans"),
        ((DOWN, DOWN), (SMALL, LARGE), "no difference"),
        ((DOWN, UP), (LARGE, SMALL), "leans"),  # it does not diverge further
        ((UP, DOWN), (LARGE, SMALL), "leans"),
        ((DOWN, UP), (SMALL, SMALL), "leans"),
    ],
)
def test_a_term_that_diverges_further_scores_higher_or_not(values, scores, wanted):
    found = judged(RISES, *(moved(rate, v, s) for rate, v, s in zip((LOW, HIGH), values, scores)))
    assert found.verdict == wanted
    assert found.effect.mean == pytest.approx(100 * (np.mean(values[1]) - np.mean(values[0])))
    assert numbers(found.reason)[:2] == [LOW, HIGH]
    assert "head alone" not in found.reason


def test_a_rise_is_noted_beside_that_of_the_head_alone():
    both = [
        at(rate, {"value": v, "head_only": h}, importance={"projection": VALUE | {"value": s}})
        for rate, v, h, s in ((LOW, DOWN, [0.50, 0.51, 0.52], SMALL), (HIGH, UP, [0.60, 0.61, 0.64], LARGE))
    ]
    low, high = evidence.compare_groups(both)
    found = judged(RISES, *both)
    assert found.verdict == "supported"
    assert "head alone" in found.reason and found.reason.endswith(f" {low.change(high, 'head_only')} points")
    assert "head alone" not in judged(RISES, both[0], moved(HIGH, UP, LARGE, task="cb")).reason


def test_rates_are_ordered_and_those_between_do_not_matter():
    ends = [moved(LOW, DOWN, SMALL), moved(HIGH, UP, LARGE)]
    wanted = told(judged(RISES, *ends))
    assert told(judged(RISES, ends[1], moved(5e-4, [0.3, 0.3, 0.3], [0.9, 0.9, 0.9]), ends[0])) == wanted


def test_scores_that_are_all_equal_decide_nothing_but_that_they_are_comparable():
    same = {method: [0.7] * 3 for method in ("value", "query", "key", "full")}
    both = [at(rate, same) for rate in (LOW, HIGH)]
    assert judged(COMPARABLE, *both)[:3] == ("supported", (0, 0, 0, 3), "points")
    for predicate in (VALUE_QUERY, scope.all_of(VALUE_QUERY, QUERY_KEY), GROWS):
        assert verdict(predicate, *both) == "no difference"
    assert verdict(RISES, *both) == "leans"  # it did not diverge further


def test_one_rate_or_no_ranking_says_nothing_of_a_rise():
    assert judged(RISES, moved(LOW, DOWN, SMALL)) is None
    assert judged(RISES, moved(LOW, DOWN, SMALL), moved(HIGH, UP, LARGE, ranked=False)) is None
    assert judged(RISES, moved(LOW, DOWN, SMALL), at(HIGH, {"query": [0.5] * 3})) is None
    assert judged(RISES, moved(LOW, DOWN, SMALL), moved(LOW, UP, LARGE, task="wic", n_eval=400)) is None  # one rate


def test_a_rise_is_over_the_seeds_that_both_rates_have():
    found = judged(RISES, moved(LOW, [0.50, 0.51, None], SMALL), moved(HIGH, UP, LARGE))
    assert found.effect.n == 2 and found.effect.mean == pytest.approx(20.5)
    assert verdict(RISES, moved(LOW, [0.5], [0.1]), moved(HIGH, [0.7], [0.5])) == "leans"
    undefined = at(HIGH, {"value": UP}, importance={"projection": UNDEFINED})
    assert verdict(RISES, moved(LOW, DOWN, SMALL), undefined) == "leans"


GROWS = trends.gap_grows(1, "projection", along=trends.by_rate)


def gapped(rate: float, gap: float, score: float, **more) -> Group:
    noise = (0.0, 0.01, 0.02)
    scores = {"value": [0.6 + gap + e for e in noise], "query": [0.6] * 3}
    projection = VALUE | {"value": [VALUE["query"] + score * (1 + e) for e in noise]}
    return at(rate, scores, importance={"projection": projection}, **more)


@pytest.mark.parametrize(
    ("gaps", "scores", "wanted"),
    [
        ((0.02, 0.20), (0.1, 0.5), "supported"),
        ((0.20, 0.02), (0.1, 0.5), "contradicted"),
        ((0.02, 0.20), (0.5, 0.1), "contradicted"),
        ((0.10, 0.10), (0.1, 0.5), "no difference"),
    ],
)
def test_a_gap_grows_with_the_rate_or_not(gaps, scores, wanted):
    groups = [gapped(rate, g, s) for rate, g, s in zip((LOW, HIGH), gaps, scores)]
    for order in (groups, groups[::-1]):
        found = judged(GROWS, *order)
        assert found.verdict == wanted and found.effect.mean == pytest.approx(100 * np.diff(gaps)[0])
        assert numbers(found.reason)[:2] == [LOW, HIGH]
        assert "projection score" in found.reason and found.unit == "points wider"


def test_a_gap_over_rates_needs_both_terms_at_two_of_them():
    between = at(5e-4, {"value": [0.9] * 3})
    ends = [gapped(LOW, 0.02, 0.1), gapped(HIGH, 0.2, 0.5)]
    assert told(judged(GROWS, *ends, between)) == told(judged(GROWS, *ends))
    assert judged(GROWS, ends[0], between) is judged(GROWS, ends[1]) is None
    assert judged(GROWS, ends[0], gapped(HIGH, 0.2, 0.5, ranked=False)) is None


# ----------------------------------------------------------------------------------------------------------- epochs


def curved(rate: float, curves, seeds=None, method: str = "value", task: str = "cb", model: str = "minilm-l6") -> Group:
    """Runs with these scores after each epoch, a curve a seed; None for a run that failed."""
    made, split = [], tasks.get(task).validation[0].split
    for seed, curve in zip(seeds or range(len(curves)), curves):
        about = {"seed": seed, "learning_rate": rate, "each_epoch": True}
        made.append(specified(model, task, "low", method=method, **about, ranking=False))
        if curve is None:
            written(made[-1], status="failed", reason="the loss is not finite")
            continue
        value = {"metric": tasks.get(task).metric, "split": split, "stderr": 0.01, "n": 300}
        epochs = [Epoch(epoch=i, metrics=[Value(value=score, **value)]) for i, score in enumerate(curve, start=1)]
        written(made[-1], {split: curve[-1]}, 300, curve=epochs)
    return group(made, f"rate {rate:g}")


IMPROVES = trends.improves_with_epochs("value")
RISING = [[0.50, 0.52, 0.60, 0.62], [0.50, 0.54, 0.61, 0.63], [0.51, 0.52, 0.62, 0.64]]
FALLING = [own[::-1] for own in RISING]
FLAT = [[0.50, 0.52, 0.51, 0.52], [0.50, 0.54, 0.51, 0.52], [0.51, 0.52, 0.52, 0.52]]


@pytest.mark.parametrize(
    ("curves", "wanted"), [(RISING, "supported"), (FALLING, "contradicted"), (FLAT, "no difference")]
)
def test_later_epochs_score_higher_or_not(curves, wanted):
    found = judged(IMPROVES, curved(HIGH, curves))
    gains = [100 * (np.mean(own[2:]) - np.mean(own[:2])) for own in curves]
    assert found.verdict == wanted and found.effect == pytest.approx(stats.mean(gains))
    assert numbers(found.reason)[0] == 4 and "seeds" in found.reason


def test_a_gain_is_noted_beside_that_of_the_head_alone():
    head = [[0.40, 0.42, 0.43, 0.44], [0.40, 0.42, 0.44, 0.45], [0.41, 0.42, 0.45, 0.46]]
    both = group([*curved(HIGH, RISING).specs, *curved(HIGH, head, method="head_only").specs])
    gains = [100 * (np.mean(own[2:]) - np.mean(own[:2])) for own in head]
    found = judged(IMPROVES, both)
    assert found.verdict == "supported" and found.effect == judged(IMPROVES, curved(HIGH, RISING)).effect
    assert "head alone" in found.reason and found.reason.endswith(f" {stats.mean(gains)}")


def test_gains_are_by_seed():
    (found,) = evidence.compare_groups([curved(HIGH, [RISING[0], None, RISING[2]], seeds=[5, 3, 1])])
    wanted = {5: 100 * (0.61 - 0.51), 1: 100 * (0.63 - 0.515)}
    assert found.gains("value").to_dict() == pytest.approx(wanted) and len(found.gains("query")) == 0


def test_the_middle_one_of_odd_epochs_is_late():
    found = judged(IMPROVES, curved(HIGH, [[0.5, 0.6, 0.7], [0.5, 0.61, 0.7]]))
    assert found.effect == pytest.approx(stats.mean([15, 15.5]))


def test_one_seed_or_equal_gains_are_no_improvement():
    assert verdict(IMPROVES, curved(HIGH, RISING[:1])) == "leans"
    assert verdict(IMPROVES, curved(HIGH, [RISING[0]] * 3)) == "leans"
    assert judged(IMPROVES, curved(HIGH, [*RISING[:2], None])).effect.n == 2


def test_without_curves_nothing_is_said_of_epochs():
    assert judged(IMPROVES, at(HIGH)) is judged(IMPROVES, curved(HIGH, [None] * 3)) is judged(IMPROVES) is None
    assert judged(IMPROVES, curved(HIGH, RISING, method="query")) is None


def test_one_epoch_says_nothing_of_epochs():
    assert judged(IMPROVES, curved(HIGH, [[0.5], [0.6], [0.7]])) is None


LESS = trends.gains_less_at_the_low_rate("value")
SLOW = [[0.30, 0.31, 0.32, 0.33], [0.30, 0.32, 0.32, 0.33], [0.31, 0.31, 0.32, 0.34]]
VAGUE = [[0.30, 0.31, 0.33, 0.36], [0.30, 0.32, 0.32, 0.33], [0.31, 0.31, 0.32, 0.31]]


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (SLOW, RISING, "supported"),
        (RISING, SLOW, "contradicted"),
        (RISING, FALLING, "contradicted"),
        (SLOW, VAGUE, "leans"),
    ],
)
def test_later_epochs_help_less_at_the_low_rate_or_not(low, high, wanted):
    groups = [curved(LOW, low), curved(HIGH, high)]
    gains = [np.array([100 * (np.mean(o[2:]) - np.mean(o[:2])) for o in own]) for own in (low, high)]
    for order in (groups, groups[::-1]):
        found = judged(LESS, *order)
        assert found.verdict == wanted and found.effect == pytest.approx(stats.mean(gains[1] - gains[0]))
        assert "at learning rate 0.0001, " in found.reason and "at learning rate 0.001" in found.reason


def test_gains_are_compared_at_the_lowest_and_the_highest_rate():
    ends = [curved(LOW, SLOW), curved(HIGH, RISING)]
    assert told(judged(LESS, curved(5e-4, FALLING), *ends)) == told(judged(LESS, *ends))


def test_gains_need_two_rates_and_more_than_one_seed():
    assert judged(LESS, curved(LOW, SLOW)) is judged(LESS, curved(LOW, SLOW), at(HIGH)) is judged(LESS) is None
    assert verdict(LESS, curved(LOW, SLOW[:1]), curved(HIGH, RISING[:1])) == "leans"
    assert verdict(LESS, curved(LOW, RISING), curved(HIGH, RISING)) == "no difference"


def test_a_failed_run_is_left_out_of_both_rates():
    found = judged(LESS, curved(LOW, [*SLOW[:2], None]), curved(HIGH, RISING))
    assert found is not None and found.effect.n == 2


def test_gains_are_paired_by_seed_whatever_their_order():
    steep = [[0.5, 0.5, 0.5 + gain, 0.5 + gain] for gain in (0.01, 0.1, 0.3)]
    shallow = [[0.5, 0.5, 0.5 + gain, 0.5 + gain] for gain in (0.0, 0.08, 0.29)]
    inorder = judged(LESS, curved(LOW, shallow), curved(HIGH, steep))
    turned = judged(LESS, curved(LOW, shallow[::-1], seeds=[2, 1, 0]), curved(HIGH, steep))
    assert turned.effect == pytest.approx(inorder.effect)


# ------------------------------------------------------------------------------------------------------ along a run

ALONG = selection.ranking_stays_along("fisher")
SWAPPED = VALUE | {"query": 0.9}


def followed(*looks, approach: str = "fisher") -> list[Snapshot]:
    return [Snapshot(share=(i + 1) / len(looks), step=i + 1, scores={approach: look}) for i, look in enumerate(looks)]


def test_an_order_that_never_changes_along_a_run_stays():
    found = judged(ALONG, at(HIGH, trajectory=followed(VALUE, VALUE | {"value": 9.0}, VALUE)))
    assert found.verdict == "supported" and found.effect.mean == 100 and found.effect.n == 3
    assert found.effect.low == pytest.approx(100 * stats.share(3, 3).low)  # three runs of three are not all runs
    assert numbers(found.reason) == [3, 3]


@pytest.mark.parametrize("looks", [(SWAPPED, SWAPPED), (VALUE, SWAPPED), (SWAPPED, VALUE)])
def test_an_order_that_changes_along_every_run_does_not(looks):
    found = judged(ALONG, at(HIGH, trajectory=followed(*looks)))
    assert found.verdict == "contradicted" and found.effect.mean == 0


def test_an_order_that_changes_along_some_runs_is_a_lean():
    looks = {0: followed(VALUE), 1: followed(SWAPPED), 2: followed(VALUE)}
    found = judged(ALONG, at(HIGH, trajectory=looks))
    assert found.verdict == "leans" and found.effect.mean == pytest.approx(200 / 3)
    assert numbers(found.reason)[:2] == [2, 3]


def test_other_terms_do_not_count_for_the_order_of_three():
    found = judged(ALONG, at(HIGH, trajectory=followed(VALUE | {DENSE: 9.0})))
    assert found.verdict == "supported"


@pytest.mark.parametrize(
    ("after", "wanted"), [(VALUE | {"value": 9.0}, "leans"), (VALUE | {DENSE: 9.0}, "leans"), (SWAPPED, "leans")]
)
def test_all_terms_are_ranked_mostly_alike_from_a_tenth_of_changed_pairs_on(after, wanted):
    found = judged(selection.all_terms_stay_along("fisher"), at(HIGH, trajectory=followed(after)))
    assert found.verdict == wanted and found.unit == "Kendall's τ"  # the same in every run: no spread to judge by
    varied = {0: followed(VALUE), 1: followed(VALUE | {DENSE: 9.0}), 2: followed(SWAPPED)}
    assert judged(selection.all_terms_stay_along("fisher"), at(HIGH, trajectory=varied)).effect.n == 3


def test_runs_without_the_approach_along_them_are_left_out():
    assert judged(ALONG, at(HIGH)) is None
    assert judged(ALONG, at(HIGH, trajectory=followed(VALUE, approach="projection"))) is None
    found = judged(ALONG, at(HIGH, trajectory={0: followed(VALUE), 2: followed(VALUE)}), at(LOW))
    assert found.effect.n == 2


def test_an_undefined_score_along_a_run_comes_last():
    assert verdict(ALONG, at(HIGH, trajectory=followed(VALUE | {"key": None}))) == "supported"


# ----------------------------------------------------------------------------------------------------------- ledger

PRINTED = [claim.id for claim in CLAIMS if claim.printed]  # they need no run
SECTIONS = {"efficiency": "03_efficiency", "extension": "04_extension"}


def ledger(notebook: str, *groups: Group, timings=()):
    name = SECTIONS[notebook]
    return judge(CLAIMS, {name: evidence.compare_groups(groups)}, {name: list(timings)}).set_index("id")


def table4(scores, model: str = "minilm-l6", tasks=("cb", "wic"), **more) -> list:
    made = []
    for task in tasks:
        made += setting(scores, model, task, n_eval=300 if task == "cb" else 200, learning_rate=HIGH, **more)
    return made


FIRST_CLAIM, FURTHER_CLAIM = "value-beats-query-beats-key-new-tasks", "value-beats-query-other-encoders"
GLUE_TOO = ("sst2", "rte", "cb", "wic")


def test_claims_of_the_first_encoder_and_of_further_ones_are_told_apart():
    further = table4(TURNED, "bert-base", GLUE_TOO) + table4(CLEAR, "bert-large", GLUE_TOO)
    found = ledger("extension", group(table4(CLEAR) + further))
    assert found.loc[[FIRST_CLAIM]].verdict.tolist() == ["supported"]
    assert found.loc[FIRST_CLAIM].model == "MiniLM-L6"
    assert found.loc[FURTHER_CLAIM].verdict.tolist() == ["contradicted", "supported"]
    assert found.loc[FURTHER_CLAIM].model.tolist() == ["BERT-base", "BERT-large"]


def test_two_terms_that_learned_nothing_are_not_compared_beside_a_step_that_can_be_judged():
    idle = {"value": [0.6, 0.5, 0.55], "query": [0.5, 0.55, 0.6], "head_only": [0.55, 0.6, 0.5]}
    found = ledger("extension", group(table4(idle))).loc[FIRST_CLAIM]
    assert found.verdict == "nothing learned" and "0 of 2 settings" in found.scope
    assert "b_q − b_k" in found.reason


def test_one_encoder_is_the_first_whichever_it_is():
    found = ledger("extension", group(table4(CLEAR, "bert-large")))
    assert found.loc[FIRST_CLAIM].verdict == "supported" and found.loc[FURTHER_CLAIM].verdict == "not tested"


def test_an_untrained_first_encoder_is_still_the_first():
    found = ledger("extension", group(table4(CLEAR, "tiny-bert") + table4(CLEAR, tasks=GLUE_TOO)))
    assert found.loc[FIRST_CLAIM].verdict == "not tested" and found.loc[FURTHER_CLAIM].verdict == "supported"


def test_the_smaller_head_and_other_rates_do_not_judge_table_4():
    other = [group(table4(TURNED, head="bias"), extension.BIAS_HEAD), at(LOW, TURNED)]
    assert ledger("extension", group(table4(CLEAR)), *other).loc[FIRST_CLAIM].verdict == "supported"
    assert ledger("extension", *other).loc[FIRST_CLAIM].verdict == "not tested"


def test_the_smaller_head_does_not_judge_rates():
    alone = ledger("extension", group(table4(CLEAR, head="bias"), extension.BIAS_HEAD))
    assert alone.loc["projection-selects-value-any-rate"].verdict == "not tested"


def over_rates(low, high, rates=(HIGH, LOW), **more) -> list[Group]:
    """CB at two rates, b_v against all biases."""
    made = []
    for rate, value in zip(rates, (high, low)):
        scores = {"value": value, "query": [0.5] * 3, "all_biases": [0.70, 0.71, 0.72]}
        specs = setting(scores, task="cb", n_eval=300, learning_rate=rate, **more)
        made.append(group(specs, "" if rate == rates[0] else extension.rate_variant(rate)))
    return made


def test_b_v_surpasses_all_biases_at_the_high_rate_only():
    id, better, worse = "value-against-all-biases-by-rate", [0.85, 0.86, 0.88], [0.55, 0.56, 0.58]
    assert ledger("extension", *over_rates(worse, better)).loc[id].verdict == "supported"
    assert ledger("extension", *over_rates(better, better)).loc[id].verdict == "contradicted"
    assert ledger("extension", over_rates(worse, better)[0]).loc[id].verdict == "not tested"


def test_b_v_is_set_against_all_biases_at_the_papers_two_rates_only():
    id, better, worse = "value-against-all-biases-by-rate", [0.85, 0.86, 0.88], [0.55, 0.56, 0.58]
    between = over_rates(worse, better, rates=(2e-3, 5e-4))
    assert ledger("extension", *between).loc[id].verdict == "not tested"
    assert ledger("extension", *over_rates(worse, better), *between[1:]).loc[id].verdict == "supported"


ANY_RATE = "projection-selects-value-any-rate"


def test_one_rate_is_not_every_rate():
    assert ledger("extension", group(table4(CLEAR))).loc[ANY_RATE].verdict == "not tested"


def test_a_claim_about_rates_is_judged_on_tasks_that_were_run_at_several():
    others = [at(LOW), at(LOW, task="wic", n_eval=200)]
    assert ledger("extension", group(table4(CLEAR)), *others).loc[ANY_RATE].verdict == "supported"
    one = ledger("extension", group(table4(CLEAR)), others[0]).loc[ANY_RATE]
    assert one.verdict == "leans" and "not run: 1 (WiC)" in one.scope and one.reason.startswith("supported so far")


def test_a_claim_about_rates_is_judged_on_the_first_encoder():
    id, better, worse = "value-against-all-biases-by-rate", [0.85, 0.86, 0.88], [0.55, 0.56, 0.58]
    further = over_rates(better, worse, model="bert-base")
    both = [group([*own.specs, *other.specs], own.variant) for own, other in zip(over_rates(worse, better), further)]
    assert ledger("extension", *both).loc[[id]].verdict.tolist() == ["supported"]
    assert ledger("extension", group(table4(CLEAR)), further[1]).loc[id].verdict == "not tested"


def learned(rate: float, model: str = "minilm-l6") -> list:
    """CB over four epochs: b_v beside all biases and the head alone."""
    curves = {"value": RISING, "all_biases": RISING, "head_only": SLOW}
    return [s for method, own in curves.items() for s in curved(rate, own, method=method, model=model).specs]


def test_a_claim_about_epochs_is_judged_on_every_encoder_and_at_the_papers_rate():
    id = "value-improves-with-epochs"
    models = ("minilm-l6", "bert-base")
    low, high, higher = (group([s for m in models for s in learned(rate, m)], f"{rate}") for rate in (LOW, HIGH, 2e-3))
    found = ledger("extension", group(high.specs), low).loc[[id]]
    assert len(found) == 2 and all("learning rate 0.001" in text for text in found.reason)
    assert ledger("extension", group(higher.specs), low).loc[id].verdict == "not tested"
    slower_gains = ledger("extension", group(high.specs), low).loc[["bad-rate-epochs-do-not-help"]]
    assert len(slower_gains) == 2 and set(slower_gains.verdict) == {"no difference"}  # the same curves at both rates


def rte(scores, variant: str, **more) -> Group:
    return group(setting(scores, task="rte", **more), variant)


def test_table_2_is_judged_in_the_papers_way_and_says_where_rates_of_their_own_say_otherwise():
    better, worse = ({"value": own, "random": [0.6, 0.6, 0.61]} for own in ([0.7, 0.72, 0.71], [0.5, 0.52, 0.51]))
    paper, chosen, same = (
        rte(worse, PAPER),
        rte(better, CHOSEN, learning_rate=0.005),
        rte(worse, CHOSEN, learning_rate=0.006),
    )
    both = ledger("efficiency", paper, chosen).loc["value-beats-random"]
    assert both.verdict == "contradicted" and PAPER in both.scope and both.effect < 0
    assert ", on RTE: supported, 10.7 " in both.reason
    assert "rates of their own" not in ledger("efficiency", paper, same).loc["value-beats-random"].reason
    assert ledger("efficiency", chosen).loc["value-beats-random"].verdict == "not tested"


OTHERS = ("all_biases", "full", "random")


def test_timings_judge_a_claim_about_time():
    settings = rte(CLEAR, PAPER)
    fast = timed({"value": BASE} | {other: slower(1.5 + i) for i, other in enumerate(OTHERS)})
    row = ledger("efficiency", settings, timings=[fast]).loc["value-is-faster"]
    assert row.verdict == "supported" and row.effect == pytest.approx(50, abs=2) and row.n == "3 turns"
    assert row.unit == "% more time than b_v at least" and row.reason.startswith("loop over b_v's")
    slow = timed({"value": slower(4)} | {other: slower(1.5) for other in OTHERS})
    assert ledger("efficiency", settings, timings=[slow]).loc["value-is-faster"].verdict == "contradicted"


def test_timings_of_another_model_or_none_do_not():
    settings, fast = rte(CLEAR, PAPER), {"value": BASE} | {other: slower(1.5) for other in OTHERS}
    row = ledger("efficiency", settings).loc["value-is-faster"]
    assert row.verdict == "not tested" and all(said in row.reason for said in ("RTE", "low data", "timings"))
    elsewhere = ledger("efficiency", settings, timings=[timed(fast, model="bert-base")])
    assert elsewhere.loc["value-is-faster"].verdict == "not tested"


def test_toy_timings_judge_nothing():
    toy = group(setting(CLEAR, task="toy-sentiment", source="bundled"), PAPER)
    fast = timed({"value": BASE} | {other: slower(1.5) for other in OTHERS})
    assert ledger("efficiency", toy, timings=[fast]).loc["value-is-faster"].reason.startswith("toy data")


def test_timings_of_another_task_do_not_judge_a_claim_about_rte():
    fast = timed({"value": BASE} | {other: slower(1.5) for other in OTHERS}, task="sst2")
    row = ledger("efficiency", rte(CLEAR, PAPER), timings=[fast])
    assert row.loc["value-is-faster"].verdict == "not tested"


def exchanged(own, other, merged, seeds: int = 3, same: bool = True) -> list[Group]:
    """Table 3 on both tasks: an arm's scores over seeds, and parts whose tuned biases lie apart."""
    specs, arms = [], {}
    for task in ("rte", "sst2"):
        for arm, scores in ((efficiency.OWN, own), (efficiency.OTHER, other), (efficiency.MERGED, merged)):
            for seed in range(seeds):
                parts = ((f"{arm} {seed}", 0.5), (f"other {seed}", 0.5))
                specs.append(pair(seed, 0.1 + seed / 20, task=task, score=scores[seed], parts=parts))
                arms[specs[-1]] = arm
    pairs = controls(NEAR[:seeds], FAR[:seeds], ("rte", "sst2"))
    return [Group(specs, efficiency.TASK_HEADS if same else efficiency.OWN_HEADS, arms), *pairs]


def test_table_3_tells_arms_apart_and_is_judged_with_the_evaluated_tasks_head():
    scores = ([0.80, 0.81, 0.82], [0.50, 0.51, 0.53], [0.70, 0.73, 0.72])
    ids = ["tasks-move-value-apart", "value-is-task-specific", "merging-helps"]
    assert ledger("efficiency", *exchanged(*scores)).loc[ids].verdict.tolist() == ["supported"] * 3
    turned = ledger("efficiency", *exchanged(scores[1], scores[0], scores[2]))
    assert turned.loc[ids].verdict.tolist() == ["supported", "contradicted", "contradicted"]
    assert ledger("efficiency", *exchanged(*scores, same=False)).loc[ids].verdict.tolist() == ["not tested"] * 3


def test_one_seed_is_never_a_verdict():
    groups = [*exchanged([0.8], [0.5], [0.7], seeds=1), rte({"value": [0.9], "random": [0.5]}, PAPER)]
    found = ledger("efficiency", *groups).verdict
    for id in ("tasks-move-value-apart", "value-is-task-specific", "merging-helps", "value-beats-random"):
        assert found[id] == "leans"
    one = {method: own[:1] for method, own in CLEAR.items()}
    found = ledger("extension", group(table4(one)), at(LOW, one, trajectory=followed(VALUE))).verdict
    of_runs = [id for id in found.index if found[id] != "not tested" and id not in PRINTED]
    assert set(found[of_runs]) == {"leans"}
    assert found["projection-selects-value-any-rate"] == found["fisher-static-in-training"] == "leans"
