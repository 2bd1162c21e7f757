"""How good is an approach at selecting? Its choices against what tuning the chosen term achieves.

An approach scores the terms in a run that tunes all biases; the terms are then tuned alone. In one setting the *best*
term is the one with the highest mean score over seeds. Everything is counted a seed at a time and averaged over tasks;
intervals are over tasks where there are `SAMPLE` or more, else over the seeds within them (`average`). A setting in
which nothing was learned (`Comparison.learned`) is not counted: there is no best term to select.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from beft_lib import importance, tasks
from beft_lib.evidence import stats
from beft_lib.evidence.comparison import Comparison
from beft_lib.tuning.methods import ATTENTION_TERMS

FIXED, CHANCE = "always_value", "chance"  # two selections without a score: b_v whatever the data, and a die's
SAMPLE = 5  # tasks that may stand for tasks like them
CONTENDERS = (*importance.APPROACHES, FIXED, CHANCE)


def choices(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a setting, seed and contender: what it chose, and what came of it.

    `hit`: whether the choice is (one of) the best of b_q, b_k, b_v, nan where all three are equal; `regret`: the best
    term's score minus the chosen one's in this seed, in points; `tau`: Kendall's rank correlation of the three scores
    with the three terms' mean scores, nan where either side is constant. For `chance`, expectations over the three
    terms.
    """
    rows = []
    for comparison in comparisons:
        if not set(ATTENTION_TERMS) <= set(comparison.scores) or not comparison.learned:
            continue
        achieved = comparison.scores[list(ATTENTION_TERMS)]
        mean = achieved.mean()
        about = {"task": comparison.task, "regime": comparison.regime, "n_train": comparison.n_train}
        for seed in comparison.ranking:
            if seed not in achieved.index or achieved.loc[seed].isna().any():
                continue
            regrets = achieved.loc[seed, mean.idxmax()] - achieved.loc[seed]
            hits = (mean == mean.max()).astype(float) if mean.nunique() > 1 else mean * np.nan
            for contender in CONTENDERS:
                row = about | {"seed": seed, "approach": contender, "chosen": None, "tau": np.nan}
                if contender == CHANCE:
                    rows.append(row | {"hit": hits.mean(), "regret": regrets.mean()})
                    continue
                if contender == FIXED:
                    chosen = "value"
                elif (chosen := comparison.selected(contender, seed)) is not None:
                    own = comparison.importance(contender).loc[seed, list(ATTENTION_TERMS)]
                    row["tau"] = _tau(own, mean[list(ATTENTION_TERMS)])
                if chosen is None:
                    rows.append(row | {"hit": np.nan, "regret": np.nan})
                else:
                    rows.append(row | {"chosen": chosen, "hit": hits[chosen], "regret": regrets[chosen]})
    return pd.DataFrame(
        rows, columns=["task", "regime", "n_train", "seed", "approach", "chosen", "tau", "hit", "regret"]
    )


def average(frame: pd.DataFrame, column: str) -> stats.Estimate:
    """The mean of a column over tasks; undefined values are left out.

    With `SAMPLE` tasks or more they are taken as a sample of tasks, and the interval is over them. Fewer say nothing of
    others: they are then given, and the interval is over the seeds within them, each the mean of its regimes. `n`
    counts the tasks, or the seeds.
    """
    defined = frame.dropna(subset=[column])
    if defined.task.nunique() >= SAMPLE:
        return stats.mean(defined.groupby("task", sort=False)[column].mean().to_numpy(dtype=float))
    by_seed = defined.groupby(["task", "seed"], sort=False)[column].mean()
    own = [values.to_numpy(dtype=float) for _, values in by_seed.groupby("task", sort=False)]
    return stats.mean(own[0]) if len(own) == 1 else stats.stratified([(v, np.tile(v, (2, 1))) for v in own])


# ------------------------------------------------------------------------------------------ over data regimes


def gaps(comparisons: Sequence[Comparison], everywhere: bool = False) -> pd.DataFrame:
    """A row a setting, seed and approach: the score of b_v minus that of b_q, beside the gap in performance (points).

    Only tasks with two regimes or more, in the order of their training examples; `everywhere`: also where nothing was
    learned.
    """
    rows = []
    for comparison in sorted(comparisons, key=lambda c: c.n_train):
        if not {"value", "query"} <= set(comparison.scores) or not (everywhere or comparison.learned):
            continue
        performance = comparison.scores["value"] - comparison.scores["query"]
        for approach in importance.APPROACHES:
            scores = comparison.importance(approach)
            for seed in scores.index.intersection(performance.dropna().index):
                rows.append(
                    {
                        "task": comparison.task,
                        "regime": comparison.regime,
                        "n_train": comparison.n_train,
                        "seed": seed,
                        "approach": approach,
                        "score_gap": scores.loc[seed, "value"] - scores.loc[seed, "query"],
                        "performance_gap": performance[seed],
                    }
                )
    columns = ["task", "regime", "n_train", "seed", "approach", "score_gap", "performance_gap"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame[frame.groupby("task").regime.transform("nunique") > 1].reset_index(drop=True)


def following(frame: pd.DataFrame) -> pd.DataFrame:
    """Whether the score gap follows the performance gap over regimes: Kendall's τ of a task, seed and approach.

    `frame`: from `gaps`. 1: both order the regimes alike, −1: oppositely; nan where either gap is constant.
    """
    rows = [
        {"task": task, "seed": seed, "approach": approach, "tau": _tau(own.score_gap, own.performance_gap)}
        for (task, seed, approach), own in frame.groupby(["task", "seed", "approach"], sort=False)
        if len(own) > 1
    ]
    return pd.DataFrame(rows, columns=["task", "seed", "approach", "tau"])


def _tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's τ-b; nan where it is undefined."""
    if np.ptp(np.asarray(first, float)) == 0 or np.ptp(np.asarray(second, float)) == 0:
        return np.nan
    return float(kendalltau(first, second).statistic)


# -------------------------------------------------------------------------------------------------- in words


def left_out(comparisons: Sequence[Comparison]) -> list[str]:
    """Which settings are not counted because nothing was learned in them, and why, in words."""
    reasons: dict[str, list[str]] = {}
    for comparison in comparisons:
        if not comparison.learned:
            name = f"{tasks.title(comparison.task)} ({comparison.regime})"
            reasons.setdefault(comparison.nothing_learned, []).append(name)
    said = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return (
        [
            f"Nothing was learned, and so nothing is counted, in {sum(map(len, reasons.values()))} of "
            f"{len(comparisons)} settings. {'; '.join(said)}."
        ]
        if said
        else []
    )


def settings(frame: pd.DataFrame) -> str:
    """What a frame of `choices` rests on."""
    one = frame[frame.approach == FIXED]
    return f"{len(one)} runs of {one.groupby(['task', 'regime']).ngroups} settings of {one.task.nunique()} tasks"


def over(frame: pd.DataFrame) -> str:
    """What the intervals of `average` are over."""
    tasks = frame.task.nunique()
    return "tasks" if tasks >= SAMPLE else "seeds" if tasks < 2 else f"seeds within the {tasks} tasks"


def saved(frame: pd.DataFrame, first: str, second: str) -> stats.Estimate:
    """Points that selecting by `first` gains over selecting by `second`, run by run, averaged over tasks."""
    regret = frame.pivot(index=["task", "regime", "seed"], columns="approach", values="regret")
    return average((regret[second] - regret[first]).rename("saved").reset_index(), "saved")


def sentences(frame: pd.DataFrame, titles: Mapping[str, str]) -> list[str]:
    """The projection ratio against each other way of selecting, in words."""
    said = []
    for other in [c for c in CONTENDERS if c != "projection" and c in set(frame.approach)]:
        gain, name = saved(frame, "projection", other), titles[other]
        if frame[frame.approach == other].chosen.tolist() == frame[frame.approach == "projection"].chosen.tolist():
            said.append(f"**{name}** makes the same choice as the projection ratio in every run.")
        elif gain.decided:
            verb = "gains" if gain.mean > 0 else "loses"
            said.append(f"Selecting by projection {verb} against **{name}**: {gain} points.")
        else:
            said.append(f"The data cannot tell selecting by projection from **{name}**: {gain} points.")
    return said
