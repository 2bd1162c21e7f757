"""What runs say about methods: one `Comparison` a setting, its scores paired by seed and by evaluation example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from beft_lib import importance, models, runs, tasks
from beft_lib.evidence import learning, stats
from beft_lib.importance import Rank
from beft_lib.runs import RunResult, RunSpec
from beft_lib.tasks import metrics
from beft_lib.tuning.methods import ATTENTION_TERMS

SIGNED = (*metrics.CORRELATIONS, "matthews")  # metrics from −1 to 1; the others are shares


@dataclass(frozen=True, eq=False)
class Comparison:
    """The runs of one model on one task with one amount of data, by method and seed; scores in percent.

    A method here is an *arm*: where a group compares runs of one method, each has a name of its own. `variant`: what
    the runs share that others of the setting do not (a learning rate, a choice of heads).

    The methods of a seed share training examples, initial head and batches, and all runs share the evaluation
    examples. Where positions are absolute, a run of b_k is a run of the head alone, step by step; it is then not
    made, and the head's runs stand for it (`serves_key`).
    """

    model: str
    task: str
    regime: str
    n_train: int
    split: str
    specs: Mapping[tuple[str, int], RunSpec]
    results: Mapping[tuple[str, int], RunResult]  # the runs that ended well
    variant: str = ""
    witness: "Comparison | None" = None  # of the same model and task, with the control that these runs lack
    measure: str = ""  # a metric of the task; left out, the one it is known by

    @property
    def metric(self) -> str:
        return self.measure or tasks.get(self.task).metric

    def by(self, metric: str) -> "Comparison":
        """The same runs, scored by another metric of the task: accuracy beside F1."""
        return self if metric == self.metric else replace(self, measure=metric)

    @property
    def prompts(self) -> bool:
        """Whether a decoder answers prompts here."""
        return tasks.get(self.task).prompts

    @property
    def control(self) -> str:
        """What a method must beat to have learned anything: the head alone, or with prompts the untuned model."""
        return "zero_shot" if self.prompts else "head_only"

    @property
    def title(self) -> str:
        """The validation split as a table calls it, e.g. MNLI-m."""
        return next(v.title for v in tasks.get(self.task).validation if v.split == self.split)

    def on(self, split: str) -> "Comparison":
        """The same runs, scored on another validation split."""
        return self if split == self.split else replace(self, split=split)

    @property
    def splits(self) -> list[str]:
        """The validation splits that there are scores on."""
        return list(dict.fromkeys(v.split for result in self.results.values() for v in result.metrics))

    @property
    def planned(self) -> list[str]:
        """The methods that there are specs of, in their order."""
        return list(dict.fromkeys(method for method, _ in self.specs))

    def run_of(self, method: str) -> RunSpec:
        """The spec of a method's first seed; `KeyError` where none was planned."""
        for (name, _), spec in self.specs.items():
            if name == method:
                return spec
        raise KeyError(f"{method}: no run was planned; there are {', '.join(self.planned)}")

    def result_of(self, method: str) -> RunResult | None:
        """The result of a method's first seed that ended well; None where there is none."""
        return next((result for (name, _), result in self.results.items() if name == method), None)

    # ---------------------------------------------------------------------------------------------- learning

    @property
    def learned(self) -> bool:
        """Whether anything was learned here: if not, who scores higher than whom says nothing (see `learning`)."""
        return not self.nothing_learned

    @cached_property
    def nothing_learned(self) -> str:
        """Why this setting shows nothing, in a few words; empty if some method learned something."""
        return learning.nothing_learned(self)

    # ------------------------------------------------------------------------------------------------ scores

    @property
    def serves_key(self) -> bool:
        """Whether the head's runs stand for those of b_k."""
        return "key" not in self.planned and "head_only" in self.planned and models.key_is_inert(self.model)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """(seeds, methods) in percent; a run that failed is a hole."""
        found = {
            (method, seed): 100 * value.value
            for (method, seed), result in self.results.items()
            for value in result.metrics
            if (value.metric, value.split) == (self.metric, self.split)
        }
        frame = pd.Series(found, dtype=float).unstack(0) if found else pd.DataFrame(dtype=float)
        return frame.assign(key=frame["head_only"]) if self.serves_key and "head_only" in frame else frame

    def score(self, method: str) -> stats.Estimate:
        """Mean over seeds with Student's interval, which ends where the metric's values do."""
        if method not in self.scores:
            return stats.mean([])
        found = stats.mean(self.scores[method].dropna().to_numpy())
        return found.within(-100.0 if self.metric in SIGNED else 0.0, 100.0)

    def gap(self, first: str, second: str, level: float = 0.95) -> stats.Estimate:
        """first − second in points, seed by seed on the same examples; the interval is over seeds and examples."""
        seeds = self.seeds(first, second)
        return stats.crossed(*self.samples(first, second, seeds), level) if seeds else stats.mean([])

    def above(self, method: str, score: float) -> stats.Estimate:
        """A method's score minus one that is given, in percent; the interval is as of `gap`."""
        seeds = self.seeds(method)
        if not seeds or np.isnan(score):
            return stats.mean([])
        return stats.crossed(self.scores.loc[seeds, method] - score, self._resampled(method, seeds) - score)

    def gap_change(self, later: "Comparison", first: str, second: str) -> stats.Estimate:
        """How much wider the gap first − second is in another setting of the task, in points, on the same examples."""
        seeds = [seed for seed in self.seeds(first, second) if seed in later.seeds(first, second)]
        if not seeds:
            return stats.mean([])
        self._check_examples(later)
        now, then = (c.samples(first, second, seeds) for c in (self, later))
        return stats.crossed(then[0] - now[0], then[1] - now[1])

    def change(self, later: "Comparison", method: str) -> stats.Estimate:
        """How much higher a method scores in another setting of the task, in points, on the same examples."""
        seeds = [seed for seed in self.seeds(method) if seed in later.seeds(method)]
        if not seeds:
            return stats.mean([])
        self._check_examples(later)
        scores = (later.scores[method] - self.scores[method]).loc[seeds].to_numpy()
        return stats.crossed(scores, later._resampled(method, seeds) - self._resampled(method, seeds))

    def _check_examples(self, other: "Comparison") -> None:
        """Raise `ValueError` if the other comparison's runs were evaluated on other examples: nothing can be paired."""
        first, second = (runs.predictions(c.specs[next(iter(c.results))])[f"{c.split}/ids"] for c in (self, other))
        if not np.array_equal(first, second):
            raise ValueError(f"{self.task} {self.variant} and {other.task} {other.variant}: other evaluation examples")

    def curve(self, method: str) -> pd.DataFrame:
        """(seeds, epochs from 1) in percent: the scores after each epoch, where the runs were scored so."""
        return pd.DataFrame.from_dict(
            {
                seed: {
                    epoch.epoch: 100 * value.value
                    for epoch in result.curve
                    for value in epoch.metrics
                    if (value.metric, value.split) == (self.metric, self.split)
                }
                for (own, seed), result in self.results.items()
                if own == method and result.curve
            },
            orient="index",
        )

    def gains(self, method: str) -> pd.Series:
        """By how many points the second half of a run's epochs scores higher than the first half, by seed."""
        curve = self.curve(method).dropna()
        half = curve.shape[1] // 2
        if not half:
            return pd.Series(dtype=float)
        return curve.iloc[:, half:].mean(axis=1) - curve.iloc[:, :half].mean(axis=1)

    @property
    def learning_rate(self) -> float:
        """That of the runs; of the first one, where methods differ in it."""
        return next(iter(self.specs.values())).learning_rate

    def samples(
        self, first: str | Mapping[int, str], second: str | Mapping[int, str], seeds: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """first − second of these seeds: (seeds,) on the examples, (draws, seeds) on bootstrap samples of them.

        A method, or by seed which one: what an approach chose.
        """
        pairs = [[m if isinstance(m, str) else m[seed] for m in (first, second)] for seed in seeds]
        scores = [self.scores.at[seed, a] - self.scores.at[seed, b] for seed, (a, b) in zip(seeds, pairs)]
        drawn = [self._resampled(a, [seed]) - self._resampled(b, [seed]) for seed, (a, b) in zip(seeds, pairs)]
        return np.array(scores), np.concatenate(drawn, axis=1)

    def best(self, among: Sequence[str] = ATTENTION_TERMS) -> str | None:
        """The method with the highest mean score; None if none was run."""
        have = [method for method in among if method in self.scores]
        return max(have, key=lambda method: self.score(method).mean, default=None)

    def seeds(self, *wanted: str) -> list[int]:
        """The seeds that all of these methods have."""
        if any(method not in self.scores for method in wanted):
            return []
        return self.scores[list(wanted)].dropna().index.tolist()

    def _resampled(self, method: str, seeds: Sequence[int]) -> np.ndarray:
        """(draws, seeds): the method's scores on bootstrap samples of the examples, the same ones for every method."""
        made = "head_only" if method == "key" and self.serves_key else method
        return np.stack([self._bootstrap[made, seed] for seed in seeds], axis=1)

    @cached_property
    def _bootstrap(self) -> dict[tuple[str, int], np.ndarray]:
        keys, found, labels, ids = list(self.results), [], None, None
        for key in keys:
            arrays = runs.predictions(self.specs[key])
            own = arrays[f"{self.split}/ids"]
            if ids is not None and not np.array_equal(ids, own):
                raise ValueError(f"{self.specs[key]} was evaluated on other examples than {self.specs[keys[0]]}")
            labels, ids = arrays[f"{self.split}/labels"], own
            found.append(
                self._outcomes(
                    {name.partition("/")[2]: a for name, a in arrays.items() if name.startswith(f"{self.split}/")}
                )
            )
        if labels is None:
            raise ValueError(f"{self.model} on {self.task} ({self.regime}): no run ended well, so nothing is resampled")
        draws = stats.example_draws(labels)
        if self.prompts:
            drawn = 100 * metrics.resampled_points(np.stack(found), draws)
        else:
            drawn = 100 * metrics.resampled(self.metric, np.stack(found), labels, draws)
        return {key: drawn[:, place] for place, key in enumerate(keys)}

    def _outcomes(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the metric is computed from, (n,): predictions, or with prompts each example's points."""
        task = tasks.get(self.task)
        if self.prompts:
            return arrays["points"][:, task.metrics.index(self.metric)]
        return arrays["logits"].squeeze(-1) if task.regression else arrays["logits"].argmax(-1)

    # ------------------------------------------------------------------------------------------- importance

    @cached_property
    def ranking(self) -> dict[int, RunResult]:
        """The runs that importance scores come from, by seed."""
        return {seed: r for (method, seed), r in self.results.items() if self.specs[method, seed].ranking}

    def importance(self, approach: str) -> pd.DataFrame:
        """(seeds, terms): each run's score of a term, averaged over layers; nan where it is undefined."""
        return pd.DataFrame.from_dict(
            {
                seed: {
                    entry.term: np.mean([np.nan if s is None else s for s in entry.scores])
                    for entry in result.importance
                    if entry.approach == approach
                }
                for seed, result in self.ranking.items()
            },
            orient="index",
        )

    def means(self, approach: str) -> dict[str, float]:
        """A term's score, averaged over layers and seeds."""
        return self.importance(approach).mean(skipna=False).to_dict()

    def places(self, approach: str, seed: int | None = None) -> dict[str, Rank]:
        """Every term's place among all bias terms of the model, by the mean over seeds or by one seed's run."""
        return {rank.term: rank for rank in importance.rank(self._by(approach, seed))}

    def selected(self, approach: str, seed: int | None = None) -> str | None:
        """The target term among b_q, b_k, b_v, by the mean over seeds or by one seed's run; None if undefined."""
        return choice(self._by(approach, seed))

    def _by(self, approach: str, seed: int | None) -> dict[str, float]:
        return self.means(approach) if seed is None else self.importance(approach).loc[seed].to_dict()


def choice(scores: Mapping[str, float]) -> str | None:
    """The term that scores select among b_q, b_k and b_v; None if no score is defined."""
    if any(term not in scores for term in ATTENTION_TERMS):
        return None
    best = importance.rank(scores, among=ATTENTION_TERMS)[0]
    return None if np.isnan(best.score) else best.term
