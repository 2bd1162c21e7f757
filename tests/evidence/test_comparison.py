"""From runs to scores, gaps and selections: `evidence` on runs whose numbers are chosen."""

import numpy as np
import pytest
from constructed import QUERY, UNDEFINED, VALUE, setting, specified, written

from beft_lib import evidence, runs
from beft_lib.evidence import learning, stats
from beft_lib.runs import frames
from beft_lib.tasks import metrics

SCORES = {
    "value": [0.80, 0.81, 0.85],
    "query": [0.70, 0.73, 0.72],
    "key": [0.60, 0.61, 0.63],
    "head_only": [0.60, 0.60, 0.62],
}
NO_KEY = {method: own for method, own in SCORES.items() if method != "key"}


def comparison(scores=SCORES, **more) -> evidence.Comparison:
    return evidence.compare_one(setting(scores, **more))


def test_scores_are_in_percent_by_seed_and_method():
    found = comparison()
    assert (found.model, found.task, found.regime, found.n_train, found.metric) == (
        "minilm-l6",
        "sst2",
        "low",
        1000,
        "accuracy",
    )
    for method, own in SCORES.items():
        assert found.scores[method].tolist() == pytest.approx([100 * score for score in own])
    assert found.scores.index.tolist() == [0, 1, 2] and found.title == "SST-2"


def test_a_score_is_the_mean_with_students_interval():
    assert comparison().score("value") == pytest.approx(stats.mean([80, 81, 85]))
    missing = comparison().score("none")
    assert np.isnan(missing.mean) and missing.n == 0


def test_the_head_alone_serves_b_k_where_positions_are_absolute():
    found = comparison(NO_KEY)
    assert found.serves_key and found.scores["key"].equals(found.scores["head_only"].rename("key"))
    assert found.gap("value", "key") == found.gap("value", "head_only")
    assert found.gap("key", "head_only") == (0, 0, 0, 3)
    assert evidence.title("key", found) == "b_k (= head only)"


def test_a_run_of_b_k_stands_for_itself():
    found = comparison()
    assert not found.serves_key and found.scores["key"].tolist() == pytest.approx([60, 61, 63])
    assert evidence.title("key", found) == "b_k"


def test_nothing_serves_b_k_of_a_model_that_is_not_known():
    found = comparison(NO_KEY, model="hub:org/name")
    assert not found.serves_key and "key" not in found.scores and np.isnan(found.gap("query", "key").mean)


def test_nothing_serves_b_k_without_the_head():
    assert "key" not in comparison({"value": [0.8], "query": [0.7]}).scores


def test_a_gap_is_crossed_over_the_same_samples_of_examples():
    specs = setting(SCORES, scattered=True)
    found = evidence.compare_one(specs)
    drawn = {}
    for spec in specs:
        kept = runs.predictions(spec)
        labels = kept["validation/labels"]
        counts = stats.example_draws(labels)
        predicted = kept["validation/logits"].argmax(-1)[None]
        drawn[spec.method, spec.seed] = 100 * metrics.resampled("accuracy", predicted, labels, counts)[:, 0]
    resampled = np.stack([drawn["value", s] - drawn["query", s] for s in range(3)], axis=1)
    expected = stats.crossed([10, 8, 13], resampled)
    assert found.gap("value", "query") == pytest.approx(expected)
    assert found.gap("query", "value") == pytest.approx((-expected.mean, -expected.high, -expected.low, 3))


def test_a_gap_on_the_same_examples_is_known_better():
    constant = {"value": [0.80, 0.80, 0.80], "query": [0.78, 0.78, 0.78]}
    gaps = [comparison(constant, scattered=scattered).gap("value", "query") for scattered in (False, True)]
    assert gaps[0].mean == pytest.approx(gaps[1].mean) == pytest.approx(2)
    assert gaps[0].half < 0.75 * gaps[1].half and gaps[0].decided


def test_a_gap_is_over_the_seeds_that_both_have():
    found = comparison({"value": [0.80, None, 0.85], "query": [0.70, 0.73, 0.72]})
    assert np.isnan(found.scores.loc[1, "value"]) and found.score("value").n == 2
    gap = found.gap("value", "query")
    assert gap.n == 2 and gap.mean == pytest.approx(11.5)


def test_a_method_whose_runs_all_failed_has_no_score():
    found = comparison({"value": [None, None], "query": [0.7, 0.7]})
    assert "value" not in found.scores and ("value", 0) in found.specs
    assert np.isnan(found.score("value").mean) and np.isnan(found.gap("value", "query").mean)


def test_other_examples_are_never_paired():
    specs = setting({"value": [0.8]}) + setting({"query": [0.7]}, ids="another", ranked=False)
    with pytest.raises(ValueError, match="other examples"):
        evidence.compare_one(specs).gap("value", "query")


def test_two_recipes_of_one_run_are_refused():
    specs = [specified("minilm-l6", "sst2", "low", method="value", learning_rate=rate) for rate in (1e-3, 2e-3)]
    with pytest.raises(ValueError, match="two recipes"):
        evidence.compare(specs)


def test_a_spec_given_twice_is_one_run():
    specs = setting(SCORES)
    assert evidence.compare_one(specs * 2).score("value").n == 3


def test_settings_are_told_apart_in_the_specs_order():
    specs = setting(SCORES, regime="medium") + setting(SCORES) + setting(SCORES, task="rte")
    assert [(c.task, c.regime) for c in evidence.compare(specs)] == [
        ("sst2", "medium"),
        ("sst2", "low"),
        ("rte", "low"),
    ]
    assert ", ".join(dict.fromkeys(c.task for c in evidence.compare(specs))) == "sst2, rte"
    with pytest.raises(ValueError):
        evidence.compare_one(specs)


def test_a_comparison_is_of_one_validation_split_at_a_time():
    other = {method: [score - 0.05 for score in own] for method, own in SCORES.items()}
    both = other | {"all_biases": [0.5] * 3}
    found = comparison(SCORES, task="mnli", n_eval=600, elsewhere={"validation_mismatched": both})
    on = found.on("validation_mismatched")
    assert found.splits == ["validation_matched", "validation_mismatched"]
    assert (found.title, on.title) == ("MNLI-m", "MNLI-mm")
    assert found.score("value").mean == pytest.approx(82) and on.score("value").mean == pytest.approx(77)
    assert on.gap("value", "query").mean == pytest.approx(found.gap("value", "query").mean)


def test_runs_that_were_not_made_are_absent():
    specs = setting({"value": [0.8]}) + [specified("minilm-l6", "sst2", "low", method="query")]
    found = evidence.compare_one(specs)
    assert "query" not in found.scores and ("query", 0) not in found.results
    assert found.best() == "value" and evidence.compare_one(specs[-1:]).best() is None


def test_the_best_has_the_highest_mean():
    assert comparison().best() == "value" and comparison().best(["query", "key"]) == "query"


def test_an_interval_ends_where_the_metric_does():
    found = comparison({"value": [0.80, 0.99, 0.97], "key": [0.02, 0.30, 0.01]})
    assert found.score("value").high == 100 and found.score("key").low == 0 and found.score("value").low < 90
    signed = comparison({"value": [0.02, 0.30, 0.01]}, task="cola")
    assert signed.metric == "matthews" and signed.score("value").low < 0


def test_a_regression_is_scored_by_its_correlation():
    found = comparison({"value": [0.80, 0.82], "query": [0.5, 0.52]}, task="stsb")
    assert found.metric == "spearman" and found.gap("value", "query").decided


# ----------------------------------------------------------------------------------------------------- importance


def test_importance_is_averaged_over_layers_then_seeds():
    found = comparison(importance={"projection": {"value": [0.5, 0.1, 0.3], "query": 0.2, "key": 0.0}})
    assert found.importance("projection").value.tolist() == pytest.approx([0.5, 0.1, 0.3])
    assert found.means("projection")["value"] == pytest.approx(0.3)


def test_a_term_is_selected_by_the_mean_or_by_one_seed():
    found = comparison(importance={"projection": {"value": [0.5, 0.1, 0.3], "query": 0.2, "key": 0.0}})
    assert found.selected("projection") == "value"
    assert [found.selected("projection", seed) for seed in range(3)] == ["value", "query", "value"]
    assert found.selected("magnitude") == "query"


def test_places_are_among_all_bias_terms():
    places = comparison(importance={"projection": VALUE, "magnitude": QUERY}).places("projection")
    assert [(t, places[t].place) for t in ("value", "query", "key")] == [("value", 1), ("query", 3), ("key", 4)]


def test_undefined_scores_select_nothing():
    found = comparison(importance={"projection": UNDEFINED})
    assert found.selected("projection") is None and found.selected("projection", 0) is None


def test_a_term_without_a_score_is_never_selected():
    found = comparison(importance={"projection": {"value": None, "query": 0.2, "key": 0.3}})
    assert found.selected("projection") == "key"


def test_without_a_ranking_run_nothing_is_selected():
    found = comparison(ranked=False)
    assert found.ranking == {} and found.selected("projection") is None


def test_all_biases_without_a_ranking_are_a_score_only():
    spec = specified("minilm-l6", "sst2", "low", method="all_biases", ranking=False)
    written(spec, {"validation": 0.75})
    found = evidence.compare_one([spec])
    assert found.ranking == {} and found.score("all_biases").mean == pytest.approx(75)


# ----------------------------------------------------------------------------------------- what a score stands beside


def test_a_constant_answer_scores_the_commonest_class_in_accuracy_and_nothing_in_correlations():
    two = evidence.compare_one(setting({"value": [0.8, 0.8]}))
    assert learning.constant_score(two) == 50  # as many of each class
    cola = evidence.compare_one(setting({"value": [0.4, 0.4]}, task="cola", ranked=False))
    assert learning.constant_score(cola) == 0 and learning.constant_score(cola, "accuracy") == 50
    mrpc = evidence.compare_one(setting({"value": [0.75, 0.75]}, task="mrpc", ranked=False))
    assert learning.constant_score(mrpc) == pytest.approx(200 / 3)  # F1 of always yes, where half are


def test_accuracy_stands_beside_another_metric():
    cola = evidence.compare_one(setting({"value": [0.4, 0.6]}, task="cola", ranked=False))
    assert cola.by("accuracy").score("value").mean == pytest.approx((70 + 80) / 2)


def test_the_share_of_the_commonest_prediction_is_among_the_results():
    spec = setting({"value": [0.8]}, ranked=False)[0]
    row = frames.results([spec]).iloc[0]
    assert row.constant == 0.5 and (row.learning_rate, row.epochs) == (spec.learning_rate, spec.epochs)
    assert row.steps == spec.total_steps
    for spec in setting({"zero_shot": [0.5]}, model="opt-1.3b", task="copa", ranked=False):
        row = frames.results([spec]).iloc[0]
        assert np.isnan(row.learning_rate) and np.isnan(row.steps)


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"v/logits": np.array([[1, 0], [2, 0], [0, 3], [9, 1]])}, 0.75),
        ({"v/logits": np.array([[0.5], [0.5], [0.7], [0.1]])}, 0.5),  # a regression
        ({"v/scores": np.array([[1, 2, np.nan], [0, 1, 5], [0, 3, np.nan], [0, 1, 0]])}, 0.75),
        ({"v/points": np.ones((4, 1))}, np.nan),
    ],
)
def test_the_commonest_prediction_is_of_classes_values_or_options(arrays, wanted):
    assert frames.constant(arrays, "v") == pytest.approx(wanted, nan_ok=True)
