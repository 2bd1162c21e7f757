"""Notebook 06: parts of b_v are what they are called, and what is measured is what arithmetic gives."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from families import FAMILIES, build
from scipy.stats import spearmanr

from beft_lib import adapters, biases, evidence, models, runs
from beft_lib.chapters import before_tuning
from beft_lib.chapters.bias_selection import plan as bias_selection
from beft_lib.chapters.glue_regimes import plan as glue_regimes
from beft_lib.chapters.why_b_v import figures, tables
from beft_lib.chapters.why_b_v import plan as why_b_v
from beft_lib.errors import UserError
from beft_lib.evidence import stats
from beft_lib.runs import RunSpec, execute
from beft_lib.tuning.prepare import apply_method

SIZES = {"n_train": 32, "epochs": 1, "n_eval": 40}
BASE = {"model": "tiny-bert", "task": "toy-sentiment", "source": "bundled"} | SIZES


def plan(**more) -> why_b_v.Plan:
    return why_b_v.plan(**BASE | {"parts": [[0], [1]], "seeds": [0, 1]} | more)


def run(method: str, **more) -> RunSpec:
    spec = RunSpec(**BASE, method=method, **more)
    execute.run(spec)
    return spec


def logits(spec: RunSpec) -> np.ndarray:
    return runs.predictions(spec)["validation/logits"]


# ------------------------------------------------------------------------------------------------------- the plan


def test_what_notebook_01_runs_is_not_run_again():
    shared = {"n_train": 32, "epochs": 1, "seeds": [0, 1]}
    first = bias_selection.plan(model="tiny-bert", task="toy-sentiment", source="bundled", **shared)
    made = {s.run_id for s in plan(n_eval=None).tuned}
    assert {s.run_id for s in first.compared if s.method != "none"} <= made


def test_further_models_may_share_the_runs_of_a_regime():
    made = plan(ranked_models=["tiny-roberta"], ranked_regime="low", ranked_epochs=2)
    other = glue_regimes.plan(
        model="tiny-roberta",
        source="bundled",
        settings={"low": ["toy-sentiment"]},
        seeds=[0, 1],
        epochs={"low": {"toy-sentiment": 2}},
        n_eval={"toy-sentiment": 40},
    )
    assert {s.run_id for s in made.ranked if s.model == "tiny-roberta"} == {s.run_id for s in other.settings[0].ranking}


def test_every_arm_has_its_seeds_and_its_name():
    made = plan(decoders=["tiny-llama"], ranked_models=["tiny-roberta"])
    assert list(dict.fromkeys(made.parts.values())) == ["b_v, layer 1 alone", "b_v, layer 2 alone"]
    assert list(dict.fromkeys(made.kept.values())) == [
        "its b_v put back",
        "layer 1 of it",
        "layer 2 of it",
        "one direction",
    ]
    assert made.probed == ("tiny-bert", "tiny-llama", "tiny-roberta") and {s.model for s in made.ranked} == {
        "tiny-bert",
        "tiny-roberta",
    }
    assert why_b_v.only_in([2, 3]) == "b_v, layers 3–4 alone"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"parts": []}, "parts"),
        ({"parts": [[0], []]}, "parts"),
        ({"parts": [[1], [0]]}, "parts"),
        ({"parts": [[0, 1], [1]]}, "parts"),
        ({"decoders": ["tiny-bert"]}, "'tiny-bert' is an encoder"),
        ({"seeds": [0, 0]}, "repeats a seed"),
    ],
)
def test_what_cannot_be_planned_is_named(more, said):
    with pytest.raises(UserError, match=said):
        plan(**more)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"method": "all_biases", "layers": (0,)}, "only one bias term"),
        ({"method": "value", "layers": ()}, "each once and in order"),
        ({"method": "value", "layers": (1, 0)}, "each once and in order"),
        ({"method": "value", "rank": 1}, "only a merged run"),
    ],
)
def test_parts_are_refused_where_they_make_no_sense(fields, said):
    with pytest.raises(UserError, match=said):
        RunSpec(**BASE, **fields)


def test_runs_of_whole_biases_keep_their_ids():
    fields = BASE | {"method": "value", "data": "d", "weights": "w"}
    assert RunSpec(**fields).run_id == RunSpec(**fields, layers=None, rank=None).run_id
    assert RunSpec(**fields).run_id != RunSpec(**fields, layers=(0,)).run_id
    assert "layers" not in RunSpec(**fields).portable


# ------------------------------------------------------------------------------------------------ parts of a model


def test_only_the_layers_asked_for_are_trained():
    change = runs.delta(run("value", layers=(1,)))
    assert list(change) == ["1/value"] and change["1/value"].abs().max() > 0
    with pytest.raises(UserError, match="layers: 7 has no bias .* valid: 0, 1"):
        run("value", layers=(7,))


@pytest.mark.parametrize("name", ["bert", "llama", "gpt2"])
def test_b_o_is_tuned_in_every_layer_also_where_there_was_none(name):
    model = build(name)
    prepared = apply_method(model, "output")
    assert [handle.key for handle in prepared.handles] == [output.bias.key for output in biases.outputs(model)]
    assert all(handle.parameter.requires_grad and handle.size == 32 for handle in prepared.handles)


def test_parts_of_a_tuned_bias_are_put_in_as_they_are_called():
    whole = run("value", learning_rate=0.05)
    of_it = {"parts": ((whole.run_id, 1.0),), "head_of": (whole.run_id,)}
    everything = run("merged", layers=(0, 1), **of_it)
    assert np.array_equal(logits(everything), logits(whole))
    nothing = run("merged", parts=((whole.run_id, 0.0),), head_of=(whole.run_id,))
    first, full_rank, rank_1 = (
        run("merged", layers=(0,), **of_it),
        run("merged", rank=2, **of_it),
        run("merged", rank=1, **of_it),
    )
    assert not np.array_equal(logits(first), logits(nothing)) and not np.array_equal(logits(first), logits(whole))
    np.testing.assert_allclose(logits(full_rank), logits(whole), atol=1e-5)
    assert np.abs(logits(rank_1) - logits(whole)).max() > 1e-5

    model, change = models.classifier("tiny-bert", 2, seed=0), runs.delta(whole)
    outputs = biases.outputs(model)
    rows = np.stack([o.weight.double().numpy() @ change[f"{o.bias.layer}/value"].numpy() for o in outputs])
    u, s, vt = np.linalg.svd(rows, full_matrices=False)
    found = adapters.low_rank(adapters.folded(model, change), 1)
    kept = np.stack([found[o.bias.key].numpy() for o in outputs])
    np.testing.assert_allclose(kept, s[0] * np.outer(u[:, 0], vt[0]), atol=1e-12)


def test_the_parts_of_a_delta_add_up_to_it():
    delta = {f"{layer}/value": torch.randn(4, dtype=torch.float64) for layer in range(3)}
    together = {key: values for layer in range(3) for key, values in adapters.only(delta, [layer]).items()}
    assert all(torch.equal(together[key], delta[key]) for key in delta)
    with pytest.raises(UserError, match="layer 9|no bias in layer"):
        adapters.only(delta, [9])


# ---------------------------------------------------------------------------------------------------------- probes


def test_b_k_is_inert_for_absolute_positions_and_live_for_rotary_ones():
    frame = before_tuning.keys(["tiny-bert", "tiny-opt", "tiny-llama"]).set_index("b_k is")
    still, live = frame.loc["inert"], frame.loc["live"]
    assert len(still) == 2 and (still["∇b_k / ∇b_v"] < 1e-12).all() and (still["logit, b_k + 1"] < 1e-12).all()
    assert live["∇b_k / ∇b_v"] > 1e-3 and live["logit, b_k + 1"] > 1e-2
    assert (frame["logit, b_v + 1"] > 1e-5).all()


def test_b_v_and_b_o_are_one_function_and_add_a_constant():
    frame = before_tuning.output_identity(["tiny-bert", "tiny-opt", "tiny-llama"])
    assert (frame["b_v against b_o"] < 1e-12 + 1e-9 * frame["logits moved by"]).all()
    assert (frame["gradients apart"] < 1e-12).all() and (frame["varies by"] < 1e-12).all()


def test_only_b_q_moves_attention_and_the_distance_is_total_variation():
    frame = before_tuning.attention_shift("tiny-bert", {0: 0.5, 1: 0.5})
    means = frame.groupby("term").distance.max()
    assert means["value"] == 0 and means["key"] < 1e-6 and frame[frame.term == "query"].distance.min() > 1e-3
    probe = before_tuning._probe("tiny-bert", torch.float32, attention="eager")
    handle = biases.attention_biases(probe.model)[0].query
    signs = torch.randint(2, (handle.size,), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        before = probe.model(**probe.batch, output_attentions=True).attentions[0]
        handle.write(handle.read() + 0.5 * signs)
        after = probe.model(**probe.batch, output_attentions=True).attentions[0]
    real = probe.batch["attention_mask"].bool()
    byhand = np.mean([0.5 * (after - before)[i, :, j].abs().sum(-1).mean().item() for i, j in real.nonzero().tolist()])
    assert frame.iloc[0].distance == pytest.approx(byhand, rel=1e-5)


def test_sizes_are_the_root_mean_squares_of_the_models_biases():
    frame, model = before_tuning.bias_sizes("tiny-bert"), models.classifier("tiny-bert", 2, seed=0)
    assert len(frame) == len(biases.all_biases(model))
    values = model.bert.encoder.layer[1].attention.self.value.bias.detach().numpy()
    assert frame.query("term == 'value' and layer == '1'").rms.item() == pytest.approx(
        np.sqrt((values**2).mean()), rel=1e-6
    )


# ---------------------------------------------------------------------------------------------- tables and figures


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The notebook's runs on a tiny model, and its comparison."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEFT_RUNS", str(store := tmp_path_factory.mktemp("runs")))
        planned = plan(learning_rate=0.02, precision_study=False)
        for spec in planned.specs:
            execute.run(spec)
        yield planned, store


@pytest.fixture
def shown(made, monkeypatch):
    monkeypatch.setenv("BEFT_RUNS", str(made[1]))
    (comparison,) = evidence.compare_groups(made[0].groups)
    return made[0], comparison


def test_tables_hold_every_arm_and_shares_are_of_the_gain(shown):
    planned, comparison = shown
    arms, kept = list(dict.fromkeys(planned.parts.values())), list(dict.fromkeys(planned.kept.values()))[1:]
    assert list(tables.tuned(comparison).scalars) == ["64", "64", "64", "608", "0"]
    assert list(tables.parts(comparison, arms).scalars) == ["0", "32", "32", "64"]
    frame, gain = tables.kept(comparison, kept), comparison.gap("value", why_b_v.UNTUNED)
    assert list(frame.iloc[:, 0]) == ["nothing", *kept, "all of it"]
    assert frame["share of the gain"].iloc[-1] == ("100 %" if gain.decided else "–")
    said = [*tables.output_sentences(comparison), *tables.part_sentences(comparison, arms)]
    assert all(said) and tables.kept_sentences(comparison, kept)
    figure = figures.parts(comparison, arms, kept)
    assert [axis.get_xlabel() != "" for axis in figure.axes] == [True, True]
    plt.close("all")


def test_scores_are_set_beside_the_sizes_before_tuning(shown):
    planned, comparison = shown
    frame = tables.scores_and_sizes(planned.ranked, {"tiny-bert": before_tuning.bias_sizes("tiny-bert")})
    assert set(frame.seed) == {0, 1} and frame.projection.notna().all()
    first = frame[(frame.seed == 0) & (frame.term != "key")]
    other = frame[(frame.seed == 1) & (frame.term != "key")]
    mean = np.mean([spearmanr(own.projection, own.rms).statistic for own in (first, other)])
    found = tables.norm_correlations(frame).loc[0, "without an inert b_k"]
    assert found.startswith(stats.number(mean, 2)) and tables.norm_sentences(frame)
    figure = figures.scores_against_sizes(frame)
    assert figure.axes[0].get_ylabel() == "projection score"
    sizes = tables.tuned_sizes(comparison)
    deltas = [runs.delta(spec)["1/query"].abs().mean().item() for spec in planned.ranked]
    assert sizes[1] == pytest.approx(np.mean(deltas), rel=1e-4)
    plt.close("all")


@pytest.mark.parametrize(
    "lost", ["value", "output", "query", "all_biases", "head_only", why_b_v.UNTUNED, "layer", "alone"]
)
def test_where_runs_failed_the_tables_say_so(shown, lost):
    planned, comparison = shown
    left = {key: result for key, result in comparison.results.items() if lost not in key[0].split() + [key[0]]}
    assert left.keys() < comparison.results.keys()
    comparison = replace(comparison, results=left)
    arms, kept = list(dict.fromkeys(planned.parts.values())), list(dict.fromkeys(planned.kept.values()))[1:]
    assert [len(tables.tuned(comparison)), len(tables.parts(comparison, arms)), len(tables.kept(comparison, kept))] == [
        len(why_b_v.TUNED),
        len(arms) + 2,
        len(kept) + 2,
    ]
    said = [*tables.output_sentences(comparison), *tables.part_sentences(comparison, arms)]
    said += tables.kept_sentences(comparison, kept)
    moved = before_tuning.attention_shift("tiny-bert", tables.tuned_sizes(comparison))
    said += tables.attention_sentences(moved)
    assert moved.empty == (lost in ("query", "all_biases")) and not any("nan" in sentence for sentence in said)
    figures.parts(comparison, arms, kept)
    figures.attention_moved(moved)
    plt.close("all")


def test_a_failed_setting_selects_no_term():
    study = pd.DataFrame({"would select": ["b_v", "failed: loss nan"]})
    assert tables.precision_sentence(study) == "Every setting would select the same term: b_v (1 of 2 settings failed)."
    assert tables.precision_sentence(study[1:]) == "No setting selects a term (1 of 1 settings failed)."


def test_precision_in_words():
    same, other = pd.DataFrame({"would select": ["b_v", "b_v"]}), pd.DataFrame({"would select": ["b_v", "b_k"]})
    assert "same term: b_v" in tables.precision_sentence(same) and "b_v, b_k" in tables.precision_sentence(other)


def test_every_family_has_its_output_projection():
    for name in FAMILIES:
        model = build(name)
        for output, value in zip(biases.outputs(model), biases.term_biases(model, "value"), strict=True):
            assert output.weight.shape == (32, value.size) and output.bias.layer == value.layer
