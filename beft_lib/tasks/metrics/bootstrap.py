"""What is computed on bootstrap samples of the evaluation examples: standard errors, and scores sample by sample.

n examples, s seeds, d bootstrap samples.
"""

import numpy as np

from . import answers, classes, correlations
from .pointwise import checked_counts, resampled_points, standard_error_of_points
from .score import checked, points_of

SAMPLED_AT_ONCE = 2**22  # numbers in an array of samples: 32 MB


def standard_error(name: str, predictions, references, draws: int = 500, seed: int = 0) -> float:
    """The standard error of the score over the choice of the n evaluation examples.

    Accuracy p: sqrt(p (1 - p) / n). Answers: sd(points) / sqrt(n). The others: the standard deviation over
    `draws` bootstrap samples of n examples, drawn with replacement by `seed`. A bootstrap sample of a
    classification is a draw of its confusion matrix from the multinomial distribution with the observed
    shares, which is how it is done here. nan where the score is. Raises `UserError` as `compute` does.
    """
    if name in answers.NAMES:
        return standard_error_of_points(points_of(name, predictions, references))
    predictions, references = checked(name, predictions, references)
    if name == "accuracy":
        share = np.mean(predictions == references)
        return float(np.sqrt(share * (1 - share) / len(references)))
    kind = correlations if name in correlations.NAMES else classes
    scores = kind.bootstrapped(name, predictions, references, draws, np.random.default_rng(seed))
    return float(np.std(scores, ddof=1))


def resampled(name: str, predictions, references, counts) -> np.ndarray:
    """The scores (d, s) of s seeds' predictions (s, n) on each of d samples of the n examples.

    A sample is its counts: `counts` (d, n) says how often it drew each example, n draws in all (see
    `stats.example_draws`). Equal to `compute` on the examples repeated so often, except that a correlation
    of a seed whose predictions are not all finite is nan in every sample, also in those without the culprit.
    Raises `UserError` as `compute` does, and `ValueError` for counts that are not of n examples and n draws.
    """
    if name in answers.NAMES:
        return resampled_points([points_of(name, row, references) for row in predictions], counts)
    both = [checked(name, row, references) for row in predictions]
    predictions, references = np.stack([row for row, _ in both]), both[0][1]  # (s, n), (n,)
    n = len(references)
    counts = checked_counts(counts, n)
    kind = correlations if name in correlations.NAMES else classes
    rows = max(1, SAMPLED_AT_ONCE // n)
    parts = [counts[start : start + rows] for start in range(0, len(counts), rows)]
    return np.concatenate([kind.counted(name, predictions, references, part) for part in parts])
