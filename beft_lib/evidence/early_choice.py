"""How early is the ranking known? The choice along a run that tunes all biases, against the choice at its end."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from beft_lib import importance
from beft_lib.evidence import selection_quality, stats
from beft_lib.evidence.comparison import Comparison, choice
from beft_lib.tuning.methods import ATTENTION_TERMS

COLUMNS = ("task", "regime", "seed", "approach", "share", "step", "chosen", "final", "agrees", "regret", "seconds")


def along(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a run, approach and share of its steps (`COLUMNS`).

    `chosen`: the term that would be selected then; `agrees`: whether it is the one selected at the end; `regret`: the
    best term's mean score minus the chosen one's, in points; `seconds`: what training had taken by then, from the
    whole run's time and the share of its steps. The gradient-based approaches score before the first step and are not
    here.
    """
    rows = []
    for comparison in comparisons:
        achieved = {term: comparison.score(term).mean for term in ATTENTION_TERMS if term in comparison.scores}
        for seed, result in comparison.ranking.items():
            for snapshot in result.trajectory:
                for approach, scores in snapshot.scores.items():
                    final = _chosen(result.trajectory[-1].scores[approach])
                    chosen = _chosen(scores)
                    rows.append(
                        {
                            "task": comparison.task,
                            "regime": comparison.regime,
                            "seed": seed,
                            "approach": approach,
                            "share": snapshot.share,
                            "step": snapshot.step,
                            "chosen": chosen,
                            "final": final,
                            "agrees": float(chosen == final) if final else np.nan,
                            "regret": max(achieved.values()) - achieved[chosen] if chosen in achieved else np.nan,
                            "seconds": result.cost["train_seconds"] * snapshot.step / result.cost["steps"],
                        }
                    )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _chosen(scores: dict[str, Any]) -> str | None:
    return choice({term: np.nan if score is None else score for term, score in scores.items()})


def agreement(frame: pd.DataFrame, approach: str) -> dict[float, stats.Estimate]:
    """By share of the steps: the percentage of runs whose choice is already the final one."""
    own = frame[frame.approach == approach].assign(agrees=lambda f: 100 * f.agrees)
    return {share: selection_quality.average(at, "agrees").within(0, 100) for share, at in own.groupby("share")}


def settled(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a run and approach: the share of the steps after which the choice does not change any more."""
    rows = []
    for (task, regime, seed, approach), own in frame.groupby(["task", "regime", "seed", "approach"], sort=False):
        own = own.sort_values("share")
        changes = own.share[own.agrees == 0]
        later = own.share[own.share > changes.max()] if len(changes) else own.share
        rows.append({"task": task, "regime": regime, "seed": seed, "approach": approach, "share": later.min()})
    return pd.DataFrame(rows, columns=["task", "regime", "seed", "approach", "share"])


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a share of the steps: how often each approach's choice is the final one, what it loses, what it costs."""
    rows = []
    approaches = [a for a in importance.APPROACHES if a in set(frame.approach)]
    agreements = {approach: agreement(frame, approach) for approach in approaches}
    for share, own in frame.groupby("share"):
        beft = own[own.approach == "projection"]
        rows.append(
            {"share of the steps": f"{100 * share:g} %", "steps": f"{beft.step.min()} to {beft.step.max()}"}
            | {approach: str(agreements[approach][share]) for approach in approaches}
            | {
                "regret of projection, points": str(selection_quality.average(beft, "regret")),
                "seconds (median)": f"{beft.seconds.median():.1f}",
            }
        )
    return pd.DataFrame(rows)


def sentence(frame: pd.DataFrame, approach: str) -> str:
    """From which share of the steps on every run's choice is the final one, and what training had taken by then."""
    own = frame[(frame.approach == approach) & frame.final.notna()]
    if own.empty:
        return "No run made a choice."
    last = settled(own).share.max()
    at, end = own[own.share == last].seconds.median(), own[own.share == 1].seconds.median()
    runs = own.groupby(["task", "regime", "seed"]).ngroups
    return (
        f"From {100 * last:g} % of the steps on, the choice is the final one in each of {runs} runs: "
        f"{at:.1f} of {end:.1f} seconds of training (medians)."
    )
