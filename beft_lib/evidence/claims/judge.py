"""The ledger: each claim of the paper with a verdict computed from runs.

A claim is judged only by runs of a pre-trained model on real data. Verdicts: `supported`, `contradicted`,
`inconclusive` (the data cannot tell), `not run`, `toy data: not judged`.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from beft_lib import models
from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.finding import Finding
from beft_lib.evidence.comparison import Comparison
from beft_lib.runs.timing import Timing

COLUMNS = ("id", "section", "claim", "verdict", "effect", "low", "high", "n", "evidence")
UNJUDGED, NOT_RUN = "toy data: not judged", "not run"


def judge(
    claims: Sequence[Claim],
    results: Mapping[str, Sequence[Comparison]],
    timings: Mapping[str, Sequence[Timing]] | None = None,
) -> pd.DataFrame:
    """A row a claim and model (`COLUMNS`): the verdict, and the effect with its 95 % interval.

    `claims`: in the order of the rows. `results`: the comparisons of each execution of a notebook, by its name
    ("02_glue_regimes", or with a part after "__" for each of a matrix); `timings`: what it timed. `effect`, `low`,
    `high` are in the unit that `evidence` names; `n` counts tasks, or seeds where one task is judged.
    """
    rows = []
    for claim in claims:
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
