"""`beft list` and `beft check`: what there is, what is wrong with a definition, and both without torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from beft_lib import cli, models, tasks
from beft_lib.chapters.ledger import CLAIMS
from beft_lib.cli import lists
from beft_lib.errors import UserError
from beft_lib.tasks import Task, catalogue
from beft_lib.tasks.check import check
from beft_lib.tuning.methods import METHODS

FIELDS = """
name: films
version: 1
title: Films
kind: classification
text: ["{review}"]
labels: [bad, good]
metrics: [accuracy]
validation: [{split: validation, title: Films}]
learning_rate: 1.0e-3
epochs: {base: 3}
n: {low: 100}
"""


@pytest.fixture
def define(tmp_path):
    def written(text: str):
        path = tmp_path / "films.yaml"
        path.write_text(text)
        return path

    return written


def first_words(kind: str, capsys) -> list[str]:
    assert cli.main(["list", kind]) == 0
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    "kind, names",
    [
        ("tasks", tasks.names()),
        ("methods", list(METHODS)),
        ("models", list(models.CATALOGUE)),
        ("architectures", list(models.ARCHITECTURES)),
    ],
)
def test_a_list_has_every_name(kind, names, capsys):
    assert sorted(first_words(kind, capsys)) == sorted(names)


def test_the_list_of_claims_has_each_once(capsys):
    listed = [word for word in first_words("claims", capsys) if word in {claim.id for claim in CLAIMS}]
    assert sorted(listed) == sorted(claim.id for claim in CLAIMS)


@pytest.mark.parametrize("arguments", [*(["list", kind] for kind in lists.LISTS), ["check", "films.yaml"]])
def test_lists_and_checks_answer_without_torch(arguments, define):
    path = define(FIELDS)
    code = (
        "import sys; from beft_lib.cli import main\n"
        f"assert main({arguments!r}) == 0\n"
        "assert not {'torch', 'transformers', 'datasets', 'evaluate'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=path.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_packaged_definition_passes(capsys):
    for name in tasks.names():
        assert check(catalogue.path_of(name))[0] == tasks.get(name)


def test_a_definition_that_is_right_gives_its_task(define):
    task, examples = check(define(FIELDS), [{"review": "a delight", "label": 1}])
    assert isinstance(task, Task) and task.labels == ("bad", "good")
    assert examples.texts == (("a delight",),) and examples.labels.tolist() == [1]


def test_all_mistakes_are_told_at_once_with_what_is_valid(define, capsys):
    wrong = (
        FIELDS.replace("version: 1", "version: one").replace("{low: 100}", "{lwo: 100}").replace("title: Films\n", "")
    )
    path = define(wrong.replace("[accuracy]", "[accurcy]").replace("{base: 3}", "{base: many}"))
    assert cli.main(["check", str(path)]) == 2
    told = capsys.readouterr().err
    for key, value, valid in (
        ("version", "'one'", "a whole number"),
        ("n.low", "missing", "a whole number"),
        ("n", "'lwo'", "high, low, medium"),
        ("title", "missing", "a text"),
        ("metric", "'accurcy'", "macro_f1"),
        ("epochs.base", "'many'", "a whole number"),
    ):
        assert any(key in line and value in line and valid in line for line in told.splitlines()), (key, told)


@pytest.mark.parametrize(
    "old, new, told",
    [
        ("kind: classification", "kind: clasification", "classification, regression, options, answer"),
        ("name: films", "name: movies", "'films'"),
        ("{review}", "{the review}", "column names"),
        ("[bad, good]", "[bad]", "at least two labels"),
        ("name: films", "name: [", "not YAML"),
    ],
)
def test_one_mistake(old, new, told, define):
    with pytest.raises(UserError) as raised:
        check(define(FIELDS.replace(old, new)))
    assert told in str(raised.value)


@pytest.mark.parametrize(
    "row, told",
    [
        ({"review": "fine"}, "no column 'label'"),
        ({"review": "fine", "label": 2}, "0 (bad), 1 (good)"),
        ({"review": " ", "label": 1}, "'review' is blank"),
    ],
)
def test_rows_that_cannot_be_read_are_named(row, told, define, tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"review": "good", "label": 1}) + "\n" + json.dumps(row) + "\n")
    assert cli.main(["check", str(define(FIELDS)), "--rows", str(rows)]) == 2
    error = capsys.readouterr().err
    assert "row 1" in error and told in error


def test_the_first_row_is_shown_as_it_is_read(define, tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"review": "a delight", "label": 1}) + "\n")
    assert cli.main(["check", str(define(FIELDS)), "--rows", str(rows)]) == 0
    assert "'a delight'" in (out := capsys.readouterr().out) and "1 (good)" in out


def test_a_prompt_is_shown_with_its_options(tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    row = {"premise": "He fell.", "question": "cause", "choice1": "He slipped.", "choice2": "He sat.", "label": 0}
    rows.write_text(json.dumps(row) + "\n")
    assert cli.main(["check", str(catalogue.path_of("copa")), "--rows", str(rows)]) == 0
    out = capsys.readouterr().out
    assert "'He fell because'" in out and "right: ' he slipped.'" in out and "wrong: ' he sat.'" in out


def test_run_outside_a_checkout_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(cli.commands, "checkout", lambda: None)
    assert cli.main(["run", "smoke"]) == 2
    assert "clone" in capsys.readouterr().err


def test_profiles_are_listed_where_nothing_is_installed():
    """`run_all.sh --list` and `--help` answer on a fresh machine: with the standard library alone."""
    for asked in ("--list", "--help"):
        command = [sys.executable, "-S", "-m", "beft_lib", "run", asked]
        done = subprocess.run(command, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == "", done.stderr
