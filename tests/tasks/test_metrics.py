"""The metrics against scikit-learn and scipy, and the standard errors against the long way round."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from beft_lib.errors import UserError
from beft_lib.tasks import metrics
from beft_lib.tasks.metrics import bootstrap

CLASSIFICATION = ["accuracy", "f1", "macro_f1", "matthews"]
EXPECTED = {
    "accuracy": lambda p, r: reference.accuracy_score(r, p),
    "f1": lambda p, r: reference.f1_score(r, p),
    "macro_f1": lambda p, r: reference.f1_score(r, p, average="macro"),
    "matthews": lambda p, r: reference.matthews_corrcoef(r, p),
    "spearman": lambda p, r: stats.spearmanr(p, r).statistic,
    "pearson": lambda p, r: stats.pearsonr(p, r).statistic,
}


def pair(name, seed, n=60):
    """Random predictions and references that agree more often than not."""
    rng = np.random.default_rng(seed)
    if name in metrics.CORRELATIONS:
        references = rng.choice(np.arange(11) / 2, n)  # with ties
        return references + rng.normal(0, 1, n).round(1), references
    c = 2 if name == "f1" else 3
    references = rng.integers(c, size=n)
    return np.where(rng.random(n) < 0.6, references, rng.integers(c, size=n)), references


def test_names():
    assert metrics.names() == sorted([*EXPECTED, *metrics.answers.NAMES])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", EXPECTED)
def test_equal_to_the_reference(name, seed):
    predictions, references = pair(name, seed)
    assert metrics.compute(name, predictions, references) == pytest.approx(
        EXPECTED[name](predictions, references), abs=1e-12
    )
    assert metrics.compute(name, list(predictions), list(references)) == metrics.compute(name, predictions, references)


@pytest.mark.parametrize("name", EXPECTED)
def test_perfect_is_one(name):
    _, references = pair(name, 0)
    assert metrics.compute(name, references, references) == pytest.approx(1)
    assert metrics.standard_error(name, references, references) == pytest.approx(0, abs=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("name", EXPECTED)
def test_constant_predictions(name, constant):
    _, references = pair(name, 0)
    predictions = np.full_like(references, constant)
    score = metrics.compute(name, predictions, references)
    if name in ("matthews", *metrics.CORRELATIONS):
        assert score == 0.0 == metrics.compute(name, references, predictions)
        assert metrics.standard_error(name, predictions, references) == 0.0
    else:
        assert score == pytest.approx(EXPECTED[name](predictions, references))
        assert np.isfinite(metrics.standard_error(name, predictions, references))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name, expected", [("accuracy", 1.0), ("f1", 0.0), ("macro_f1", 1.0), ("matthews", 0.0)])
def test_one_class_only(name, expected):
    assert metrics.compute(name, [0, 0, 0], [0, 0, 0]) == expected
    assert metrics.standard_error(name, [0, 0, 0], [0, 0, 0]) == 0.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_a_diverged_model_has_no_correlation(name, value):
    predictions, references = pair(name, 0)
    predictions[3] = value
    assert np.isnan(metrics.compute(name, predictions, references))
    assert np.isnan(metrics.standard_error(name, predictions, references))


def test_standard_error_of_accuracy_is_binomial():
    assert metrics.standard_error("accuracy", [1] * 75 + [0] * 25, [1] * 100) == pytest.approx(
        np.sqrt(0.75 * 0.25 / 100)
    )


@pytest.mark.parametrize("name", ["f1", "macro_f1", "matthews", "spearman", "pearson"])
def test_standard_error_is_that_of_resampled_examples(name):
    predictions, references = pair(name, 1)
    samples = np.random.default_rng(7).integers(len(references), size=(400, len(references)))
    scores = [metrics.compute(name, predictions[sample], references[sample]) for sample in samples]
    # the standard deviation of 400 draws is within about 4 % of its limit, that of 4000 within 1 %
    assert metrics.standard_error(name, predictions, references, draws=4000) == pytest.approx(np.std(scores), rel=0.15)


def test_standard_error_of_accuracy_agrees_with_the_bootstrap():
    predictions, references = pair("accuracy", 2, n=200)
    samples = np.random.default_rng(0).integers(200, size=(4000, 200))
    expected = np.std((predictions == references)[samples].mean(1))
    assert metrics.standard_error("accuracy", predictions, references) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("name", ["f1", "spearman"])
def test_standard_error_is_seeded(name):
    first = metrics.standard_error(name, *pair(name, 0))
    assert (
        first
        == metrics.standard_error(name, *pair(name, 0), seed=0)
        != metrics.standard_error(name, *pair(name, 0), seed=1)
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("at_once", [1, 150, 2**22])  # one sample, two samples, all of them
@pytest.mark.parametrize("name", EXPECTED)
def test_resampled_is_the_score_of_repeated_examples(name, at_once, monkeypatch):
    monkeypatch.setattr(bootstrap, "SAMPLED_AT_ONCE", at_once)
    n, rng = 60, np.random.default_rng(5)
    _, references = pair(name, 4)
    noisy = [np.where(rng.random(n) < 0.7, references, rng.permutation(references)) for _ in range(2)]
    predictions = np.stack([*noisy, references, np.ones_like(references)])
    same = n * np.eye(n, dtype=int)[:2]  # one example alone
    few = np.bincount([0, 1], minlength=n) * n // 2
    counts = np.vstack([rng.multinomial(n, np.full(n, 1 / n), 20), same, few, np.ones(n, int)])
    expected = [
        [metrics.compute(name, row.repeat(times), references.repeat(times)) for row in predictions] for times in counts
    ]
    found = metrics.resampled(name, predictions, references, counts)
    assert found.shape == (24, 4) and found == pytest.approx(np.array(expected), abs=1e-12)


def test_resampled_classes_need_not_be_consecutive():
    found = metrics.resampled("macro_f1", [[3, 7, 7], [3, 7, 8]], [3, 7, 3], [[1, 1, 1], [2, 1, 0]])
    assert found == pytest.approx(np.array([[2 / 3, 5 / 9], [1, 1]]))


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_resampled_diverged_seed_is_nan_throughout(name):
    predictions, references = pair(name, 0)
    diverged = np.where(np.arange(len(predictions)) == 3, np.nan, predictions)
    without = 1 - np.eye(60, dtype=int)[[3]] + np.eye(60, dtype=int)[[4]]
    found = metrics.resampled(name, [diverged, predictions], references, without)
    assert np.isnan(found[0, 0]) and np.isfinite(found[0, 1])


@pytest.mark.parametrize("counts", [[1, 1], [[1, 1, 0]], [[2, 1]]])
def test_resampled_needs_counts_of_the_examples(counts):
    with pytest.raises(ValueError, match="2 examples"):
        metrics.resampled("accuracy", [[0, 1]], [0, 1], counts)


def test_resampled_names_a_users_mistake():
    with pytest.raises(UserError, match="same length"):
        metrics.resampled("accuracy", [[0, 1]], [0, 1, 1], [[1, 1, 1]])


def test_classes_need_not_be_consecutive():
    assert metrics.compute("macro_f1", [3, 7, 7], [3, 7, 3]) == pytest.approx(2 / 3)
    assert metrics.standard_error("macro_f1", [3, 7, 7], [3, 7, 3]) > 0


@pytest.mark.parametrize(
    "name, predictions, references, message",
    [
        ("f2", [1], [1], "unknown metric 'f2'; valid: accuracy, drop_em"),
        ("accuracy", [1, 0], [1], r"\(2,\).*\(1,\).*same length"),
        ("accuracy", [], [], "at least one"),
        ("accuracy", [[1]], [[1]], "one entry for each example"),
        ("f1", [2, 0], [1, 0], "binary task, and the predictions have class 2; use 'macro_f1'"),
        ("accuracy", [0.2, 0.8], [0, 1], "predictions of type float64; they must be class ids"),
        ("pearson", ["a"], ["b"], "must be numbers"),
    ],
)
def test_mistakes_are_named(name, predictions, references, message):
    for function in (metrics.compute, metrics.standard_error):
        with pytest.raises(UserError, match=message):
            function(name, predictions, references)


def test_get_refuses_an_unknown_name():
    with pytest.raises(UserError, match="unknown metric"):
        metrics.get("bleu")


@pytest.mark.parametrize("name", EXPECTED)
def test_as_evaluate_metric(name):
    import evaluate

    metric = metrics.get(name)
    assert isinstance(metric, evaluate.Metric) and metric.name == name
    predictions, references = pair(name, 3)
    expected = {name: pytest.approx(metrics.compute(name, predictions, references))}
    assert metric.compute(predictions=predictions, references=references) == expected
    metric.add_batch(predictions=predictions[:30], references=references[:30])
    metric.add_batch(predictions=predictions[30:], references=references[30:])
    assert metric.compute() == expected


def test_computing_at_once_shares_no_file_and_leaves_none(tmp_path, monkeypatch):
    import evaluate

    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path)
    first, second = metrics.get("f1"), metrics.get("f1")
    for metric in (first, second):
        metric.add_batch(predictions=[1, 0], references=[1, 1])
    assert first.compute() == second.compute() == {"f1": pytest.approx(2 / 3)}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_model_has_no_correlation_as_evaluate_metric_either(value):
    scores = metrics.get("pearson").compute(predictions=np.float32([1, value, 3]), references=[1.0, 2.0, 3.0])
    assert np.isnan(scores["pearson"])
