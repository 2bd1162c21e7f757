"""The scores of the tasks, with standard errors, and as `evaluate.Metric`s that need no network.

    names, compute                     a score by its name (`score`)
    get                                the same as an `evaluate.Metric`, which is what runs score with (`evaluated`)
    standard_error, resampled          on bootstrap samples of the examples (`bootstrap`)
    mean_of_points, ...                of a score that is a mean of each example's points (`pointwise`)
    classes, correlations, answers     the three kinds: of confusion matrices, of numbers, of texts

All scores are fractions. Where a score is not defined, because a prediction or reference is constant, it is 0.0: a
correlation with a constant says nothing, and neither does Matthews. (scipy returns nan there.) A correlation with
predictions that are not all finite is nan: that model has diverged, which is not the same as knowing nothing.

Accuracy and the scores of answers are means over examples of an example's points: whether a class is right, or what a
text is worth (`answers`).
"""

from . import answers, classes, correlations
from .bootstrap import resampled, standard_error
from .correlations import NAMES as CORRELATIONS
from .evaluated import get
from .pointwise import mean_of_points, resampled_points, standard_error_of_points
from .score import compute, names

__all__ = [
    "CORRELATIONS",
    "answers",
    "classes",
    "compute",
    "correlations",
    "get",
    "mean_of_points",
    "names",
    "resampled",
    "resampled_points",
    "standard_error",
    "standard_error_of_points",
]
