"""What would decide a claim that is undecided, and what that would cost, from the spread and the times of stored runs.

Three things leave a claim undecided, and each has its own price:

an interval that holds zero   more seeds: how many, from the variances of `stats.spread`; or, where the evaluation
                              examples alone leave it open, more examples, which no seed can replace
settings that were not run    as many more as the claim names, at the mean price of those that were
nothing learned               the same runs for as many epochs as the authors' code has; if they were, another model

Prices are core-hours of the processor that the stored runs were made with. They count what a verdict needs at least:
effects as large as those observed, which may be luck.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from beft_lib import models, tasks
from beft_lib.evidence import stats
from beft_lib.evidence.claims.finding import LEANS, NOT_TESTED, NOTHING_LEARNED, Finding
from beft_lib.evidence.claims.judge import Judged
from beft_lib.evidence.comparison import Comparison

MOST_SEEDS = 100  # more than this is no plan
COLUMNS = ("core-hours", "model", "verdict", "claims", "what would decide it")


class Need(NamedTuple):
    """What would decide something, in words, and its price in core-seconds; nan where it cannot be told."""

    what: str
    seconds: float


def table(found: Sequence[Judged]) -> pd.DataFrame:
    """A row a measure to take (`COLUMNS`), cheapest first; those without a price last."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in found:
        if one.finding is not None and not one.finding.undecided:
            continue
        if one.claim.printed:
            continue  # a table decides itself, or nothing does
        need = what_decides(one)
        model = models.title(one.model) if one.model else "–"
        verdict = one.finding.verdict if one.finding else NOT_TESTED
        row = rows.setdefault((model, verdict, need.what), {"claims": [], "seconds": need.seconds})
        row["claims"].append(one.claim.id)
    ordered = sorted(rows.items(), key=lambda item: (math.isnan(item[1]["seconds"]), item[1]["seconds"]))
    return pd.DataFrame(
        [
            {
                "core-hours": "–" if math.isnan(row["seconds"]) else f"{row['seconds'] / 3600:.1f}",
                "model": model,
                "verdict": verdict,
                "claims": ", ".join(row["claims"]),
                "what would decide it": what,
            }
            for (model, verdict, what), row in ordered
        ],
        columns=list(COLUMNS),
    )


def what_decides(one: Judged) -> Need:
    """What would decide a judged claim that is undecided."""
    finding = one.finding
    if finding is None:
        return Need(f"needs {one.claim.needs}", math.nan)
    if finding.verdict == NOT_TESTED:
        assert one.claim.only_of is not None, "what was found is left untested only where a claim is about one model"
        return Need(f"needs {models.title(one.claim.only_of)}, whose ranking it is about", math.nan)
    if finding.verdict == NOTHING_LEARNED:
        return _longer(finding.idle or finding.rests_on, finding.methods)
    needs = [_seeds(finding), _settings(finding)] if finding.verdict == LEANS else []
    needs += [_longer(finding.idle, finding.methods)] if finding.idle else []
    needs = [need for need in needs if need.what]
    if not needs:
        return Need("more seeds: how many cannot be told from values that are all the same", math.nan)
    return Need("; ".join(need.what for need in needs), sum(need.seconds for need in needs))


def seeds_needed(spread: stats.Spread, distance: float, most: int = MOST_SEEDS) -> int | None:
    """How many seeds bring half the interval below a distance; None if `most` do not: the examples leave it open."""
    wanted = (s for s in range(max(spread.n, 2), most + 1) if spread.half(seeds=s) < distance)
    return next(wanted, None)


def _seeds(finding: Finding) -> Need:
    """More seeds in each setting whose own gap is undecided; of a trend, in both of its settings."""
    if finding.n_of != "seeds":
        return Need("", 0.0)
    if finding.spread is None or len(finding.methods) != 2:
        return _seeds_by_t(finding)
    said, seconds = [], 0.0
    for comparison in finding.rests_on:
        gap = comparison.gap(*finding.methods)
        above = finding.against
        if gap.n and (gap.low > above or gap.high < above) and gap.n > 1:
            continue
        own = comparison.seeds(*finding.methods)
        if not own:
            continue
        spread = stats.spread([comparison.samples(*finding.methods, own)])
        distance, name = abs(gap.mean - above), f"{comparison.title} ({comparison.regime})"
        if (needed := seeds_needed(spread, distance)) is not None:
            needed = max(needed, len(own) + 1)
            said.append(f"{needed} seeds instead of {len(own)} on {name}")
            seconds += (needed - len(own)) * _seed_seconds(comparison, finding.methods)
        else:
            said.append(_examples(spread, distance, name))
            seconds = math.nan
    return Need("; ".join(said), seconds)


def _examples(spread: stats.Spread, distance: float, name: str) -> str:
    """What no number of seeds decides, in words: by how much larger an evaluation set would have to be."""
    if distance == 0:
        return f"no difference to be seen on {name}: no number of seeds"
    times = (spread.half(seeds=MOST_SEEDS) / distance) ** 2
    return (
        f"{math.ceil(times)} times the evaluation examples on {name}" if times < 1000 else f"nothing to find on {name}"
    )


def _seeds_by_t(finding: Finding) -> Need:
    """Of an effect whose interval is Student's: as many seeds as make it narrower than the effect is large."""
    effect, distance = finding.effect, abs(finding.effect.mean - finding.against)
    if effect.n < 2 or not effect.half > 0 or not distance > 0:
        return Need("", 0.0)
    if effect.half < distance:
        return Need("", 0.0)
    deviation = effect.half / student.ppf(0.975, effect.n - 1) * math.sqrt(effect.n)
    for seeds in range(effect.n + 1, MOST_SEEDS + 1):
        if student.ppf(0.975, seeds - 1) * deviation / math.sqrt(seeds) < distance:
            price = sum(_seed_seconds(c, finding.methods) for c in finding.rests_on)
            return Need(f"about {seeds} seeds instead of {effect.n}", (seeds - effect.n) * price)
    return Need(f"more than {MOST_SEEDS} seeds", math.nan)


def _settings(finding: Finding) -> Need:
    """The settings that the claim names and that were not run, at the mean price of those that were."""
    missing = finding.named - finding.run
    if missing <= 0 or not finding.rests_on:
        return Need("", 0.0)
    each = np.mean([_seed_seconds(c, finding.methods) * max(len(c.scores), 1) for c in finding.rests_on])
    return Need(f"{missing} settings that were not run, at the mean price of those that were", float(missing * each))


def _longer(settings: Sequence[Comparison], compared: Sequence[str]) -> Need:
    """Runs of settings that learned nothing, for as many epochs as the authors' code has."""
    said, seconds = [], 0.0
    for c in dict.fromkeys(c if c.control in c.scores else c.witness or c for c in settings):
        first = next(iter(c.specs.values()), None)
        if not c.nothing_learned or first is None:
            continue
        theirs, name = tasks.get(c.task).epochs.base, f"{c.title} ({c.regime})"
        if first.epochs < theirs:
            steps = first.total_steps // first.epochs
            said.append(f"{name} for {theirs * steps} steps instead of {first.epochs * steps}")
            seconds += _seed_seconds(c, compared) * max(len(c.scores), 1) * theirs / first.epochs
    said = list(dict.fromkeys(said))
    if not said:
        return Need("trained as long as in the authors' code: another model or rate", math.nan)
    return Need("; ".join(said), seconds)


def _seed_seconds(comparison: Comparison, wanted: Sequence[str]) -> float:
    """Core-seconds of one seed of these methods in a setting, by its stored runs; with the ranking run where it has
    one, and the control, without which nothing says that something was learned."""
    have = {method for method, _ in comparison.results}
    names = {"head_only" if m == "key" and comparison.serves_key else m for m in (*wanted, comparison.control)} & have
    names |= {"all_biases"} if comparison.ranking else set()
    total = 0.0
    for name in names:
        costs = [result.cost for (method, _), result in comparison.results.items() if method == name]
        total += float(
            np.mean([c.get("cpu_seconds") or c.get("seconds") or c.get("train_seconds") or 0.0 for c in costs])
        )
    return total
