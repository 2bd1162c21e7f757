"""The paper's claims, each with a verdict computed from runs: the ledger that the report opens with.

    statements    every claim of §1 to §3.5, with the predicate that judges it
    claim         what a claim is, and where those of one table are judged
    predicates    what a claim rests on, and the rule of its verdict
    extended      further ones: combinations, equivalence, merging, rates, epochs, cost

A claim is judged only by runs of a pre-trained model on real data. Verdicts: `supported`, `contradicted`,
`inconclusive` (the data cannot tell), `not run`, `toy data: not judged`.
"""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from beft_lib import models, stats
from beft_lib.claims.claim import Claim
from beft_lib.claims.predicates import Finding
from beft_lib.claims.statements import CLAIMS
from beft_lib.evidence import Comparison
from beft_lib.runs.timing import Timing
from beft_lib.tuning import methods

COLUMNS = ("id", "section", "claim", "verdict", "effect", "low", "high", "n", "evidence")
UNJUDGED, NOT_RUN = "toy data: not judged", "not run"

__all__ = ["CLAIMS", "COLUMNS", "Claim", "comparisons", "judge", "sentence"]


def judge(
    results: Mapping[str, Sequence[Comparison]], timings: Mapping[str, Sequence[Timing]] | None = None
) -> pd.DataFrame:
    """A row a claim and model (`COLUMNS`): the verdict, and the effect with its 95 % interval.

    `results`: the comparisons of each execution of a notebook, by its name ("02_glue_regimes", or with a part after
    "__" for each of a matrix); `timings`: what it timed. `effect`, `low`, `high` are in the unit that `evidence`
    names; `n` counts tasks, or seeds where one task is judged.
    """
    rows = []
    for claim in CLAIMS:
        shown = {name: own for name, own in results.items() if name.partition("__")[0] == claim.notebook}
        judged = []
        for name, own in shown.items():
            encoders = list(dict.fromkeys(c.model for c in own))
            for model in dict.fromkeys(c.model for c in own if _real(c)):
                if claim.encoders != "any" and (claim.encoders == "first") != (model == encoders[0]):
                    continue
                settings = [c for c in own if c.model == model and _real(c)]
                measured = [timing for timing in (timings or {}).get(name, ()) if timing.model == model]
                finding = claim.timed(measured) if claim.timed else claim.predicate and claim.predicate(settings)
                if finding:
                    judged.append(_row(claim, finding, models.title(model), name))
        rows += judged
        if not judged:
            everything = [c for own in shown.values() for c in own]
            toys = (claim.predicate or claim.timed) and any(map(_toy, everything)) and not any(map(_real, everything))
            rows.append(_row(claim, None, UNJUDGED if toys else NOT_RUN, claim.notebook))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _toy(comparison: Comparison) -> bool:
    return all(spec.source == "bundled" for spec in comparison.specs.values())


def _real(comparison: Comparison) -> bool:
    """Whether the runs can judge: a pre-trained model, and data that are not this project's toys."""
    return not _toy(comparison) and not isinstance(models.locate(comparison.model), models.Random)


def _row(claim: Claim, finding: Finding | None, about: str, name: str) -> dict:
    """`about`: the model that was judged, or the verdict where nothing was; `name`: of the notebook's execution."""
    row = {"id": claim.id, "section": claim.section, "claim": claim.text}
    if finding is None:
        nothing = {"verdict": about, "effect": None, "low": None, "high": None, "n": 0}
        return row | nothing | {"evidence": f"{name}, {claim.shown}: needs {claim.needs}"}
    effect = finding.effect
    numbers = {"effect": effect.mean, "low": effect.low, "high": effect.high, "n": effect.n}
    evidence = f"{name}, {claim.shown}: {about}, {finding.unit}; {finding.note}"
    return row | {"verdict": finding.verdict} | numbers | {"evidence": evidence}


def sentence(first: str, second: str, gap: stats.Estimate) -> str:
    """A paired difference in words: which method scores higher, by how many points, and whether the data can tell."""
    a, b = methods.title(first), methods.title(second)
    if math.isnan(gap.mean):
        return f"{a} and {b} were not both run."
    if math.isnan(gap.low) or gap.n == 1:
        return f"{a} scores {gap.mean:+.1f} points against {b}, from one seed: no interval over seeds, no conclusion."
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


def comparisons(comparison: Comparison) -> list[str]:
    """The paired differences that decide what is worth tuning, in words, in one setting."""
    pairs = [pair for pair in COMPARED if not (pair == ("key", "head_only") and comparison.serves_key)]
    return [sentence(first, second, comparison.gap(first, second)) for first, second in pairs]
