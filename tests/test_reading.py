"""From results to sentences: intervals against scipy, verdicts of constructed results, figures and tables as files."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from beft_lib import claims, display, figures, importance, paper, selection, stats, sweep, tables
from beft_lib.experiments import bias_selection

# ---------------------------------------------------------------------------------------------------------- stats


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_is_students(n):
    values = np.random.default_rng(n).normal(size=n)
    low, high = scipy_stats.t.interval(0.95, n - 1, loc=values.mean(), scale=scipy_stats.sem(values))
    estimate = stats.mean(values)
    assert (estimate.mean, estimate.low, estimate.high, estimate.n) == pytest.approx((values.mean(), low, high, n))


def test_an_interval_is_never_drawn_from_one_seed():
    estimate = stats.mean([0.5])
    assert math.isnan(estimate.low) and math.isnan(estimate.high) and "one seed" in str(estimate)


def test_the_paired_interval_is_that_of_the_paired_t_test():
    first, second = np.random.default_rng(0).normal(size=(2, 6))
    expected = scipy_stats.ttest_rel(first, second).confidence_interval(0.95)
    estimate = stats.paired(first, second)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = [low <= 0 <= high for _, low, high, _ in (stats.mean(rng.normal(size=3)) for _ in range(2000))]
    assert 0.93 <= np.mean(covered) <= 0.97


# --------------------------------------------------------------------------------------------------------- claims


def evidence(
    value=(0.80, 0.81, 0.82),
    query=(0.70, 0.72, 0.73),
    key=(0.60, 0.61, 0.63),
    source="local",
    model="minilm-l6",
    projection=(0.5, 0.1, 0.0),
    magnitude=(9.0, 11.0, 0.0),
):
    """Results and scores of one setting: scores are of value, query, key."""
    about = {"model": model, "task": "sst2", "source": source, "regime": "low", "n_train": 1000}
    rows = [
        {
            **about,
            "run_id": f"{method}{seed}",
            "method": method,
            "seed": seed,
            "metric": "accuracy",
            "value": v,
            "status": "done",
        }
        for method, values in (("value", value), ("query", query), ("key", key))
        for seed, v in enumerate(values)
    ]
    results = pd.DataFrame(rows).reindex(columns=list(sweep.COLUMNS))
    scores = [
        {**about, "seed": seed, "approach": approach, "term": term, "layer": "mean", "score": score}
        for approach, means in (
            ("projection", projection),
            ("magnitude", magnitude),
            ("fisher", (3.0, 2.0, 0.0)),
            ("fisher_batch", (3.0, 2.0, 0.0)),
            ("null_model", (0.4, 0.1, 0.0)),
        )
        for seed in range(len(value))
        for term, score in zip(("value", "query", "key"), means)
    ]
    return results, pd.DataFrame(scores).reindex(columns=list(tables.IMPORTANCE_COLUMNS))


def verdicts(*frames):
    ledger = claims.judge(*frames)
    assert list(ledger.columns) == list(claims.COLUMNS)
    return dict(zip(ledger.id, ledger.verdict)), ledger


def test_claims_are_supported_by_the_papers_own_ordering():
    found, ledger = verdicts(*evidence())
    assert set(found.values()) == {"supported"}
    row = ledger.set_index("id").loc["magnitude-selects-query"]
    assert row.effect == pytest.approx(100 * (0.81 - 2.15 / 3)) and row.low > 0 and row.n == 3


def test_claims_are_contradicted_by_the_opposite():
    found, _ = verdicts(*evidence(value=(0.60, 0.61, 0.62), query=(0.80, 0.82, 0.83)))
    assert found["projection-selects-best"] == found["magnitude-selects-query"] == "contradicted"


def test_a_claim_whose_premise_fails_is_contradicted():
    found, _ = verdicts(*evidence(magnitude=(12.0, 11.0, 0.0)))
    assert found["magnitude-selects-query"] == "contradicted"


def test_noise_and_single_seeds_are_inconclusive():
    found, _ = verdicts(*evidence(value=(0.70, 0.75, 0.80), query=(0.78, 0.73, 0.72)))
    assert found["projection-selects-best"] == "inconclusive"
    found, ledger = verdicts(*evidence(value=(0.8,), query=(0.7,), key=(0.6,)))
    assert set(found.values()) == {"inconclusive"} and ledger.low.isna().all()


def test_toy_data_and_untrained_models_judge_nothing():
    assert set(verdicts(*evidence(model="tiny-bert"))[0].values()) == {"not run"}
    results, scores = evidence(source="bundled")
    results["task"] = scores["task"] = "toy-sentiment"
    assert set(verdicts(results, scores)[0].values()) == {"toy data: not judged"}


def test_biases_that_are_zero_before_tuning_select_nothing():
    results, scores = evidence(projection=(math.nan, math.nan, math.nan))
    assert verdicts(results, scores)[0]["projection-selects-best"] == "inconclusive"
    assert tables.selected(scores, "projection") is None
    assert "undefined" in tables.selection_sentence(scores, "projection") and "undefined" in tables.null_sentence(
        scores
    )
    plan = bias_selection.plan("tiny-bert", "toy-sentiment", "bundled", seeds=[0])
    frame = tables.selections(plan, results, scores, paper.numbers("fig1")).set_index("approach")
    assert "undefined" in frame.loc["Projection ratio (BEFT)", "selects"]
    layers = scores.assign(layer="0")
    assert figures.importance_heatmaps(pd.concat([layers, scores]), importance.APPROACHES).axes


def test_sentences_say_what_the_interval_allows():
    results, _ = evidence()
    said = claims.comparisons(results, "accuracy")
    assert said[0].startswith("b_v scores higher than b_q: +") and "over 3 seeds" in said[0]
    assert "were not both run" in said[-1]
    same, _ = evidence(query=(0.6, 0.61, 0.63))
    assert "exactly the same in each of 3 seeds" in claims.comparisons(same, "accuracy")[2]
    noise, _ = evidence(query=(0.80, 0.83, 0.79))
    assert claims.comparisons(noise, "accuracy")[0].startswith("The data cannot tell b_v from b_q")


# ------------------------------------------------------------------------------------------------ tables, figures


def test_selections_name_what_each_approach_picks_and_what_it_costs():
    results, scores = evidence()
    plan = bias_selection.plan("tiny-bert", "toy-sentiment", "bundled", seeds=[0])  # only its task's metric is used
    frame = tables.selections(plan, results, scores, paper.numbers("fig1")).set_index("approach")
    assert frame.loc[
        "Projection ratio (BEFT)", ["selects", "in seeds", "paper selects", "regret, points"]
    ].tolist() == ["b_v", "3 of 3", "b_v", "0 (the best)"]
    assert frame.loc["Magnitude (ℓ1)", "selects"] == "b_q" and frame.loc["Magnitude (ℓ1)", "regret, points"].startswith(
        "9.3"
    )


def test_runs_of_other_recipes_are_never_averaged_in():
    plan = bias_selection.plan("tiny-bert", "toy-sentiment", "bundled", seeds=[0, 1])
    assert len({(s.method, s.seed) for s in plan.compared}) == len(plan.compared)
    assert set(plan.specs) - set(plan.compared) == set(plan.precision[1:])
    results, _ = evidence()
    with pytest.raises(ValueError, match="duplicate"):
        tables.score_by_method(pd.concat([results, results.iloc[:1]]), "accuracy")


def test_an_interval_ends_where_the_metric_does():
    results, _ = evidence(value=(0.80, 0.99, 0.97), key=(0.02, 0.3, 0.01))
    achieved = tables.score_by_method(results, "accuracy")
    assert achieved["value"].high == 100 and achieved["key"].low == 0 and achieved["value"].low < 90


def test_figures_and_tables_are_filed_the_same_bytes_each_time(tmp_path, monkeypatch):
    monkeypatch.setenv("BEFT_OUT", str(tmp_path))
    shown = []
    monkeypatch.setattr(display, "display", lambda *given, **more: shown.append(more))
    results, scores = evidence()
    contents = []
    for _ in range(2):
        figure = figures.ranking_against_score(scores, results, importance.APPROACHES, "sst2", "minilm-l6", None)
        display.show(figure, "one", "a caption", "what it shows")
        display.show_table(pd.DataFrame({"a_b": ["5 %"], "x": [1.23456789]}), "two", "caption & <b>")
        contents.append({path.name: path.read_bytes() for path in sorted(tmp_path.rglob("*.*"))})
    assert set(contents[0]) == {"one.svg", "one.png", "two.csv", "two.md", "two.tex"}
    assert contents[0] == contents[1]
    assert shown[0]["metadata"] == {"alt": "what it shows", "caption": "a caption"}
    assert rb"a\_b" in contents[0]["two.tex"] and rb"5 \%" in contents[0]["two.tex"]


def test_geometry_is_computed_from_the_formula():
    figure = figures.projection_geometry(pre=[2, 0], shorter=[1, 1], longer=[2, 2])
    assert [axis.get_title() for axis in figure.axes] == [
        "(a) post is shorter: score 0.50",
        "(b) post is longer: score 0.50",
    ]


# -------------------------------------------------------------------------------------------------------- select


def test_select_ranks_with_the_null_model_beside():
    frame = selection.select("tiny-bert", "toy-sentiment", n_train=16, epochs=1)
    assert set(frame.index) == {"query", "key", "value"}
    assert frame.projection.is_monotonic_decreasing and (frame.null_model >= 0).all()
    assert (frame["of"] == 9).all() and frame.place.is_monotonic_increasing
