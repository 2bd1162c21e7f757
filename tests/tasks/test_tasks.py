"""Definitions, examples in memory, and the bundled toy tasks, of encoders; those of decoders: `test_prompts`."""

import re
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from beft_lib import tasks
from beft_lib.errors import UserError
from beft_lib.tasks import metrics, toys
from beft_lib.tasks.examples import Examples

# The bundled toys, and of each the digest of its rows.
TOYS = {
    "toy-entailment": "32acccb85b58",
    "toy-paraphrase": "f8ac1fa3eb4a",
    "toy-sentiment": "3eae207edd85",
    "toy-similarity": "cce9de99d8a5",
}
# The settings of the paper's experiments: learning rate, epochs (base, large), n (low, medium, high), metric.
PAPER = {
    "sst2": (4e-4, (16, 30), (1000, 5000, 11000), "accuracy"),
    "rte": (1e-3, (30, 30), (300, 900, 1200), "accuracy"),
    "qqp": (4e-4, (30, None), (1000, 5000, 9000), "f1"),
    "qnli": (1e-4, (30, None), (1000, 5000, 9000), "accuracy"),
    "mnli": (1e-4, (30, None), (1000, 5000, 9000), "accuracy"),
    "cola": (7e-4, (16, None), (1710, 3420, 4275), "matthews"),
    "mrpc": (7e-4, (60, None), (367, 1191, 1835), "f1"),
    "stsb": (1e-4, (60, None), (287, 1150, 2300), "spearman"),
    "cb": (1e-3, (60, 60), (250, None, None), "macro_f1"),
    "wic": (1e-3, (16, 30), (1000, None, None), "accuracy"),
    "wic-word": (1e-3, (16, 30), (1000, None, None), "accuracy"),
}


def own_task(**changes):
    fields = dict(
        name="own",
        version=1,
        title="Own",
        kind="classification",
        text=["{sentence}"],
        labels=["no", "yes"],
        metrics=["accuracy"],
        validation=[{"split": "validation", "title": "Own"}],
        learning_rate=1e-3,
        epochs={"base": 1},
        n={"low": 2},
    )
    return tasks.Task(**{**fields, **changes})


def test_all_tasks_are_there():
    own = [name for name in tasks.names() if isinstance(tasks.get(name), tasks.Task)]
    assert own == sorted([*PAPER, *TOYS])


@pytest.mark.parametrize("name", [*PAPER, *TOYS])
def test_definition_is_consistent(name):
    task = tasks.get(name)
    assert task.name == name and task is tasks.get(name) and hash(task)
    assert set(task.metrics) <= set(metrics.names())
    assert task.splits[0] == "train" and len(task.splits) >= 2
    assert task.pair == (len(task.text) == 2) and task.max_length == 128
    assert task.num_labels == (1 if task.regression else len(task.labels))
    assert task.bundled == (task.hub is None) == name.startswith("toy-")


@pytest.mark.parametrize("name", PAPER)
def test_settings_are_the_papers(name):
    rate, epochs, counts, metric = PAPER[name]
    task = tasks.get(name)
    assert (task.learning_rate, (task.epochs.base, task.epochs.large)) == (rate, epochs)
    assert ((task.n.low, task.n.medium, task.n.high), task.metric) == (counts, metric)


def test_mnli_has_two_validation_splits_of_which_one_may_be_missing():
    matched, mismatched = tasks.get("mnli").validation
    assert (matched.split, matched.title, matched.optional) == ("validation_matched", "MNLI-m", False)
    assert (mismatched.split, mismatched.title, mismatched.optional) == (
        "validation_mismatched",
        "MNLI-mm",
        True,
    )


def test_columns_come_from_the_templates():
    assert tasks.get("wic").columns == ("sentence1", "sentence2")
    assert tasks.get("wic-word").columns == ("word", "sentence1", "sentence2")
    assert tasks.get("wic-word").folder == "wic"


def test_unknown_task_names_the_valid_ones_and_the_nearest():
    with pytest.raises(UserError, match="task 'sst3'.*cola.*mean 'sst2'"):
        tasks.get("sst3")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"columns": "a"}, "Extra inputs"),
        ({"text": []}, "at least 1"),
        ({"text": ["no column"]}, "template"),
        ({"text": ["{a.b}"]}, "template"),
        ({"kind": "regression"}, "range"),
        ({"labels": ["one"]}, "two labels"),
        ({"hub": {"path": "a/b", "name": "c", "revision": "main"}}, "pattern"),
        ({"range": (0, 1)}, "range"),
    ],
)
def test_definition_is_checked(changes, message):
    with pytest.raises(ValidationError, match=message):
        own_task(**changes)


def test_task_is_frozen():
    with pytest.raises(ValidationError):
        tasks.get("sst2").version = 2


@pytest.mark.parametrize("regime, expected", [("low", 300), ("medium", 900), ("high", 1200), ("all", 2490)])
def test_n_train(regime, expected):
    assert regime in tasks.REGIMES
    assert tasks.get("rte").n_train(regime, 2490) == expected


@pytest.mark.parametrize(
    "name, regime, available, message",
    [
        ("rte", "tiny", 2490, "unknown data regime of task 'rte' 'tiny'; valid: all, high, low, medium"),
        ("cb", "high", 250, "valid: all, low"),
        (
            "rte",
            "medium",
            500,
            "'medium' of task 'rte' needs 900 training examples and the source has 500; use",
        ),
    ],
)
def test_n_train_refuses(name, regime, available, message):
    with pytest.raises(UserError, match=message):
        tasks.get(name).n_train(regime, available)


def some_examples():
    return Examples((("a",), ("b",), ("c",)), np.array([0, 1, 0]), ("7", "8", "9"))


def test_take_keeps_texts_labels_and_ids_together():
    taken = some_examples().take([2, 0])
    assert (taken.texts, taken.labels.tolist(), taken.ids) == ((("c",), ("a",)), [0, 0], ("9", "7"))
    assert len(some_examples().take([])) == 0


def test_digest_sees_every_part_and_the_order():
    texts, labels, ids = (("a",), ("b",)), np.array([0, 1]), ("1", "2")
    others = [
        ((("a",), ("B",)), labels, ids),
        (texts, np.array([0, 0]), ids),
        (texts, labels, ("1", "3")),
        ((("a", "b"), ("",)), labels, ids),
        (texts[::-1], labels[::-1], ids[::-1]),
    ]
    digests = {Examples(texts, labels, ids).digest(), *(Examples(*other).digest() for other in others)}
    assert len(digests) == 6
    assert Examples(texts, labels.copy(), ids).digest() == Examples(texts, labels, ids).digest()


def test_labels_cannot_be_written_to():
    labels = np.array([0, 1, 0])
    examples = Examples((("a",), ("b",), ("c",)), labels, ("7", "8", "9"))
    with pytest.raises(ValueError, match="read-only"):
        examples.labels[0] = 1
    labels[0] = 1  # the caller's own array stays the caller's


# --- the toy tasks

# Words that carry no content of their own: they may occur in both splits.
FUNCTION_WORDS = set(
    "a an the it its that what whatever who some others all anything everything there is was were being had "
    "did not never hardly far yet but and although because despite spite even if overall end about at by "
    "from in of on to with say called keep".split()
)


def words_of(examples):
    return set(re.findall(r"[a-z]+", " ".join(text for texts in examples.texts for text in texts).lower()))


@pytest.fixture(scope="module", params=list(TOYS))
def toy(request):
    task = tasks.get(request.param)
    return task, *(tasks.load(task, split, "bundled") for split in task.splits)


def test_toy_sizes(toy):
    task, train, validation = toy
    assert (len(train), len(validation)) == (1000, 400) == tuple(tasks.sizes(task, "bundled").values())
    assert [task.n_train(regime, len(train)) for regime in tasks.REGIMES] == [200, 400, 800, 1000]


def test_toy_labels_are_balanced(toy):
    task, *splits = toy
    for examples in splits:
        values, counts = np.unique(examples.labels, return_counts=True)
        assert np.ptp(counts) <= 1
        assert values.tolist() == ([i / 2 for i in range(11)] if task.regression else list(range(task.num_labels)))


def test_toy_texts_are_distinct_within_a_split(toy):
    _, *splits = toy
    for examples in splits:
        assert len(set(examples.texts)) == len(examples)


def test_toy_splits_share_function_words_only(toy):
    _, train, validation = toy
    assert words_of(train) & words_of(validation) <= FUNCTION_WORDS


def test_toy_splits_have_no_near_duplicates(toy):
    _, train, validation = toy
    bags = [[frozenset(re.findall(r"[a-z]+", " ".join(t).lower())) for t in e.texts] for e in (train, validation)]
    closest = max(len(a & b) / len(a | b) for a in set(bags[0]) for b in set(bags[1]))
    assert closest < 0.75


def test_toy_articles_and_capitals(toy):
    _, *splits = toy
    for text in (text for examples in splits for texts in examples.texts for text in texts):
        assert re.fullmatch(r"[A-Z][A-Za-z, -]*\.", text) and "  " not in text
        assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeiou]|\b[Aa]n use", text)


@pytest.mark.parametrize("name, data", TOYS.items())
def test_toy_data_is_the_same_everywhere(name, data):
    # A change of a generator is a change of the task: raise its version and the one in its seed.
    assert tasks.version(name, "bundled") == f"{name} v1 {data}"


def test_toy_paraphrases_say_the_same_and_others_do_not():
    from beft_lib.tasks.toys import paraphrase

    for split in toys.SIZES:
        meaning = {
            wording: (slot, i)
            for slot, entries in paraphrase.WORDS[split].items()
            for i, entry in enumerate(entries.split(", "))
            for wording in entry.split("|")
        }
        for row in paraphrase.rows(split):
            first, second = (
                {meaning[wording] for wording in meaning if re.search(rf"\b{wording}\b", row[column].lower())}
                for column in ("sentence1", "sentence2")
            )
            assert len(first) == len(second) == 4
            assert (first == second) == bool(row["label"])


def test_toy_generator_that_runs_dry_says_so():
    with pytest.raises(RuntimeError, match="fewer than 3 distinct"):
        toys.distinct(lambda rng, label: (rng.choice("ab"),), [0, 0, 0], "seed")


def test_import_is_light():
    heavy = "torch transformers datasets evaluate pandas pyarrow scipy sklearn"
    code = f"import sys, beft_lib.tasks, beft_lib.tasks.metrics; print(*(set(sys.modules) & set({heavy.split()})))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
