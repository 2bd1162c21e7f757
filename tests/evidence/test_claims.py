"""Verdicts on the paper's claims: the rules on constructed settings, and the ledger made of them."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from constructed import QUERY, UNDEFINED, VALUE, numbers, setting, specified

from beft_lib import evidence, runs
from beft_lib.chapters import registry
from beft_lib.chapters.efficiency import plan as efficiency
from beft_lib.chapters.ledger import CLAIMS
from beft_lib.chapters.questions import QUESTIONS
from beft_lib.evidence import fixed, learning, stats, words
from beft_lib.evidence.claims import (
    COLUMNS,
    finding,
    judge,
    listing,
    measurements,
    performance,
    scope,
    selection,
    summary,
    trends,
)
from beft_lib.runs import store
from beft_lib.tuning.methods import METHODS

CLEAR = {"value": [0.80, 0.80, 0.81], "query": [0.70, 0.70, 0.70], "key": [0.60, 0.60, 0.60]}
TURNED = {"value": [0.60, 0.60, 0.60], "query": [0.80, 0.80, 0.81], "key": [0.50, 0.50, 0.50]}
NOISE = {"value": [0.60, 0.80, 0.70], "query": [0.71, 0.65, 0.73], "key": [0.50, 0.50, 0.50]}
ONE = {"value": [0.80], "query": [0.70], "key": [0.60]}


def judged(predicate, *settings) -> finding.Finding | None:
    return predicate(evidence.compare([spec for own in settings for spec in own]))


def verdict(predicate, *settings) -> str:
    return judged(predicate, *settings).verdict


def medium(scores, **more):
    return setting(scores, regime="medium", **more)


# ---------------------------------------------------------------------------------------------------------- claims


def test_every_claim_has_an_id_a_notebook_and_its_texts():
    ids = [claim.id for claim in CLAIMS]
    assert len(set(ids)) == len(ids)
    for claim in CLAIMS:
        assert re.fullmatch(r"[a-z0-9-]+", claim.id) and re.match(r"\d\d_", claim.notebook)
        assert all((claim.section, claim.text, claim.shown, claim.needs))
        assert claim.section.startswith(("§", "Table")) and not claim.text.endswith(".")


def test_every_claim_can_be_judged():
    for claim in CLAIMS:
        assert sum(one is not None for one in (claim.predicate, claim.timed, claim.printed)) == 1, claim.id
        assert claim.question in QUESTIONS and claim.rule, claim.id
        assert claim.notebook in registry.PLANS, claim.id
        compared = claim.predicate.compares if claim.predicate else ()
        assert set(compared) <= {*METHODS, efficiency.OWN, efficiency.OTHER, efficiency.MERGED}, claim.id


def test_the_claims_are_a_list_that_a_referee_can_check():
    frame = listing(CLAIMS)
    assert frame.columns.tolist() == ["id", "question", "claim", "section", "paper", "decided by"]
    assert frame.question.drop_duplicates().tolist() == list(QUESTIONS) and (frame["decided by"] != "").all()
    rule = frame.set_index("id").loc["value-beats-query", "decided by"]
    assert all(name in rule for name in ("b_v − b_q", "above 0", "low", "medium", "high"))


# --------------------------------------------------------------------------------------------------------- scores

HIGHER = performance.scores_higher("value", "query")


def test_higher_in_every_setting_is_supported():
    assert verdict(HIGHER, setting(CLEAR)) == verdict(HIGHER, setting(CLEAR), medium(CLEAR)) == "supported"


def test_one_setting_decided_against_contradicts():
    assert verdict(HIGHER, setting(TURNED)) == "contradicted"
    found = judged(HIGHER, setting(CLEAR), medium(TURNED), setting(CLEAR, task="rte"))
    assert found.verdict == "contradicted"
    assert numbers(found.reason) == [2, 1, 3]  # for it, against it, of all


def test_one_undecided_setting_leaves_a_lean_with_its_sign_and_probability():
    one, two = judged(HIGHER, setting(NOISE)), judged(HIGHER, setting(CLEAR), medium(NOISE))
    assert one.verdict == two.verdict == "leans"
    assert numbers(one.reason) == [pytest.approx(stats.probability(one.effect), abs=0.005)]
    assert numbers(two.reason)[:6] == [1, 0, 2, 2, 0, 0]  # for, against, of; above zero, at zero, below
    assert numbers(two.reason)[6] == pytest.approx(min(stats.probability(two.effect), 0.99), abs=0.005)


def test_settings_that_are_close_and_known_well_show_no_difference():
    close = {"value": [0.700, 0.701, 0.702], "query": [0.701, 0.701, 0.701], "key": [0.6] * 3}
    assert verdict(HIGHER, setting(close, n_eval=2000)) == "no difference"
    assert verdict(HIGHER, setting(close, n_eval=2000), medium(NOISE)) == "leans"


def test_the_effect_of_one_setting_is_its_gap():
    specs = setting(CLEAR)
    found = judged(HIGHER, specs)
    assert found.effect == evidence.compare_one(specs).gap("value", "query") and found.unit == "points"


def test_the_effect_of_several_settings_is_the_mean_of_their_tasks_which_are_fixed():
    specs = [*setting(CLEAR), *medium(CLEAR), *setting(TURNED, task="rte")]
    found, pairs = judged(HIGHER, specs), [fixed.Pair(c, "value", "query") for c in evidence.compare(specs)]
    assert found.effect == pytest.approx(tuple(fixed.mean_gap(pairs))) and found.effect.n == 3
    assert found.effect.mean == pytest.approx((31 / 3 - 61 / 3) / 2)
    assert found.effect.half < stats.mean([31 / 3, -61 / 3]).half / 50  # two tasks are no sample of tasks


def test_an_interval_over_tasks_is_given_beside_it_only_where_tasks_at_large_are_meant_and_five_are_run():
    large = performance.scores_higher("value", "query", at_large=True)
    five = [setting(CLEAR, task=task, n_eval=400) for task in ("sst2", "rte", "qnli", "wic")]
    five.append(setting(CLEAR, task="cb", n_eval=600))
    found = judged(large, *five)
    assert "over tasks" in found.reason and 10.3 in numbers(found.reason) and numbers(found.reason)[-1] == 5
    assert found.effect == judged(HIGHER, *five).effect and "over tasks" not in judged(HIGHER, *five).reason
    assert "over tasks" not in judged(large, *five[:4]).reason


def test_a_failed_seed_is_left_out_and_failed_terms_judge_nothing():
    assert judged(HIGHER, setting(CLEAR | {"query": [0.7, None, 0.7]})).effect.n == 2
    assert judged(HIGHER, setting({"value": [0.8]}, model="hub:org/name")) is None
    assert verdict(HIGHER, setting(CLEAR, ranked=False)) == "supported"  # a comparison of scores needs no ranking


def test_the_head_alone_judges_b_k():
    scores = {"value": CLEAR["value"], "query": CLEAR["query"], "head_only": CLEAR["key"]}
    assert verdict(performance.scores_higher("query", "key"), setting(scores)) == "supported"


SELECTION = performance.selection_scores_higher("projection")


def test_the_selected_term_scores_highest():
    assert verdict(SELECTION, setting(CLEAR)) == "supported"
    assert verdict(SELECTION, setting(TURNED)) == "contradicted"
    assert verdict(SELECTION, setting(NOISE)) == "leans"
    assert verdict(SELECTION, setting(TURNED, importance={"projection": QUERY})) == "supported"


def test_the_selected_term_meets_the_better_of_the_others():
    scores = CLEAR | {"key": [0.79, 0.80, 0.82]}
    assert verdict(SELECTION, setting(scores)) == "no difference"


def test_undefined_scores_judge_no_selection():
    assert judged(SELECTION, setting(CLEAR, importance={"projection": UNDEFINED})) is None


# ------------------------------------------------------------------------------------------------------- selection

SELECTS = selection.selects("projection", "value")


def mixed(*chosen):
    """Projection scores of which every seed selects this term."""
    terms = ("query", "key", "value")
    return {"projection": {t: [{True: 1.0, False: 0.2}[t == c] for c in chosen] for t in terms}}


def test_selected_in_every_run_is_supported():
    found = judged(SELECTS, setting(CLEAR), medium(TURNED))
    assert (found.verdict, found.effect.mean, numbers(found.reason)) == ("supported", 100, [2, 2])


def test_another_selection_by_the_mean_contradicts():
    assert verdict(selection.selects("magnitude", "value"), setting(CLEAR)) == "contradicted"
    found = judged(SELECTS, setting(CLEAR), medium(CLEAR, importance={"projection": QUERY}))
    assert found.verdict == "contradicted" and numbers(found.reason) == [1, 2, 1]


def test_another_selection_by_single_runs_only_is_a_lean():
    found = judged(SELECTS, setting(CLEAR, importance=mixed("value", "value", "query")))
    assert found.verdict == "leans" and found.effect.mean == pytest.approx(200 / 3)
    low, high = (100 * end for end in stats.share(2, 3)[1:3])
    assert (found.effect.low, found.effect.high, found.n_of) == (pytest.approx(low), pytest.approx(high), "runs")


def test_without_ranking_runs_no_selection_is_judged():
    for predicate in (SELECTS, selection.ranking_stays("fisher"), trends.score_gap_follows("projection")):
        assert judged(predicate, setting(CLEAR, ranked=False), medium(CLEAR, ranked=False)) is None


STAYS = selection.ranking_stays("fisher")


def test_a_ranking_stays_if_no_place_changes():
    found = judged(STAYS, setting(CLEAR), medium(CLEAR, importance={"fisher": VALUE | {"value": 0.9}}))
    assert found.verdict == "supported" and found.effect.mean == 100
    assert numbers(found.reason) == [1, 1, 0]  # stays in, of, changes in


def test_one_changed_place_contradicts():
    # b_q falls behind another bias term, the order of b_q, b_k, b_v is the same
    behind = {"fisher": {"value": 0.5, "query": 0.4, "key": 0.0, "attention.output.dense": 0.3}}
    again = [setting(CLEAR, task="rte"), medium(CLEAR, task="rte")]
    found = judged(STAYS, setting(CLEAR), medium(CLEAR, importance=behind), *again)
    assert found.verdict == "contradicted" and found.effect.mean == 50


def test_one_regime_says_nothing_of_staying():
    assert judged(STAYS, setting(CLEAR), setting(CLEAR, task="rte")) is None


def test_a_ranking_that_is_said_to_change_is_asked_the_same_and_needs_every_regime_to_be_contradicted():
    behind = {"fisher": {"value": 0.5, "query": 0.4, "key": 0.0, "attention.output.dense": 0.3}}
    same = [setting(CLEAR), medium(CLEAR)]
    found = judged(selection.ranking_changes("fisher", regimes=3), *same)
    assert (found.verdict, found.effect.mean) == ("leans", 0) and found.reason.startswith("the same places in 1 of 1")
    assert verdict(selection.ranking_changes("fisher", regimes=2), *same) == "contradicted"
    other = [setting(CLEAR), medium(CLEAR, importance=behind)]
    found = judged(selection.ranking_changes("fisher", regimes=3), *other)
    assert (found.verdict, found.effect.mean) == ("supported", 100)


FOLLOWS = trends.score_gap_follows("projection")


def regimes(score_gaps, performance_gaps=(0.2, 0.1, 0.05), task="sst2", seeds=3):
    made = []
    for regime, score, gap in zip(("low", "medium", "high"), score_gaps, performance_gaps):
        scores = {"value": [0.7 + gap] * seeds, "query": [0.7] * seeds, "key": [0.5] * seeds}
        made.append(
            setting(scores, task=task, regime=regime, importance={"projection": VALUE | {"value": 0.1 + score}})
        )
    return made


def test_a_score_gap_that_follows_in_every_seed_alike_has_no_spread_to_judge_by():
    found = judged(FOLLOWS, *regimes((0.4, 0.3, 0.2)))
    assert found.verdict == "leans" and found.effect == (1, 1, 1, 3)
    assert "no spread" in found.reason
    assert judged(FOLLOWS, *regimes((0.2, 0.3, 0.4))).effect.mean == -1


def changing(performance, score):
    """Low and high data: the gap b_v − b_q in performance and in projection score, with a little noise over seeds."""
    made = []
    for regime, gap, own in zip(("low", "high"), performance, score):
        scores = {"value": [0.7 + gap + e for e in (0, 0.005, 0.01)], "query": [0.7] * 3, "key": [0.5] * 3}
        projection = VALUE | {"value": [0.4 + own * (1 + e) for e in (0, 0.005, 0.01)]}
        made.append(setting(scores, regime=regime, importance={"projection": projection}))
    return made


NARROWS, GROWS = (0.2, 0.02), (0.02, 0.2)


@pytest.mark.parametrize(
    ("sign", "performance", "wanted"),
    [
        (-1, NARROWS, "supported"),
        (-1, GROWS, "contradicted"),
        (1, GROWS, "supported"),
        (1, (0.1, 0.1), "no difference"),
    ],
)
def test_a_gap_in_performance_changes_as_claimed_or_not(sign, performance, wanted):
    found = judged(trends.gap_grows(sign), *changing(performance, performance))
    assert found.verdict == wanted and found.effect.mean == pytest.approx(100 * sign * np.diff(performance)[0])


@pytest.mark.parametrize(
    ("high", "medium", "wanted"),
    [(0.02, 0.03, "supported"), (0.02, 0.28, "contradicted"), (0.02, 0.2, "leans"), (0.2, 0.2, "no difference")],
)
def test_a_gap_is_widest_with_the_least_data_only_if_no_larger_amount_is_as_wide(high, medium, wanted):
    made = changing((0.2, high), (0.1, 0.1))
    terms = {"value": [0.7 + medium + e for e in (0, 0.005, 0.01)], "query": [0.7] * 3, "key": [0.5] * 3}
    found = judged(trends.gap_is_widest_with_least_data(), *made, setting(terms, regime="medium"))
    assert found.verdict == wanted
    assert found.effect.mean == pytest.approx(100 * min(0.2 - high, 0.2 - medium))


@pytest.mark.parametrize(
    ("performance", "score", "follows", "wanted"),
    [
        (NARROWS, NARROWS, True, "supported"),
        (NARROWS, GROWS, True, "contradicted"),
        (GROWS, GROWS, True, "contradicted"),  # both grow, and the claim says that they narrow
        (NARROWS, GROWS, False, "supported"),
        (NARROWS, NARROWS, False, "contradicted"),
    ],
)
def test_a_score_follows_performance_in_the_direction_that_is_claimed(performance, score, follows, wanted):
    assert verdict(trends.gap_grows(-1, "projection", follows), *changing(performance, score)) == wanted


def test_tasks_that_disagree_are_no_verdict():
    found = judged(FOLLOWS, *regimes((0.4, 0.3, 0.2)), *regimes((0.2, 0.3, 0.4), task="rte"))
    assert found.verdict == "leans" and found.effect.mean == 0 and found.effect.n == 3


def test_a_constant_score_gap_is_no_verdict():
    found = judged(FOLLOWS, *regimes((0.3, 0.3, 0.3)))
    assert found.verdict == "leans" and np.isnan(found.effect.mean)


def test_one_regime_says_nothing_of_following():
    assert judged(FOLLOWS, setting(CLEAR)) is None


LESS = performance.loses_less("projection", "magnitude")


def test_losing_less_is_judged_by_the_points_saved():
    found = judged(LESS, setting(CLEAR))
    assert found.verdict == "supported" and found.effect.mean == pytest.approx(31 / 3)
    assert numbers(found.reason) == [3, 3]  # runs that choose another term
    assert verdict(LESS, setting(TURNED)) == "contradicted" and verdict(LESS, setting(NOISE)) == "leans"


def test_approaches_that_choose_alike_lose_alike():
    found = judged(performance.loses_less("projection", "fisher"), setting(CLEAR))
    assert found.verdict == "no difference" and found.effect.mean == 0 and numbers(found.reason) == [3]


def overall(predicate):
    """As a claim has it: over the settings of SST-2."""
    return scope.within(predicate, ["sst2"], ["low", "medium", "high"])


def test_one_seed_is_never_a_verdict():
    for predicate in (HIGHER, SELECTION, LESS, SELECTS, selection.selects("magnitude", "value")):
        found = judged(overall(predicate), setting(ONE))
        assert found.verdict == "leans" and "one seed" in found.reason
    assert verdict(overall(FOLLOWS), *regimes((0.4, 0.3, 0.2), seeds=1)) == "leans"
    assert verdict(overall(HIGHER), setting(CLEAR), medium(ONE)) == "leans"


def test_a_claim_about_tasks_that_were_not_run_is_not_supported_but_may_be_contradicted():
    both = scope.within(HIGHER, ["sst2", "rte"], ["low"])
    found = judged(both, setting(CLEAR))
    assert found.verdict == "leans" and found.reason.startswith("supported")
    assert (found.run, found.named) == (1, 2) and "RTE" in found.scope
    assert verdict(both, setting(CLEAR), setting(CLEAR, task="rte")) == "supported"
    assert verdict(both, setting(TURNED)) == "contradicted"


def test_a_regime_that_was_not_run_leaves_a_universal_claim_supported_so_far():
    every = scope.within(HIGHER, ["sst2"], ["low", "medium", "all"])
    found = judged(every, setting(CLEAR), medium(CLEAR))
    assert found.verdict == "leans" and found.reason.startswith("supported")
    assert (found.run, found.named) == (2, 3) and "all data" in found.scope
    assert verdict(every, setting(CLEAR), medium(CLEAR), setting(CLEAR, regime="all")) == "supported"
    assert verdict(every, setting(CLEAR), medium(TURNED)) == "contradicted"


# --------------------------------------------------------------------------------------------- nothing was learned

IDLE = {"value": [0.60, 0.62, 0.61], "query": [0.61, 0.60, 0.62], "head_only": [0.61, 0.62, 0.60]}
IDLE |= {"all_biases": [0.60, 0.61, 0.61]}
LEARNED = {"value": [0.80, 0.80, 0.81], "query": [0.70, 0.70, 0.70], "head_only": [0.60, 0.60, 0.60]}


def test_where_no_method_decidedly_beats_the_control_nothing_is_learned():
    idle, learned = (evidence.compare_one(setting(own)) for own in (IDLE, LEARNED))
    assert "head alone" in idle.nothing_learned and not idle.learned
    assert learned.learned and learned.nothing_learned == ""
    assert evidence.compare_one(setting(CLEAR)).learned  # without a control nothing says otherwise
    assert evidence.compare_one(setting({m: own[:1] for m, own in IDLE.items()})).learned  # one seed says nothing


def test_one_term_that_learned_is_enough():
    assert evidence.compare_one(setting(IDLE | {"query": [0.80, 0.81, 0.82]})).learned


def test_that_all_biases_learned_says_nothing_of_two_terms_which_did_not():
    specs = setting(IDLE | {"all_biases": [0.80, 0.81, 0.82]})
    found = evidence.compare_one(specs)
    assert all(name in found.nothing_learned for name in ("b_q", "b_v", "head alone"))
    assert learning.nothing_learned(found, ("value", "query")) == found.nothing_learned
    assert learning.nothing_learned(found, ("value", "all_biases")) == ""
    assert judged(overall(HIGHER), specs).verdict == "nothing learned"
    assert judged(overall(SELECTS), specs).verdict != "nothing learned"  # what is ranked is the run of all biases
    assert judged(overall(performance.scores_higher("all_biases", "value")), specs).verdict != "nothing learned"


BELOW = {"value": [0.40] * 3, "query": [0.38] * 3, "head_only": [0.20] * 3, "all_biases": [0.40] * 3}


@pytest.mark.parametrize(
    "task, value, learned",
    [
        ("sst2", 0.40, False),  # far better than the head, and worse than one class for all
        ("sst2", 0.51, False),  # above it, but within the interval
        ("sst2", 0.60, True),
        ("mrpc", 0.40, False),  # always "yes" has F1 of 67 and half of the examples right
        ("mrpc", 0.60, True),  # F1 below always "yes", accuracy decidedly above
        ("cola", 0.20, True),  # a correlation above 0
        ("stsb", 0.40, True),
    ],
)
def test_beating_the_head_is_nothing_where_one_answer_for_all_does_better(task, value, learned):
    found = evidence.compare_one(setting(BELOW | {"value": [value] * 3} | _idle_head(task), task=task, scattered=True))
    assert (found.nothing_learned == "") == learned == ("constant answer" not in found.nothing_learned)


def _idle_head(task: str) -> dict:
    """A head that is beaten: of a correlation, one at zero."""
    return {m: [0.0] * 3 for m in ("head_only", "query", "all_biases")} if task in ("cola", "stsb") else {}


def test_one_class_in_the_evaluation_set_says_nothing_of_a_constant_answer():
    decoder = setting({"value": [0.8, 0.8], "zero_shot": [0.5, 0.5]}, model="opt-1.3b", task="boolq", ranked=False)
    found = evidence.compare_one(decoder)  # constructed prompts have one label
    assert np.isnan(learning.constant_score(found)) and found.learned


def test_predictions_that_are_constant_are_nothing_learned_whatever_they_score():
    constant = {"value": [0.5] * 3, "query": [0.5] * 3, "key": [0.5] * 3, "all_biases": [0.5] * 3}
    specs = setting(constant)
    for spec in specs:
        predicting_one_class(spec)
    assert evidence.compare_one(specs).nothing_learned.endswith("one class")
    found = judged(overall(SELECTS), specs)
    assert found.verdict == "nothing learned" and all(name in found.reason for name in ("SST-2", "low", "one class"))


def predicting_one_class(spec) -> None:
    """Rewrite a stored run's predictions: one class for every example."""
    arrays = runs.predictions(spec)
    logits = np.zeros_like(arrays["validation/logits"])
    logits[:, 0] = 1.0
    buffer = io.BytesIO()
    np.savez(buffer, **arrays | {"validation/logits": logits})
    store.write(store.trusted(spec), {"predictions.npz": buffer.getvalue()})


def test_a_witness_says_whether_runs_without_a_control_learned():
    alone = {"value": CLEAR["value"], "query": CLEAR["query"]}
    made = evidence.compare_one(setting(alone, epochs=3))
    idle, learned = (evidence.compare_one(setting(own)) for own in (IDLE, LEARNED))
    assert made.learned and replace(made, witness=learned).learned and not replace(made, witness=idle).learned


def test_settings_that_learned_nothing_count_nowhere_and_are_told():
    both = scope.within(HIGHER, ["sst2", "rte"], ["low"])
    found = judged(both, setting(LEARNED), setting(IDLE, task="rte"))
    alone = judged(HIGHER, setting(LEARNED))
    assert found.verdict == "leans" and found.reason.startswith("supported")
    assert (found.named, found.run, len(found.idle)) == (2, 2, 1)
    assert found.effect == alone.effect and "nothing learned in 1" in found.scope
    assert "over all 2" in found.scope  # leaving out by outcome is never silent
    turned = judged(both, setting(LEARNED), setting(IDLE | {"value": [0.3, 0.3, 0.31]}, task="rte"))
    assert turned.verdict == "leans"  # worse than b_q, where b_q is no better than the head alone


def test_where_nothing_was_learned_anywhere_that_is_the_verdict():
    found = judged(overall(HIGHER), setting(IDLE))
    assert found.verdict == "nothing learned" and "head alone" in found.reason
    assert found.effect == judged(HIGHER, setting(IDLE)).effect and found.scope.startswith("0 of 3 settings")
    assert verdict(overall(selection.selects("magnitude", "value")), setting(IDLE)) == "nothing learned"


def test_a_trend_that_turns_on_a_setting_without_learning_is_none():
    grows = scope.within(trends.gap_grows(1), ["sst2"], ["low", "medium"])
    assert verdict(grows, setting(LEARNED), medium(IDLE)) == "nothing learned"


def test_within_keeps_tasks_and_regimes():
    specs = [setting(CLEAR), medium(TURNED), setting(TURNED, task="rte")]
    assert verdict(scope.within(HIGHER, ["sst2"], ["low"]), *specs) == "supported"
    assert verdict(scope.within(HIGHER, ["sst2"], ["low", "medium"]), *specs) == "contradicted"
    assert judged(scope.within(HIGHER, ["cola"], ["low"]), *specs) is None


# ---------------------------------------------------------------------------------------------------------- ledger


def ledger(*settings, notebook="01_bias_selection"):
    frame = judge(CLAIMS, {notebook: evidence.compare([spec for own in settings for spec in own])})
    assert tuple(frame.columns) == COLUMNS
    return frame


PRINTED = [claim.id for claim in CLAIMS if claim.printed]  # they need no run


def of_runs(frame):
    return frame[~frame.id.isin(PRINTED)]


def of_notebook(frame, notebook="01_bias_selection"):
    return of_runs(frame)[of_runs(frame).id.isin([c.id for c in CLAIMS if c.notebook == notebook])]


def test_the_papers_own_ordering_supports_its_claims():
    frame = ledger(setting(CLEAR))
    own = of_notebook(frame).set_index("id")
    of_bert = own.index == "magnitude-selects-query-sst2-low"
    assert set(own[~of_bert].verdict) == {"supported"} and set(own[~of_bert].n) == {"3 seeds"}
    assert own[of_bert].verdict.item() == "not tested" and own[of_bert].n.item() == "3 runs"
    assert all(name in own[of_bert].reason.item() for name in ("BERT-base", "; seen on MiniLM-L6", "b_q"))
    row = own.loc["value-beats-query-sst2-low"]
    assert row.effect == pytest.approx(31 / 3) and row.low > 0 and row.unit == "points"
    assert row.model == "MiniLM-L6" and "b_v − b_q" in row.reason
    assert row.paper == "85.8 − 80.0 = 5.8 points, one seed" and row.evidence.startswith("01_bias_selection, Fig. 1; ")
    rest = frame[~frame.id.isin([*own.index, *PRINTED])]
    assert set(rest.verdict) == {"not tested"}


def test_the_opposite_contradicts_them():
    own = of_notebook(ledger(setting(TURNED, importance={"magnitude": VALUE}))).set_index("id").verdict
    assert own["projection-selects-best-sst2"] == own["value-beats-query-sst2-low"] == "contradicted"
    assert own["query-beats-key-sst2-low"] == "supported"


def test_a_model_can_contradict_what_is_said_of_itself_alone():
    id = "magnitude-selects-query-sst2-low"
    for model, wanted in (("bert-base", "contradicted"), ("minilm-l6", "not tested")):
        row = ledger(setting(CLEAR, model=model, importance={"magnitude": VALUE})).set_index("id").loc[id]
        assert row.verdict == wanted
    assert "not seen on MiniLM-L6" in row.reason and numbers(row.reason)[:2] == [0, 1]


def test_claims_over_regimes_are_judged_by_the_glue_notebook():
    frame = ledger(*regimes((0.4, 0.3, 0.2)), notebook="02_glue_regimes").set_index("id").verdict
    expected = {
        "fisher-static": "leans",  # of SST-2 alone
        "value-beats-query": "leans",  # of SST-2 alone
        "projection-selects-value": "leans",  # of SST-2 alone
        "projection-loses-less-than-magnitude": "leans",  # of SST-2 alone
        "magnitude-selects-query-sst2": "not tested",  # of BERT-base
        "projection-follows": "leans",  # all seeds equal
        "magnitude-selects-query-cola": "not tested",
        "value-beats-query-sst2-low": "not tested",
    }
    assert {id: frame[id] for id in expected} == expected


def test_another_setting_does_not_judge_a_claim():
    assert set(of_runs(ledger(medium(CLEAR))).verdict) == {"not tested"}


def test_nothing_run_is_not_run_and_says_what_is_needed():
    frame = judge(CLAIMS, {})
    assert frame.id.tolist() == [c.id for c in CLAIMS] and set(of_runs(frame).verdict) == {"not tested"}
    assert of_runs(frame).effect.isna().all() and (of_runs(frame).n == "0").all()
    for claim, row in zip(CLAIMS, frame.itertuples()):
        assert row.evidence.startswith(f"{claim.notebook}, {claim.shown}")
        assert claim.printed or row.reason == f"needs {claim.needs}"


def test_a_later_notebooks_claim_is_not_run_even_with_results():
    frame = ledger(setting(CLEAR), notebook="03_efficiency")
    row = frame.set_index("id").loc["value-matches-full"]
    assert row.verdict == "not tested" and "RTE" in row.reason and "low" in row.reason


def test_results_that_were_planned_but_not_made_are_not_run():
    absent = [specified("minilm-l6", "sst2", "low", method=m) for m in ("value", "query", "key", "all_biases")]
    assert set(of_runs(ledger(absent)).verdict) == {"not tested"}


def test_toy_data_judge_nothing():
    toy = setting(CLEAR, task="toy-sentiment", source="bundled")
    frame = ledger(toy)
    own = frame.id.isin(of_notebook(frame).id)
    assert set(of_runs(frame).verdict) == {"not tested"}
    assert frame[own].reason.str.contains("toy data").all() and not frame[~own].reason.str.contains("toy data").any()


def test_untrained_models_judge_nothing():
    assert set(of_runs(ledger(setting(CLEAR, model="tiny-bert"))).verdict) == {"not tested"}


def test_every_model_has_a_row_of_its_own():
    own = of_notebook(ledger(setting(CLEAR), setting(TURNED, model="bert-base"))).set_index("id")
    rows = own.loc["value-beats-query-sst2-low"]
    assert rows.verdict.tolist() == ["supported", "contradicted"]
    assert rows.model.tolist() == ["MiniLM-L6", "BERT-base"]


def test_rows_that_rest_on_one_number_share_its_measurement():
    frame = ledger(setting(CLEAR)).set_index("id").evidence
    of = frame.str.extract(r"measurement (\w+)$")[0]
    assert of["projection-selects-best-sst2"] == of["value-beats-query-sst2-low"] != of["query-beats-key-sst2-low"]
    assert measurements(ledger(setting(CLEAR))) == of.nunique() < of.notna().sum()
    frame = ledger(*regimes((0.4, 0.3, 0.2)), notebook="02_glue_regimes").set_index("id")
    two = frame.loc[["magnitude-selects-query-sst2", "fisher-selects-value-sst2"]]
    assert two.effect.tolist() == [100, 100] and two.evidence.nunique() == 2  # both in every run, and not one count


def test_verdicts_are_counted_by_question():
    frame = ledger(setting(CLEAR))
    counted = summary(frame).set_index("question")
    assert counted.index.tolist() == [*QUESTIONS, "all"] and counted.loc["all"].sum() == len(frame)
    assert set(counted.columns) <= set(finding.VERDICTS)


def test_undefined_scores_are_no_verdict_for_the_approach():
    own = of_notebook(ledger(setting(CLEAR, importance={"projection": UNDEFINED}))).set_index("id").verdict
    assert own["projection-selects-best-sst2"] == "not tested"


# --------------------------------------------------------------------------------------------------------- in words


def test_sentences_say_what_the_interval_allows():
    higher, lower, noise = stats.Estimate(5, 3, 7, 3), stats.Estimate(-5, -7, -3, 3), stats.Estimate(1, -2, 4, 3)
    assert (
        words.sentence("value", "query", higher) == "b_v scores higher than b_q: +5.0 points [3.0, 7.0] over 3 seeds."
    )
    assert words.sentence("value", "query", lower).startswith("b_v scores lower than b_q: −5.0")
    assert words.sentence("value", "query", noise).startswith("The data cannot tell b_v from b_q: +1.0")
    assert "exactly the same in each of 3" in words.sentence("query", "key", stats.Estimate(0, 0, 0, 3))
    assert "no conclusion" in words.sentence("value", "query", stats.Estimate(5, 3, 7, 1))
    assert "not both run" in words.sentence("value", "query", stats.mean([]))


def test_comparisons_leave_out_what_is_so_by_construction():
    said = words.pairwise(evidence.compare_one(setting(CLEAR | {"head_only": [0.6] * 3})))
    assert len(said) == len(words.COMPARED) and any("b_k and head only score exactly the same" in s for s in said)
    served = {"value": CLEAR["value"], "query": CLEAR["query"], "head_only": [0.6] * 3}
    assert len(words.pairwise(evidence.compare_one(setting(served)))) == len(words.COMPARED) - 1
    assert "were not both run" in words.pairwise(evidence.compare_one(setting(CLEAR)))[3]
