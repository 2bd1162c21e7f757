"""Correlations of predicted with true scores. n examples, d draws, s seeds.

    r = Σᵢ (xᵢ − x̄)(yᵢ − ȳ) / (‖x − x̄‖₂ ‖y − ȳ‖₂)

Pearson's is of the numbers themselves, Spearman's of their ranks. With a constant it is 0.0: that says nothing (scipy
returns nan). With predictions that are not all finite it is nan: that model has diverged.
"""

import numpy as np

DESCRIPTIONS = {
    "spearman": "Spearman's rank correlation; 0 if either side is constant.",
    "pearson": "Pearson's correlation; 0 if either side is constant.",
}
NAMES = tuple(DESCRIPTIONS)


def score(name: str, predictions, references) -> float:
    """The correlation of numbers (n,) with others (n,)."""
    if not _finite(predictions, references):
        return float("nan")
    return float(_correlation(name, predictions[None], references[None])[0])


def bootstrapped(name: str, predictions, references, draws: int, rng: np.random.Generator) -> np.ndarray:
    """The correlations (d,) of bootstrap samples of the examples, drawn with replacement: (n,), (n,) → (d,)."""
    if not _finite(predictions, references):
        return np.full(draws, np.nan)
    samples = rng.integers(len(references), size=(draws, len(references)))
    return _correlation(name, predictions[samples], references[samples])


def counted(name: str, predictions, references, counts) -> np.ndarray:
    """The correlations of s seeds on samples that drew each example so often: (s, n), (n,), (d, n) → (d, s)."""
    d, n = counts.shape
    samples = np.repeat(np.tile(np.arange(n), d), counts.ravel()).reshape(d, n)  # the examples of each sample
    scores = np.full((d, len(predictions)), np.nan)
    for seed, row in enumerate(predictions):
        if _finite(row, references):
            scores[:, seed] = _correlation(name, row[samples], references[samples])
    return scores


def _correlation(name, predictions, references):
    """(d, n), (d, n) -> (d,)"""
    if name == "spearman":
        from scipy import stats

        predictions, references = (stats.rankdata(x, axis=-1) for x in (predictions, references))
    constant = (np.ptp(predictions, axis=-1) == 0) | (np.ptp(references, axis=-1) == 0)
    predictions, references = (x - x.mean(-1, keepdims=True) for x in (predictions, references))
    norms = np.linalg.norm(predictions, axis=-1) * np.linalg.norm(references, axis=-1)
    covariances = (predictions * references).sum(-1)
    return np.where(constant, 0.0, covariances / np.where(norms > 0, norms, 1.0))


def _finite(*arrays) -> bool:
    return all(np.isfinite(array).all() for array in arrays)
