"""The scores of the tasks, as `evaluate.Metric`s that need no network, with standard errors.

All scores are fractions. n examples, s seeds, d bootstrap draws, c classes. Where a score is not defined, because a
prediction or reference is constant, it is 0.0: a correlation with a constant says nothing, and neither does
Matthews. (scipy returns nan there.) A correlation with predictions that are not all finite is nan: that
model has diverged, which is not the same as knowing nothing.

A score in `POINTWISE` is the mean over examples of an example's points: whether a class is right, or what a text is
worth (`answers`).
"""

import functools
import itertools
import warnings

import numpy as np

from beft_lib.errors import UserError, unknown

from . import answers
from .pointwise import checked_counts, mean_of_points, resampled_points, standard_error_of_points

DESCRIPTIONS = {
    "accuracy": "The share of predictions that are right.",
    "f1": "F1 of class 1 of a binary task: 2 TP / (2 TP + FP + FN), and 0 if there is no 1 at all.",
    "macro_f1": "The mean over classes of each class's F1, over the classes that occur.",
    "matthews": "Matthews' correlation coefficient, for two classes or more; 0 if either side is constant.",
    "spearman": "Spearman's rank correlation; 0 if either side is constant.",
    "pearson": "Pearson's correlation; 0 if either side is constant.",
    **answers.DESCRIPTIONS,
}
POINTWISE = ("accuracy", *answers.NAMES)
CORRELATIONS = ("spearman", "pearson")
SAMPLED_AT_ONCE = 2**22  # numbers in an array of samples: 32 MB


def names() -> list[str]:
    return sorted(DESCRIPTIONS)


def get(name: str):
    """The metric as an `evaluate.Metric`: `get("f1").compute(predictions=..., references=...) == {"f1":
    ...}`.

    It keeps its examples in memory, so that any number of processes can compute at once. Differs from
    `evaluate.load(name)` in: 1. nothing is fetched; 2. constant predictions are 0.0 throughout (see the
    module).
    """
    _check_name(name)
    return _metric_class(name)()


def compute(name: str, predictions, references) -> float:
    """The score of `predictions` (n,) against `references` (n,), as a fraction.

    A metric of answers takes texts as predictions and lists of texts as references (see `answers.points`).
    Raises `UserError` for an unknown metric, unequal or no lengths, or an `f1` with classes other than 0
    and 1.
    """
    if name in answers.NAMES:
        return mean_of_points(_points(name, predictions, references))
    predictions, references = _checked(name, predictions, references)
    if name in CORRELATIONS:
        if not _finite(predictions, references):
            return float("nan")
        return float(_correlation(name, predictions[None], references[None])[0])
    from sklearn import metrics

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of one class only; the score is defined all the same
        score = {
            "accuracy": metrics.accuracy_score,
            "f1": functools.partial(metrics.f1_score, zero_division=0),
            "macro_f1": functools.partial(metrics.f1_score, average="macro", zero_division=0),
            "matthews": metrics.matthews_corrcoef,
        }[name]
        return float(score(references, predictions))


def standard_error(name: str, predictions, references, draws: int = 500, seed: int = 0) -> float:
    """The standard error of the score over the choice of the n evaluation examples.

    Accuracy p: sqrt(p (1 - p) / n). Answers: sd(points) / sqrt(n). The others: the standard deviation over
    `draws` bootstrap samples of n examples, drawn with replacement by `seed`. A bootstrap sample of a
    classification is a draw of its confusion matrix from the multinomial distribution with the observed
    shares, which is how it is done here. nan where the score is.
    """
    if name in answers.NAMES:
        return standard_error_of_points(_points(name, predictions, references))
    predictions, references = _checked(name, predictions, references)
    n = len(references)
    if name == "accuracy":
        share = np.mean(predictions == references)
        return float(np.sqrt(share * (1 - share) / n))
    rng = np.random.default_rng(seed)
    if name in CORRELATIONS:
        if not _finite(predictions, references):
            return float("nan")
        samples = rng.integers(n, size=(draws, n))
        scores = _correlation(name, predictions[samples], references[samples])
    else:
        cells, c = _cells(name, predictions, references)
        shares = np.bincount(cells, minlength=c * c) / n
        confusion = rng.multinomial(n, shares, size=draws).reshape(draws, c, c).astype(float)
        scores = _from_confusion(name, confusion)
    return float(np.std(scores, ddof=1))


def resampled(name: str, predictions, references, counts) -> np.ndarray:
    """The scores (d, s) of s seeds' predictions (s, n) on each of d samples of the n examples.

    A sample is its counts: `counts` (d, n) says how often it drew each example, n draws in all (see
    `stats.example_draws`). Equal to `compute` on the examples repeated so often, except that a correlation
    of a seed whose predictions are not all finite is nan in every sample, also in those without the culprit.
    Raises `UserError` as `compute` does, and `ValueError` for counts that are not of n examples and n draws.
    """
    if name in answers.NAMES:
        return resampled_points([_points(name, row, references) for row in predictions], counts)
    checked = [_checked(name, row, references) for row in predictions]
    predictions, references = np.stack([row for row, _ in checked]), checked[0][1]  # (s, n), (n,)
    n = len(references)
    counts = checked_counts(counts, n)
    score = _resampled_correlation if name in CORRELATIONS else _resampled_classes
    rows = max(1, SAMPLED_AT_ONCE // n)
    parts = [counts[start : start + rows] for start in range(0, len(counts), rows)]
    return np.concatenate([score(name, predictions, references, part) for part in parts])


def _resampled_correlation(name, predictions, references, counts):
    """(s, n), (n,), (d, n) -> (d, s)"""
    d, n = counts.shape
    samples = np.repeat(np.tile(np.arange(n), d), counts.ravel()).reshape(d, n)  # the examples of each sample
    scores = np.full((d, len(predictions)), np.nan)
    for seed, row in enumerate(predictions):
        if _finite(row, references):
            scores[:, seed] = _correlation(name, row[samples], references[samples])
    return scores


def _resampled_classes(name, predictions, references, counts):
    """(s, n), (n,), (d, n) -> (d, s)"""
    from scipy import sparse

    (d, n), s = counts.shape, len(predictions)
    cells, c = _cells(name, predictions, references)
    columns = (cells + c * c * np.arange(s)[:, None]).T.ravel()  # example by example, a cell for each seed
    in_cell = sparse.csr_array((np.ones(n * s), columns, np.arange(0, n * s + 1, s)), shape=(n, s * c * c))
    return _from_confusion(name, (counts @ in_cell).reshape(d * s, c, c)).reshape(d, s)


def _cells(name, predictions, references):
    """Where each example is in the confusion matrix: reference * c + prediction, shaped as predictions; and c."""
    classes = np.arange(2) if name == "f1" else np.union1d(references, predictions)
    c = max(2, len(classes))
    return np.searchsorted(classes, references) * c + np.searchsorted(classes, predictions), c


def _from_confusion(name, confusion):
    """(d, c, c), reference by prediction -> (d,)"""
    return {"accuracy": _accuracy, "f1": _f1, "macro_f1": _macro_f1, "matthews": _matthews}[name](confusion)


def _accuracy(confusion):
    return np.trace(confusion, axis1=1, axis2=2) / confusion.sum((1, 2))  # (d,)


def _f1_by_class(confusion):
    """(d, c, c) -> (d, c): 2 TP / (2 TP + FP + FN), nan for a class that does not occur."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    occurrences = confusion.sum(1) + confusion.sum(2)
    return np.divide(2 * hits, occurrences, out=np.full(hits.shape, np.nan), where=occurrences > 0)


def _f1(confusion):
    return np.nan_to_num(_f1_by_class(confusion)[:, 1])  # (d,)


def _macro_f1(confusion):
    return np.nanmean(_f1_by_class(confusion), axis=1)  # (d,)


def _matthews(confusion):
    n, hits = confusion.sum((1, 2)), np.trace(confusion, axis1=1, axis2=2)  # (d,)
    references, predictions = confusion.sum(2), confusion.sum(1)  # (d, c)
    covariance = hits * n - (references * predictions).sum(1)
    product = (n**2 - (references**2).sum(1)) * (n**2 - (predictions**2).sum(1))
    return np.divide(covariance, np.sqrt(product), out=np.zeros_like(n), where=product > 0)


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


def _check_name(name):
    if name not in DESCRIPTIONS:
        raise unknown("metric", name, DESCRIPTIONS)


def _checked(name, predictions, references):
    """Both as arrays (n,) of float64 for a correlation, of int64 class ids otherwise."""
    _check_name(name)
    given = np.asarray(predictions), np.asarray(references)
    if given[0].ndim != 1 or given[0].shape != given[1].shape or not given[0].size:
        raise UserError(
            f"metric {name!r}: predictions of shape {given[0].shape} and references of shape "
            f"{given[1].shape}; "
            f"both must be lists of the same length, one entry for each example and at least one"
        )
    kinds, valid = ("iuf", "numbers") if name in CORRELATIONS else ("iub", "class ids (whole numbers)")
    for array, side in zip(given, ("predictions", "references"), strict=True):
        if array.dtype.kind not in kinds:
            raise UserError(f"metric {name!r}: {side} of type {array.dtype}; they must be {valid}")
        if name == "f1" and not np.isin(array, (0, 1)).all():
            raise UserError(
                f"metric 'f1' is of class 1 of a binary task, and the {side} have class {array.max()}; use 'macro_f1'"
            )
    return tuple(array.astype(np.float64 if name in CORRELATIONS else np.int64) for array in given)


def _points(name, predictions, references):
    """(n,): each example's points of a metric of answers."""
    if len(predictions) != len(references) or not len(predictions):
        raise UserError(
            f"metric {name!r}: {len(predictions)} predictions and {len(references)} lists of references; "
            f"there must be as many, one for each example and at least one"
        )
    return [answers.points(name, prediction, own) for prediction, own in zip(predictions, references, strict=True)]


@functools.cache
def _metric_class(name):
    """The `evaluate.Metric` subclass of a score; made on use, as importing `evaluate` takes seconds."""
    import datasets
    import evaluate

    value = datasets.Value("float64" if name in CORRELATIONS else "string" if name in answers.NAMES else "int64")
    reference = datasets.List(value) if name in answers.NAMES else value

    class Score(evaluate.Metric):
        def __init__(self, **settings):
            super().__init__(**{"keep_in_memory": settings.get("num_process", 1) == 1, **settings})

        def _info(self):
            return evaluate.MetricInfo(
                description=DESCRIPTIONS[name],
                citation="",
                inputs_description="predictions, references: lists of the same length",
                features=datasets.Features({"predictions": value, "references": reference}),
            )

        def _compute(self, predictions, references):
            return {name: compute(name, predictions, references)}

    class TextScore(Score):
        def add(self, *, prediction=None, reference=None):
            """As `add_batch`, of one example."""
            self.add_batch(predictions=[prediction], references=[reference])

        def add_batch(self, *, predictions=None, references=None):
            """Refuses what is no text, which would be stored as its `str`."""
            for text in itertools.chain(predictions, *references):
                if not isinstance(text, str):
                    raise UserError(
                        f"metric {name!r}: {text!r} is no text; answers of several spans are for `metrics.compute`"
                    )
            super().add_batch(predictions=predictions, references=references)

    made = TextScore if name in answers.NAMES else Score
    made.__name__ = made.__qualname__ = "".join(part.capitalize() for part in name.split("_"))
    made.__doc__ = DESCRIPTIONS[name]
    return made
