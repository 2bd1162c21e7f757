"""The ledger: each claim of the paper with a verdict computed from runs.

A claim is judged only by runs of a pre-trained model on real data; what the paper's own tables or a configuration
decide needs no run at all. The verdicts are those of `finding`.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from beft_lib import models
from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    NO_DIFFERENCE,
    NOT_TESTED,
    NOTHING_LEARNED,
    SO_FAR,
    SUPPORTED,
    VERDICTS,
    Finding,
)
from beft_lib.evidence.comparison import Comparison
from beft_lib.runs.timing import Timing

COLUMNS = (
    "id",
    "section",
    "question",
    "claim",
    "model",
    "verdict",
    "reason",
    "effect",
    "low",
    "high",
    "unit",
    "n",
    "scope",
    "paper",
    "evidence",
)
TOY = "toy data judge nothing"


class Judged(NamedTuple):
    """A claim, the model it was judged on ("" if none), what was found (None if nothing), and in which execution."""

    claim: Claim
    model: str
    finding: Finding | None
    name: str
    toys: bool = False


def judged(
    claims: Sequence[Claim],
    results: Mapping[str, Sequence[Comparison]],
    timings: Mapping[str, Sequence[Timing]] | None = None,
) -> list[Judged]:
    """Every claim on every model that can judge it, in the order of the claims; one entry where none can.

    `results`: the comparisons of each execution of a notebook, by its name ("02_glue_regimes", or with a part after
    "__" for each of a matrix); `timings`: what it timed.
    """
    found = []
    for claim in claims:
        if claim.printed:
            found.append(Judged(claim, claim.printed_model, claim.printed(), claim.notebook))
            continue
        shown = {name: own for name, own in results.items() if name.partition("__")[0] == claim.notebook}
        own = [
            one for name, some in shown.items() for one in _by_model(claim, name, some, (timings or {}).get(name, ()))
        ]
        if not own:
            everything = [c for some in shown.values() for c in some]
            toys = bool(everything) and any(map(_toy, everything)) and not any(map(_real, everything))
            own = [Judged(claim, "", None, claim.notebook, toys)]
        found += own
    return found


def _by_model(claim: Claim, name: str, comparisons: Sequence[Comparison], timings: Sequence[Timing]) -> list[Judged]:
    """The claim on each pre-trained model of one execution that has what it needs."""
    encoders = list(dict.fromkeys(c.model for c in comparisons))
    found = []
    for model in dict.fromkeys(c.model for c in comparisons if _real(c)):
        if claim.encoders != "any" and (claim.encoders == "first") != (model == encoders[0]):
            continue
        settings = [c for c in comparisons if c.model == model and _real(c)]
        measured = [timing for timing in timings if timing.model == model]
        finding = claim.timed(measured) if claim.timed else claim.predicate and claim.predicate(settings)
        if finding:
            found.append(Judged(claim, model, _of_another(claim, model, finding), name))
    return found


def _of_another(claim: Claim, model: str, finding: Finding) -> Finding:
    """What another model shows of a claim about one model's own ranking: whether it is seen there too, no verdict."""
    if claim.only_of in (None, model) or finding.verdict == NOTHING_LEARNED:
        return finding
    seen = {SUPPORTED: "seen on", CONTRADICTED: "not seen on", NO_DIFFERENCE: "no difference on"}
    said = seen.get(finding.verdict, "seen so far on" if finding.reason.startswith(SO_FAR) else "not decided on")
    found = finding.reason.partition("settings): ")[2] if finding.reason.startswith(SO_FAR) else finding.reason
    reason = f"about {models.title(claim.only_of)}'s own ranking; {said} {models.title(model)}: {found}"
    return finding._replace(verdict=NOT_TESTED, reason=reason)


def ledger(found: Sequence[Judged]) -> pd.DataFrame:
    """A row a claim and model (`COLUMNS`): the verdict and why, and the effect with its 95 % interval in its unit.

    `n` says of what. `evidence` ends with the measurement's id: rows that share it rest on one number.
    """
    return pd.DataFrame([_row(one) for one in found], columns=list(COLUMNS))


def judge(
    claims: Sequence[Claim],
    results: Mapping[str, Sequence[Comparison]],
    timings: Mapping[str, Sequence[Timing]] | None = None,
) -> pd.DataFrame:
    """The ledger of these claims (see `judged` and `ledger`)."""
    return ledger(judged(claims, results, timings))


def measurements(frame: pd.DataFrame) -> int:
    """How many numbers a ledger rests on: sentences that repeat one count once."""
    return frame.evidence.str.extract(r"measurement (\w+)$")[0].nunique()


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """How many rows have which verdict, a row a question and one for all."""
    counted = pd.crosstab(frame.question, frame.verdict).reindex(frame.question.drop_duplicates())
    counted = counted[sorted(counted, key=lambda verdict: (*VERDICTS, verdict).index(verdict))]
    counted.loc["all"] = counted.sum()
    return counted.rename_axis(columns=None).reset_index()


def listing(claims: Sequence[Claim]) -> pd.DataFrame:
    """The claims as a list that a referee can check: id, sentence, where in the paper, what decides it."""
    rows = [(c.id, c.question, c.text, c.section, c.paper, c.rule) for c in claims]
    return pd.DataFrame(rows, columns=["id", "question", "claim", "section", "paper", "decided by"])


def _toy(comparison: Comparison) -> bool:
    return all(spec.source == "bundled" for spec in comparison.specs.values())


def _real(comparison: Comparison) -> bool:
    """Whether the runs can judge: a pre-trained model, and data that are not this project's toys."""
    return not _toy(comparison) and not isinstance(models.locate(comparison.model), models.Random)


def _row(one: Judged) -> dict[str, str | float]:
    claim, finding = one.claim, one.finding
    row: dict[str, str | float] = {
        "id": claim.id,
        "section": claim.section,
        "question": claim.question,
        "claim": claim.text,
    }
    row |= {"paper": claim.paper, "scope": "", "unit": "", "n": "0"}
    place = f"{one.name}, {claim.shown}"
    if finding is None:
        reason = TOY if one.toys else f"needs {claim.needs}"
        return row | {"model": "", "verdict": NOT_TESTED, "reason": reason, "evidence": place}
    effect = finding.effect
    row |= {"model": one.model if claim.printed else models.title(one.model), "verdict": finding.verdict}
    row |= {"reason": finding.reason, "unit": finding.unit, "scope": finding.scope}
    row |= {"effect": effect.mean, "low": effect.low, "high": effect.high}
    return row | {"n": _n(finding), "evidence": f"{place}; measurement {_measurement(one, finding)}"}


def _n(finding: Finding) -> str:
    """What the effect's n counts, in words; of seeds in several settings, from the fewest to the most."""
    few, of = finding.effect.n, finding.n_of
    if of != "seeds" or not finding.spread or len(finding.rests_on) < 2:
        return f"{few} {of if few != 1 else of.removesuffix('s')}"
    two = len(finding.methods) == 2
    most = max(len(c.seeds(*finding.methods)) for c in finding.rests_on) if two else few
    return f"{few}{f' to {most}' if most > few else ''} seeds in each of {len(finding.rests_on)} settings"


def _measurement(one: Judged, finding: Finding) -> str:
    """Names the number that a row rests on: the same for rows that repeat it."""
    settings = sorted({f"{c.model} {c.task} {c.n_train} {c.variant}" for c in finding.rests_on})
    numbers = [None if math.isnan(value) else round(abs(value), 6) for value in finding.effect[:3]]
    of = settings or [one.claim.id]
    return hashlib.sha256(json.dumps([one.model, of, finding.unit, finding.what, numbers]).encode()).hexdigest()[:8]
