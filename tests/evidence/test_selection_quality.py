"""What selecting by an approach gains and loses: constructed settings whose answers are known."""

import numpy as np
import pytest
from constructed import IMPORTANCE, UNDEFINED, VALUE, setting
from scipy.stats import kendalltau

from beft_lib import evidence, importance
from beft_lib.chapters import names
from beft_lib.evidence import selection_quality, stats
from beft_lib.evidence.selection_quality import CONTENDERS

SCORES = {"value": [0.80, 0.82], "query": [0.70, 0.74], "key": [0.60, 0.60]}


def choices(*settings):
    return selection_quality.choices(evidence.compare([spec for own in settings for spec in own]))


def of(frame, approach):
    return frame[frame.approach == approach]


def test_every_contender_has_a_row_a_run():
    frame = choices(setting(SCORES), setting(SCORES, regime="medium"))
    assert frame.groupby(["task", "regime", "seed"]).approach.apply(tuple).tolist() == [CONTENDERS] * 4


def test_selecting_the_best_hits_and_costs_nothing():
    own = of(choices(setting(SCORES)), "projection")
    assert own.chosen.tolist() == ["value"] * 2 and own.hit.tolist() == [1, 1] and own.regret.tolist() == [0, 0]


def test_selecting_another_costs_the_gap_of_that_seed():
    own = of(choices(setting(SCORES)), "magnitude")
    assert own.chosen.tolist() == ["query"] * 2 and own.hit.tolist() == [0, 0]
    assert own.regret.tolist() == pytest.approx([10, 8])


def test_the_best_is_that_of_the_mean_so_a_seeds_regret_may_be_negative():
    own = of(choices(setting({"value": [0.80, 0.79], "query": [0.70, 0.80], "key": [0.5, 0.5]})), "magnitude")
    assert own.regret.tolist() == pytest.approx([10, -1]) and own.hit.tolist() == [0, 0]


def test_chance_is_the_mean_over_the_three_terms():
    own = of(choices(setting(SCORES)), selection_quality.CHANCE)
    assert own.hit.tolist() == pytest.approx([1 / 3] * 2)
    assert own.regret.tolist() == pytest.approx([(0 + 10 + 20) / 3, (0 + 8 + 22) / 3])


def test_always_b_v_needs_no_scores():
    flipped = setting({"value": [0.60, 0.62], "query": [0.70, 0.71], "key": [0.5, 0.5]})
    own = of(choices(flipped), selection_quality.FIXED)
    assert own.chosen.tolist() == ["value"] * 2 and own.hit.tolist() == [0, 0]
    assert own.regret.tolist() == pytest.approx([10, 9]) and own.tau.isna().all()


def test_several_best_terms_are_all_hits_unless_all_are():
    two = choices(setting({"value": [0.8], "query": [0.8], "key": [0.6]}))
    assert of(two, "projection").hit.item() == of(two, "magnitude").hit.item() == 1
    assert of(two, selection_quality.CHANCE).hit.item() == pytest.approx(2 / 3)
    three = choices(setting({"value": [0.8], "query": [0.8], "key": [0.8]}))
    assert three.hit.isna().all() and (three.regret == 0).all()


def test_tau_is_kendalls_of_scores_and_performances():
    own = choices(setting(SCORES)).groupby("approach").tau.first()
    for approach, terms in IMPORTANCE.items():
        expected = kendalltau([terms[t] for t in ("query", "key", "value")], [72, 60, 81]).statistic
        assert own[approach] == pytest.approx(expected)
    assert own["projection"] == 1 and own["magnitude"] == pytest.approx(1 / 3)


def test_tau_is_undefined_for_equal_performances():
    frame = choices(setting({"value": [0.8], "query": [0.8], "key": [0.8]}))
    assert of(frame, "projection").tau.isna().all()


def test_undefined_scores_choose_nothing():
    own = of(choices(setting(SCORES, importance={"projection": UNDEFINED})), "projection")
    assert own.chosen.isna().all() and own.hit.isna().all() and own.regret.isna().all()


def test_a_seed_with_a_failed_run_is_left_out():
    frame = choices(setting(SCORES | {"query": [0.70, None]}))
    assert set(frame.seed) == {0}


def test_settings_without_all_three_terms_are_left_out():
    assert choices(setting({"value": [0.8], "query": [0.7]}, model="hub:org/name")).empty


def test_averages_over_few_tasks_are_over_the_seeds_within_them():
    frame = choices(setting(SCORES), setting(SCORES, regime="medium"), setting(SCORES, task="rte", regime="high"))
    rte = frame.task == "rte"
    frame.loc[rte & (frame.approach == "magnitude"), "regret"] = 1.0
    found = selection_quality.average(of(frame, "magnitude"), "regret")
    assert found.mean == pytest.approx(5) and found.n == 2  # two seeds; the tasks are given
    assert found.half == pytest.approx(stats.mean([10, 8]).half / 2)  # on RTE all seeds agree
    assert selection_quality.over(frame) == "seeds within the 2 tasks"


def test_averages_over_five_tasks_are_over_tasks():
    names = ("sst2", "rte", "qnli", "wic", "mrpc")
    frame = choices(*(setting(SCORES, task=name) for name in names))
    for place, name in enumerate(names):
        frame.loc[(frame.task == name) & (frame.approach == "magnitude"), "regret"] = float(place)
    found = selection_quality.average(of(frame, "magnitude"), "regret")
    assert found == pytest.approx(stats.mean([0, 1, 2, 3, 4])) and found.n == 5
    assert selection_quality.over(frame) == "tasks"


def test_a_setting_that_learned_nothing_is_not_counted_and_is_named():
    idle = {"value": [0.60, 0.62], "query": [0.61, 0.60], "head_only": [0.61, 0.62], "all_biases": [0.60, 0.61]}
    made = evidence.compare([*setting(SCORES), *setting(idle, task="rte")])
    assert set(selection_quality.choices(made).task) == {"sst2"}
    (said,) = selection_quality.left_out(made)
    assert "in 1 of 2 settings. RTE (low): no method decidedly beats the head alone." in said
    assert selection_quality.left_out(made[:1]) == [] and selection_quality.choices(made[1:]).empty


def test_the_average_of_one_task_is_over_its_runs():
    found = selection_quality.average(of(choices(setting(SCORES)), "magnitude"), "regret")
    assert found == pytest.approx(stats.mean([10, 8]))


def test_undefined_values_are_left_out_of_an_average():
    frame = choices(setting(SCORES), setting(SCORES, task="rte", importance={"magnitude": UNDEFINED}))
    assert selection_quality.average(of(frame, "magnitude"), "regret").mean == pytest.approx(9)
    assert np.isnan(
        selection_quality.average(frame[frame.task == "rte"].query("approach == 'magnitude'"), "regret").mean
    )


def test_saved_is_the_difference_of_regrets():
    frame = choices(setting(SCORES))
    assert selection_quality.saved(frame, "projection", "magnitude") == pytest.approx(stats.mean([10, 8]))
    assert selection_quality.saved(frame, "magnitude", "projection").mean == pytest.approx(-9)
    assert selection_quality.saved(frame, "projection", "fisher").mean == 0


def test_sentences_say_who_gains():
    same = {"value": [0.80, 0.80, 0.81], "query": [0.70, 0.70, 0.70], "key": [0.60, 0.61, 0.60]}
    said = selection_quality.sentences(choices(setting(same)), names.TITLES)
    about = {name: next(s for s in said if f"**{names.TITLES[name]}**" in s) for name in CONTENDERS[1:]}
    assert "gains against" in about["magnitude"] and "10.3 [" in about["magnitude"]
    assert "the same choice" in about["fisher"] and "the same choice" in about[selection_quality.FIXED]
    assert "gains against" in about[selection_quality.CHANCE]


def test_sentences_say_who_loses_and_what_the_data_cannot_tell():
    turned = {"value": [0.60, 0.60, 0.61], "query": [0.70, 0.70, 0.70], "key": [0.50, 0.50, 0.50]}
    said = selection_quality.sentences(choices(setting(turned)), names.TITLES)
    assert "loses against **Magnitude" in said[0]
    noise = {"value": [0.70, 0.90, 0.71], "query": [0.80, 0.70, 0.85], "key": [0.50, 0.50, 0.50]}
    assert "cannot tell" in selection_quality.sentences(choices(setting(noise)), names.TITLES)[0]


def test_settings_counts_runs_settings_and_tasks():
    frame = choices(setting(SCORES), setting(SCORES, regime="medium"), setting(SCORES, task="rte"))
    assert selection_quality.settings(frame) == "6 runs of 3 settings of 2 tasks"


# ------------------------------------------------------------------------------------------------ over regimes


def over_regimes(score_gaps=(0.4, 0.3, 0.2), performance_gaps=(0.2, 0.1, 0.05), task="sst2"):
    """Two seeds in three regimes: the projection scores of b_v and b_q, and their performances, are so far apart."""
    specs = []
    for regime, score, gap in zip(("low", "medium", "high"), score_gaps, performance_gaps):
        projection = {"projection": VALUE | {"value": 0.1 + score}}
        scores = {"value": [0.7 + gap] * 2, "query": [0.7] * 2, "key": [0.5] * 2}
        specs += setting(scores, task=task, regime=regime, importance=projection)
    return evidence.compare(specs)


def tau_of(comparisons, approach="projection"):
    return of(selection_quality.following(selection_quality.gaps(comparisons)), approach).tau.tolist()


def test_gaps_are_of_scores_and_performances_in_the_order_of_n():
    frame = of(selection_quality.gaps(over_regimes()[::-1]), "projection")
    assert frame[frame.seed == 0].regime.tolist() == ["low", "medium", "high"]
    assert frame[frame.seed == 0].score_gap.tolist() == pytest.approx([0.4, 0.3, 0.2])
    assert frame[frame.seed == 1].performance_gap.tolist() == pytest.approx([20, 10, 5])


def test_gaps_need_two_regimes_of_a_task():
    frame = selection_quality.gaps([*over_regimes(), *evidence.compare(setting(SCORES, task="rte"))])
    assert set(frame.task) == {"sst2"} and set(frame.approach) == set(importance.APPROACHES)
    assert selection_quality.gaps(evidence.compare(setting(SCORES))).empty and selection_quality.gaps([]).empty


def test_a_gap_that_shrinks_as_performance_does_follows_it():
    assert tau_of(over_regimes()) == [1, 1]


def test_a_gap_that_grows_while_performances_meet_does_the_opposite():
    assert tau_of(over_regimes(score_gaps=(0.2, 0.3, 0.4))) == [-1, -1]


def test_a_constant_gap_follows_nothing_and_is_left_out():
    comparisons = over_regimes()
    assert np.isnan(tau_of(comparisons, "magnitude")).all()
    followed = selection_quality.following(selection_quality.gaps(comparisons))
    assert selection_quality.average(of(followed, "magnitude"), "tau").n == 0
    assert np.isnan(tau_of(over_regimes(performance_gaps=(0.1, 0.1, 0.1)))).all()
