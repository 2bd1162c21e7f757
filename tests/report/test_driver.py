"""`run_all.sh`: two calls in one process, and every mistake that a user can make with it."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from processes import run_all

from beft_lib import cli, workspace
from beft_lib.chapters import registry
from beft_lib.errors import UserError
from beft_lib.report import driver, notebooks, profiles

ROOT = Path(__file__).resolve().parents[2]


REQUESTS = {
    "published": (driver.Request("cpu", published=True, dry_run=True), "cpu, data local", "0 runs to do"),
    "its own": (driver.Request("smoke", only=("01_bias_selection",), dry_run=True), "smoke, data bundled", "0 already"),
}


@pytest.mark.parametrize("order", [("published", "its own"), ("its own", "published"), ("published", "published")])
def test_two_calls_in_one_process_have_a_store_each(order, capsys):
    before, variables = workspace.current(), dict(os.environ)
    for name in order:
        request, profile, said = REQUESTS[name]
        assert driver.run(request) == 0
        told = capsys.readouterr().out
        assert profile in told and said in told, told
        assert workspace.current() == before and dict(os.environ) == variables


def test_a_call_that_fails_leaves_the_store_as_it_was(tmp_path):
    kept = tmp_path / "report" / "records"
    kept.mkdir(parents=True)
    (kept / "index.json").write_text('{"source": "hub"}')
    with pytest.raises(UserError, match="in the published records"):
        driver.run(driver.Request("smoke", published=True, out=tmp_path / "report"))
    assert not workspace.published() and "BEFT_PUBLISHED" not in os.environ


def test_a_failing_notebook_is_shown_and_stops_no_other(tmp_path, monkeypatch, capsys):
    good = json.loads((ROOT / "notebooks" / "01_bias_selection.ipynb").read_text())
    parameters = next(c for c in good["cells"] if "parameters" in c["metadata"].get("tags", []))
    for name, line in (("02_broken", "raise ValueError('this <broke>')"), ("03_fine", "print(model)")):
        cells = [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": f"# {name}"},
            parameters,
            {"cell_type": "code", "id": "b", "metadata": {}, "source": line, "outputs": [], "execution_count": None},
        ]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({**good, "cells": cells}))
    profile = {
        "source": "bundled",
        "notebooks": {name: {"model": "tiny-bert", "task": "toy-sentiment"} for name in ("02_broken", "03_fine")},
    }
    params = tmp_path / "params"
    params.mkdir()
    (params / "defaults.yaml").write_text("")
    (params / "mine.yaml").write_text(yaml.safe_dump(profile))
    monkeypatch.setattr(notebooks, "folder", lambda: tmp_path)
    monkeypatch.setattr(profiles, "folder", lambda: params)
    nothing = lambda **_: type("Plan", (), {"specs": [], "groups": []})  # noqa: E731
    monkeypatch.setattr(registry, "PLANS", {"02_broken": nothing, "03_fine": nothing})
    notebooks.parameters.cache_clear()
    assert cli.main(["run", "mine", "--out", str(tmp_path / "out")]) == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "ValueError: this &lt;broke&gt;" in page and "tiny-bert" in page
    outcomes = json.loads((tmp_path / "out" / "provenance.json").read_text())["notebooks"]
    assert outcomes["02_broken"]["status"] == "failed" and outcomes["03_fine"]["status"] == "done"
    assert "failed: 02_broken" in capsys.readouterr().err


def test_a_notebook_is_given_the_parameters_of_a_profile():
    (cell,) = (cell for cell in profiles.load("smoke").cells if cell.name == "02_glue_regimes")
    assert profiles.parameters("smoke", "02_glue_regimes") == cell.parameters
    with pytest.raises(UserError, match="02_glue_regime.*02_glue_regimes"):
        profiles.parameters("smoke", "02_glue_regime")


# -------------------------------------------------------------------------------------------------------- mistakes


@pytest.fixture
def params(tmp_path, monkeypatch):
    """A copy of params/ to make mistakes in; returns a function that writes a profile."""
    folder = tmp_path / "params"
    shutil.copytree(ROOT / "params", folder)
    monkeypatch.setattr(profiles, "folder", lambda: folder)
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> None:
        (folder / "mine.yaml").write_text(text)

    return write


def refused(capsys, tmp_path, *arguments) -> str:
    """Exit status 2, one message, nothing written; returns the message."""
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["run", *arguments, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and "Traceback" not in printed.err
    assert sorted(tmp_path.rglob("*")) == before
    return printed.err


NOTEBOOK = "notebooks: {01_bias_selection: {model: tiny-bert, task: toy-sentiment, %s}}"


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        ("sourc: bundled", ["params/mine.yaml", "'sourc'", "did you mean 'source'"]),
        ("source: [bundled]", ["params/mine.yaml", "source", "['bundled']", "str"]),
        ("source: disk", ["'disk'", "hub", "local:DIR"]),
        ("notebooks: [", ["params/mine.yaml", "not valid YAML"]),
        ("- a list", ["params/mine.yaml", "no mapping"]),
        ("notebooks: {01_bias: {}}", ["params/mine.yaml", "'01_bias'", "01_bias_selection"]),
        (NOTEBOOK % "seed: [0]", ["params/mine.yaml", "01_bias_selection", "'seed'", "did you mean 'seeds'"]),
        (NOTEBOOK % "seeds: '0'", ["params/mine.yaml", "seeds", "'0'", "list[int]"]),
        (NOTEBOOK % "seeds: [0, x]", ["seeds", "list[int]"]),
        (NOTEBOOK % "n_train: 3.5", ["n_train", "3.5", "int | None"]),
        ("notebooks: {06_why_b_v: {precision_study: 1}}", ["precision_study", "bool"]),
        (NOTEBOOK % "seeds: []", ["params/mine.yaml", "seeds: []", "[0]"]),
        (NOTEBOOK % "seeds: [1, 1]", ["seeds", "once"]),
        (NOTEBOOK % "n_train: 5000", ["n_train 5000", "1000", "toy-sentiment"]),
        (NOTEBOOK % "n_train: 0", ["n_train", "0"]),
        (NOTEBOOK % "regime: tiny", ["regime", "'tiny'", "medium"]),
        (NOTEBOOK % "precision: bf16", ["precision", "'bf16'", "ranking", "fp32"]),
        (NOTEBOOK % "learning_rate: -1.0", ["learning_rate", "-1.0"]),
        (NOTEBOOK % "matrix: {regime: low}", ["matrix", "list"]),
        (NOTEBOOK % "matrix: {task: [toy-sentiment]}", ["task", "matrix"]),
        (NOTEBOOK % "matrix: {regime: {low: 3}}", ["matrix", "low", "3"]),
        (NOTEBOOK % "matrix: {regime: {low: {matrix: {}}}}", ["matrix", "low"]),
        (NOTEBOOK % "matrix: {regime: {low: {epoks: 1}}}", ["epoks", "epochs"]),
        (NOTEBOOK % "source: hub", ["source", "whole profile"]),
        (
            "notebooks: {01_bias_selection: {model: minilm, task: toy-sentiment}}",
            ["params/mine.yaml", "'minilm'", "minilm-l6"],
        ),
        (
            "notebooks: {01_bias_selection: {model: tiny-bert, task: toy-sentiments}}",
            ["'toy-sentiments'", "toy-sentiment"],
        ),
        ("notebooks: {01_bias_selection: {model: tiny-bert, task: sst2}}", ["'sst2'", "bundled", "local:DIR"]),
    ],
)
def test_a_mistake_in_a_profile_is_one_message(params, tmp_path, capsys, profile, names):
    params(profile)
    message = refused(capsys, tmp_path, "mine")
    assert all(name in message for name in names), message


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["quikc"], ["unknown profile 'quikc'", "did you mean 'quick'"]),
        (["smoke", "--only", "01_bias_section"], ["'01_bias_section'", "01_bias_selection"]),
        (["smoke", "--data", "disk"], ["'disk'", "local:DIR"]),
        (["smoke", "--workers", "0"], ["--workers 0", "1 to"]),
        (["smoke", "--published"], ["no published records"]),
        (["cpu", "--data", "bundled"], ["'sst2'", "'bundled'", "toy-sentiment"]),
        (["cpu", "--data", "local:nowhere"], ["nowhere", "does not exist"]),
    ],
)
def test_a_mistake_on_the_command_line_is_one_message(params, tmp_path, capsys, arguments, names):
    message = refused(capsys, tmp_path, *arguments)
    assert all(name in message for name in names), message


GOOD = b'{"sentence": "fine", "label": 1, "idx": 0}\n'


def compressed(text: bytes) -> bytes:
    """Without the time of day, which would make a test's name another one in each of pytest-xdist's processes."""
    return gzip.compress(text, mtime=0)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (None, ["sst2"]),
        (compressed(b'{"sentence": "fine", "idx": 0}\n'), ["train.jsonl.gz", "line 1", "'label'"]),
        (compressed(GOOD * 50)[:-12], ["train.jsonl.gz", "gzip"]),
        (compressed(GOOD + b"{oops\n"), ["train.jsonl.gz", "line 2", "JSON"]),
        (compressed(b""), ["train.jsonl.gz"]),
        (b"no gzip", ["train.jsonl.gz", "gzip"]),
        (compressed(GOOD.replace(b"1", b"7")), ["train.jsonl.gz", "line 1", "7", "positive"]),
        (compressed(GOOD), ["n_train 1000", "1"]),
    ],
)
def test_a_damaged_data_folder_is_one_message(params, tmp_path, capsys, content, names):
    folder = tmp_path / "data" / "sst2"
    folder.mkdir(parents=True)
    (folder / "validation.jsonl.gz").write_bytes(gzip.compress(GOOD))
    if content is not None:
        (folder / "train.jsonl.gz").write_bytes(content)
    message = refused(capsys, tmp_path, "cpu", "--only", "01_bias_selection", "--data", "local:data")
    assert all(name in message for name in names), message


def test_an_unreachable_hub_is_one_message(tmp_path):
    done = run_all(
        "paper",
        "--out",
        tmp_path / "out",
        HF_ENDPOINT="http://127.0.0.1:9",
        HF_HUB_OFFLINE="0",
        HF_HOME=str(tmp_path / "hub"),
    )
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert all(name in done.stderr for name in ("nyu-mll/glue", "--data local:DIR", "bundled")), done.stderr
    assert not (tmp_path / "out").exists()


def test_usage_errors_exit_with_2():
    for arguments in (["--workers", "many"], ["--engine", "slurm"], ["--nonsense"]):
        with pytest.raises(SystemExit) as error:
            cli.main(["run", *arguments])
        assert error.value.code == 2


# ------------------------------------------------------------------------------------------------------- parameters


def test_a_matrix_makes_an_execution_a_combination(params):
    params(
        "notebooks: {01_bias_selection: {task: toy-sentiment, "
        "matrix: {model: [tiny-bert, tiny-roberta], regime: [low, medium]}}}"
    )
    cells = profiles.load("mine").cells
    assert [c.name for c in cells] == [
        f"01_bias_selection__{m}__{r}" for m in ("tiny-bert", "tiny-roberta") for r in ("low", "medium")
    ]
    assert cells[0].parameters["seeds"] == [0, 1, 2]  # from the defaults


def test_a_value_of_a_matrix_may_have_parameters_of_its_own(params):
    params(
        "notebooks: {01_bias_selection: {task: toy-sentiment, epochs: 2, "
        "matrix: {model: {tiny-bert: {epochs: 3}, tiny-roberta: {}}}}}"
    )
    made = profiles.load("mine")
    assert [(c.parameters["model"], c.parameters["epochs"]) for c in made.cells] == [
        ("tiny-bert", 3),
        ("tiny-roberta", 2),
    ]
    kept = profiles.published(made, "bundled", {"tiny-roberta"})
    assert [c.name for c in kept.cells] == ["01_bias_selection__tiny-roberta"] and kept.absent == ("tiny-bert",)


def test_parameters_are_read_with_their_types():
    declared = notebooks.parameters("01_bias_selection")
    assert declared["seeds"].default == [0, 1, 2] and declared["seeds"].annotation == "list[int]"
    assert declared["n_train"].default is None
    declared["learning_rate"].check(1, "here")  # an int will do for a float


def test_every_profile_plans(params):
    for name in profiles.names():
        for cell in profiles.load(name).cells:
            assert registry.plan(cell.notebook, cell.parameters).specs or registry.trains_own_data(cell.notebook)
