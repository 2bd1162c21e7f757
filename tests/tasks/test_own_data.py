"""A data set of one's own: read from any format, refused or described, kept, and run like any other task."""

import csv
import decimal
import gzip
import http.server
import io
import json
import random
import re
import shutil
import threading
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest

from beft_lib import evidence, tasks, workspace
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec, execute
from beft_lib.sweep import sweep
from beft_lib.tasks import Adopted, adopt
from beft_lib.tasks.own import hub

ODD = ["NA", "null", 'He said "no",\nand left; so did I.', "Ünïcode ☃ – naïve", "  None ", "tab\there", "007", "a,b;c"]


def make(n=120, classes=("bad", "good"), text="review", label="verdict", start=0):
    """n rows of different texts whose classes take turns."""
    return [
        {
            text: f"text number {start + i} of a kind that is {classes[i % len(classes)]}",
            label: classes[i % len(classes)],
        }
        for i in range(n)
    ]


def scored(n=120, first="sentence1", second="sentence2", label="score"):
    return [
        {first: f"the first text {i}", second: f"the other text {i}", label: round(i % 11 / 2, 1)} for i in range(n)
    ]


def refused(message, *arguments, **options):
    """The parts of a message, separated by dots, are in the error that `adopt` raises."""
    with pytest.raises(UserError) as error:
        adopt(*arguments, **options)
    for part in message.split(" ... "):
        assert part in str(error.value), str(error.value)
    assert not str(error.value).startswith("[")
    return str(error.value)


def notice(adopted: Adopted, start: str) -> str:
    """The one notice with `start` in it."""
    (found,) = [said for said in adopted.notices if start in said]
    return found


def kept(adopted: Adopted, split: str) -> list[dict]:
    path = workspace.runs_folder() / "own" / adopted.task / f"{split}.jsonl.gz"
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def write_separated(path: Path, rows, delimiter=",", bom=b"") -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(bom + text.getvalue().encode())
    return path


def lines(rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def formats(folder: Path, rows):
    """The rows in every form that `adopt` takes."""
    frame = pd.DataFrame(rows)
    yield "csv", write_separated(folder / "a.csv", rows)
    yield "csv with a BOM", str(write_separated(folder / "b.csv", rows, bom=b"\xef\xbb\xbf"))
    yield "csv with semicolons", write_separated(folder / "c.csv", rows, delimiter=";")
    yield "tsv", write_separated(folder / "d.tsv", rows, delimiter="\t")
    (folder / "e.csv.gz").write_bytes(gzip.compress((folder / "a.csv").read_bytes()))
    yield "csv.gz", folder / "e.csv.gz"
    (folder / "f.jsonl").write_bytes(lines(rows))
    yield "jsonl", folder / "f.jsonl"
    (folder / "g.jsonl.gz").write_bytes(gzip.compress(lines(rows)))
    yield "jsonl.gz", folder / "g.jsonl.gz"
    (folder / "h.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    yield "json", folder / "h.json"
    frame.to_parquet(folder / "i.parquet")
    yield "parquet", folder / "i.parquet"
    datasets.Dataset.from_list(rows).to_parquet(folder / "j.parquet")
    yield "parquet of datasets", folder / "j.parquet"
    yield "DataFrame", frame.set_index(pd.Index(range(7, 7 + len(rows))))
    yield "Dataset", datasets.Dataset.from_list(rows)
    yield "list", rows


# --- formats


@pytest.mark.parametrize(
    "values", [("bad", "good"), (0, 1), (1, 2, 10), (True, False), (1.0, 2.0), (0.25, 0.5, 3.125)], ids=repr
)
def test_every_format_gives_the_same_task(tmp_path, values):
    rows = make(120, values)
    for row, text in zip(rows, ODD):
        row["review"] = text
    made = {kind: adopt(data, name="same") for kind, data in formats(tmp_path, rows)}
    assert len({adopted.task for adopted in made.values()}) == 1, {kind: a.task for kind, a in made.items()}
    assert len({adopted.counts.__repr__() for adopted in made.values()}) == 1
    adopted = made["csv"]
    texts = {row["idx"]: row["text"] for split in ("train", "validation") for row in kept(adopted, split)}
    assert texts == {str(i): row["review"] for i, row in enumerate(rows, start=1)}


def test_names(tmp_path):
    rows = make()
    path = write_separated(tmp_path / "My Réviews (2).csv", rows)
    assert re.fullmatch("my-reviews-2-[0-9a-f]{8}", adopt(path).task)
    assert adopt(path).definition.title == "My Réviews (2)"
    assert adopt(rows).task.startswith("data-") and adopt(rows, name="☃").task.startswith("data-")
    assert adopt(rows, name="Mine").task.startswith("mine-")
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(lines(rows)))
    assert adopt(tmp_path / "x.jsonl.gz").task.startswith("x-")


BROKEN = {
    "no file": ("a.csv", None, "a.csv does not exist"),
    "format": ("a.xlsx", b"", "a.xlsx has a format that is not read; valid: .csv, .tsv"),
    "empty": ("a.csv", b"", "a.csv has no rows"),
    "header only": ("a.csv", b"text,label\n", "a.csv has no rows"),
    "latin": ("a.csv", b"text,label\nok,1\ncaf\xe9,0\n", "a.csv line 3: byte 0xe9 is not UTF-8"),
    "utf-16": ("a.csv", "text,label\n".encode("utf-16-le"), "a.csv line 1: a NUL character"),
    "half of utf-16": ("a.csv", "text,label\na,1\n".encode("utf-16")[:-1], "is not UTF-16"),
    "fields": ("a.csv", b'text,label\n"a\nb",1\na,b,0\n', "a.csv line 4: 3 fields where the header has 2"),
    "open quote": ("a.csv", b'text,label\na,1\n"b,0\nc,1\n', "a.csv line 3: the row that begins here"),
    "stray quote": ("a.csv", b'text,label\n"Oh" he said,1\n', "a.csv line 2: the row that begins here"),
    "two columns": ("a.csv", b"text,text,label\na,b,1\n", "'text' as the name of several columns"),
    "jsonl": ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl line 2: not valid JSON"),
    "jsonl of lists": ("a.jsonl", b"[1]\n", "a.jsonl line 1: a JSON list"),
    "json": ("a.json", b'[{"a": 1},\n {"a" 2}]', "a.json line 2: not valid JSON"),
    "json of lines": ("a.json", b'{"a": 1}\n{"a": 2}\n', "one object a line is a .jsonl file"),
    "json of an object": ("a.json", b'{"data": []}', "a.json is not a list of JSON objects"),
    "gzip": ("a.jsonl.gz", b"plain", "a.jsonl.gz is not a complete gzip file"),
    "json too deep": ("a.json", b"[" * 100_000, "a.json is JSON that cannot be read"),
    "jsonl too deep": ("a.jsonl", b'{"a": 1}\n{"a": ' + b"[" * 100_000, "a.jsonl line 2: JSON that cannot be read"),
    "number too long": ("a.jsonl", b'{"a": ' + b"1" * 5000 + b"}\n", "a.jsonl line 1: JSON that cannot be read"),
    "parquet": ("a.parquet", b"PAR1", "a.parquet is not a readable Parquet file"),
}


@pytest.mark.parametrize("name, content, message", BROKEN.values(), ids=BROKEN)
def test_broken_file(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refused(message, tmp_path / name)


def test_a_missing_file_names_its_neighbours(tmp_path):
    write_separated(tmp_path / "reviews.csv", make())
    refused("revews.csv does not exist; in ... there are reviews.csv", tmp_path / "revews.csv")
    (tmp_path / "a.csv").mkdir()
    refused("a.csv is a folder without the parts of one data set", tmp_path / "a.csv")
    refused("evaluate.csv does not exist", make(), tmp_path / "evaluate.csv")


def test_other_objects():
    refused("train is a int; valid: a path", 3)
    refused(
        "train is a DatasetDict with the splits train", datasets.DatasetDict(train=datasets.Dataset.from_list(make()))
    )
    refused("train has no rows", [])
    refused("evaluate has no rows", make(), pd.DataFrame({"review": [], "verdict": []}))
    frame = pd.DataFrame(np.array([["a", "b", "c"]]), columns=["x", "x", "y"])
    refused("train has 'x' as the name of several columns", frame)


def test_missing_values_of_a_frame():
    frame = pd.DataFrame(make())
    frame["number"] = pd.array([1, None] * 60, dtype="Int64")
    frame["verdict"] = frame["verdict"].astype("category")
    frame["when"] = pd.NaT
    assert adopt(frame, name="a").task == adopt(make(), name="a").task
    frame.loc[2, "verdict"] = np.nan
    refused("train: 1 row without a label (row 3)", frame)


def test_exact_decimals_are_numbers(tmp_path):
    rows = [{**row, "score": decimal.Decimal(str(row["score"])), "huge": 10**400} for row in scored()]
    plain = adopt(scored(), name="a").task
    assert adopt(rows, name="a").task == adopt(pd.DataFrame(rows), name="a").task == plain
    pd.DataFrame(rows).drop(columns="huge").to_parquet(tmp_path / "a.parquet")
    assert adopt(tmp_path / "a.parquet", name="a").task == plain


def test_columns_of_a_frame_may_be_numbered():
    frame = pd.DataFrame([list(row.values()) for row in make()])
    assert adopt(frame, text=0, label=1).task == adopt(frame).task


def test_class_labels_keep_their_names_and_order(tmp_path):
    rows = [{"text": row["review"], "label": i % 2} for i, row in enumerate(make(classes=("pos", "neg")))]
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg", "x"])}
    )
    data = datasets.Dataset.from_list(rows, features)
    adopted = adopt(data, name="a")
    assert adopted.definition.labels == ("pos", "neg") and list(adopted.counts) == ["pos", "neg"]
    data.to_parquet(tmp_path / "a.parquet")
    assert adopt(tmp_path / "a.parquet").task == adopted.task
    unlabelled = datasets.Dataset.from_list([{**row, "label": -1} for row in rows], features)
    refused("evaluate: 120 rows without a label (rows 1, 2, 3, 4, 5 and 115 more)", data, unlabelled)


# --- columns


DETECTED = {
    "usual": (["review", "stars"], {"review": "t", "stars": "c"}, "Texts: column 'review'; labels: column 'stars'"),
    "case": (["Review Text", "text", "LABEL"], {"text": "t", "LABEL": "c"}, "column 'text'; labels: column 'LABEL'"),
    "pair": (
        ["Sentence 1", "sentence2", "gold"],
        {"gold": "c"},
        "columns 'Sentence 1' and 'sentence2'; labels: column 'g",
    ),
    "pair and more": (
        ["premise", "hypothesis", "title", "label"],
        {"label": "c"},
        "columns 'premise' and 'hypothesis'",
    ),
    "label first": (["text", "category", "label"], {"category": "c", "label": "c"}, "labels: column 'label'"),
    "by content": (["blurb", "shelf"], {"shelf": "c"}, "Texts: column 'blurb'; labels: column 'shelf'"),
    "label by content": (["text", "what"], {"what": "c"}, "Texts: column 'text'; labels: column 'what'"),
    "text by content": (["blurb", "label"], {"label": "c"}, "Texts: column 'blurb'; labels: column 'label'"),
    "ids": (["Unnamed: 0", "idx", "guid", "blurb", "shelf"], {"shelf": "c", "Unnamed: 0": "i", "idx": "i"}, "'blurb'"),
    "answer": (["question", "answer", "passage"], {"answer": "b"}, "'question' and 'passage'; labels: column 'answer'"),
    "whole numbers": (["blurb", "year", "shelf"], {"year": "i", "shelf": "c"}, "'blurb'; labels: column 'shelf'"),
}


def table(names, holds, n=60):
    """Columns of texts, but for classes "c", bools "b", running numbers "i" and scores "s"."""
    values = {"c": lambda i: i % 3, "b": lambda i: i % 2 == 0, "i": lambda i: i, "s": lambda i: i / 8}
    return [
        {name: values[holds[name]](i) if holds.get(name, "t") != "t" else f"some words of {name} {i}" for name in names}
        for i in range(n)
    ]


@pytest.mark.parametrize("names, holds, message", DETECTED.values(), ids=DETECTED)
def test_columns_are_found(names, holds, message):
    adopted = adopt(table(names, holds))
    assert message in adopted.notices[0]
    assert len(adopted.definition.labels) == (2 if "b" in holds.values() else 3)
    unused = [name for name in names if repr(name) not in adopted.notices[0]]
    assert not unused or ", ".join(map(repr, unused)) in notice(adopted, "Not used: ")


AMBIGUOUS = {
    "two texts": (["a", "b", "label"], {"label": "c"}, "'a', 'b' could each hold the texts; name one with text='a' "),
    "usual texts": (
        ["title", "body", "label"],
        {"label": "c"},
        "pair with text=('body', 'title') (--text 'body' 'title')",
    ),
    "alike": (["Text", "text", "label"], {"label": "c"}, "'Text', 'text' could each hold the texts"),
    "alike in a pair": (
        ["premise", "Premise", "hypothesis", "label"],
        {"label": "c"},
        "'premise', 'Premise', 'hypothesis' could each hold the texts",
    ),
    "two pairs": (
        ["premise", "hypothesis", "text1", "text2", "label"],
        {"label": "c"},
        "'premise', 'hypothesis', 'text1', 'text2' could each hold the texts",
    ),
    "two labels": (
        ["text", "a", "b"],
        {"a": "c", "b": "c"},
        "'a', 'b' could each hold the labels; name it with label='a'",
    ),
    "usual labels": (
        ["text", "category", "sentiment"],
        {"category": "c", "sentiment": "c"},
        "'category', 'sentiment' could each hold the labels ... (--label 'category')",
    ),
    "no label": (
        ["text"],
        {},
        "no column is known to hold the labels; name it with label='COLUMN' ... 'text': texts of 5",
    ),
    "no text": (["id", "label"], {"id": "i", "label": "c"}, "no column is known to hold the texts"),
}


@pytest.mark.parametrize("names, holds, message", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_ambiguous_columns_are_listed(names, holds, message):
    message = refused(f"{message} ... The columns: {names[0]!r}: ", table(names, holds))
    assert all(f"{name!r}: " in message for name in names)


def test_columns_are_named():
    rows = table(["title", "body", "a", "b"], {"a": "c", "b": "s"})
    one = adopt(rows, text="body", label="a")
    assert one.notices[0] == "Texts: column 'body'; labels: column 'a' (3 classes)."
    assert notice(one, "Not used") == "Not used: columns 'title', 'b'."
    two = adopt(rows, text=("title", "body"), label="b")
    assert two.notices[0] == "Texts: columns 'title' and 'body'; labels: column 'b' (scores)."
    assert set(kept(two, "train")[0]) == {"first", "second", "label", "idx"}
    assert adopt(rows, text=["body"], label="a").task == one.task
    refused("unknown column of train 'bodi'; valid: a, b, body, title (did you mean 'body'?)", rows, text="bodi")
    refused("unknown column of train 'c'", rows, text="body", label="c")
    refused("column 'a' of train is named as label, and as text", rows, text="a", label="a")
    refused("text ('a', 'b', 'title') is not a column or two", rows, text=("a", "b", "title"))
    refused(
        "column 'b' of train holds no texts: fractional numbers from 0 to 7.375, 60 different",
        rows,
        text="b",
        label="a",
    )
    lists = [{"text": ["a"], "label": i % 2} for i in range(60)]
    refused("'text' of train holds no texts: lists ... (--text)", lists, text="text")


def test_evaluation_has_the_same_columns():
    refused("evaluate has no column 'review', as train has ... 'text': ", make(), make(20, text="text"))
    assert adopt(make(), [{**row, "more": 1} for row in make(20, start=500)]).evaluation == 20


# --- labels


KINDS = {
    "texts": (["b", "a"], None, ("a", "b")),
    "bools": ([True, False], None, ("False", "True")),
    "whole": ([10, 9, -1], None, ("-1", "9", "10")),
    "numbers in texts": (["10", "9"], None, ("9", "10")),
    "whole floats": ([2.0, 1.0], None, ("1", "2")),
    "codes": (["007", "7", "10"], None, ("007", "7", "10")),
    "twenty": (list(range(20)), None, tuple(map(str, range(20)))),
    "said": ([0.5, 1.5], "classification", ("0.5", "1.5")),
    "many": (list(range(24)), "classification", tuple(map(str, range(24)))),
    "scores": ([0.5, 1, 3], None, ()),
    "whole scores": ([1, 2, 3], "regression", ()),
    "many scores": (list(range(24)), "regression", ()),
}


@pytest.mark.parametrize("values, kind, labels", KINDS.values(), ids=KINDS)
def test_kinds(values, kind, labels):
    rows = [{"text": f"a text {i}", "label": values[i % len(values)]} for i in range(240)]
    adopted = adopt(rows, kind=kind)
    task = adopted.definition
    assert task.labels == labels and task.regression == (not labels)
    assert task.metrics == (("accuracy", "macro_f1") if labels else ("spearman", "pearson"))
    if not labels:
        assert task.range == (min(values), max(values)) and adopted.counts == {}
    else:
        assert sum(sum(counts) for counts in adopted.counts.values()) == 240 and list(adopted.counts) == list(labels)


def test_labels_that_cannot_be():
    rows = table(["text", "label"], {"label": "i"})
    refused("'label' of train holds 60 different whole numbers from 0 to 59 ... kind='regression' (--kind)", rows)
    refused("one class only, 'good'", make(classes=("good",)))
    many = [{"text": f"a text {i}", "label": f"c{i}"} for i in range(1001)]
    refused("1,001 different values, too many for classes (at most 1,000)", many)
    refused("classes with fewer than 2 training examples: ", many[:1000])
    refused("has no labels", [{"text": f"a b {i}", "label": None} for i in range(60)], label="label")
    refused("has no labels", [{"text": f"a b {i}", "label": {"a": i}} for i in range(60)], label="label")
    lists = [{"text": f"a b {i}", "label": [i]} for i in range(60)]
    refused("'label' of train holds lists (rows 1, 2, 3, 4, 5 and 55 more) ... one label a row", lists, label="label")
    refused("'label': lists", lists)
    refused("unknown kind 'classes'; valid: classification, regression", make(), kind="classes")
    rows = scored()
    rows[3]["score"], rows[7]["score"] = "?", "high"
    refused("train: 2 rows with a label that is not a number (rows 4 and 8)", rows, kind="regression")
    assert adopt(rows, kind="regression", drop_invalid=True).train == round(0.8 * 118)
    rows = [{**row, "score": 1.5} for row in scored()]
    refused("all training scores are 1.5", rows)


@pytest.mark.parametrize("values", [[0.5, 1, 3], list(range(24))], ids=["fractional", "whole"])
@pytest.mark.parametrize("other", ["N/A", float("inf")], ids=repr)
def test_numbers_with_a_few_others_are_asked_about(values, other):
    rows = [{"text": f"a text of row {i}", "label": values[i % len(values)]} for i in range(240)]
    rows[4]["label"] = rows[50]["label"] = other
    refused(
        f"column 'label' of train holds numbers, but in rows 5 and 51 it does not: {other!r}. ... kind='regression', "
        "drop_invalid=True (--kind, --drop-invalid) ... kind='classification'. Rows are counted from 1",
        rows,
    )
    adopted = adopt(rows, kind="regression", drop_invalid=True)
    assert adopted.train + adopted.evaluation == 238 and adopted.definition.range == (min(values), max(values))
    assert str(other) in adopt(rows, kind="classification").definition.labels
    assert "and 2 that are none" in refused("holds no texts", rows, text="label", label="text")


def test_whole_numbers_and_a_name_are_classes():
    rows = [{"text": f"a text of row {i}", "label": str(i % 12) if i % 12 else "unknown"} for i in range(240)]
    assert adopt(rows).definition.labels == ("1", "10", "11", *map(str, range(2, 10)), "unknown")


def test_given_labels():
    rows = make()
    assert adopt(rows, labels=("good", "bad")).definition.labels == ("good", "bad")
    assert kept(adopt(rows, labels=("good", "bad"), held_out=0.5), "train")[0]["label"] == (
        1 if rows[0]["verdict"] == "bad" else 0
    )
    ids = [{**row, "verdict": i % 2} for i, row in enumerate(rows)]
    assert adopt(ids, labels=("bad", "good"), name="a").task == adopt(rows, name="a").task
    assert adopt(ids, labels=(1, 0)).definition.labels == ("1", "0")
    refused("has the value 'good', which is not among the labels bad, fine", rows, labels=("bad", "fine"))
    refused("fewer than 2 training examples: 'fine' (0)", rows, labels=("bad", "good", "fine"))
    flags = [{**row, "verdict": row["verdict"] == "good"} for row in rows]
    assert adopt(flags, labels=("bad", "good"), name="a").task == adopt(rows, name="a").task
    for labels in (["bad"], ["bad", "bad"], "bad", ["bad", " "], 3, {"bad": 0, "good": 1}):
        refused(f"labels {labels!r} are not the names of two classes or more", rows, labels=labels)
    refused("labels ['a', 'b'] with kind 'regression', which has none", scored(), labels=["a", "b"], kind="regression")


# --- rows


def test_invalid_rows():
    rows, evaluation = make(), make(30, start=500)
    rows[2]["review"], rows[4]["review"], rows[9]["verdict"] = " \n", None, ""
    evaluation[0]["verdict"] = None
    refused(
        "train: 2 rows without a text (rows 3 and 5); train: 1 row without a label (row 10); evaluate: 1 row without a "
        "label (row 1). Correct them, or leave these rows out with drop_invalid=True (--drop-invalid). Rows are "
        "counted from 1, without header and blank lines.",
        rows,
        evaluation,
    )
    adopted = adopt(rows, evaluation, drop_invalid=True)
    assert (adopted.train, adopted.evaluation) == (117, 29)
    assert notice(adopted, "without a text") == "Left out of train: 2 rows without a text (rows 3 and 5)."
    assert not {"3", "5", "10"} & {row["idx"] for row in kept(adopted, "train")}
    pair = scored()
    pair[6]["sentence2"] = ""
    refused("train: 1 row without a text (row 7)", pair)
    mixed = make()
    mixed[1]["review"] = {"a": 1}
    refused("train: 1 row with a text that is an object or broken Unicode (row 2)", mixed)
    mixed[1]["review"] = "half \ud83d of an emoji"
    refused("train: 1 row with a text that is an object or broken Unicode (row 2)", mixed)
    mixed[1] = {**make()[1], "verdict": "\ud83d"}
    refused("train: 1 row with a label that is an object or broken Unicode (row 2)", mixed)
    assert adopt(mixed, drop_invalid=True).definition.labels == ("bad", "good")


def test_rows_are_counted_as_the_user_counts(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\nreview,verdict\n\n" + "".join(f'"a text\nof row {i}",{i % 2}\n\n' for i in range(60)) + ",1\n")
    refused("1 row without a text (line 184 (no text))", path)


def test_labels_of_the_evaluation():
    evaluation = make(30, start=500)
    evaluation[3]["verdict"] = evaluation[8]["verdict"] = "Good"
    refused(
        "evaluate has labels that the training data lacks: 'Good' in rows 4 and 9 (did you mean 'good'?). The classes",
        make(),
        evaluation,
    )
    rows = make(classes=("a", "b", "c"))
    adopted = adopt(rows, make(30, ("a", "b"), start=500))
    assert notice(adopted, "The evaluation has no row of 'c'") and adopted.counts == {
        "a": (40, 15),
        "b": (40, 15),
        "c": (40, 0),
    }


def test_duplicates_conflicts_and_overlap():
    rows, evaluation = make(), make(100, start=500)
    rows += [dict(rows[0]), {**rows[0], "verdict": "good"}, {**rows[1], "review": rows[1]["review"].replace(" ", "  ")}]
    rows += [{**evaluation[5]}, {**evaluation[5], "verdict": "bad"}]
    adopted = adopt(rows, evaluation)
    assert notice(adopted, "repeating") == "train: 2 rows repeating an earlier one (rows 121 and 123); kept."
    assert notice(adopted, "different labels").startswith(
        "train: 2 texts with different labels (row 1 'bad', row 122 'good')"
    )
    assert notice(adopted, "left out").startswith(
        "2 training rows left out (rows 124 and 125 of train), as the evaluation"
    )
    assert (adopted.train, adopted.evaluation) == (123, 100) and len(adopted.notices) == 5
    assert adopted.notices[-1] == "Rows are counted from 1, without header and blank lines."
    refused("evaluate (evaluate) holds every text of train (train)", make(), make())
    odd = adopt(make(), [*evaluation, dict(evaluation[5]), {**evaluation[5], "verdict": "bad"}])
    assert odd.evaluation == 102 and notice(odd, "repeating").startswith("evaluate: 1 row repeating an earlier one")
    assert notice(odd, "different labels").startswith("evaluate: 1 text with different labels (row 6 'good', row 102")
    clean = adopt(make(), evaluation)
    assert clean.notices == ("Texts: column 'review'; labels: column 'verdict' (2 classes).",)


def test_sizes():
    refused("15 training examples; at least 16", make(15), make(20, start=500))
    assert adopt(make(16), make(10, start=500)).train == 16
    refused("9 evaluation examples; at least 10 are needed: add labelled rows to evaluate", make(), make(9, start=500))
    refused("6 evaluation examples; at least 10 are needed: raise held_out", make(30))
    few = notice(adopt(make(), make(49, start=500)), "Only 49")
    assert "about ±14 points at 50 %" in few
    others = [{**row, "sentence1": row["sentence1"] + " x"} for row in scored(49)]
    assert "±28 points at a correlation of 0" in notice(adopt(scored(), others), "Only 49")
    rare = [*make(), {"review": "a rare one", "verdict": "rare"}]
    refused("classes with fewer than 2 training examples: 'rare' (1); add rows", rare, make(20, start=500))


def test_uneven_classes():
    def uneven(many, few):
        return [{"text": f"a text {i}", "label": "few" if i < few else "many"} for i in range(many + few)]

    evaluation = [{"text": f"another text {i}", "label": ("few", "many")[i % 2]} for i in range(100)]
    adopted = adopt(uneven(81, 19), evaluation)
    assert adopted.definition.metrics == ("macro_f1", "accuracy")
    assert notice(adopted, "uneven") == (
        "The classes are uneven: 'many' is 81% of the training examples, 'few' 19.0%; the primary metric is macro_f1, "
        "to which each class counts the same."
    )
    assert adopt(uneven(80, 20), evaluation).definition.metric == "accuracy"
    prompted = adopt(uneven(81, 19), evaluation, prompt="{text} So", words=["no", "yes"])
    assert prompted.definition.metrics == ("accuracy",) and "only accuracy is defined" in notice(prompted, "uneven")
    many = [{"text": f"a text {i}", "label": f"c{i % 40}"} for i in range(800)]
    assert adopt(many).definition.metric == "accuracy"
    three = [{"text": f"a text {i}", "label": "rare" if i < 4 else f"c{i % 2}"} for i in range(100)]
    assert adopt(three, [{**row, "text": row["text"] + " x"} for row in three]).definition.metric == "macro_f1"


def test_held_out_shares_are_of_each_class_and_no_text_is_on_both_sides():
    for seed in range(40):
        generator = random.Random(seed)
        sizes = [generator.randint(20, 200) for _ in range(generator.randint(2, 5))]
        rows = [{"text": f"text {c} {i}", "label": f"c{c}"} for c, size in enumerate(sizes) for i in range(size)]
        rows += [dict(generator.choice(rows)) for _ in range(generator.randint(0, 20))]
        generator.shuffle(rows)
        share = generator.choice([0.1, 0.2, 0.35, 0.5])
        if share * len(rows) < 12:
            continue
        adopted = adopt(rows, held_out=share, seed=seed)
        sides = [kept(adopted, split) for split in ("train", "validation")]
        assert not {row["text"] for row in sides[0]} & {row["text"] for row in sides[1]}
        assert [len(side) for side in sides] == [adopted.train, adopted.evaluation]
        assert sum(map(len, sides)) == len(rows)
        places = [[int(row["idx"]) for row in side] for side in sides]
        assert all(side == sorted(side) for side in places)
        assert sorted(places[0] + places[1]) == list(range(1, len(rows) + 1))
        total = Counter(row["label"] for row in rows)
        for label, (train, held) in adopted.counts.items():
            assert train + held == total[label] and abs(held - share * total[label]) < 2


def test_held_out_is_drawn_by_the_seed_and_said():
    rows = make(200)
    adopted = adopt(rows, held_out=0.25, seed=3)
    assert adopted.counts == {"bad": (75, 25), "good": (75, 25)}
    said = "50 of 200 rows (25%) were held out for it, class by class, drawn by seed 3"
    assert said in notice(adopted, "No evaluation data was given")
    assert adopt(rows, held_out=0.25, seed=3).task == adopted.task != adopt(rows, held_out=0.25, seed=4).task
    assert "class by class" not in notice(adopt(scored()), "No evaluation data was given")
    for share in (0, 1, -0.1, "a"):
        refused(f"held_out {share!r} is not a share", rows, held_out=share)
    refused("seed -1 is not a whole number", rows, seed=-1)
    refused("max_length 3 is not a number of tokens", rows, max_length=3)
    refused("name 3 is not a text", rows, name=3)


# --- what is kept


def test_definition_and_files():
    adopted = adopt(make(1000), make(100, start=5000), name="Mine", max_length=64)
    task = adopted.definition
    assert (task.learning_rate, task.max_length, task.epochs.base) == (1e-3, 64, 7)
    assert (task.evaluated, task.n.low, task.version, task.title) == (100, 1000, 1, "Mine")
    assert tasks.get(adopted.task) == task and adopted.source == f"local:{workspace.runs_folder()}/own"
    assert tasks.sizes(adopted.task, adopted.source) == {"train": 1000, "validation": 100}
    examples = tasks.load(adopted.task, "train", adopted.source)
    assert examples.ids[:2] == ("1", "2") and examples.labels[:3].tolist() == [0, 1, 0]
    assert [adopt(make(n), make(20, start=9000)).definition.epochs.base for n in (100, 320, 321, 3000)] == [
        20,
        20,
        20,
        3,
    ]
    assert adopted.task not in tasks.names()
    with pytest.raises(AttributeError):
        adopted.task = "other"


def test_equal_data_is_kept_once_and_healed(tmp_path):
    adopted = adopt(make(), name="a")
    folder = workspace.runs_folder() / "own" / adopted.task
    state = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert set(state) == {"task.yaml", "train.jsonl.gz", "validation.jsonl.gz"}
    version = tasks.version(adopted.task, adopted.source)
    assert adopt(make(), name="a") == adopted
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == state
    (folder / "train.jsonl.gz").write_bytes(b"broken")
    assert adopt(make(), name="a") == adopted and tasks.version(adopted.task, adopted.source) == version
    assert [path.name for path in folder.parent.iterdir()] == [adopted.task]
    shutil.rmtree(folder)
    assert adopt(make(), name="a") == adopted
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {k: v[0] for k, v in state.items()}
    for other in (make(121), make(classes=("bad", "best"))):
        assert adopt(other, name="a").task != adopted.task
    assert adopt(make(), name="a", max_length=64).task != adopted.task


def test_a_definition_is_read_as_it_is_now():
    adopted = adopt(make(), name="a")
    path = workspace.runs_folder() / "own" / adopted.task / "task.yaml"
    before = path.read_text()
    assert tasks.get(adopted.task) is tasks.get(adopted.task)
    path.write_text(before.replace("max_length: 128", "max_length: 1280"))
    assert tasks.get(adopted.task).max_length == 1280
    for content in ("", "a: [", "kind: classification\n", before + "more: 1\n", before.replace("kind: cl", "kind: xl")):
        path.write_text(content)
        with pytest.raises(UserError, match=f"{re.escape(str(path))} is not the definition of a task"):
            tasks.get(adopted.task)
    path.write_text(before.replace(adopted.task, "a-01234567"))
    with pytest.raises(UserError, match="defines the task 'a-01234567'"):
        tasks.get(adopted.task)
    path.unlink()
    with pytest.raises(UserError, match="A task of your own is kept in"):
        tasks.get(adopted.task)
    for name in ("../own/a-01234567", "sst3", ""):
        with pytest.raises(UserError, match=f"unknown task '{name}'"):
            tasks.get(name)


# --- prompts


def test_prompts():
    rows = make()
    adopted = adopt(rows, prompt="{review:strip} It was", words=["terrible", "great "])
    task = adopted.definition
    assert isinstance(task, tasks.PromptTask) and tasks.get(adopted.task) == task
    assert (task.prompt, task.options, task.labels) == ("{review:strip} It was", ("terrible", "great"), ("bad", "good"))
    assert (task.max_length, task.learning_rate, task.metrics, task.objective) == (2048, 1e-3, ("accuracy",), "options")
    assert notice(adopted, "Words") == "Words: 'bad' is answered by 'terrible', 'good' is answered by 'great'."
    read = tasks.load(task, "train", adopted.source)
    assert read.prompts[0].endswith(" It was") and read.options[0] == (" terrible", " great")
    by_label = adopt(rows, prompt="{review:strip} It was", words={"good": "great", "bad": "terrible"})
    assert by_label.task == adopted.task
    odd = [{"Review Text": row["review"], "label": "some text", "option": "x y", "y": row["verdict"]} for row in rows]
    named = adopt(odd, label="y", prompt="{{{Review Text}}} {label}/{option}", words=["no", "yes"], max_length=99)
    assert tasks.load(named.task, "train", named.source).prompts[0].endswith("} some text/x y")
    assert named.definition.max_length == 99


PROMPTS = {
    "no words": ({"prompt": "{review}"}, "prompt without words"),
    "no prompt": ({"words": ["a", "b"]}, "words without prompt"),
    "column": ({"prompt": "{text} so"}, "unknown column of train 'text'; valid: review, verdict"),
    "no column": ({"prompt": "It was"}, "names no column"),
    "brace": ({"prompt": "{review It was"}, "is not a template"),
    "empty": ({"prompt": "{} It was"}, "braces hold the name of a column"),
    "filter": ({"prompt": "{review:upper}"}, "unknown filter"),
    "blank": ({"prompt": "{review} It was "}, "ends in a blank"),
    "text": ({"prompt": "{review}", "text": "review"}, "text 'review' with a prompt"),
    "label": (
        {"prompt": "{review} {verdict}", "label": "verdict"},
        "'verdict' of train is named as label, and as text or",
    ),
    "count": (
        {"prompt": "{review}", "words": ["a", "b", "c"]},
        "3 words (a, b, c) for 2 classes ... in the order bad, good",
    ),
    "same": ({"prompt": "{review}", "words": ["a", " a"]}, "are not different texts"),
    "mapping": ({"prompt": "{review}", "words": {"bad": "a", "fine": "b"}}, "words are for the labels bad, fine"),
}


@pytest.mark.parametrize("options, message", PROMPTS.values(), ids=PROMPTS)
def test_prompts_that_cannot_be(options, message):
    refused(
        message, make(), **({"words": ["a", "b"]} if "prompt" in options and message[:6] != "prompt" else {}) | options
    )


def test_scores_have_no_words():
    refused("holds scores, and a prompt is answered by a word", scored(), prompt="{sentence1}", words=["a", "b"])


# --- the Hub


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def fake_hub(monkeypatch):
    calls = []

    def install(splits=None, error=None):
        def load_dataset(*arguments, revision):
            assert revision == COMMIT
            calls.append(arguments)
            if error:
                raise error
            return datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in splits.items()})

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name, revision: ["one", "two"])
        monkeypatch.setattr(hub, "latest_revision", lambda name, repository: COMMIT)
        return calls

    return install


def test_hub(fake_hub):
    splits = {"train": make(), "validation": make(40, start=500), "test": make(60, start=700)}
    calls = fake_hub(splits)
    held_out = adopt("hub:org/reviews")
    assert calls == [("org/reviews", None)] and held_out.task.startswith("reviews-") and held_out.evaluation == 24
    said = "other splits can be evaluated on instead: hub:org/reviews:validation, hub:org/reviews:test."
    assert said in notice(held_out, "No evaluation data")
    assert adopt("hub:org/reviews/one:train", "hub:org/reviews/one").evaluation == 40
    assert calls[1:] == [("org/reviews", "one")] * 2
    adopted = adopt("hub:org/reviews", "hub:org/reviews:test")
    assert adopted.evaluation == 60 and adopted.definition.title == "reviews"
    assert adopt("hub:org/reviews", make(60, start=700)).task == adopted.task
    refused("unknown split of hub:org/reviews 'dev'; valid: test, train, validation", make(), "hub:org/reviews:dev")
    refused("'hub:reviews' is not a name on the Hub; write hub:ORG/NAME", "hub:reviews")
    fake_hub({"train": make(), "test": make(60, start=700)})
    assert adopt("hub:org/reviews", "hub:org/reviews").evaluation == 60
    fake_hub({"all": make()})
    refused("has no split validation or test, and evaluate names none; valid: all", make(), "hub:org/reviews")


def test_hub_errors(fake_hub):
    fake_hub(error=ValueError("Config name is missing."))
    refused("data set hub:org/a needs a config; valid: one, two. Write hub:org/a/one", "hub:org/a")
    refused("unknown config of hub:org/a 'tow'; valid: one, two", "hub:org/a/tow")
    refused("hub:org/a/one could not be read from ... ValueError: Config name", "hub:org/a/one")
    fake_hub(error=datasets.exceptions.DatasetNotFoundError("Dataset 'org/a' is gated"))
    refused("you may not read org/a ... is gated); ask for access", "hub:org/a")


def test_a_copy_of_another_revision_is_not_taken_for_the_hub(fake_hub, tmp_path, monkeypatch):
    fake_hub()
    for commit, taken in ((COMMIT, True), ("f" * 40, False)):
        datasets.Dataset.from_list(make()).save_to_disk(tmp_path / commit)
        kept = datasets.DatasetDict(train=datasets.load_from_disk(str(tmp_path / commit)))
        monkeypatch.setattr(datasets, "load_dataset", lambda *arguments, revision, kept=kept: kept)
        if taken:
            assert adopt("hub:org/a").train == 96
        else:
            refused(f"the only copy in the local cache is of another revision than {COMMIT}", "hub:org/a")


def test_a_folder_is_not_taken_for_the_hub(fake_hub, tmp_path, monkeypatch):
    calls = fake_hub({"train": make()})
    (tmp_path / "org" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    refused(f"hub:org/a: {tmp_path / 'org' / 'a'} has the same name as the Hub's data set", "hub:org/a")
    assert calls == [] and adopt("hub:org/b").train == 96


@pytest.fixture
def answering(monkeypatch):
    """A Hub that is reached, and answers every question about a data set with one status."""
    import huggingface_hub

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/" else self.server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
    monkeypatch.setattr(huggingface_hub.constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "status, message",
    [(503, "cannot be reached: HTTP status 503"), (429, "HTTP status 429"), (404, "has no org/a"), (401, "log in")],
)
def test_a_hub_that_fails_is_an_error_whatever_is_cached(answering, monkeypatch, status, message):
    def load_dataset(*arguments, **options):
        raise AssertionError("a copy in the cache would be taken")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    answering.status = status
    refused(f"hub:org/a ... {answering.server_port} ... {message}", "hub:org/a")


def test_an_unreachable_hub_is_an_error(answering, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")
    refused("the Hub at http://127.0.0.1:9 cannot be reached: ConnectError ... or name a file", "hub:org/a")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    refused("hub:org/a could not be read, as the Hub at ... HF_HUB_OFFLINE", "hub:org/a")


# --- runs


def spec(adopted: Adopted, model="tiny-bert", method="value", **more) -> RunSpec:
    return RunSpec(model=model, task=adopted.task, source=adopted.source, regime="all", method=method, epochs=1, **more)


def test_runs():
    single, pair = (
        make(60),
        [{"premise": row["review"], "hypothesis": "so it is", "label": row["verdict"]} for row in make(60)],
    )
    for rows, metrics in ((single, 2), (pair, 2), (make(60, ("a", "b", "c")), 2), (scored(60), 2)):
        adopted = adopt(rows)
        assert spec(adopted).n_train == adopted.train
        result = execute.run(spec(adopted))
        assert result.done and [v.metric for v in result.metrics] == list(adopted.definition.metrics)
        assert len(result.metrics) == metrics and result.metrics[0].n == adopted.evaluation == 12
    prompted = adopt(single, prompt="{review} It was", words=["terrible", "great"])
    assert prompted.definition.epochs.base == 20
    result = execute.run(spec(prompted, "tiny-opt"))
    assert result.done and [(v.metric, v.n) for v in result.metrics] == [("accuracy", 12)]


def test_a_sweep_in_worker_processes_gives_gaps():
    adopted = adopt(make(60))
    specs = [spec(adopted, method=method, seed=seed) for method in ("value", "head_only") for seed in (0, 1)]
    assert (sweep(specs, workers=min(2, workspace.cores())).status == "done").all()
    comparison = evidence.compare_one(specs)
    gap = comparison.gap("value", "head_only")
    assert gap.low <= gap.mean <= gap.high and comparison.title == "data"
