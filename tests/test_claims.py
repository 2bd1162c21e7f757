"""Verdicts on the paper's claims: the rules on constructed settings, and the ledger made of them."""

import re

import numpy as np
import pytest
from constructed import QUERY, UNDEFINED, VALUE, setting, specified

from beft_lib import evidence
from beft_lib.chapters.ledger import CLAIMS
from beft_lib.evidence import stats, words
from beft_lib.evidence.claims import finding, judge, performance, scope, selection, trends

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
        assert claim.section.startswith("§") and not claim.text.endswith(".")


def test_every_claim_can_be_judged():
    assert all((claim.predicate is not None) != (claim.timed is not None) for claim in CLAIMS)


# --------------------------------------------------------------------------------------------------------- scores

HIGHER = performance.scores_higher("value", "query")


def test_higher_in_every_setting_is_supported():
    assert verdict(HIGHER, setting(CLEAR)) == verdict(HIGHER, setting(CLEAR), medium(CLEAR)) == "supported"


def test_one_setting_decided_against_contradicts():
    assert verdict(HIGHER, setting(TURNED)) == "contradicted"
    found = judged(HIGHER, setting(CLEAR), medium(TURNED), setting(CLEAR, task="rte"))
    assert found.verdict == "contradicted"
    assert found.reason == "b_v − b_q: decided for it in 2, against it in 1, undecided in 0 of 3 settings"


def test_one_undecided_setting_is_inconclusive():
    assert verdict(HIGHER, setting(NOISE)) == verdict(HIGHER, setting(CLEAR), medium(NOISE)) == "inconclusive"


def test_the_effect_of_one_setting_is_its_gap():
    specs = setting(CLEAR)
    found = judged(HIGHER, specs)
    assert found.effect == evidence.compare_one(specs).gap("value", "query") and found.unit == "points"


def test_the_effect_of_several_settings_is_over_tasks():
    found = judged(HIGHER, setting(CLEAR), medium(CLEAR), setting(TURNED, task="rte"))
    assert found.effect == pytest.approx(stats.mean([31 / 3, -61 / 3]))


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
    assert verdict(SELECTION, setting(NOISE)) == "inconclusive"
    assert verdict(SELECTION, setting(TURNED, importance={"projection": QUERY})) == "supported"


def test_the_selected_term_meets_the_better_of_the_others():
    scores = CLEAR | {"key": [0.79, 0.80, 0.82]}
    assert verdict(SELECTION, setting(scores)) == "inconclusive"


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
    assert (
        found.verdict == "supported"
        and found.effect.mean == 100
        and found.reason == "b_v in every run of 2 of 2 settings"
    )


def test_another_selection_by_the_mean_contradicts():
    assert verdict(selection.selects("magnitude", "value"), setting(CLEAR)) == "contradicted"
    found = judged(SELECTS, setting(CLEAR), medium(CLEAR, importance={"projection": QUERY}))
    assert found.verdict == "contradicted" and found.reason == "b_v in every run of 1 of 2 settings"


def test_another_selection_by_single_runs_only_is_inconclusive():
    found = judged(SELECTS, setting(CLEAR, importance=mixed("value", "value", "query")))
    assert found.verdict == "inconclusive" and found.effect.mean == pytest.approx(200 / 3)


def test_without_ranking_runs_no_selection_is_judged():
    for predicate in (SELECTS, selection.ranking_stays("fisher"), trends.score_gap_follows("projection")):
        assert judged(predicate, setting(CLEAR, ranked=False), medium(CLEAR, ranked=False)) is None


STAYS = selection.ranking_stays("fisher")


def test_a_ranking_stays_if_no_place_changes():
    found = judged(STAYS, setting(CLEAR), medium(CLEAR, importance={"fisher": VALUE | {"value": 0.9}}))
    assert found.verdict == "supported" and found.effect.mean == 100
    assert found.reason == "the same places in 1 of 1 tasks with several regimes, changed in every seed of 0"


def test_one_changed_place_contradicts():
    # b_q falls behind another bias term, the order of b_q, b_k, b_v is the same
    behind = {"fisher": {"value": 0.5, "query": 0.4, "key": 0.0, "attention.output.dense": 0.3}}
    again = [setting(CLEAR, task="rte"), medium(CLEAR, task="rte")]
    found = judged(STAYS, setting(CLEAR), medium(CLEAR, importance=behind), *again)
    assert found.verdict == "contradicted" and found.effect.mean == 50


def test_one_regime_says_nothing_of_staying():
    assert judged(STAYS, setting(CLEAR), setting(CLEAR, task="rte")) is None


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
    assert found.verdict == "inconclusive" and found.effect == (1, 1, 1, 3) and found.reason == "3 sequences of regimes"
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
    [(-1, NARROWS, "supported"), (-1, GROWS, "contradicted"), (1, GROWS, "supported"), (1, (0.1, 0.1), "inconclusive")],
)
def test_a_gap_in_performance_changes_as_claimed_or_not(sign, performance, wanted):
    found = judged(trends.gap_grows(sign), *changing(performance, performance))
    assert found.verdict == wanted and found.effect.mean == pytest.approx(100 * sign * np.diff(performance)[0])


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


def test_tasks_that_disagree_are_inconclusive():
    found = judged(FOLLOWS, *regimes((0.4, 0.3, 0.2)), *regimes((0.2, 0.3, 0.4), task="rte"))
    assert found.verdict == "inconclusive" and found.effect.mean == 0 and found.effect.n == 2


def test_a_constant_score_gap_is_inconclusive():
    found = judged(FOLLOWS, *regimes((0.3, 0.3, 0.3)))
    assert found.verdict == "inconclusive" and np.isnan(found.effect.mean)


def test_one_regime_says_nothing_of_following():
    assert judged(FOLLOWS, setting(CLEAR)) is None


LESS = performance.loses_less("projection", "magnitude")


def test_losing_less_is_judged_by_the_points_saved():
    found = judged(LESS, setting(CLEAR))
    assert found.verdict == "supported" and found.effect.mean == pytest.approx(31 / 3)
    assert found.reason == "3 runs of 1 settings of 1 tasks"
    assert verdict(LESS, setting(TURNED)) == "contradicted" and verdict(LESS, setting(NOISE)) == "inconclusive"


def test_approaches_that_choose_alike_lose_alike():
    assert verdict(performance.loses_less("projection", "fisher"), setting(CLEAR)) == "inconclusive"


def overall(predicate):
    """As a claim has it: over the settings of SST-2."""
    return scope.within(predicate, ["sst2"], ["low", "medium", "high"])


def test_one_seed_is_never_a_verdict():
    for predicate in (HIGHER, SELECTION, LESS, SELECTS, selection.selects("magnitude", "value")):
        found = judged(overall(predicate), setting(ONE))
        assert found.verdict == "inconclusive" and "one seed" in found.reason
    assert verdict(overall(FOLLOWS), *regimes((0.4, 0.3, 0.2), seeds=1)) == "inconclusive"
    assert verdict(overall(HIGHER), setting(CLEAR), medium(ONE)) == "inconclusive"


def test_a_claim_about_tasks_that_were_not_run_is_not_supported_but_may_be_contradicted():
    both = scope.within(HIGHER, ["sst2", "rte"], ["low"])
    found = judged(both, setting(CLEAR))
    assert (
        found.verdict == "inconclusive"
        and "not run: rte" in found.reason
        and found.reason.endswith("run in 1 of 2 settings")
    )
    assert verdict(both, setting(CLEAR), setting(CLEAR, task="rte")) == "supported"
    assert verdict(both, setting(TURNED)) == "contradicted"


def test_within_keeps_tasks_and_regimes():
    specs = [setting(CLEAR), medium(TURNED), setting(TURNED, task="rte")]
    assert verdict(scope.within(HIGHER, ["sst2"], ["low"]), *specs) == "supported"
    assert verdict(scope.within(HIGHER, ["sst2"], ["low", "medium"]), *specs) == "contradicted"
    assert judged(scope.within(HIGHER, ["cola"], ["low"]), *specs) is None


# ---------------------------------------------------------------------------------------------------------- ledger


def ledger(*settings, notebook="01_bias_selection"):
    frame = judge.judge(CLAIMS, {notebook: evidence.compare([spec for own in settings for spec in own])})
    assert tuple(frame.columns) == judge.COLUMNS
    return frame


def of_notebook(frame, notebook="01_bias_selection"):
    return frame[frame.id.isin([c.id for c in CLAIMS if c.notebook == notebook])]


def test_the_papers_own_ordering_supports_its_claims():
    frame = ledger(setting(CLEAR))
    own = of_notebook(frame).set_index("id")
    assert set(own.verdict) == {"supported"} and set(own.n) == {3}
    row = own.loc["value-beats-query-sst2-low"]
    assert (
        row.effect == pytest.approx(31 / 3)
        and row.low > 0
        and "MiniLM-L6, points; b_v − b_q: one setting" in row.evidence
    )
    assert set(frame[~frame.id.isin(own.index)].verdict) == {"not tested"}


def test_the_opposite_contradicts_them():
    own = of_notebook(ledger(setting(TURNED, importance={"magnitude": VALUE}))).set_index("id").verdict
    assert own["projection-selects-best-sst2"] == own["value-beats-query-sst2-low"] == "contradicted"
    assert own["magnitude-selects-query-sst2-low"] == "contradicted" and own["query-beats-key-sst2-low"] == "supported"


def test_claims_over_regimes_are_judged_by_the_glue_notebook():
    frame = ledger(*regimes((0.4, 0.3, 0.2)), notebook="02_glue_regimes").set_index("id").verdict
    expected = {
        "fisher-static": "inconclusive",  # of SST-2 alone
        "value-beats-query": "inconclusive",  # of SST-2 alone
        "projection-selects-value": "inconclusive",  # of SST-2 alone
        "projection-loses-less-than-magnitude": "inconclusive",  # of SST-2 alone
        "magnitude-selects-query-sst2": "supported",
        "projection-follows-sst2": "inconclusive",  # all seeds equal
        "magnitude-selects-query-cola": "not tested",
        "value-beats-query-sst2-low": "not tested",
    }
    assert {id: frame[id] for id in expected} == expected


def test_another_setting_does_not_judge_a_claim():
    assert set(ledger(medium(CLEAR)).verdict) == {"not tested"}


def test_nothing_run_is_not_run_and_says_what_is_needed():
    frame = judge.judge(CLAIMS, {})
    assert frame.id.tolist() == [c.id for c in CLAIMS] and set(frame.verdict) == {"not tested"}
    assert frame.effect.isna().all() and (frame.n == 0).all()
    for claim, said in zip(CLAIMS, frame.evidence):
        assert said == f"{claim.notebook}, {claim.shown}: needs {claim.needs}"


def test_a_later_notebooks_claim_is_not_run_even_with_results():
    frame = ledger(setting(CLEAR), notebook="03_efficiency")
    row = frame.set_index("id").loc["value-matches-full"]
    assert row.verdict == "not tested" and "needs RTE, low data" in row.evidence


def test_results_that_were_planned_but_not_made_are_not_run():
    absent = [specified("minilm-l6", "sst2", "low", method=m) for m in ("value", "query", "key", "all_biases")]
    assert set(ledger(absent).verdict) == {"not tested"}


def test_toy_data_judge_nothing():
    toy = setting(CLEAR, task="toy-sentiment", source="bundled")
    frame = ledger(toy)
    assert set(of_notebook(frame).verdict) == {"toy data: not judged"}
    assert set(frame[~frame.id.isin(of_notebook(frame).id)].verdict) == {"not tested"}


def test_untrained_models_judge_nothing():
    assert set(ledger(setting(CLEAR, model="tiny-bert")).verdict) == {"not tested"}


def test_every_model_has_a_row_of_its_own():
    own = of_notebook(ledger(setting(CLEAR), setting(TURNED, model="bert-base"))).set_index("id")
    rows = own.loc["value-beats-query-sst2-low"]
    assert rows.verdict.tolist() == ["supported", "contradicted"]
    assert "MiniLM-L6" in rows.evidence.iloc[0] and "BERT-base" in rows.evidence.iloc[1]


def test_undefined_scores_are_no_verdict_for_the_approach():
    own = of_notebook(ledger(setting(CLEAR, importance={"projection": UNDEFINED}))).set_index("id").verdict
    assert own["projection-selects-best-sst2"] in ("not tested", "inconclusive")


# --------------------------------------------------------------------------------------------------------- in words


def test_sentences_say_what_the_interval_allows():
    higher, lower, noise = stats.Estimate(5, 3, 7, 3), stats.Estimate(-5, -7, -3, 3), stats.Estimate(1, -2, 4, 3)
    assert (
        words.sentence("value", "query", higher) == "b_v scores higher than b_q: +5.0 points [3.0, 7.0] over 3 seeds."
    )
    assert words.sentence("value", "query", lower).startswith("b_v scores lower than b_q: -5.0")
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
