"""The tasks of decoders: wording, definitions, checks of rows, and the bundled toy tasks."""

import json
import re
from itertools import product

import numpy as np
import pytest
from pydantic import ValidationError

from beft_lib import tasks
from beft_lib.errors import UserError
from beft_lib.tasks import metrics, prompt_task, rows
from beft_lib.tasks.examples import Prompts
from beft_lib.tasks.sources import hub

# The bundled toys, and of each the digest of its rows.
TOYS = {"toy-causes": "f37165068ab0", "toy-reading": "a2174dc25b9a", "toy-sentiment-prompt": "915505cd679c"}
SHORT = {"boolq-short": ("passage", 350), "squad-short": ("context", 450)}
# The settings of the paper's experiments: learning rate, n (1000, or all there are), objective, metrics.
PAPER = {
    "sst2-prompt": (1e-3, 1000, "options", ("accuracy",)),
    "rte-prompt": (1e-3, 1000, "options", ("accuracy",)),
    "cb-prompt": (1e-2, 250, "options", ("accuracy",)),
    "boolq": (1e-3, 1000, "options", ("accuracy",)),
    "wsc": (1e-2, 554, "options", ("accuracy",)),
    "wic-prompt": (1e-3, 1000, "options", ("accuracy",)),
    "multirc": (1e-3, 1000, "options", ("accuracy",)),
    "copa": (1e-4, 400, "answer", ("accuracy",)),
    "record": (1e-4, 1000, "answer", ("accuracy",)),
    "squad": (1e-3, 1000, "answer", ("squad_f1", "squad_em")),
    "drop": (1e-3, 1000, "answer", ("drop_f1", "drop_em")),
}
SQUAD = {
    "id": "q7",
    "title": "Harbour",
    "context": "The ferry left at dawn.",
    "question": " When did it leave? ",
    "answers": {"text": ["at dawn", "dawn"], "answer_start": [15, 18]},
}
# Of each task an invented row, and the prompt, options and right ones it becomes.
WORDING = {
    "sst2-prompt": (
        {"sentence": "a warm little film ", "label": 1, "idx": 3},
        "a warm little film It was",
        (" terrible", " great"),
        (1,),
    ),
    "rte-prompt": (
        {"sentence1": "Ann sold her boat.", "sentence2": "Ann had a boat.", "label": 0},
        'Ann sold her boat.\nDoes this mean that "Ann had a boat." is true? Yes or No?\n',
        ("Yes", "No"),
        (0,),
    ),
    "cb-prompt": (
        {"premise": "I doubt it will rain.", "hypothesis": "it will rain", "label": 2},
        'Suppose I doubt it will rain. Can we infer that "it will rain"? Yes, No, or Maybe?\n',
        ("Yes", "No", "Maybe"),
        (2,),
    ),
    "boolq": (
        {"passage": "Kiwi -- A kiwi is a bird.", "question": "can kiwis fly", "label": 0},
        "Kiwi -- A kiwi is a bird. Can kiwis fly?\n",
        ("No", "Yes"),
        (0,),
    ),
    "wsc": (
        {"text": "Tom met Al. He waved.", "span1_text": "Tom", "span2_text": "He", "label": 1},
        'Tom met Al. He waved.\nIn the previous sentence, does the pronoun "he" refer to Tom? Yes or No?\n',
        ("No", "Yes"),
        (1,),
    ),
    "wic-prompt": (
        {"word": "bank", "sentence1": "A river bank.", "sentence2": "A savings bank.", "label": 0},
        'Does the word "bank" have the same meaning in these two sentences? Yes, No?\nA river bank.\nA savings bank.\n',
        ("No", "Yes"),
        (0,),
    ),
    "multirc": (
        {
            "paragraph": "Eve baked bread. ",
            "question": "Who baked?",
            "answer": "Eve",
            "label": 1,
            "idx": {"paragraph": 0, "question": 4, "answer": 9},
        },
        'Eve baked bread. \nQuestion: Who baked?\nI found this answer "Eve". Is that correct? Yes or No?\n',
        ("No", "Yes"),
        (1,),
    ),
    "copa": (
        {
            "premise": "I was cold. ",
            "choice1": "I shivered.",
            "choice2": "The Sun rose.",
            "question": "effect",
            "label": 0,
        },
        "I was cold so",
        (" I shivered.", " the Sun rose."),
        (0,),
    ),
    "record": (
        {
            "passage": "Ida met Bo in Rome.\n@highlight\nIda is here\n@highlight\nBo is not",
            "query": "In the end @placeholder left",
            "entities": ["Bo", "Ida", "Bo", "Rome"],
            "answers": ["Ida", "Bo"],
        },
        "Ida met Bo in Rome.\n- Ida is here\n- Bo is not\n-",
        (" In the end Bo left", " In the end Ida left", " In the end Rome left"),
        (1, 0),
    ),
    "squad": (
        SQUAD,
        "Title: Harbour\nContext: The ferry left at dawn.\nQuestion: When did it leave?\nAnswer:",
        (" at dawn\n",),
        (0,),
    ),
    "drop": (
        {
            "query_id": "d1",
            "passage": "Lions won 3 of 5.",
            "question": "How many were lost?",
            "answers_spans": {"spans": ["2 ", "two"], "types": ["number", "span"]},
        },
        "Passage: Lions won 3 of 5.\nQuestion: How many were lost?\nAnswer:",
        (" 2\n",),
        (0,),
    ),
}
# What a run's identity holds of each definition. Another wording is another task: raise the version.
IDENTITIES = {
    "boolq": "3acc1c157e63",
    "boolq-short": "f01d291a8e42",
    "cb-prompt": "a3cb9c7830a6",
    "copa": "4845cb457ed2",
    "drop": "92f999a1ecb1",
    "multirc": "c1b2e359abe9",
    "record": "f7f0aae3bda7",
    "rte-prompt": "63684b29d8c1",
    "squad": "39ef1e78242f",
    "squad-short": "c78b635dace5",
    "sst2-prompt": "c6a29fe21f05",
    "toy-causes": "4845cb457ed2",
    "toy-reading": "a5b474448206",
    "toy-sentiment-prompt": "3bcbb33e2679",
    "wic-prompt": "e0a63de41588",
    "wsc": "9139054c226a",
}


def read(task, *own):
    task = tasks.get(task) if isinstance(task, str) else task
    return rows.from_rows(task, own, lambda i: f"row {i}")


def own_task(**changes):
    fields = dict(
        name="own",
        version=1,
        title="Own",
        kind="options",
        prompt="{text} It was",
        options=["bad", "good"],
        label="label",
        labels=["no", "yes"],
        objective="options",
        metrics=["accuracy"],
        validation=[{"split": "validation", "title": "Own"}],
        learning_rate=1e-3,
        epochs={"base": 1},
        n={"low": 2},
    )
    return tasks.PromptTask(**{key: value for key, value in {**fields, **changes}.items() if value is not None})


def own_answer(**changes):
    return own_task(
        **{
            "kind": "answer",
            "options": None,
            "label": None,
            "labels": None,
            "objective": "answer",
            "answers": "a",
            **changes,
        }
    )


# --- definitions


def test_all_tasks_are_there():
    own = [name for name in tasks.names() if tasks.get(name).prompts]
    assert own == sorted([*PAPER, *SHORT, *TOYS])


@pytest.mark.parametrize("name", [*PAPER, *SHORT, *TOYS])
def test_definition_is_consistent(name):
    task = tasks.get(name)
    assert task.name == name and task is tasks.get(name) and hash(task) == hash(task.model_copy())
    assert set(task.metrics) <= set(metrics.names()) and task.metric == task.metrics[0]
    assert task.splits == ("train", "validation") and not task.regression
    assert task.bundled == (task.hub is None) == name.startswith("toy-")
    assert task.epochs.base == (3 if task.bundled else 5)
    assert task.max_length == 2048


@pytest.mark.parametrize("name", PAPER)
def test_settings_are_the_papers(name):
    task = tasks.get(name)
    assert (task.learning_rate, task.n.low, task.objective, task.metrics) == PAPER[name]
    assert task.n.medium is None and task.n.high is None
    assert task.n.low == min(1000, task.hub.train)


@pytest.mark.parametrize("name", SHORT)
def test_a_short_variant_differs_in_its_rows_only(name):
    short, full = tasks.get(name), tasks.get(name.removesuffix("-short"))
    column, limit = SHORT[name]
    assert short.longest == {column: limit} and short.folder == full.name
    assert short.hub == full.hub.model_copy(update={"train": None})  # how many are short is not known without the data
    same = "prompt option options label labels answers separator objective metrics learning_rate max_length epochs"
    for field in same.split():
        assert getattr(short, field) == getattr(full, field)


@pytest.mark.parametrize(
    "make, changes, message",
    [
        (own_task, {"text": ["{text}"]}, "Extra inputs"),
        (own_task, {"prompt": "It was"}, "not a template of column names"),
        (own_task, {"prompt": "{a.b} It"}, "not a template of column names"),
        (own_task, {"prompt": "{text!r} It"}, "not a template of column names"),
        (own_task, {"prompt": "{text It"}, "not a template"),
        (
            own_task,
            {"prompt": "{text:bold}"},
            "unknown filter in the template '{text:bold}' 'bold'; valid: bullets, clause",
        ),
        (own_task, {"prompt": "{text:{other}}"}, "unknown filter"),
        (own_task, {"prompt": "{text} It was "}, "ends in a blank"),
        (own_task, {"prompt": "{text} {option}"}, "same for every option"),
        (own_task, {"option": " {text}"}, "placeholder"),
        (own_task, {"placeholder": "_"}, "placeholder"),
        (own_task, {"kind": "classification"}, "'options' or 'answer'"),
        (own_task, {"objective": "answers"}, "'options' or 'answer'"),
        (own_task, {"options": None}, "one of options, choices and candidates"),
        (own_task, {"choices": ["a", "b"]}, "one of options, choices and candidates"),
        (own_task, {"candidates": "a"}, "one of options, choices and candidates"),
        (own_task, {"label": None}, "has a label"),
        (own_task, {"answers": "a"}, "no answers"),
        (own_task, {"options": ["good"], "labels": ["yes"]}, "at least two"),
        (own_task, {"labels": ["no"]}, "names each of the options"),
        (own_task, {"options": None, "candidates": "a"}, "candidates have none"),
        (own_task, {"words": {"so": {"column": "ask", "why": "as"}}}, "'so' is in no template"),
        (own_task, {"prompt": "{text} {so}", "words": {"so": {"why": "as", "how": "so"}}}, "needs its column"),
        (own_task, {"prompt": "{text} {so}", "words": {"so": {"column": "ask"}}}, "a text for each"),
        (own_task, {"longest": {"texts": 9}}, "unknown column in longest 'texts'; valid: text"),
        (own_task, {"longest": {"text": 0}}, "greater than 0"),
        (own_task, {"blank": ["texts"]}, "unknown column in blank 'texts'; valid: text"),
        (own_task, {"bundled": True, "hub": {"path": "a", "name": "b", "revision": "0" * 40, "train": 1}}, "no hub"),
        (own_answer, {"answers": None}, "has answers"),
        (own_answer, {"label": "label"}, "no options, choices, candidates or label"),
        (own_answer, {"options": ["a", "b"]}, "no options, choices, candidates or label"),
        (own_answer, {"objective": "options"}, "its objective is 'answer'"),
    ],
)
def test_definition_is_checked(make, changes, message):
    make()
    with pytest.raises(ValidationError, match=re.escape(message)):
        make(**changes)


def test_columns_are_all_that_a_row_needs():
    assert tasks.get("copa").columns == ("premise", "question", "choice1", "choice2")
    assert tasks.get("record").columns == ("passage", "query", "entities")
    assert tasks.get("squad").columns == ("title", "context", "question")


@pytest.mark.parametrize("name", [*PAPER, *SHORT, *TOYS])
def test_identity_is_the_same_everywhere(name):
    assert tasks.get(name).identity == f"{name} v1 {IDENTITIES[name]}"


def test_identity_is_of_all_that_decides_an_example():
    base = own_task()
    changes = [
        {"prompt": "{text} It is"},
        {"prompt": "{text:strip} It was"},
        {"option": "{option}"},
        {"options": ["bad", "fine"]},
        {"label": "class"},
        {"separator": "\n"},
        {"objective": "answer"},
        {"longest": {"text": 9}},
    ]
    others = {own_task(**change).identity for change in changes}
    assert len(others | {base.identity}) == len(changes) + 1
    assert own_task(version=2).identity != base.identity
    settings = {"title": "Other", "learning_rate": 1.0, "length": 7, "metrics": ["f1"], "n": {"low": 3}}
    assert own_task(**settings).identity == base.identity


# --- wording


@pytest.mark.parametrize("name", WORDING)
def test_wording(name):
    row, prompted, options, right = WORDING[name]
    examples = read(name, row)
    assert examples.prompts == (prompted,)
    assert examples.options == (options,) and examples.right == (right,)


@pytest.mark.parametrize("name", SHORT)
def test_wording_of_a_short_variant(name):
    full = name.removesuffix("-short")
    assert read(name, WORDING[full][0]).digest() == read(full, WORDING[full][0]).digest()


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("strip", " a b \n", "a b"),
        ("lower", "He", "he"),
        ("clause", "It rained.  ", "It rained"),
        ("clause", "Well...", "Well.."),
        ("clause", "Did it?", "Did it?"),
        ("continuing", "The Alps.", "the Alps."),
        ("continuing", "I saw It.", "I saw It."),
        ("continuing", "It", "it"),
        ("question", "is it so", "Is it so?"),
        ("question", "Is it so?", "Is it so?"),
        ("bullets", "Text\n@highlight\nOne\n@highlight\nTwo", "Text\n- One\n- Two"),
    ],
)
def test_filters(name, text, expected):
    assert prompt_task.FILTERS[name](text) == expected


def test_braces_of_a_text_are_text():
    task = own_task(prompt="{{{text}}} It was", option=" {option} {text}")
    examples = read(task, {"text": "{label} {0}", "label": 0})
    assert examples.prompts == ("{{label} {0}} It was",) and examples.options[0][1] == " good {label} {0}"


def test_the_first_answer_is_trained_on_and_all_are_references():
    examples = read("drop", WORDING["drop"][0])
    assert examples.answers == (("2 ", "two"),) and examples.ids == ("d1",)
    assert read("copa", WORDING["copa"][0]).answers == ((),)


def test_demonstrations_are_solved_and_stripped():
    shown = {name: read(name, WORDING[name][0]).demonstration(0) for name in ("sst2-prompt", "copa", "record", "drop")}
    assert shown == {
        "sst2-prompt": "a warm little film It was great",
        "copa": "I was cold so I shivered.",
        "record": "Ida met Bo in Rome.\n- Ida is here\n- Bo is not\n- In the end Ida left",
        "drop": "Passage: Lions won 3 of 5.\nQuestion: How many were lost?\nAnswer: 2",
    }


# --- examples in memory


def test_labels_are_classes_where_all_have_the_same_options():
    examples = read("rte-prompt", *({**WORDING["rte-prompt"][0], "label": label} for label in (1, 0, 1)))
    assert examples.labels.dtype == np.int64 and examples.labels.tolist() == [1, 0, 1]
    assert examples.take([2, 1]).labels.tolist() == [1, 0] and examples.take([]).labels.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        examples.labels[0] = 0


@pytest.mark.parametrize("name", ["copa", "record", "squad", "drop"])
def test_there_are_no_strata_without_classes(name):
    labels = read(name, WORDING[name][0]).labels
    assert labels.dtype == np.float64 and labels.tolist() == [0.0]


def test_take_keeps_the_parts_together():
    examples = Prompts(("p", "q"), ((" a", " b"), (" c",)), ((1,), (0,)), ((), ("c",)), ("7", "8"))
    taken = examples.take([1, 0])
    assert (taken.prompts, taken.options, taken.ids) == (("q", "p"), ((" c",), (" a", " b")), ("8", "7"))
    assert (taken.right, taken.answers) == (((0,), (1,)), (("c",), ()))
    with pytest.raises(ValueError, match="2 prompts, 1 options, 2 right"):
        Prompts(("p", "q"), ((" a",),), ((0,), (0,)), ((), ()), ("7", "8"))


def test_digest_sees_every_part_and_the_order():
    parts = [("p", "q"), ((" a", " b"), (" a", " b")), ((1,), (0,)), ((), ()), ("7", "8")]
    others = [("p", "Q"), ((" a", " b"), (" a", " c")), ((1,), (1, 0)), ((), ("x",)), ("7", "9")]
    digests = {Prompts(*parts).digest(), Prompts(*parts).take([1, 0]).digest()}
    for place, other in enumerate(others):
        digests.add(Prompts(*parts[:place], other, *parts[place + 1 :]).digest())
    assert len(digests) == 7 and Prompts(*parts).digest() in digests


def test_ids():
    own = {**WORDING["sst2-prompt"][0]}
    assert read("sst2-prompt", own, {**own, "idx": 9}).ids == ("3", "9")
    del own["idx"]
    assert read("sst2-prompt", own, own).ids == ("0", "1")
    assert read("multirc", WORDING["multirc"][0]).ids == ("{'paragraph': 0, 'question': 4, 'answer': 9}",)
    assert read("squad", SQUAD).ids == ("q7",)
    with pytest.raises(UserError, match="row 1: id q7 .*row 0"):
        read("squad", SQUAD, SQUAD)


def test_longest_leaves_rows_out():
    task, texts = own_task(longest={"text": 4}), ["four", "fiver", "4"]
    examples = read(task, *({"text": text, "label": 0} for text in texts))
    assert examples.prompts == ("four It was", "4 It was") and examples.ids == ("0", "2")
    with pytest.raises(UserError, match="row 0 .*task 'own' .*text of at most 4"):
        read(task, {"text": "fiver", "label": 0})


# --- rows that are not valid

COPA, RECORD = WORDING["copa"][0], WORDING["record"][0]
INVALID = {
    "no column": ("copa", {"choice2": None}, "no column 'choice2'; task 'copa' needs the columns premise, question, "),
    "no label": ("copa", {"label": None}, "no column 'label'"),
    "no candidates": ("record", {"entities": None}, "needs the columns passage, query, entities and answers"),
    "no answers": ("squad", {"answers": None}, "no column 'answers'; task 'squad' needs the columns title, context"),
    "no path": ("squad", {"answers": {"texts": ["a"]}}, "no answers.text, the list of right answers"),
    "no mapping": ("squad", {"answers": ["a"]}, "no answers.text, the list of right answers"),
    "number for text": ("copa", {"premise": 3}, "column 'premise' is 3, which is not a text"),
    "choice no text": ("copa", {"choice1": ["a"]}, "column 'choice1' is ['a'], which is not a text"),
    "blank text": ("copa", {"premise": " "}, "column 'premise' is blank"),
    "blank choice": ("copa", {"choice1": ""}, "column 'choice1' is blank"),
    "unknown word": ("copa", {"question": "why"}, "column 'question' is 'why'; valid: cause, effect"),
    "word's column": ("copa", {"question": "column"}, "column 'question' is 'column'; valid: cause, effect"),
    "label too large": ("copa", {"label": 2}, "label 2 is not a label of task 'copa'; valid: 0 (choice1), 1 (choice2)"),
    "label a bool": ("boolq", {"label": True}, "label True is not a label of task 'boolq'; valid: 0 (False), 1 (True)"),
    "no gold label": ("boolq", {"label": -1}, "the label is -1, which marks a row without a gold label"),
    "candidates no list": ("record", {"entities": "Bo"}, "column 'entities' is 'Bo', which is not a list of texts"),
    "no candidate": ("record", {"entities": []}, "column 'entities' is [], which is not a list"),
    "blank candidate": ("record", {"entities": ["Bo", ""]}, "text 1 of column 'entities' is blank"),
    "no right one": ("record", {"answers": []}, "column 'answers' is [], which is not a list"),
    "right one absent": ("record", {"answers": ["Eve"]}, "none of answers, ['Eve'], is among the 3 entities"),
    "no gap": ("record", {"query": "She left"}, "no @placeholder in query, where it stands for the option"),
    "no reference": ("squad", {"answers": {"text": []}}, "answers.text is [], which is not a list of texts"),
    "blank reference": ("squad", {"answers": {"text": ["a", " "]}}, "text 1 of answers.text is blank"),
    "number as reference": (
        "drop",
        {"answers_spans": {"spans": [2]}},
        "text 0 of answers_spans.spans is 2, which is not",
    ),
}


@pytest.mark.parametrize("name, change, message", INVALID.values(), ids=INVALID)
def test_invalid_row(name, change, message):
    good = WORDING[name][0]
    bad = {key: value for key, value in {**good, **change}.items() if value is not None}
    with pytest.raises(UserError, match="^row 0: .*" + re.escape(message)):
        read(name, bad)


def test_a_title_or_an_answer_under_judgement_may_be_blank():
    assert read("squad", {**SQUAD, "title": ""}).prompts[0].startswith("Title: \nContext: The")
    assert 'this answer "".' in read("multirc", {**WORDING["multirc"][0], "answer": ""}).prompts[0]


def test_some_right_candidates_may_be_missing():
    assert read("record", {**RECORD, "answers": ["Eve", "Rome", "Rome"]}).right == ((2,),)


# --- sources


@pytest.fixture
def folder(tmp_path):
    """Two rows of each split of COPA and SST-2 in a local folder."""
    for name, task in (("copa", "copa"), ("sst2", "sst2-prompt")):
        (tmp_path / name).mkdir()
        text = "".join(json.dumps({**WORDING[task][0], "idx": i, "label": i}) + "\n" for i in range(2))
        for split in ("train", "validation"):
            (tmp_path / name / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def test_local(folder):
    source = f"local:{folder}"
    examples = tasks.load("copa", "train", source)
    assert isinstance(examples, Prompts) and examples.right == ((0,), (1,))
    assert tasks.load("copa", "train", source) is examples
    assert tasks.sizes("copa", source) == {"train": 2, "validation": 2}
    assert isinstance(tasks.load("sst2", "train", source), tasks.Examples)
    with pytest.raises(UserError, match="'copa' .*'bundled'; valid: hub, local:DIR"):
        tasks.load("copa", "train", "bundled")


def test_version_is_of_the_data_and_the_wording(folder):
    source, task = f"local:{folder}", tasks.get("sst2-prompt")
    assert tasks.version(task, source) == f"{tasks.version('sst2', source)} {task.identity}"
    other = task.model_copy(update={"prompt": "{sentence} It is"})
    assert tasks.version(other, source) != tasks.version(task, source)
    assert tasks.load(other, "train", source).prompts[0].endswith("It is")
    assert (
        tasks.version("copa", "hub")
        == f"aps/super_glue@{tasks.get('copa').hub.revision}/copa {tasks.get('copa').identity}"
    )


def test_an_invalid_row_is_named_by_its_line(folder):
    path = folder / "copa" / "train.jsonl"
    path.write_text(path.read_text() + json.dumps({**COPA, "idx": 2, "label": -1}) + "\n")
    with pytest.raises(UserError, match=r"train\.jsonl line 3: the label is -1"):
        tasks.load("copa", "train", f"local:{folder}")


@pytest.fixture
def on_the_hub(monkeypatch):
    """The Hub has these rows as the train split of any data set."""
    import datasets

    def install(own, names=()):
        data = datasets.Dataset.from_list(own)
        if names:
            data = data.cast_column("label", datasets.ClassLabel(names=list(names)))
        monkeypatch.setattr(hub, "open_pinned", lambda *arguments: datasets.DatasetDict(train=data))

    hub.load.cache_clear()
    yield install
    hub.load.cache_clear()


@pytest.mark.parametrize("name", WORDING)
def test_hub_examples_equal_local_ones(on_the_hub, name):
    task = tasks.get(name)
    on_the_hub([WORDING[name][0]], task.labels)
    assert tasks.load(name, "train", "hub").digest() == read(name, WORDING[name][0]).digest()


@pytest.mark.parametrize("name, names", [("copa", ("choice2", "choice1")), ("boolq", ("True", "False"))])
def test_hub_label_names_are_compared(on_the_hub, name, names):
    on_the_hub([WORDING[name][0]], names)
    defined = ", ".join(names[::-1])
    with pytest.raises(UserError, match=f"stand for {', '.join(names)}, but task {name!r} defines {defined}"):
        tasks.load(name, "train", "hub")


# --- the toy tasks

# Words that carry no content of their own: they may occur in both splits.
FUNCTION_WORDS = set(
    "a all because he her his in she so the up answer at context did on question what when where who".split()
)


@pytest.fixture(scope="module", params=list(TOYS))
def toy(request):
    task = tasks.get(request.param)
    return task, *(tasks.load(task, split, "bundled") for split in task.splits)


def texts_of(examples):
    return [" ".join((prompted, *options)) for prompted, options in zip(examples.prompts, examples.options)]


def test_toy_sizes(toy):
    task, train, validation = toy
    assert (len(train), len(validation)) == (1000, 400) == tuple(tasks.sizes(task, "bundled").values())
    assert [task.n_train(regime, len(train)) for regime in ("low", "medium", "all")] == [200, 400, 1000]


def test_toy_texts_are_distinct_and_short(toy):
    _, *splits = toy
    for examples in splits:
        assert len(set(texts_of(examples))) == len(set(examples.ids)) == len(examples)
        assert max(len(text.split()) for text in texts_of(examples)) <= 40


@pytest.mark.parametrize("name", ["toy-causes", "toy-reading"])
def test_toy_splits_share_function_words_only(name):
    train, validation = (
        set(re.findall(r"[a-z]+", " ".join(texts_of(tasks.load(name, split, "bundled"))).lower()))
        for split in tasks.get(name).splits
    )
    assert train & validation <= FUNCTION_WORDS


@pytest.mark.parametrize("split", ["train", "validation"])
def test_toy_sentiment_prompts_are_the_rows_of_toy_sentiment(split):
    prompts, examples = (tasks.load(name, split, "bundled") for name in ("toy-sentiment-prompt", "toy-sentiment"))
    assert prompts.prompts == tuple(f"{text} It was" for (text,) in examples.texts)
    assert prompts.labels.tolist() == examples.labels.tolist() and prompts.ids == examples.ids


@pytest.mark.parametrize("split", ["train", "validation"])
def test_toy_causes_belong_together(split):
    from beft_lib.tasks.toys import causes

    def without_person(text):
        kept = re.sub(rf"\b({'|'.join(causes.WORDS[split]['who'].split(', '))})\b", "", text.lower())
        return re.sub(r"\b(the|who|he|she|him|her|his|them|their)\b|[.]", "", kept).split()

    pairs = [
        [without_person(side) for side in event.split(" / ")] for event in causes.WORDS[split]["event"].split(", ")
    ]
    found = causes.rows(split)
    assert {(row["label"], row["question"]) for row in found} == set(product((0, 1), ("cause", "effect")))
    assert sum(row["label"] for row in found) == len(found) / 2
    for row in found:
        premise, *choices = (without_person(row[column]) for column in ("premise", "choice1", "choice2"))
        events = [[choice, premise] if row["question"] == "cause" else [premise, choice] for choice in choices]
        assert [event in pairs for event in events] == [row["label"] == 0, row["label"] == 1]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_toy_reading_answers_are_in_the_context_once(split):
    from beft_lib.tasks.toys import reading

    kinds = {"who": 0, "what": 0, "where": 0, "when": 0}
    for row in reading.rows(split):
        (answer,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start:].startswith(answer) and row["context"].lower().count(answer.lower()) == 1
        assert re.fullmatch(r"([A-Z][a-zA-Z ]+\. ?){2}", row["context"]) and row["question"].endswith("?")
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", row["context"])
        kinds[row["question"].split()[0].lower()] += 1
    assert len(set(kinds.values())) == 1


@pytest.mark.parametrize("name, data", TOYS.items())
def test_toy_data_is_the_same_everywhere(name, data):
    # A change of a generator is a change of the task: raise its version and the one in its seed.
    assert tasks.version(name, "bundled") == f"{name} v1 {data} {tasks.get(name).identity}"
