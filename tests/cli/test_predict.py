"""`beft predict`: any readable table in, its own columns and what is predicted out."""

import csv
import io
import json
from dataclasses import replace

import pandas as pd
import pytest
from tuned import move

import beft_lib
from beft_lib import adapters, cli, models
from beft_lib.tasks import Task

ROWS = [{"id": "7", "review": "a fine film 😀"}, {"id": "8", "review": ""}, {"id": "9", "review": 'so "dull", no'}]
ADDED = ["predicted", "probability", "probability:bad", "probability:good"]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "adapter"
    model = beft_lib.beft(models.classifier("tiny-bert", 2, seed=0))
    move(model)
    task = Task.model_validate(
        {
            "name": "t",
            "version": 1,
            "title": "t",
            "kind": "classification",
            "labels": ["bad", "good"],
            "text": ["{text}"],
            "metrics": ["accuracy"],
            "validation": [{"split": "validation", "title": "t"}],
            "learning_rate": 1e-3,
            "epochs": {"base": 1},
            "n": {"low": 8},
        }
    )
    made = adapters.of(model)
    use = adapters.Use(task=task, columns={"review": "text"}, max_length=64)
    made = replace(made, labels=task.labels, use=use, base=replace(made.base, name="tiny-bert"))
    return adapters.save(made, folder)


def written(folder, kind: str):
    """The rows in a file of this format."""
    path, frame = folder / f"new.{kind}", pd.DataFrame(ROWS)
    if kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=kind == "jsonl", force_ascii=False)
    return path


def predict(*arguments, capsys):
    status = cli.main(["predict", *map(str, arguments)])
    return status, *capsys.readouterr()


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_is_read_and_rows_keep_their_order_and_columns(kind, adapter, tmp_path, capsys):
    out = tmp_path / "named.csv"
    path = written(tmp_path, kind)
    status, said, told = predict("--adapter", adapter, "--input", path, "--out", out, capsys=capsys)
    assert status == 0 and said == "" and "2 of 3 rows" in told and "no text" in told
    with open(out, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["review"]) for row in rows] == [(row["id"], row["review"]) for row in ROWS]
    assert list(rows[0]) == ["id", "review", *ADDED] and [rows[1][name] for name in ADDED] == [""] * 4
    expected = adapters.pipeline(adapter)([ROWS[0]["review"], ROWS[2]["review"]])
    for row, one in zip((rows[0], rows[2]), expected):
        assert row["predicted"] == one["label"] and float(row["probability"]) == pytest.approx(one["probability"], 1e-5)
        assert float(row["probability:good"]) == pytest.approx(one["probabilities"]["good"], 1e-5)


def test_json_lines_are_written_with_the_probabilities_of_all_classes(adapter, tmp_path, capsys):
    path = written(tmp_path, "csv")
    status, said, _ = predict("--adapter", adapter, "--input", path, "--format", "jsonl", capsys=capsys)
    rows = [json.loads(line) for line in said.splitlines()]
    assert status == 0 and list(rows[0]) == ["id", "review", "predicted", "probability", "probabilities"]
    assert rows[1]["predicted"] is None and rows[1]["probabilities"] is None
    assert sum(rows[2]["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_standard_input_is_read_whatever_its_format(kind, adapter, tmp_path, capsys, monkeypatch):
    content = written(tmp_path, kind).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    status, said, _ = predict("--adapter", adapter, "--input", "-", capsys=capsys)
    assert status == 0 and len(list(csv.DictReader(io.StringIO(said)))) == 3


def test_another_column_is_named_and_a_single_one_is_taken(adapter, tmp_path, capsys):
    path = tmp_path / "one.csv"
    path.write_text("message\nfine\n")
    assert predict("--adapter", adapter, "--input", path, capsys=capsys)[0] == 0
    path.write_text("message,id\nfine,3\n")
    status, said, _ = predict("--adapter", adapter, "--input", path, "--text", "message", capsys=capsys)
    assert status == 0 and said.splitlines()[0].startswith("message,id,predicted")


@pytest.mark.parametrize(
    ("content", "more", "named"),
    [
        ("message,id\nfine,3\n", [], ["'review'", "message", "--text"]),
        ("review,id\nfine,3\n", ["--text", "reviw"], ["'reviw'", "did you mean 'review'"]),
        ("review,id\nfine,3\n", ["--text", "review", "id"], ["2 columns", "reads 1", "review"]),
        ("review,predicted\nfine,3\n", [], ["'predicted'", "rename"]),
        ("review\nfine\n", ["--out", "named.xlsx"], ["xlsx", ".csv", ".jsonl"]),
        ("review\nfine\n", ["--out", "new.csv"], ["new.csv", "another file"]),
        ("review\nfine\n", ["--model", "tiny-roberta"], ["tiny-bert", "roberta"]),
        ("review\nfine\n", ["--adapter", "nowhere"], ["nowhere"]),
        ("review\n", [], ["no rows"]),
        ('review\n"fine\n', [], ["new.csv line 2"]),
    ],
)
def test_bad_input_is_one_message_and_writes_nothing(content, more, named, adapter, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.csv").write_text(content)
    given = ["--adapter", adapter, "--input", "new.csv", *more]
    status, said, wrong = predict(*given, capsys=capsys)
    assert status == 2 and said == "" and wrong.startswith("error: ") and wrong.count("\n") == 1
    assert all(name in wrong for name in named), wrong
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_an_error_on_standard_input_names_it(adapter, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'review\n"open')))
    status, _, wrong = predict("--adapter", adapter, "--input", "-", capsys=capsys)
    assert status == 2 and "standard input line 2" in wrong and "/" not in wrong.split(":")[1]
