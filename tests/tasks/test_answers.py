"""The official metrics of SQuAD and DROP on cases worked by hand, and what is made of each example's points."""

import numpy as np
import pytest

from beft_lib.errors import UserError
from beft_lib.tasks import metrics
from beft_lib.tasks.metrics import answers

# (prediction, reference, F1, exact match)
SQUAD = {
    "the same": ("Denver Broncos", "Denver Broncos", 1, 1),
    "case, article, punctuation, space": ("the  DENVER\tbroncos.", "Denver Broncos", 1, 1),
    "only whole words are articles": ("theatre an a", "atre", 0, 0),
    "punctuation goes without a space": ("U.S.", "us", 1, 1),
    "and so joins words": ("1972-73", "197273", 1, 1),
    "a point goes too: another number": ("1.5", "15", 1, 1),
    "numbers are words": ("10", "10.0", 0, 0),
    "only ASCII punctuation goes": ("£5", "5", 0, 0),
    "recall": ("Broncos", "Denver Broncos", 2 / 3, 0),  # p = 1, r = 1/2
    "precision": ("it was the Denver Broncos", "Denver Broncos", 2 / 3, 0),  # p = 2/4, r = 1
    "order does not matter to F1": ("Broncos Denver", "Denver Broncos", 1, 0),
    "as often as it occurs": ("new new york", "new york york", 2 / 3, 0),  # new and york once each of three
    "nothing in common": ("Carolina Panthers", "Denver Broncos", 0, 0),
    "empty prediction": ("", "Denver Broncos", 0, 0),
    "only punctuation and articles": ("the ...", "Denver Broncos", 0, 0),
    "both empty": ("", "", 0, 1),
    "both empty after normalisation": ("The!", "a", 0, 1),
}
DROP = {
    "the same": ("Green Bay", "Green Bay", 1, 1),
    "case and articles": ("THE a Green an Bay", "green bay", 1, 1),
    "punctuation": ("S.K. Singh!", "sk singh", 1, 1),
    "U.S.": ("U.S.", "the us", 1, 1),
    "numbers by value": ("10", "10.0", 1, 1),
    "written in any way": ("  1.2e1 ", "12.000", 1, 1),
    "thousands": ("1,000", "1000", 1, 1),
    "currency": ("$5", "5", 1, 1),
    "per cent": ("5.5%", "55", 1, 1),  # no number as it stands, so its point goes
    "a point in a number stays": ("1.5", "15", 0, 0),
    "a minus is a hyphen": ("-7", "7", 1, 1),
    "number words are words": ("ten", "10", 0, 0),
    "hyphens": ("78-yard", "78 yard", 1, 1),
    "recall": ("78", "78-yard", 0.67, 0),  # p = 1, r = 1/2
    "precision": ("Green Bay Packers", "Packers", 0.5, 0),  # p = 1/3, r = 1
    "order does not matter to F1": ("yard 50", "50 yard", 1, 0),
    "once each": ("touchdown touchdown yard", "touchdown yard", 1, 0),
    "another number": ("23 yards", "43 yards", 0, 0),
    "no number": ("yards", "36 yards", 0, 0),
    "one of the numbers": ("3 of 5", "3 of 7", 0.67, 0),
    "a number too many": ("36 yards", "yards", 0.67, 0),
    "the right number is no more than a word": ("26", "26 yard touchdown", 0.5, 0),  # p = 1, r = 1/3
    "empty prediction": ("", "army", 0, 0),
    "no span": ([], "army", 0, 0),
    "both empty after normalisation": ("an", "the", 1, 1),
    "a blank reference": ("", " ", 0, 0),
    "a reference that begins with a blank": (["army"], ["", "army"], 0, 0),
    "no reference span": ([], [], 0, 0),
    "a span and a text": (["army"], "army", 1, 1),
    "spans in another order": (("b", "c d"), ["c d", "b"], 1, 1),
    "a span too few": ("touchdown", ["touchdown", "touchdown"], 0.5, 0),  # (1 + 0) / 2
    "a span too many": (["touchdown", "touchdown"], "touchdown", 0.5, 0),
    "the same spans, not as often": (["x", "x", "y"], ["x", "y", "y"], 0.67, 1),  # (1 + 0 + 1) / 3
    "each span once": (["23", "23 yard"], ["23-yard", "56 yards"], 0.5, 0),
    "within spans": (["John Karman", "Joe Hardy"], ["Joe Karman", "John Hardy"], 0.5, 0),  # (1/2 + 1/2) / 2
    "the mean over spans": (["ottoman", "Rome"], ["ottoman", "army of Rome"], 0.75, 0),  # (1 + 1/2) / 2
    "the best pairing": (["x y", "x"], ["x y", "y"], 0.67, 0),  # (2/3 + 2/3) / 2; the nearest pair first: (1 + 0) / 2
    "a half is rounded to even": ("b c d e f g h i", "b j k l m n o p", 0.12, 0),  # 1/8
    "numbers of a span": (
        ["78-yard", "56", "28", "40", "44", "touchdown"],
        ["78-yard", "56 yard", "1 yard touchdown"],
        0.28,  # (1 + 2/3 + 0) / 6
        0,
    ),
}


@pytest.mark.parametrize("prediction, reference, f1, em", SQUAD.values(), ids=SQUAD)
def test_squad(prediction, reference, f1, em):
    assert answers.points("squad_f1", prediction, [reference]) == pytest.approx(f1, abs=1e-12)
    assert answers.points("squad_em", prediction, [reference]) == em


@pytest.mark.parametrize("prediction, reference, f1, em", DROP.values(), ids=DROP)
def test_drop(prediction, reference, f1, em):
    assert answers.points("drop_f1", prediction, [reference]) == f1
    assert answers.points("drop_em", prediction, [reference]) == em


def test_the_best_reference_counts():
    assert answers.points("squad_f1", "Denver", ["Carolina", "Denver Broncos", "Broncos"]) == pytest.approx(2 / 3)
    assert answers.points("squad_em", "Denver", ["Carolina", "Denver."]) == 1
    assert answers.points("drop_f1", "17 August", ["17", ("August", "17 August"), ""]) == 0.67  # 2/3, (0 + 1) / 2, 0
    assert answers.points("drop_em", "17", ["17 August", ("17.0",)]) == 1


def test_drop_takes_the_best_of_each_metric_apart():
    prediction, references = ["p x", "p x", "y"], [["p x", "y", "y"], ["x p", "x p", "y"]]
    assert [answers.points("drop_em", prediction, [reference]) for reference in references] == [1, 0]
    assert [answers.points("drop_f1", prediction, [reference]) for reference in references] == [0.67, 1]
    assert answers.points("drop_em", prediction, references) == answers.points("drop_f1", prediction, references) == 1


@pytest.mark.parametrize("name", answers.NAMES)
def test_points_are_a_float_and_a_fraction(name):
    words = ["a", "the", "10", "1e1", "1,0", "yard", "yard-line", "U.S.", "", " "]
    rng = np.random.default_rng(0)
    for _ in range(200):
        prediction, *references = (" ".join(rng.choice(words, rng.integers(4))) for _ in range(3))
        found = answers.points(name, prediction, references)
        assert type(found) is float and 0 <= found <= 1
        assert found == max(answers.points(name, prediction, [reference]) for reference in references)


@pytest.mark.parametrize(
    "name, prediction, references, message",
    [
        ("f1", "x", ["x"], "unknown metric of answers 'f1'; valid: drop_em, drop_f1, squad_em, squad_f1"),
        ("squad_f2", "x", ["x"], "did you mean 'squad_f1'"),
        ("squad_em", "x", [], "no reference for the prediction 'x'"),
        ("drop_f1", "x", "yard", "the references are a text, 'yard'; give a list"),
        ("squad_f1", ["x"], ["x"], r"the prediction \['x'\] must be a text$"),
        ("squad_f1", "x", ["x", ("x", "y")], r"the reference \('x', 'y'\) must be a text$"),
        ("drop_em", "x", ["x", 7], "the reference 7 must be a text, or a list or tuple of texts"),
        ("drop_em", ["x", None], ["x"], r"the prediction \['x', None\]"),
    ],
)
def test_mistakes_are_named(name, prediction, references, message):
    with pytest.raises(UserError, match=message):
        answers.points(name, prediction, references)


# ---------------------------------------------------------------------------------------- from points to scores


def made(seed, n=40):
    """n predictions and their references, of few words so that they often agree."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(["yard", "the", "10", "ten-yard", "10.0"], 1 + rng.integers(3))) for _ in range(3 * n)]
    return texts[:n], [list(pair) for pair in zip(texts[n : 2 * n], texts[2 * n :])]


def points(name, predictions, references):
    return [answers.points(name, prediction, own) for prediction, own in zip(predictions, references)]


@pytest.mark.parametrize("name", answers.NAMES)
def test_the_score_is_the_mean_of_points(name):
    own = points(name, *made(0))
    assert 0 < metrics.mean_of_points(own) == np.mean(own) < 1
    assert metrics.compute(name, *made(0)) == metrics.mean_of_points(own)
    assert metrics.standard_error(name, *made(0)) == metrics.standard_error_of_points(own)


@pytest.mark.parametrize("name", answers.NAMES)
def test_as_evaluate_metric(name):
    import evaluate

    metric = metrics.get(name)
    assert isinstance(metric, evaluate.Metric) and metric.name == name
    predictions, references = made(1)
    references[0] = references[0][:1]  # examples differ in how many they have
    expected = {name: metrics.mean_of_points(points(name, predictions, references))}
    assert metric.compute(predictions=predictions, references=references) == expected
    metric.add_batch(predictions=predictions[:10], references=references[:10])
    for prediction, own in zip(predictions[10:], references[10:]):
        metric.add(prediction=prediction, reference=own)
    assert metric.compute() == expected


def test_evaluate_metric_refuses_spans():
    with pytest.raises(UserError, match=r"\('x', 'y'\) is no text; .*metrics.compute"):
        metrics.get("drop_f1").compute(predictions=["x", "x"], references=[["x"], [("x", "y")]])
    with pytest.raises(UserError, match=r"\['x'\] is no text"):
        metrics.get("drop_f1").add(prediction=["x"], reference=["x"])
    assert metrics.compute("drop_f1", ["x", "x"], [["x"], [("x", "y")]]) == 0.75


@pytest.mark.parametrize("right, n", [(75, 100), (0, 7), (7, 7), (1, 3)])
def test_standard_error_of_right_or_wrong_is_binomial(right, n):
    own = [1] * right + [0] * (n - right)
    share = right / n
    assert metrics.standard_error_of_points(own) == pytest.approx(np.sqrt(share * (1 - share) / n), abs=1e-15)
    assert metrics.standard_error_of_points(own) == pytest.approx(metrics.standard_error("accuracy", own, [1] * n))
    assert metrics.mean_of_points(own) == metrics.compute("accuracy", own, [1] * n)


def test_standard_error_agrees_with_the_bootstrap():
    own = np.array(points("squad_f1", *made(2, n=200)))
    samples = np.random.default_rng(0).integers(200, size=(4000, 200))
    assert metrics.standard_error_of_points(own) == pytest.approx(np.std(own[samples].mean(1)), rel=0.05)


def test_resampled_points_are_the_score_of_repeated_examples():
    n, rng = 40, np.random.default_rng(3)
    own = np.array([points("drop_f1", *made(seed)) for seed in range(3)])
    counts = np.vstack([rng.multinomial(n, np.full(n, 1 / n), 20), n * np.eye(n, dtype=int)[:2], np.ones(n, int)])
    found = metrics.resampled_points(own, counts)
    expected = [[metrics.mean_of_points(row.repeat(times)) for row in own] for times in counts]
    assert found.shape == (23, 3) and found == pytest.approx(np.array(expected), abs=1e-12)


def test_resampled_takes_the_answers_themselves():
    predictions, references = made(4)
    seeds, counts = [predictions, predictions[::-1]], np.ones((2, 40), int)
    counts[0, :2] = 2, 0
    own = [points("squad_f1", row, references) for row in seeds]
    assert np.array_equal(
        metrics.resampled("squad_f1", seeds, references, counts), metrics.resampled_points(own, counts)
    )


def test_resampled_points_of_right_or_wrong_are_accuracy():
    rng = np.random.default_rng(5)
    references, predictions = rng.integers(3, size=50), rng.integers(3, size=(4, 50))
    counts = rng.multinomial(50, np.full(50, 1 / 50), 30)
    assert np.array_equal(
        metrics.resampled_points(predictions == references, counts),
        metrics.resampled("accuracy", predictions, references, counts),
    )


@pytest.mark.parametrize(
    "own, message",
    [
        ([], r"shape \(0,\); they must be \(n,\).*at least one"),
        ([[0.5]], r"shape \(1, 1\); they must be \(n,\)"),
        ([0.5, float("nan")], "from nan to nan; each must be a fraction"),
        ([0.5, float("inf")], "from 0.5 to inf"),
        ([0.0, 50.0], "from 0.0 to 50.0; each must be a fraction"),
        ([-0.1, 1.0], "from -0.1 to 1.0"),
    ],
)
def test_points_are_checked(own, message):
    for function in (metrics.mean_of_points, metrics.standard_error_of_points):
        with pytest.raises(UserError, match=message):
            function(own)


@pytest.mark.parametrize("own", [[0.5, 1.0], np.ones((1, 0)), [[0.5, float("nan")]], [[0.5, 2.0]]])
def test_resampled_points_are_checked(own):
    with pytest.raises(UserError, match="points"):
        metrics.resampled_points(own, [[1, 1]])


@pytest.mark.parametrize("counts", [[1, 1], [[1, 1, 0]], [[2, 1]]])
def test_resampled_points_need_counts_of_the_examples(counts):
    with pytest.raises(ValueError, match="2 examples"):
        metrics.resampled_points([[0.0, 1.0]], counts)


@pytest.mark.parametrize("name", answers.NAMES)
@pytest.mark.parametrize("predictions, references", [([], []), (["x"], []), (["x"], [["x"], ["y"]])])
def test_there_is_an_answer_for_each_example(name, predictions, references):
    for function in (metrics.compute, metrics.standard_error):
        with pytest.raises(UserError, match=f"'{name}': {len(predictions)} predictions and {len(references)} lists"):
            function(name, predictions, references)
