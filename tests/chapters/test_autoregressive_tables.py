"""Table 5 and its sentences, b_k against the untuned model, and gaps of prompts: on runs whose numbers are chosen."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from constructed import setting, specified, written

from beft_lib import evidence, runs
from beft_lib.chapters import paper
from beft_lib.chapters.autoregressive import figures, tables
from beft_lib.chapters.autoregressive.plan import CHOSEN, METHODS, PAPER
from beft_lib.evidence import stats
from beft_lib.evidence.claims import performance
from beft_lib.runs.groups import Group

PAPERS = paper.numbers("table5")
SCORES = {
    "value": [0.90, 0.92, 0.94],
    "query": [0.70, 0.70, 0.71],
    "key": [0.50, 0.50, 0.51],
    "lora": [0.91, 0.90, 0.95],
    "in_context": [0.60, 0.65, 0.55],
    "zero_shot": [0.50],
}
TRAINABLE = {"value": 1234, "query": 1234, "key": 1234, "lora": 5678, "in_context": 0, "zero_shot": 0}


def comparison(scores=SCORES, model: str = "opt-1.3b", task: str = "sst2-prompt", **more) -> evidence.Comparison:
    return evidence.compare_one(setting(scores, model, task, ranked=False, **more))


def rows(*comparisons, which: int = 0):
    """Table 5 by method; or which cells are bold."""
    frames = tables.table5(comparisons, PAPERS)
    return frames[which].set_axis(frames[0]["method"])


# ------------------------------------------------------------------------------------------------------ the scores


def test_zero_shot_has_one_run_that_every_seed_is_paired_with():
    found = comparison()
    assert found.scores["zero_shot"].tolist() == pytest.approx([50, 50, 50]) and found.control == "zero_shot"
    assert len({found.specs["zero_shot", seed].run_id for seed in (0, 1, 2)}) == 1
    assert found.gap("value", "zero_shot").mean == pytest.approx(42) and found.gap("value", "zero_shot").n == 3


def test_zero_shot_is_served_to_the_seeds_of_the_methods_whatever_its_own():
    specs = [s for s in setting(SCORES, "opt-1.3b", "copa", ranked=False) if s.method == "value" and s.seed]
    specs += setting({"zero_shot": [0.5]}, "opt-1.3b", "copa", ranked=False)
    assert evidence.compare_one(specs).gap("value", "zero_shot").n == 2
    alone = evidence.compare_one(specs[-1:])
    assert alone.score("zero_shot").mean == pytest.approx(50)


@pytest.mark.parametrize("task", ["sst2-prompt", "squad"])
def test_the_gap_of_prompts_is_that_of_points_crossed_over_seeds_and_samples_of_examples(task):
    specs = setting(SCORES, "opt-1.3b", task, n_eval=60, ranked=False, scattered=True)
    points = {(s.method, s.seed): runs.predictions(s)["validation/points"][:, 0] for s in specs}
    draws = [np.repeat(np.arange(60), counts) for counts in stats.example_draws(np.zeros(60))]
    means = {key: [[100 * own[drawn].mean()] for drawn in draws] for key, own in points.items()}
    differences = np.hstack([np.subtract(means["value", seed], means["query", seed]) for seed in range(3)])
    gaps = [100 * (points["value", seed].mean() - points["query", seed].mean()) for seed in range(3)]
    found = evidence.compare_one(specs).gap("value", "query")
    assert found == pytest.approx(stats.crossed(gaps, differences)) and found.mean == pytest.approx(np.mean(gaps))


def test_prompts_are_scored_by_the_tasks_first_metric():
    found = evidence.compare_one([specified("opt-1.3b", "squad", "low", method="value")])
    assert found.metric == "squad_f1"
    assert found._outcomes({"points": np.array([[0.5, 0], [1, 1]])}).tolist() == [0.5, 1]


# --------------------------------------------------------------------------------------------------------- Table 5


def test_a_cell_is_the_mean_with_half_its_interval_and_the_papers_number():
    frame = rows(comparison())
    half = stats.mean([90, 92, 94]).half
    assert frame.loc["b_v (BEFT)", "SST2, accuracy"] == f"92.0 ± {half:.1f} | 93.1"
    assert frame.index.tolist() == ["b_v (BEFT)", "b_q", "b_k", "LoRA", "in-context learning", "zero-shot"]


def test_zero_shot_has_the_interval_of_its_examples():
    assert rows(comparison()).loc["zero-shot", "SST2, accuracy"] == "50.0 ± 2.0‡ | 53.5"  # 1.96 of the stderr 0.01


def test_one_seed_has_no_interval_over_seeds():
    one = comparison({method: own[:1] for method, own in SCORES.items()})
    frame, best = (rows(one, which=place) for place in (0, 1))
    assert frame.loc["b_v (BEFT)", "SST2, accuracy"] == "90.0 one seed | 93.1" and not best.any(axis=None)
    assert frame.loc["zero-shot", "SST2, accuracy"] == "50.0 ± 2.0‡ | 53.5"


@pytest.mark.parametrize(("model", "first"), [("opt-6.7b", 95.2), ("smollm2-135m", 93.1), ("opt-125m", 93.1)])
def test_the_papers_number_is_of_the_model_itself_or_of_opt_1_3b(model, first):
    frame = rows(comparison(model=model))
    assert frame.loc["b_v (BEFT)", "SST2, accuracy"].endswith(f" | {first}") and tables.PAPER_MODEL == "opt-1.3b"


def test_what_the_paper_has_no_number_of_has_no_bar():
    scores = {"value": [0.9, 0.9], "all_biases": [0.9, 0.9], "full": [0.8, 0.81]}
    frame = rows(comparison(scores), comparison(scores, task="toy-causes"))
    for method in ("all biases", "all parameters"):
        assert "|" not in "".join(frame.loc[method])
    assert (
        "|" in frame.loc["b_v (BEFT)", "SST2, accuracy"] and "|" not in frame.loc["b_v (BEFT)", "toy-causes, accuracy"]
    )


@pytest.mark.parametrize(
    ("short", "column"), [("boolq-short", "BoolQ (short), accuracy"), ("squad-short", "SQuAD (short), f1")]
)
def test_a_variant_with_short_passages_stands_beside_the_papers_task(short, column):
    theirs = PAPERS["opt-1.3b"]["value"][PAPERS["columns"].index(short.removesuffix("-short"))]
    assert rows(comparison(task=short)).loc["b_v (BEFT)", column].endswith(f" | {theirs}")


def test_failed_runs_are_said_to_have_failed_and_others_were_not_made():
    failed = {"value": [0.9, 0.9], "lora": [None, None], "zero_shot": [None]}
    frame = rows(comparison(failed), comparison({"value": [0.9, 0.9], "query": [0.8, 0.8]}, task="copa"))
    assert frame.loc["LoRA", "SST2, accuracy"] == "failed | 92.6"
    assert frame.loc["zero-shot", "SST2, accuracy"] == "failed | 53.5"
    for method, column in (("b_q", "SST2, accuracy"), ("LoRA", "COPA, accuracy"), ("zero-shot", "COPA, accuracy")):
        assert frame.loc[method, column].startswith("– | ")
    assert frame.loc["LoRA", "scalars"] == "–" and frame.loc["LoRA", "share, %"] == "– | 1.2"


def test_scalars_and_their_share_are_counted_beside_the_papers_share():
    frame = rows(comparison(trainable=TRAINABLE))  # of 10,000 parameters
    assert frame["scalars"].tolist() == ["1,234"] * 3 + ["5,678", "0", "0"]
    assert frame["share, %"].tolist() == ["12.3 | 0.04"] * 3 + ["56.8 | 1.2", "0 | 0", "0 | 0"]


def test_bold_is_a_term_that_is_decidedly_better_than_both_others():
    close = SCORES | {"query": [0.92, 0.91, 0.93]}
    turned = SCORES | {"value": SCORES["key"], "key": [0.90, 0.92, 0.94]}
    best = rows(comparison(), comparison(close, task="copa"), comparison(turned, task="boolq"), which=1)
    bold = {(method, column) for method in best.index for column in best if best.loc[method, column]}
    assert bold == {("b_v (BEFT)", "SST2, accuracy"), ("b_k", "BoolQ, accuracy")}


def test_the_frames_of_table_5_have_one_shape():
    for place in (0, 1):
        found = rows(comparison(), comparison(task="squad"), which=place)
        assert list(found) == ["method", "scalars", "share, %", "SST2, accuracy", "SQuAD, f1"] and len(found) == 6


# ---------------------------------------------------------------------------------------------- settings, prompts


def test_settings_are_those_of_the_runs_of_b_v():
    given = {"n_train": 64, "regime": "custom", "learning_rate": 0.01, "epochs": 2, "n_eval": 40}
    frame = tables.settings([comparison(task="copa", **given), comparison(task="squad")])
    first, second = (
        row._asdict() for row in frame.rename(columns=lambda c: c.replace(" ", "_")).itertuples(index=False)
    )
    assert first == {
        "task": "COPA",
        "answers": "options",
        "loss": "of the answer",
        "seeds": 3,
        "train": 64,
        "epochs": 2,
        "steps": 16,  # 2 epochs of 8 batches of 8
        "learning_rate": "0.01",
        "train_cut": 3,
        "evaluated": 40,
        "evaluated_cut": 1,
    }
    assert (second["answers"], second["loss"], second["learning_rate"]) == ("text", "of the answer", "0.001")
    assert tables.settings([comparison()]).loc[0, "loss"] == "over options"


def test_without_b_v_there_are_no_settings_to_show():
    assert tables.settings([comparison({"zero_shot": [0.5]}), comparison({"value": [None]})]).empty


def test_shortened_prompts_and_lost_demonstrations_are_counted_over_seeds():
    for seed, (dropped, lost) in enumerate(((30, 20), (50, 40))):
        spec = specified("opt-1.3b", "copa", "low", method="in_context", seed=seed, shots=4, demonstrations="fixed")
        data = written(spec, {"validation": 0.5}, 100).data
        written(
            spec, {"validation": 0.5}, 100, data=data | {"validation_dropped": dropped, "validation_shortened": lost}
        )
    specs = [
        specified("opt-1.3b", "copa", "low", method="in_context", seed=s, shots=4, demonstrations="fixed")
        for s in (0, 1)
    ]
    (row,) = tables.shortened([evidence.compare_one(specs), comparison({"value": [0.5]})]).to_dict("records")
    assert row == {
        "task": "COPA",
        "demonstrations": 4,
        "set": "fixed",
        "longest": 2048,
        "prompts": 200,
        "shortened prompts": 60,
        "demonstrations left, mean": "3.6",
    }


# ------------------------------------------------------------------------------------------- b_k against zero-shot


def untuned_and_key(
    model: str, moved: float, task: str = "copa", changed: float = 0.0, n: int = 100, **more
) -> evidence.Comparison:
    """Zero-shot, and b_k over two seeds: the largest change of an option's score, and the share of other points."""
    bare = np.float32(np.random.default_rng(0).normal(size=(n, 3)))
    bare[::2, 2] = np.nan  # examples with two options
    keys = (("zero_shot", 0), ("key", 0), ("key", 1))
    specs = [specified(model, task, "low", method=method, seed=seed, **more) for method, seed in keys]
    for spec in specs:
        tuned = bare.copy()
        if spec.method == "key":
            tuned[spec.seed, 0] -= moved * (1 + spec.seed) / 2
        score = 0.5 + changed * (spec.method == "key")
        written(spec, {"validation": score}, n, options=None if task == "squad" else tuned)
    return evidence.compare_one(specs)


def test_b_k_is_set_against_the_untuned_model_answer_by_answer_and_option_by_option():
    frame = tables.key_against_untuned(
        [untuned_and_key("smollm2-135m", 0.25, changed=0.1), untuned_and_key("smollm2-135m", 0, "squad"), comparison()]
    )
    assert frame["task"].tolist() == ["COPA", "SQuAD", "SST2"]
    assert frame["answers that changed, %"].tolist()[:2] == ["10.0", "0.0"]
    assert frame["largest change of a score"].tolist() == ["0.25", "–", "–"]
    assert frame.loc[0, "b_k − zero-shot, points"].startswith("10.0 [")
    assert frame.loc[1, "b_k − zero-shot, points"] == "0.0 (the same in each of 2)"


def test_an_inert_b_k_is_told_from_one_that_prefers_distances():
    inert, live = (
        tables.key_sentence([untuned_and_key(*given)]) for given in (("opt-1.3b", 1e-6), ("smollm2-135m", 0.2))
    )
    assert "inert in OPT-1.3B" in inert and "by at most 1.0e−6" in inert and inert.endswith("as it must.")
    assert "live in SmolLM2-135M" in live and "by at most 0.20" in live


@pytest.mark.parametrize("given", [(0.2, "copa", 0.0), (0.0, "copa", 0.1), (0.0, "squad", 0.1)])
def test_whatever_an_inert_b_k_changes_is_a_fault(given):
    assert "a fault of this pipeline" in tables.key_sentence([untuned_and_key("opt-1.3b", *given)])
    assert "b_k is live" in tables.key_sentence([untuned_and_key("smollm2-135m", *given)])


def test_in_bf16_an_inert_b_k_may_move_a_score_by_rounding():
    small, large = (
        tables.key_sentence([untuned_and_key("opt-1.3b", moved, precision="bf16")]) for moved in (4e-3, 0.5)
    )
    assert small.endswith("the rounding of bf16.") and "a fault of this pipeline" in large


def test_a_b_k_that_could_do_something_and_did_not_is_told():
    assert "no more than rounding" in tables.key_sentence([untuned_and_key("smollm2-135m", 1e-6)])


def test_without_both_runs_b_k_is_not_set_against_anything():
    alone = comparison({"key": [0.5, 0.5], "value": [0.9, 0.9]})
    failed = comparison({"key": [None], "zero_shot": [0.5]}, task="copa")
    assert tables.key_against_untuned([alone, failed]).empty
    assert tables.key_sentence([alone, failed]) == "b_k and zero-shot were not both run."


# --------------------------------------------------------------------------------------------------------- in words


def test_gaps_are_told_by_method_and_by_what_was_decided():
    lower = SCORES | {"query": [0.97, 0.98, 0.99]}
    unsure = SCORES | {"query": [0.92, 0.91, 0.93]}
    settings = [comparison(), comparison(lower, task="copa"), comparison(unsure, task="boolq")]
    said = {text.partition(":")[0]: text for text in tables.gap_sentences(settings)}
    assert list(said) == [f"b_v against {name}" for name in ("b_q", "b_k", "LoRA", "in-context learning", "zero-shot")]
    higher, below, open_ = said["b_v against b_q"].split("; ")
    assert f"higher on SST2 ({settings[0].gap('value', 'query')})" in higher
    assert below == f"lower on COPA ({settings[1].gap('value', 'query')})" and open_.startswith("undecided on BoolQ")
    assert "undecided on SST2" in said["b_v against LoRA"] and "higher" not in said["b_v against LoRA"]


def test_gaps_against_what_was_not_run_or_failed_are_not_told():
    assert (
        tables.gap_sentences([comparison({"value": [0.9, 0.9]}), comparison({"query": [0.9, 0.9]}, task="copa")]) == []
    )
    (said,) = tables.gap_sentences([comparison({"value": [0.9, 0.9], "query": [0.8, 0.8], "lora": [None, None]})])
    assert said.startswith("b_v against b_q: ")


def at_rates(task: str, later: dict, **rates) -> list[evidence.Comparison]:
    """A task at the paper's rates, and again with these methods' scores at rates of their own."""
    first = setting(SCORES, "opt-1.3b", task, ranked=False)
    again = [spec for spec in first if spec.method not in rates]
    for method, rate in rates.items():
        again += setting({method: later[method]}, "opt-1.3b", task, ranked=False, learning_rate=rate)
    return evidence.compare_groups([Group(first, PAPER), Group(again, CHOSEN)])


def test_a_rate_of_its_own_is_told_with_what_it_is_worth():
    decided = at_rates("sst2-prompt", {"query": [0.90, 0.90, 0.91], "lora": [0.92, 0.90, 0.94]}, query=0.01, lora=1e-4)
    said = tables.rate_sentences(decided)
    assert len(said) == 2 and "SST2, b_q" in said[0] and "SST2, LoRA" in said[1]
    assert "0.01" in said[0] and "0.001" in said[0] and "20.0 [" in said[0] and "undecided" not in said[0]
    assert "0.0001" in said[1] and "undecided" in said[1]
    both = [*decided, *at_rates("copa", {"value": [0.5] * 3}, value=0.02)]
    assert len(tables.rate_sentences(both)) == 3 and "COPA, b_v" in tables.rate_sentences(both)[2]


def test_without_rates_of_their_own_it_is_said():
    nothing = ["No method was run at a rate of its own."]
    assert tables.rate_sentences(at_rates("copa", {})) == nothing
    assert tables.rate_sentences([comparison()]) == tables.rate_sentences([]) == nothing
    failed = at_rates("copa", {"lora": [None] * 3}, lora=0.1)
    assert tables.rate_sentences(failed) == nothing


def test_the_summary_names_the_best_term_where_it_is_decided_and_the_highest_mean():
    turned = SCORES | {"value": SCORES["query"], "query": SCORES["value"], "lora": [0.5] * 3}
    close = SCORES | {"query": [0.92, 0.91, 0.93]}
    first, second = tables.summary([comparison(), comparison(turned, task="copa"), comparison(close, task="boolq")])
    assert first == "Decidedly the best of b_v, b_q and b_k: b_q on COPA; b_v on SST2; none on BoolQ."
    assert "b_q on COPA" in second and "b_v on SST2" in second and "b_v on BoolQ" in second and "no decision" in second


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (SCORES, "b_v on SST2."),
        (SCORES | {"query": [0.92, 0.91, 0.93]}, "none on any task."),
        ({method: own[:1] for method, own in SCORES.items()}, "none on any task."),
        ({"lora": [0.9, 0.9]}, "none on any task."),
    ],
)
def test_the_summary_of_one_task_names_a_term_or_none(scores, said):
    assert tables.summary([comparison(scores)])[0] == f"Decidedly the best of b_v, b_q and b_k: {said}"


# ------------------------------------------------------------------------------------------------------- the figure


@pytest.fixture
def drawn():
    figure = figures.scores_over_scalars(
        [comparison(trainable=TRAINABLE), comparison(task="squad"), *[comparison()] * 2]
    )
    yield figure
    plt.close(figure)


def test_each_task_is_a_panel_with_a_line_for_each_method_that_tunes_nothing(drawn):
    shown = [axis for axis in drawn.axes if axis.axison]
    assert len(drawn.axes) == 6 and [a.get_title() for a in shown] == ["SST2", "SQuAD", "SST2", "SST2"]
    assert [axis.get_ylabel() for axis in shown[:2]] == ["accuracy (%)", "F1 (%)"]
    for axis in shown:
        assert axis.get_xscale() == "log"
        lines = {
            line.get_label(): line.get_ydata() for line in axis.get_lines() if not line.get_label().startswith("_")
        }
        assert {name: list(ys) for name, ys in lines.items()} == {
            "in-context learning": pytest.approx([60, 60]),
            "zero-shot": pytest.approx([50, 50]),
        }


def test_trained_methods_are_points_over_their_scalars_with_intervals(drawn):
    points = {own.get_label(): own for own in drawn.axes[0].containers}
    assert set(points) == {"b_v", "b_q", "b_k", "LoRA"}
    point, _, (bar,) = points["LoRA"]
    assert (*point.get_xdata(), *point.get_ydata()) == pytest.approx((5678, 92))
    found = stats.mean([91, 90, 95]).within(0, 100)
    assert bar.get_segments()[0][:, 1].tolist() == pytest.approx([found.low, found.high])
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert sorted(legend) == sorted([*points, "in-context learning", "zero-shot"])


def test_every_method_of_table_5_can_be_drawn():
    figure = figures.scores_over_scalars([comparison({method: [0.5] for method in METHODS})])
    assert len(figure.legends[0].get_texts()) == len(METHODS)
    plt.close(figure)


# ------------------------------------------------------------------------------------------------------- comparable


def test_methods_that_are_no_better_than_the_untuned_model_prove_nothing():
    alike = {"value": [0.50, 0.51, 0.52], "lora": [0.50, 0.51, 0.52]}
    judge = performance.comparable("value", "lora")
    for zero_shot, wanted in (([0.51], "nothing learned"), ([0.60], "nothing learned"), ([0.30], "supported")):
        found = judge([comparison(alike | {"zero_shot": zero_shot}, n_eval=2000)])
        assert found.verdict == wanted
        assert ("neither is decidedly better than the untuned model" in found.reason) == (wanted == "nothing learned")
    assert judge([comparison(alike, n_eval=2000)]).verdict == "supported"  # nothing was asked of the untuned model
