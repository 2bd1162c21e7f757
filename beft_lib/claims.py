"""The paper's claims as predicates over results, each with a verdict: the ledger that the report opens with.

A claim is judged only by runs of a pre-trained model on real data. Verdicts: `supported`, `contradicted`,
`inconclusive` (the interval holds zero, or there is one seed only), `not run`, `not judged` (toy data or model).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from beft_lib import methods, models, stats, tables, tasks
from beft_lib.methods import ATTENTION_TERMS

COLUMNS = ("id", "section", "claim", "verdict", "effect", "low", "high", "n", "evidence")


@dataclass(frozen=True)
class Evidence:
    """The results of one setting: a frame of `sweep.COLUMNS` and one of `tables.IMPORTANCE_COLUMNS`."""

    results: pd.DataFrame
    scores: pd.DataFrame
    metric: str

    def gap(self, first: str, second: str) -> stats.Estimate:
        return tables.difference(self.results, self.metric, first, second)


@dataclass(frozen=True)
class Claim:
    """`effect` gives the estimate, in points, whose sign decides; None when what it rests on does not hold."""

    id: str
    section: str
    text: str
    task: str
    regime: str
    effect: Callable[[Evidence], stats.Estimate | None]
    evidence: str


def _gap_of_selected(approach: str):
    """The selected term's score minus the best of the other two's, by their means over seeds."""

    def effect(evidence: Evidence) -> stats.Estimate:
        if (chosen := tables.selected(evidence.scores, approach)) is None:
            return stats.mean([])  # the approach selects nothing here
        achieved = tables.score_by_method(evidence.results, evidence.metric)
        rivals = [term for term in ATTENTION_TERMS if term != chosen and term in achieved]
        return evidence.gap(chosen, max(rivals, key=lambda term: achieved[term].mean))

    return effect


def _magnitude_errs(evidence: Evidence) -> stats.Estimate | None:
    if tables.selected(evidence.scores, "magnitude") != "query":
        return None
    return evidence.gap("value", "query")


FIG1 = "01_bias_selection, Fig. 1"
CLAIMS = (
    Claim(
        "projection-selects-best",
        "§1, Fig. 1",
        "The term that the projection ratio ranks first scores higher than the other two",
        "sst2",
        "low",
        _gap_of_selected("projection"),
        FIG1,
    ),
    Claim(
        "magnitude-selects-query",
        "§1, Fig. 1",
        "Magnitude ranks b_q first although tuning b_v scores higher",
        "sst2",
        "low",
        _magnitude_errs,
        FIG1,
    ),
    Claim(
        "fisher-selects-best",
        "§3.2",
        "The term that Fisher ranks first on SST-2 (b_v) scores higher than the other two",
        "sst2",
        "low",
        _gap_of_selected("fisher"),
        FIG1,
    ),
    Claim(
        "query-beats-key",
        "Fig. 1, Table 1",
        "Tuning b_q scores higher than tuning b_k",
        "sst2",
        "low",
        lambda evidence: evidence.gap("query", "key"),
        FIG1,
    ),
)


def judge(results: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """A row a claim and model (`COLUMNS`): verdict, and effect in points with its 95 % interval over n seeds."""
    rows = []
    for claim in CLAIMS:
        own = results[(results.task == claim.task) & (results.regime == claim.regime)]
        judged = [m for m in own.model.unique() if not isinstance(models.locate(m), models.Random)]
        for model in judged:
            evidence = Evidence(own[own.model == model], _of(scores, claim, model), tasks.get(claim.task).metric)
            rows.append(_row(claim, f"{claim.evidence}, {models.title(model)}", *_verdict(claim, evidence)))
        if not judged:
            toy = not results.empty and (results.source == "bundled").all()
            rows.append(_row(claim, claim.evidence, "toy data: not judged" if toy else "not run", None))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _of(scores: pd.DataFrame, claim: Claim, model: str) -> pd.DataFrame:
    return scores[(scores.task == claim.task) & (scores.regime == claim.regime) & (scores.model == model)]


def _verdict(claim: Claim, evidence: Evidence) -> tuple[str, stats.Estimate | None]:
    have = set(evidence.results.dropna(subset=["value"]).method)
    if not have >= set(ATTENTION_TERMS) or evidence.scores.empty:
        return "not run", None
    effect = claim.effect(evidence)
    if effect is None:
        return "contradicted", None
    if math.isnan(effect.low) or effect.low <= 0 <= effect.high:
        return "inconclusive", effect
    return ("supported" if effect.mean > 0 else "contradicted"), effect


def _row(claim: Claim, evidence: str, verdict: str, effect: stats.Estimate | None) -> dict:
    numbers = (
        {"effect": None, "low": None, "high": None, "n": 0}
        if effect is None
        else {"effect": effect.mean, "low": effect.low, "high": effect.high, "n": effect.n}
    )
    return {
        "id": claim.id,
        "section": claim.section,
        "claim": claim.text,
        "verdict": verdict,
        **numbers,
        "evidence": evidence,
    }


def sentence(first: str, second: str, gap: stats.Estimate) -> str:
    """A paired difference in words: which method scores higher, by how many points, and whether the data can tell."""
    a, b = methods.title(first), methods.title(second)
    if math.isnan(gap.mean):
        return f"{a} and {b} were not both run."
    if math.isnan(gap.low):
        return f"{a} scores {gap.mean:+.1f} points against {b}, from one seed: no interval, so no conclusion."
    if gap.low == gap.high == 0:
        return f"{a} and {b} score exactly the same in each of {gap.n} seeds."
    if gap.low > 0:
        verdict = f"{a} scores higher than {b}"
    elif gap.high < 0:
        verdict = f"{a} scores lower than {b}"
    else:
        verdict = f"The data cannot tell {a} from {b}"
    return f"{verdict}: {gap.mean:+.1f} points [{gap.low:.1f}, {gap.high:.1f}] over {gap.n} seeds."


COMPARED = (
    ("value", "query"),
    ("value", "key"),
    ("query", "key"),
    ("value", "head_only"),
    ("query", "head_only"),
    ("key", "head_only"),
    ("value", "all_biases"),
)


def comparisons(results: pd.DataFrame, metric: str) -> list[str]:
    """The paired differences that decide what is worth tuning, in words, from one setting's results."""
    return [sentence(first, second, tables.difference(results, metric, first, second)) for first, second in COMPARED]
