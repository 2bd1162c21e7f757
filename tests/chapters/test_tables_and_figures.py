"""From comparisons to tables, sentences and figures, and all of them as files; geometry and `select` besides."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from constructed import QUERY, UNDEFINED, VALUE, setting, snapshots

from beft_lib import evidence, importance
from beft_lib.chapters import cells, names, paper, style
from beft_lib.chapters.bias_selection import figures, geometry, tables
from beft_lib.chapters.glue_regimes import figures as regime_figures
from beft_lib.chapters.glue_regimes import tables as regime_tables
from beft_lib.chapters.quickstart import select
from beft_lib.evidence import early_choice, selection_quality, stats, words
from beft_lib.report import show
from beft_lib.runs import frames

SCORES = {
    "value": [0.80, 0.81, 0.82],
    "query": [0.70, 0.72, 0.73],
    "key": [0.60, 0.61, 0.63],
    "head_only": [0.60, 0.60, 0.60],
    "none": [0.50, 0.50, 0.50],
}
SERVED = {method: SCORES[method] for method in ("value", "query", "head_only")}
BEFT, MAGNITUDE = names.TITLES["projection"], names.TITLES["magnitude"]


def comparison(scores=SCORES, **more):
    return evidence.compare_one(setting(scores, **more))


def comparisons(*settings):
    return evidence.compare([spec for own in settings for spec in own])


def three_regimes(task="sst2", **more):
    return [setting(SERVED, task=task, regime=regime, **more) for regime in ("low", "medium", "high")]


# ---------------------------------------------------------------------------------------------------------- tables


def test_achieved_scores_say_what_is_trained_and_what_it_scores():
    frame = tables.achieved_scores(comparison(), paper.numbers("fig1")["accuracy"]).set_index("tuned")
    assert frame.index.tolist() == ["b_v", "b_q", "b_k", "all biases", "head only", "no tuning"]
    assert frame.loc["b_v", "accuracy %"] == str(stats.mean([80, 81, 82])) and frame.loc["b_v", "scalars"] == 48
    assert frame.loc["b_v", "of the model"] == "0.480 %"
    assert frame.loc["b_v", "paper, BERT-base %"] == "85.8" and frame.loc["head only", "paper, BERT-base %"] == "–"


def test_achieved_scores_say_where_the_head_stands_for_b_k():
    frame = tables.achieved_scores(comparison(SERVED), None).set_index("tuned")
    assert frame.loc["b_k (= head only)", "accuracy %"] == frame.loc["head only", "accuracy %"]
    assert frame.columns.tolist() == ["scalars", "of the model", "accuracy %"] and "no tuning" not in frame.index


def test_selections_name_what_each_approach_picks_and_what_it_costs():
    own = comparison()
    frame = tables.selections(own, paper.numbers("fig1")).set_index("approach")
    assert frame.loc[BEFT, ["selects", "in seeds", "paper selects", "regret, points"]].tolist() == [
        "b_v",
        "3 of 3",
        "b_v",
        "0 (the best)",
    ]
    assert frame.loc[MAGNITUDE, "selects"] == "b_q"
    assert frame.loc[MAGNITUDE, "regret, points"] == str(own.gap("value", "query")) and own.gap("value", "query").n == 3
    assert frame.loc[names.TITLES["null_model"], "paper selects"] == "–"


def test_selections_count_the_seeds_that_agree():
    projection = {"value": [0.5, 0.1, 0.5], "query": 0.2, "key": 0.0}
    frame = tables.selections(comparison(importance={"projection": projection}), paper.numbers("fig1"))
    assert frame["in seeds"][0] == "2 of 3"


def test_biases_that_are_zero_before_tuning_select_nothing():
    own = comparison(importance={"projection": UNDEFINED})
    assert "undefined" in tables.selection_sentence(own, "projection")
    assert "undefined" in tables.null_sentence(own)
    frame = tables.selections(own, paper.numbers("fig1")).set_index("approach")
    assert "undefined" in frame.loc[BEFT, "selects"] and frame.loc[BEFT, "regret, points"] == "–"
    assert tables.selection_sentence(own, "magnitude") == f"**{MAGNITUDE}** selects b_q."


def test_scores_and_places_are_among_all_bias_terms():
    frame = tables.scores_and_places(comparison(), {"value": 0.35, "query": 0.073, "key": 0.0}).set_index("bias")
    assert frame.loc["b_v", "projection"] == "0.50 (1 of 4)" and frame.loc["b_q", "projection"] == "0.10 (3 of 4)"
    assert frame.loc["b_q", "magnitude"] == "11 (1 of 4)" and frame.loc["b_v", "authors' projection"] == "0.350"
    assert "authors' projection" not in tables.scores_and_places(comparison(), None)


def test_the_null_model_is_compared_in_words():
    same = tables.null_sentence(comparison(importance={"null_model": VALUE | {"value": 0.4}}))
    assert "b_v 0.500 against 0.400" in same and "selects the same term" in same
    assert "selects another term" in tables.null_sentence(comparison(importance={"null_model": QUERY}))


def test_importance_rows_are_layers_and_their_mean():
    frame = frames.importance_scores(setting(SCORES))
    own = frame[(frame.approach == "projection") & (frame.term == "value") & (frame.seed == 0)]
    assert own.layer.tolist() == ["0", "1", "mean"] and own.score.tolist() == [0.5] * 3


# ---------------------------------------------------------------------------------------------------------- Table 1


def table1(*settings):
    return regime_tables.downstream(comparisons(*settings), paper.numbers("table1"))


def test_a_cell_is_mean_and_half_the_interval_beside_the_papers_number():
    frame, _ = table1(setting(SERVED))
    half = stats.mean([80, 81, 82]).half
    row = frame.iloc[0]
    assert row[["data", "task", "metric", "n"]].tolist() == ["low", "SST-2", "accuracy", 1000]
    assert row["b_v"] == f"81.0 ± {half:.1f}†"
    assert row[["b_v, paper", "b_q, paper", "b_k, paper"]].tolist() == ["85.8", "80.0", "77.2"]
    assert row["b_k = head only"] == "60.0 ± 0.0" and not {"b_k", "head only", "all biases, paper"} & set(frame)
    own, _ = table1(setting(SCORES | {"head_only": [0.6] * 3}, model="roberta-base"))  # b_k was run by itself
    assert {"b_k", "head only"} <= set(own) and "b_k = head only" not in own


def test_scores_of_a_setting_that_learned_nothing_are_marked_but_for_what_learned():
    idle = {"value": [0.50, 0.51, 0.49], "query": [0.50] * 3, "head_only": [0.50] * 3}
    frame, best = table1(setting(idle | {"all_biases": [0.80] * 3}))
    assert frame["b_v"][0].endswith("§") and frame["b_q"][0].endswith("§") and "§" not in frame["all biases"][0]
    assert frame["nothing learned"][0] and not best.to_numpy().any()
    own = comparison(idle | {"all_biases": [0.80] * 3})
    assert cells.note([own]) and cells.note([comparison(SERVED)]) == "" and cells.best_term(own) is None


def test_a_score_that_is_not_accuracy_has_accuracy_and_the_constant_answers_beside_it():
    own = comparison({"value": [0.7] * 3, "query": [0.6] * 3, "head_only": [0.5] * 3}, task="mrpc")
    said = cells.beside(own, ("value", "query"))
    assert said == "MRPC by f1: the best constant answer scores 66.7; in accuracy b_v 70.0, b_q 60.0, " + (
        "the commonest class 50.0"
    )
    assert cells.context([own, own], ("value",)).count("MRPC") == 1 and cells.context([comparison()]) == ""


def test_the_mark_is_on_the_selected_term():
    frame, _ = table1(setting(SERVED, importance={"projection": QUERY}))
    assert "†" in frame["b_q"][0] and "†" not in frame["b_v"][0]
    frame, _ = table1(setting(SERVED, importance={"projection": UNDEFINED}))
    assert "†" not in "".join(frame.iloc[0].astype(str))


def test_the_best_is_decided_against_both_others():
    frame, best = table1(setting(SERVED))
    assert best.shape == frame.shape and best.columns.tolist() == frame.columns.tolist()
    assert best.columns[best.iloc[0].astype(bool)].tolist() == ["b_v"]
    _, best = table1(setting(SERVED | {"query": [0.79, 0.82, 0.80]}))
    assert not best.to_numpy().any()
    _, best = table1(setting(SCORES | {"key": [0.79, 0.83, 0.80]}))
    assert not best.to_numpy().any()


def test_a_split_that_the_source_lacks_is_not_available():
    scores = {"value": [0.60, 0.62], "query": [0.50, 0.51], "head_only": [0.40, 0.40]}
    frame, best = table1(setting(scores, task="mnli", n_eval=600))
    assert frame.task.tolist() == ["MNLI-m", "MNLI-mm"]
    assert frame.iloc[1][["b_v", "b_k = head only", "all biases"]].tolist() == ["not available"] * 3
    assert frame.iloc[1][["b_v, paper", "b_k, paper"]].tolist() == ["45.7", "40.1"]
    assert frame["b_v"][0].startswith("61.0") and not best.iloc[1].any()


def test_a_second_split_has_scores_of_its_own():
    scores = {"value": [0.60, 0.62], "query": [0.50, 0.51], "head_only": [0.40, 0.40]}
    other = {"value": [0.66, 0.66], "query": [0.52, 0.52], "head_only": [0.40, 0.40], "all_biases": [0.7, 0.7]}
    frame, _ = table1(setting(scores, task="mnli", n_eval=600, elsewhere={"validation_mismatched": other}))
    assert frame["b_v"].str.split(" ").str[0].tolist() == ["61.0", "66.0"]


def test_runs_that_failed_and_single_seeds_say_so():
    frame, best = table1(setting({"value": [0.8], "query": [None], "head_only": [0.6]}))
    assert frame["b_q"][0] == "failed" and frame["b_v"][0] == "80.0 one seed†"
    assert not best["b_q"][0]


def test_a_regime_that_the_paper_lacks_has_no_number_beside():
    frame, _ = table1(setting(SERVED, regime="all"))
    assert "|" not in "".join(frame.iloc[0].astype(str))


# ------------------------------------------------------------------------------------------- over tasks and regimes


def test_improvement_counts_tasks_and_pairs_of_seeds():
    turned = {"value": [0.60, 0.60, 0.60], "query": [0.70, 0.70, 0.71], "head_only": [0.5, 0.5, 0.5]}
    frame = regime_tables.improvement(comparisons(setting(SERVED), setting(turned, task="rte")))
    row = frame.set_index("compared").loc["b_v − b_q"]
    assert (row["data"], row["tasks"], row["decided for"], row["decided against"]) == ("low", 2, 1, 1)
    assert row["mean gap, points"].startswith("−0.5 [") and row["the first does better, %"] == "50"
    assert len(frame) == len(regime_tables.PAIRS)


def test_improvement_has_rows_by_regime():
    frame = regime_tables.improvement(comparisons(*three_regimes()))
    assert frame.data.drop_duplicates().tolist() == ["low", "medium", "high"]
    assert set(frame[frame.compared == "b_v − b_q"]["the first does better, %"]) == {"100 (every pair of seeds)"}


def test_the_scoreboard_has_a_row_a_contender():
    frame = regime_tables.scoreboard_table(selection_quality.choices(comparisons(*three_regimes())))
    assert frame.selection.tolist() == [names.TITLES[c] for c in selection_quality.CONTENDERS]
    rows = frame.set_index("selection")
    assert rows.loc[BEFT, "the best term, % of runs"].startswith("100.0 (the same in each of 3)")
    assert rows.loc[BEFT, "regret, points"].startswith("0.0") and rows.loc[BEFT, "Kendall's τ"].startswith("1.00")
    assert rows.loc[MAGNITUDE, "the best term, % of runs"].startswith("0.0 (the same in each of 3)")
    assert rows.loc[names.TITLES[selection_quality.FIXED], "Kendall's τ"] == "–"


def test_the_gap_table_lists_the_regimes():
    specs = []
    for regime, gap in (("low", 0.20), ("medium", 0.10), ("high", 0.05)):
        scores = {"value": [0.7 + gap] * 2, "query": [0.7] * 2, "head_only": [0.5] * 2}
        specs.append(setting(scores, regime=regime, importance={"projection": VALUE | {"value": 0.1 + 2 * gap}}))
    frame = regime_tables.gap_table(selection_quality.gaps(comparisons(*specs))).set_index("approach")
    assert frame.loc[BEFT].tolist() == [
        "SST-2",
        "low, medium, high",
        "0.400, 0.200, 0.100",
        "+20.0, +10.0, +5.0",
        "1.00 (the same in each of 2)",
    ]
    assert frame.loc[MAGNITUDE, "Kendall's τ"] == "–"


def test_examples_are_a_row_a_setting():
    frame = cells.examples(comparisons(*three_regimes()))
    assert frame.data.tolist() == ["low", "medium", "high"]
    assert frame.iloc[0].drop("data").tolist() == ["SST-2", 128, 1000, 3, 16, 1008, "0.0004", 400, 1]


def test_gaps_of_every_setting_are_told_where_there_are_two_to_compare():
    settings = comparisons(setting(SERVED), setting(SERVED, regime="medium"), setting({"value": [0.8]}, task="rte"))
    first, second = regime_tables.gap_sentences(settings)
    told = words.sentence("value", "query", settings[0].gap("value", "query"))
    assert first == f"SST-2, low data (n = 1000): {told}" and second.startswith("SST-2, medium data (n = 5000): ")


HIGHER, LOWER, NOISE = (stats.Estimate(*given) for given in ((5, 3, 7, 3), (-5, -7, -3, 3), (1, -1, 3, 3)))


def test_gaps_are_sorted_by_what_they_decide_and_unknown_ones_left_out():
    gaps = {"A": HIGHER, "B": NOISE, "C": LOWER, "D": HIGHER, "E": stats.mean([])}
    assert words.clauses(gaps) == f"higher on A ({HIGHER}), D ({HIGHER}); lower on C ({LOWER}); undecided on B"
    assert words.clauses({"A": LOWER, "B": NOISE}, "than") == f"lower than A ({LOWER}); undecided against B"
    assert words.clauses({"E": stats.mean([])}) == "" and words.clauses({}, failed=["E", "F"]) == "failed: E, F"


def test_a_gap_that_is_not_decided_says_so():
    assert [words.told(gap) for gap in (HIGHER, NOISE)] == [f"{HIGHER} points", f"{NOISE} points (undecided)"]


def test_one_ranking_has_numbers_in_the_order_of_each_approach():
    by_projection, by_magnitude = (cells.ranking(comparison(), approach) for approach in ("projection", "magnitude"))
    assert by_projection.index.tolist() == ["value", "query", "key"] and by_projection.place.tolist() == [1, 3, 4]
    assert by_magnitude.index[0] == "query" and set(by_magnitude.of) == {4}
    assert list(by_projection.columns) == [*importance.APPROACHES, "place", "of"]
    assert (
        by_projection.loc["value", ["projection", "magnitude"]].tolist()
        == by_magnitude.loc["value", ["projection", "magnitude"]].tolist()
    )
    assert cells.ranking(evidence.compare_one(setting(SCORES, ranked=False))).empty


def test_a_methods_run_is_that_of_its_first_seed_that_there_is():
    both = comparison({"value": [None, 0.8], "query": [None, None], "head_only": [0.6, 0.6]})
    assert sorted(both.planned) == ["all_biases", "head_only", "query", "value"] and len(both.specs) == 8
    assert both.run_of("value") is both.specs["value", 0] and both.result_of("value") is both.results["value", 1]
    assert both.run_of("query").method == "query" and both.result_of("query") is both.result_of("key") is None
    with pytest.raises(KeyError, match="key: no run was planned; there are "):
        both.run_of("key")


# --------------------------------------------------------------------------------------------------- figures, files


def drawings():
    """Every figure that is made from runs, by name."""
    along = early_choice.along(comparisons(setting(SERVED, trajectory=snapshots("query", "value", "value", "value"))))
    scores = frames.importance_scores(setting(SERVED))
    regimes = comparisons(*three_regimes(), setting(SERVED, task="rte"))
    fig1 = paper.numbers("fig1")["accuracy"]
    return {
        "ranking_against_score": figures.ranking_against_score(comparison(), importance.APPROACHES, fig1),
        "ranking_over_regimes": regime_figures.ranking_over_regimes(regimes, ["projection", "magnitude", "fisher"]),
        "agreement_along": regime_figures.agreement_along({"projection": early_choice.agreement(along, "projection")}),
        "importance_heatmaps": figures.importance_heatmaps(scores, importance.APPROACHES),
    }


@pytest.fixture
def filed(tmp_path, monkeypatch):
    """A report's folder, and what is shown."""
    monkeypatch.setenv("BEFT_OUT", str(tmp_path / "report"))
    shown = []
    monkeypatch.setattr(show, "display", lambda *given, **more: shown.append((given, more)))
    return tmp_path / "report", shown


def test_figures_and_tables_are_filed_the_same_bytes_each_time(filed):
    folder, shown = filed
    contents = []
    for _ in range(2):
        for name, figure in drawings().items():
            show.show(figure, name, f"caption of {name}", "what it shows")
        show.show_table(pd.DataFrame({"a_b": ["5 %"], "x": [1.23456789]}), "two", "caption & <b>")
        contents.append({path.name: path.read_bytes() for path in sorted(folder.rglob("*.*"))})
    names = ["ranking_against_score", "ranking_over_regimes", "agreement_along", "importance_heatmaps"]
    assert set(contents[0]) == {f"{n}.{kind}" for n in names for kind in ("svg", "png")} | {
        "two.csv",
        "two.md",
        "two.tex",
    }
    assert contents[0] == contents[1]
    told = shown[0][1]["metadata"]
    assert (told["name"], told["alt"]) == ("ranking_against_score", "what it shows")
    assert told["caption"] == "caption of ranking_against_score" and told["data"].startswith(
        "panel,series,x,y,low,high"
    )
    html = shown[0][0][0]["text/html"]
    assert 'alt="what it shows"' in html and told["caption"] in html and "max-width: 100%" in html
    assert rb"a\_b" in contents[0]["two.tex"] and rb"5 \%" in contents[0]["two.tex"]


def test_numbers_of_any_size_keep_their_significant_digits():
    given = pd.DataFrame({"model": ["a"], "n": [12], "small": [3.16e-10], "large": [42.4]})
    assert show.scientific(given).loc[0].tolist() == ["a", 12, "3.2e−10", "42"]
    assert show.scientific(given, digits=3).loc[0, "small"] == "3.16e−10" and given.loc[0, "small"] == 3.16e-10


def test_table_1_is_filed_with_its_best_in_bold(filed):
    folder, shown = filed
    frame, best = table1(setting(SERVED))
    show.show_table(frame, "table1", "Table 1", best)
    cell = frame["b_v"][0]
    assert f"**{cell}**" in (folder / "tables/table1.csv").read_text(encoding="utf-8")
    assert f"**{cell}**" in (folder / "tables/table1.md").read_text(encoding="utf-8")
    assert (folder / "tables/table1.tex").read_text(encoding="utf-8").count(r"\bfseries") == 1
    assert "font-weight: bold" in shown[0][0][0]["text/html"]


def test_figures_of_undefined_scores_and_single_seeds_are_drawn():
    one = {method: own[:1] for method, own in SERVED.items()}
    specs = setting(one, importance={"projection": UNDEFINED})
    assert figures.importance_heatmaps(frames.importance_scores(specs), importance.APPROACHES).axes
    assert figures.ranking_against_score(evidence.compare_one(specs), importance.APPROACHES, None).axes
    assert regime_figures.ranking_over_regimes(evidence.compare(specs), ["projection"]).axes


def test_the_figure_over_regimes_has_a_row_a_task():
    own = comparisons(*three_regimes(), *three_regimes("rte"))
    figure = regime_figures.ranking_over_regimes(own, ["projection", "magnitude"])
    assert len(figure.axes) == 2 * 3
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [
        "low\n1,000",
        "medium\n5,000",
        "high\n9,000",
    ]


@pytest.mark.parametrize("along", ["x", "y"])
def test_an_error_bar_ends_where_its_interval_does_and_has_no_length_without_one(along):
    figure, axis = plt.subplots()
    estimates = [stats.Estimate(5, 3, 8, 3), stats.mean([4])]
    points, _, (bars,) = style.error_bars(axis, [1, 2], estimates, along=along, **style.look("value"))
    values, places = (points.get_xdata(), points.get_ydata())[:: 1 if along == "x" else -1]
    assert list(values) == [5, 4] and list(places) == [1, 2]
    ends = [segment[:, 0 if along == "x" else 1].tolist() for segment in bars.get_segments()]
    assert ends == [[3, 8], [4, 4]]
    plt.close(figure)


def test_geometry_is_computed_from_the_formula():
    figure = geometry.projection_geometry(pre=[2, 0], shorter=[1, 1], longer=[2, 2])
    assert [axis.get_title() for axis in figure.axes] == [
        "(a) post is shorter: score 0.50",
        "(b) post is longer: score 0.50",
    ]


# --------------------------------------------------------------------------------------------------------- select


def test_select_ranks_with_the_null_model_beside():
    frame = select.select("tiny-bert", "toy-sentiment", n_train=16, epochs=1)
    assert set(frame.index) == {"query", "key", "value"}
    assert frame.projection.is_monotonic_decreasing and (frame.null_model >= 0).all()
    assert (frame["of"] == 9).all() and frame.place.is_monotonic_increasing and not np.isnan(frame.magnitude).any()
