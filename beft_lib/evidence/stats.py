"""Means, paired differences and comparisons over seeds, with intervals that say what they rest on.

Over the choice of seeds: `mean` and `paired`. Over that of seeds and of evaluation examples: `crossed` in one setting,
with the samples of `example_draws` scored by `metrics.resampled`, and `stratified` over several, which are fixed. Over
several tasks: `probability_of_improvement`. A share of runs: `share`. Nothing here knows percent from fractions.
s seeds, n examples, d bootstrap draws, k strata.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import beta, norm
from scipy.stats import t as student

Values = Sequence[float] | np.ndarray  # one-dimensional
Strata = Sequence[tuple[Values, np.ndarray]]  # of each stratum the scores (s,), and resampled (d, s) of `crossed`


class Estimate(NamedTuple):
    """A value with its interval, of 95 % unless asked otherwise, that rests on `n` seeds or groups.

    The interval is nan where there is nothing to estimate it from. With one seed it is that of `crossed`,
    over the choice of evaluation examples alone.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2

    @property
    def decided(self) -> bool:
        """Whether there is an interval and 0 lies outside it; one seed, or values that are all equal, decide none."""
        return self.n > 1 and self.low < self.high and (self.low > 0 or self.high < 0)

    def within(self, lowest: float, highest: float) -> "Estimate":
        """The same with an interval that ends where the values do: few seeds can put Student's t beyond 100 %."""
        if math.isnan(self.low):
            return self
        return self._replace(low=max(self.low, lowest), high=min(self.high, highest))

    def text(self, digits: int = 1) -> str:
        """The value and its interval; it says what the interval does not rest on."""
        if math.isnan(self.mean):
            return "–"
        value = number(self.mean, digits)
        if math.isnan(self.low):
            return f"{value} (one seed, no interval)"
        if self.low == self.high:
            return f"{value} (the same in each of {self.n})"
        interval = f"{value} [{number(self.low, digits)}, {number(self.high, digits)}]"
        return f"{interval} (one seed: examples only)" if self.n == 1 else interval

    def __str__(self) -> str:
        return self.text()


def number(value: float, digits: int = 1, sign: bool = False) -> str:
    """A number for readers: fixed digits, a true minus sign, and no minus before what is zero when rounded."""
    if math.isnan(value):
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if not text.strip("+-0."):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def significant(value: float, digits: int = 2) -> str:
    """A number of any size for readers: so many significant digits, a power of ten only where zeros would pile up.

    0.77, 42, and 3.2e−10 with a true minus sign.
    """
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -3 <= power < 5:
        return number(round(value, digits - 1 - power), max(0, digits - 1 - power))
    return f"{value:.{digits - 1}e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e").replace("-", "−")


def mean(values: Values, level: float = 0.95) -> Estimate:
    """Student's t interval of the mean: values (s,) over seeds; it widens as it must when seeds are few."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return Estimate(float(values.mean()) if len(values) else math.nan, math.nan, math.nan, len(values))
    spread = 0.0 if np.allclose(values, values[0], rtol=0, atol=1e-9) else values.std(ddof=1)  # 100/3 is 100/3
    half = student.ppf((1 + level) / 2, len(values) - 1) * spread / math.sqrt(len(values))
    return Estimate(float(values.mean()), float(values.mean() - half), float(values.mean() + half), len(values))


def paired(first: Values, second: Values, level: float = 0.95) -> Estimate:
    """The mean of first − second, seed by seed: what the runs of a seed share (data, head, batches) cancels."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"paired values need the same seeds: {first.shape} and {second.shape}")
    return mean(first - second, level)


def example_draws(labels: Sequence[Any] | np.ndarray, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """How often each of the examples is in each bootstrap sample of them: counts (d, n), each row of sum n.

    labels (n,). Class ids: stratified, each sample has as many examples of a class as there are, as when the
    evaluation set's class shares are by design. Floats (a regression): drawn from all. Equal arguments give
    equal draws, so that methods are scored on the same samples and their difference is paired.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not labels.size:
        raise ValueError(f"labels of shape {labels.shape}; they must be (n,), at least one")
    rng = np.random.default_rng(seed)
    counts = np.empty((draws, len(labels)), np.int32)  # half the memory of the default, which is much for large n
    strata = np.zeros(len(labels)) if labels.dtype.kind == "f" else labels
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    return counts


def crossed(scores: Values, resampled: np.ndarray, level: float = 0.95) -> Estimate:
    """The mean over seeds, with an interval over the choice of both the seeds and the evaluation examples.

    scores (s,): each seed's score on the evaluation examples, or the difference of two methods' scores;
    resampled (d, s): the same on d bootstrap samples of the examples. Every seed meets the same examples: a
    crossed design, in which a score is off by a part of its seed, one of the examples, which all seeds share,
    and one of the two together. The variances of the mean over seeds by which it is off:

        V_seeds    = var_seeds(scores) / s                            of the seed and of both together
        V_examples = var_draws(mean_seeds(resampled))                 of the examples and of both together
        V_both     = Σ_seeds var_draws(resampled − mean_seeds(resampled)) / (s (s − 1))

    so that V_seeds + V_examples − V_both is without bias for the whole. The first is known from s seeds only,
    so each part gets its own quantile of Student's t (Banerjee, 1961), t with s − 1 and z with d − 1 degrees of
    freedom; and the interval is never below that of the examples alone:

        half² = max(t² V_seeds + z² max(V_examples − V_both, 0), z² V_examples)

    The 95 % interval of 3 seeds covers in 94 to 99 % of cases: about 95 where the seeds or the examples dominate, most
    where the seeds have no variance of their own, as 3 cannot tell. (One t with Satterthwaite's degrees of
    freedom on the sum of variances is narrower, but covers in 92 to 98 %, and of 2 seeds in 87 to 98 %.) Like
    Student's, it takes the effects of seeds to be about normal: less is covered, 91 to 94 %, where seeds' scores
    are skewed over tens of points, as when some fail.

    One seed: z² V_examples alone. V_examples is that of a bootstrap, (n − 1) / n of the variance: a little
    narrow for a few dozen examples. Scores that are not finite give nan.
    """
    scores, resampled = np.asarray(scores, dtype=float), np.asarray(resampled, dtype=float)
    if scores.ndim != 1 or resampled.shape[1:] != scores.shape or len(resampled) < 2:
        raise ValueError(f"scores of shape {scores.shape} need (2 draws or more, seeds), not {resampled.shape}")
    return stratified([(scores, resampled)], level=level) if len(scores) else mean(scores)


class Spread(NamedTuple):
    """By which variances a mean over seeds and examples is off, and so how it would narrow with more seeds.

    `seeds`: V_seeds of the mean over `n` seeds, known with `freedom` degrees of freedom; `beside`: what the examples
    add, max(V_examples − V_both, 0); `examples`: V_examples; `draws`: bootstrap samples.
    """

    seeds: float
    freedom: float
    beside: float
    examples: float
    n: int
    draws: int

    def half(self, level: float = 0.95, seeds: int | None = None) -> float:
        """Half the interval with as many seeds, or what it would be with another number of them."""
        s, quantile = seeds or self.n, (1 + level) / 2
        z = student.ppf(quantile, self.draws - 1)
        both = max(self.examples - self.beside, 0.0)  # of seed and example together: it shrinks with the seeds
        examples = self.beside + both * self.n / s
        if self.n < 2 or s < 2:
            return z * math.sqrt(examples)
        t = student.ppf(quantile, self.freedom * (s - 1) / (self.n - 1))
        return math.sqrt(max(t**2 * self.seeds * self.n / s + z**2 * self.beside, z**2 * examples))


def spread(strata: Strata, weights: Sequence[float] | None = None) -> Spread:
    """The variances of a weighted mean of independent strata, each as in `crossed` (see `stratified`)."""
    weights = [1 / len(strata)] * len(strata) if weights is None else weights
    parts = [_variances(np.asarray(scores, float), np.asarray(drawn, float)) for scores, drawn in strata]
    seeds, beside, examples = (
        np.array([w**2 * part[i] for w, part in zip(weights, parts, strict=True)]) for i in range(3)
    )
    counts = [len(scores) for scores, _ in strata]
    known = [(v, s) for v, s in zip(seeds, counts) if s > 1 and v > 0]
    total = sum(v for v, _ in known)
    # Welch and Satterthwaite; strata whose seeds agree exactly say nothing of how well the others are known
    freedom = total**2 / sum(v**2 / (s - 1) for v, s in known) if known else max(min(counts) - 1, 1)
    return Spread(float(total), float(freedom), beside.sum(), examples.sum(), min(counts), len(strata[0][1]))


def _variances(scores: np.ndarray, resampled: np.ndarray) -> tuple[float, float, float]:
    """V_seeds, max(V_examples − V_both, 0) and V_examples of `crossed`; with one seed no V_seeds."""
    s, over_seeds = len(scores), resampled.mean(1)  # (d,)
    by_examples = over_seeds.var(ddof=1)
    if s < 2:
        return 0.0, by_examples, by_examples
    by_both = (resampled - over_seeds[:, None]).var(0, ddof=1).sum() / (s * (s - 1))
    return scores.var(ddof=1) / s, max(by_examples - by_both, 0.0), by_examples


def stratified(strata: Strata, weights: Sequence[float] | None = None, level: float = 0.95) -> Estimate:
    """The weighted mean of several settings' scores that are given, not drawn: tasks that a statement names.

    strata: for each the scores (s,) and resampled (d, s) of `crossed`, of its own seeds and examples; `weights`: of sum
    1, else equal. The interval is over the choice of seeds and of examples *within* the strata, as in rliable (Agarwal
    et al., 2021), whose bootstrap resamples runs a task at a time; here the variances of independent strata add up,
    Σ w² V, because a bootstrap of three seeds is too narrow by a fifth. V_seeds has the degrees of freedom of Welch
    and Satterthwaite. One stratum: `crossed`. `n` is the smallest number of seeds. Scores that are not finite give nan.
    """
    if not strata:
        return mean([])
    weights = [1 / len(strata)] * len(strata) if weights is None else weights
    middle = float(sum(w * np.mean(scores) for w, (scores, _) in zip(weights, strata, strict=True)))
    found = spread(strata, weights)
    half = found.half(level)
    return Estimate(middle, middle - half, middle + half, found.n)


def probability(estimate: Estimate, above: float = 0.0) -> float:
    """How probable it is that the true value lies above `above`, as a fraction; nan without an interval.

    A normal with the interval as its central 95 %, and no opinion beforehand. Where few seeds make the interval that of
    a t, this is nearer to a half than the t itself would be: a lean is never overstated.
    """
    half = estimate.half
    if estimate.n < 2 or not half > 0:
        return math.nan
    return float(norm.cdf((estimate.mean - above) / half * norm.ppf(0.975)))


def share(hits: int, n: int, level: float = 0.95) -> Estimate:
    """A share of n runs with Clopper and Pearson's interval, as a fraction: 42 of 42 are [0.92, 1], not [1, 1]."""
    if not n:
        return mean([])
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(1 - tail, hits + 1, n - hits))
    return Estimate(hits / n, low, high, n)


def probability_of_improvement(
    first: Sequence[Sequence[float]],
    second: Sequence[Sequence[float]],
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """How probable it is that a run of the first method beats one of the second (Agarwal et al., 2021).

    first, second: for each stratum k (a task) the scores of the method's seeds, which need not be as many. The
    share of pairs (i, j) with first[k][i] > second[k][j], a tie counting a half, as a mean over strata: a
    fraction, 0.5 where neither is better. A percentile interval over `draws` bootstrap samples of the seeds in
    each stratum, the strata as given; nan where one has a single seed. Beware of few seeds: where all pairs are
    won the interval is [1, 1]. `n` is the smallest number of seeds; with none at all, or a nan score, all is nan.
    """
    if len(first) != len(second):
        raise ValueError(f"both methods need the same strata: {len(first)} and {len(second)}")
    n = min(map(len, [*first, *second]), default=0)
    if not n:
        return mean([])
    rng = np.random.default_rng(seed)
    shares, samples = [], []
    for a, b in zip(first, second, strict=True):
        wins = (np.sign(np.subtract.outer(a, b)) + 1) / 2  # (s_a, s_b)
        rows, columns = (rng.integers(s, size=(draws, s)) for s in wins.shape)
        shares.append(wins.mean())
        samples.append(wins[rows[:, :, None], columns[:, None, :]].mean((1, 2)))  # (d,)
    return _percentiles(float(np.mean(shares)), np.mean(samples, axis=0), n, level)


def _percentiles(middle: float, samples: np.ndarray, n: int, level: float) -> Estimate:
    """The estimate with the percentiles of its bootstrap samples (d,) as the interval; nan if n is 1."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2]) if n > 1 else (math.nan, math.nan)
    return Estimate(float(middle), float(low), float(high), n)
