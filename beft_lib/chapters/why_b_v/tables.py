"""Notebook 06: b_v against b_o, what parts of b_v carry, scores against pre-trained norms, and precision."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from beft_lib import importance, models, runs
from beft_lib.chapters.why_b_v import plan as why_b_v
from beft_lib.evidence import Comparison, stats, words
from beft_lib.runs import RunSpec
from beft_lib.runs.frames import MEAN, importance_scores, scores_of
from beft_lib.tuning import methods

# ------------------------------------------------------------------------------------------------ b_v against b_o


def tuned(comparison: Comparison) -> pd.DataFrame:
    """A row a method: how many scalars it tunes beside the head, its score, and how far it is from b_v."""
    rows = []
    for method in why_b_v.TUNED:
        row = {"tuned": methods.title(method), "scalars": _scalars(comparison, method)}
        row[f"{comparison.metric} %"] = str(comparison.score(method))
        row["minus b_v, points"] = "–" if method == "value" else str(comparison.gap(method, "value"))
        rows.append(row)
    return pd.DataFrame(rows)


def output_sentences(comparison: Comparison) -> list[str]:
    """Whether tuning b_o does what tuning b_v does, at as many scalars, in words."""
    gap = comparison.gap("output", "value")
    if not gap.n:
        return ["b_o − b_v: no seed in which both runs ended well."]
    scalars = f"They have {_scalars(comparison, 'output')} and {_scalars(comparison, 'value')} scalars"
    return [f"{words.sentence('output', 'value', gap)} {scalars}, and both can reach the same functions."]


def _scalars(comparison: Comparison, method: str) -> str:
    result = comparison.result_of(method)
    return "–" if result is None else f"{result.cost['trainable']:,}"


# ------------------------------------------------------------------------------------------------ parts of b_v


def parts(comparison: Comparison, arms: Sequence[str]) -> pd.DataFrame:
    """A row a choice of layers in which b_v was tuned: scalars, score, what it adds to the head alone, and lacks."""
    rows = []
    for arm in ("head_only", *arms, "value"):
        row = {"tuned": _title(arm), "scalars": _scalars(comparison, arm), f"{comparison.metric} %": ""}
        row[f"{comparison.metric} %"] = str(comparison.score(arm))
        row["minus head only, points"] = "–" if arm == "head_only" else str(comparison.gap(arm, "head_only"))
        row["minus b_v in all layers, points"] = "–" if arm == "value" else str(comparison.gap(arm, "value"))
        rows.append(row)
    return pd.DataFrame(rows)


def part_sentences(comparison: Comparison, arms: Sequence[str]) -> list[str]:
    """Which part of the layers does best when tuned alone, in words."""
    have = [arm for arm in arms if arm in comparison.scores]
    if len(have) < 2:
        return []
    first, second = sorted(have, key=lambda arm: -comparison.score(arm).mean)[:2]
    gap, lacking = comparison.gap(first, second), comparison.gap("value", first)
    said = [f"Best alone: {first}, {comparison.score(first)} %; before {second} by {words.told(gap)}."]
    if not comparison.learned:
        said.insert(0, f"Nothing was learned: {comparison.nothing_learned}.")
    if lacking.n:
        said.append(f"b_v in all layers against it: {words.told(lacking)}.")
    return said


def kept(comparison: Comparison, arms: Sequence[str]) -> pd.DataFrame:
    """A row a part of the tuned b_v that is kept, nothing trained anew: its score, and its share of b_v's gain.

    The gain is what the tuned b_v adds where its own head stays; a share is one mean over another, given where the gain
    is decided.
    """
    gain, rows = comparison.gap("value", why_b_v.UNTUNED), []
    for arm in (why_b_v.UNTUNED, *arms, "value"):
        gap = comparison.gap(arm, why_b_v.UNTUNED)
        row = {"kept of the tuned b_v": "all of it" if arm == "value" else "nothing" if arm == why_b_v.UNTUNED else arm}
        row[f"{comparison.metric} %"] = str(comparison.score(arm))
        row["minus nothing, points"] = "–" if arm == why_b_v.UNTUNED else str(gap)
        row["share of the gain"] = f"{100 * gap.mean / gain.mean:.0f} %" if gain.decided and gap.n else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def kept_sentences(comparison: Comparison, arms: Sequence[str]) -> list[str]:
    """What the best single layer and the single direction keep of b_v's gain, in words."""
    gain = comparison.gap("value", why_b_v.UNTUNED)
    if not gain.n:
        return ["With and without the tuned b_v: no seed in which both runs ended well, so there is no gain to divide."]
    if not gain.decided:
        return [f"With the head it was tuned with, b_v adds {gain} points: not decided, so there is no gain to divide."]
    layers = [arm for arm in arms if arm != why_b_v.DIRECTION and arm in comparison.scores]
    said, named = [f"With the head it was tuned with, b_v adds {gain} points."], {}
    if layers:
        best = max(layers, key=lambda arm: comparison.score(arm).mean)
        named[best] = f"The best single layer ({best.removesuffix(' of it')})"
    if why_b_v.DIRECTION in comparison.scores:
        named[why_b_v.DIRECTION] = "One direction"
    for arm, what in named.items():
        gap = comparison.gap(arm, why_b_v.UNTUNED)
        said.append(f"{what} keeps {100 * gap.mean / gain.mean:.0f} % of that: {gap} points.")
    return said


def _title(arm: str) -> str:
    return methods.title(arm) + (", all layers" if arm == "value" else "")


# ------------------------------------------------------------------------------------------------ scores and norms


def scores_and_sizes(specs: Sequence[RunSpec], sizes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Every bias of every ranking run with the size it had before: `model`, `seed`, `term`, `layer`, `projection`,
    `null_model`, `rms`. `sizes`: `before_tuning.bias_sizes` by model. Biases that were zero have no score and are left
    out.
    """
    scores = importance_scores(specs)
    scores = scores[(scores.layer != MEAN) & scores.approach.isin(["projection", "null_model"])]
    index = ["model", "seed", "term", "layer"]
    wide = scores.pivot_table(index=index, columns="approach", values="score").reset_index()
    before = pd.concat([frame.assign(model=model) for model, frame in sizes.items()])
    sized = wide.merge(before, on=["model", "term", "layer"]).dropna()
    order = list(sizes)
    return sized.sort_values("model", key=lambda names: names.map(order.index), kind="stable", ignore_index=True)


def norm_correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a model: how far its projection scores follow the size of each bias before tuning, and the null model.

    Spearman's ρ over all biases of all layers, mean over seeds with Student's interval; of the size also without b_k
    where it is inert, as it is short and does not move.
    """
    rows = []
    for model, of_model in frame.groupby("model", sort=False):
        by_seed = [seed for _, seed in of_model.groupby("seed")]
        moving = [seed[seed.term != "key"] if models.key_is_inert(model) else seed for seed in by_seed]
        size, live = (
            stats.mean([spearmanr(s.projection, s.rms).statistic for s in seeds]).within(-1, 1)
            for seeds in (by_seed, moving)
        )
        null = stats.mean([spearmanr(s.projection, s.null_model).statistic for s in by_seed]).within(-1, 1)
        rows.append(
            {
                "model": models.title(model),
                "biases": len(by_seed[0]),
                "ρ with size": size.text(2),
                "without an inert b_k": live.text(2),
                "ρ with null": null.text(2),
                "mean gap to null": stats.number((of_model.projection - of_model.null_model).mean(), 3, sign=True),
                "largest gap": f"{(of_model.projection - of_model.null_model).abs().max():.3f}",
            }
        )
    return pd.DataFrame(rows)


def norm_sentences(frame: pd.DataFrame) -> list[str]:
    """Of the three attention biases the one that was smallest before tuning, and the one that scores highest."""
    said = []
    for model, of_model in frame.groupby("model", sort=False):
        live = of_model[of_model.term.isin(methods.ATTENTION_TERMS)]
        if models.key_is_inert(model):
            live = live[live.term != "key"]
        means = live.groupby("term")[["rms", "projection"]].mean()
        if means.empty:
            continue
        small, high = means.rms.idxmin(), means.projection.idxmax()
        same = "the same" if small == high else "another"
        said.append(
            f"{models.title(model)}: of the attention biases that can matter, {methods.title(small)} is the "
            f"smallest before tuning (root mean square {stats.significant(means.rms[small], 3)}) and "
            f"{methods.title(high)} scores highest ({stats.significant(means.projection[high], 3)}): {same}."
        )
    return said


# ------------------------------------------------------------------------------------------------ attention


def tuned_sizes(comparison: Comparison) -> dict[int, float]:
    """By how much tuning all biases changes a coordinate of b_q in each layer, mean over seeds.

    Magnitude is ‖post − pre‖₁, here over the d scalars of a layer's bias. Empty where those runs, or b_q alone, failed.
    """
    ranked = [result for result in comparison.ranking.values()]
    scores = [s for r in ranked for s in scores_of(r) if (s.approach, s.term) == ("magnitude", "query")]
    layers = sorted({s.layer for s in scores if s.layer is not None})
    alone = comparison.result_of("query")
    if not layers or alone is None:
        return {}
    d = alone.cost["trainable"] // len(layers)
    return {layer: float(np.mean([s.score for s in scores if s.layer == layer])) / d for layer in layers}


def attention_sentences(frame: pd.DataFrame) -> list[str]:
    """How far each bias moves attention, mean over layers, in words."""
    if frame.empty:
        return ["How far tuning moves b_q is not known: its runs, or all those of all biases, failed."]
    means = frame.groupby("term", sort=False).distance.mean()
    return [
        f"A random change of b_q, as large as tuning makes it, moves {stats.significant(100 * means['query'])} % of a "
        f"layer's attention to other words; the same change of b_k moves {stats.significant(100 * means['key'], 1)} %, "
        f"of b_v {stats.significant(100 * means['value'], 1)} %."
    ]


# ------------------------------------------------------------------------------------------------ precision


FAILED = "failed: "  # before the reason, in place of what a run would select


def precision_study(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """A row a precision and eps: projection scores of q, k, v, which term they would select, and the score achieved."""
    rows = []
    for spec in specs:
        result = runs.stored(spec)
        row = {"precision": spec.precision, "eps": f"{spec.eps:g}"}
        if result.done:
            means = importance.means(s for s in scores_of(result) if s.approach == "projection")
            row |= {methods.title(term): f"{means[term]:.4f}" for term in methods.ATTENTION_TERMS}
            row["would select"] = methods.title(importance.rank(means, among=methods.ATTENTION_TERMS)[0].term)
            row["score %"] = f"{100 * result.metrics[0].value:.1f} ± {196 * result.metrics[0].stderr:.1f}"
        else:
            row["would select"] = f"{FAILED}{result.reason}"
        rows.append(row)
    return pd.DataFrame(rows)


def precision_sentence(study: pd.DataFrame) -> str:
    """Whether the selected term depends on precision and eps, in words."""
    ended = study["would select"][~study["would select"].str.startswith(FAILED)]
    failed = f" ({len(study) - len(ended)} of {len(study)} settings failed)" if len(ended) < len(study) else ""
    selected = list(dict.fromkeys(ended))
    if not selected:
        return f"No setting selects a term{failed}."
    if len(selected) == 1:
        return f"Every setting would select the same term: {selected[0]}{failed}."
    return f"The selected term depends on precision and eps: {', '.join(selected)}{failed}."
