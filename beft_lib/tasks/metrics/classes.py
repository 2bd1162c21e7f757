"""Scores of classes, all of them functions of the confusion matrix. n examples, c classes, d draws, s seeds."""

import functools
import warnings

import numpy as np

DESCRIPTIONS = {
    "accuracy": "The share of predictions that are right.",
    "f1": "F1 of class 1 of a binary task: 2 TP / (2 TP + FP + FN), and 0 if there is no 1 at all.",
    "macro_f1": "The mean over classes of each class's F1, over the classes that occur.",
    "matthews": "Matthews' correlation coefficient, for two classes or more; 0 if either side is constant.",
}


def score(name: str, predictions, references) -> float:
    """The score of class ids (n,) against others (n,), by scikit-learn."""
    from sklearn import metrics

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of one class only; the score is defined all the same
        function = {
            "accuracy": metrics.accuracy_score,
            "f1": functools.partial(metrics.f1_score, zero_division=0),
            "macro_f1": functools.partial(metrics.f1_score, average="macro", zero_division=0),
            "matthews": metrics.matthews_corrcoef,
        }[name]
        return float(function(references, predictions))


def bootstrapped(name: str, predictions, references, draws: int, rng: np.random.Generator) -> np.ndarray:
    """The scores (d,) of bootstrap samples of the examples: (n,), (n,) → (d,).

    A sample of n examples with replacement is a draw of its confusion matrix from the multinomial distribution with the
    observed shares.
    """
    cells, c = _cells(name, predictions, references)
    shares = np.bincount(cells, minlength=c * c) / len(references)
    confusion = rng.multinomial(len(references), shares, size=draws).reshape(draws, c, c).astype(float)
    return from_confusion(name, confusion)


def counted(name: str, predictions, references, counts) -> np.ndarray:
    """The scores of s seeds on samples that drew each example so often: (s, n), (n,), (d, n) → (d, s)."""
    from scipy import sparse

    (d, n), s = counts.shape, len(predictions)
    cells, c = _cells(name, predictions, references)
    columns = (cells + c * c * np.arange(s)[:, None]).T.ravel()  # example by example, a cell for each seed
    in_cell = sparse.csr_array((np.ones(n * s), columns, np.arange(0, n * s + 1, s)), shape=(n, s * c * c))
    return from_confusion(name, (counts @ in_cell).reshape(d * s, c, c)).reshape(d, s)


def from_confusion(name: str, confusion: np.ndarray) -> np.ndarray:
    """The score of each of d confusion matrices, reference by prediction: (d, c, c) → (d,)."""
    return {"accuracy": _accuracy, "f1": _f1, "macro_f1": _macro_f1, "matthews": _matthews}[name](confusion)


def _cells(name, predictions, references):
    """Where each example is in the confusion matrix: reference * c + prediction, shaped as predictions; and c."""
    classes = np.arange(2) if name == "f1" else np.union1d(references, predictions)
    c = max(2, len(classes))
    return np.searchsorted(classes, references) * c + np.searchsorted(classes, predictions), c


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
