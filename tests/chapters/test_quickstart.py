"""A model and data of one's own: ranked, tuned, compared, saved, and loaded where this library is not known."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from processes import threads

import beft_lib
from beft_lib import adapters, biases, cli, models, runs, tasks
from beft_lib.chapters.quickstart import plan as plans
from beft_lib.chapters.quickstart import tune
from beft_lib.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
WORDS = {"good": "good fine great lovely", "bad": "bad poor awful dull"}


def rows(count: int, offset: int = 0) -> list[dict]:
    """Rows of two classes that one word tells apart; the number keeps texts distinct."""
    made = []
    for i in range(offset, offset + count):
        label = ("good", "bad")[i % 2]
        made.append({"review": f"the {WORDS[label].split()[i // 2 % 4]} thing number {i}", "opinion": label})
    return made


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """One tuning of a tiny model, and its store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEFT_RUNS", str(store := tmp_path_factory.mktemp("runs")))
        yield beft_lib.tune("tiny-bert", rows(48), rows(24, 100), seeds=(0, 1), epochs=2, workers=1), store


@pytest.fixture
def tuned(found, monkeypatch):
    monkeypatch.setenv("BEFT_RUNS", str(found[1]))
    return found[0]


# ------------------------------------------------------------------------------------------------------------ tune


def test_the_ranking_selects_what_is_tuned_and_has_its_null_beside_it(tuned):
    assert tuned.term == "value" and list(tuned.ranking.bias) == ["b_v", "b_q", "b_k"]
    assert {"place", "projection", "null model", "magnitude", "Fisher"} <= set(tuned.ranking)
    assert "selects b_v" in tuned.notices[-1] and tuned.ranking["null model"][0] in tuned.notices[-1]


def test_scores_are_those_of_the_runs_with_the_control_and_all_biases_beside(tuned):
    assert list(tuned.scores.tuned) == ["head only", "b_v", "all biases"]
    assert list(tuned.scores.scalars) == ["0", "64", "608"]
    gap = tuned.comparison.gap("value", "head_only")
    assert tuned.scores.iloc[0, -1] == str(gap) and tuned.scores.iloc[1, -1] == "–" and gap.n == 2
    assert len(tuned.verdicts) == 2 and all("b_v" in sentence for sentence in tuned.verdicts)


def test_confusions_count_every_evaluation_example_of_every_seed(tuned):
    assert list(tuned.confusion.index) == ["bad", "good"] and tuned.confusion.to_numpy().sum() == 2 * 24
    right = sum(
        (p["validation/logits"].argmax(1) == p["validation/labels"]).sum()
        for seed in (0, 1)
        for p in [runs.predictions(tuned.comparison.specs["value", seed])]
    )
    assert np.trace(tuned.confusion.to_numpy()) == right


def test_every_epoch_is_scored(tuned):
    assert tuned.comparison.curve("value").shape == (2, 2)


def test_the_same_call_again_trains_nothing(tuned, capsys):
    again = beft_lib.tune("tiny-bert", rows(48), rows(24, 100), seeds=(0, 1), epochs=2, workers=1)
    assert "[1/" not in capsys.readouterr().out and again.scores.equals(tuned.scores)


def test_a_term_given_by_hand_is_tuned_whatever_the_ranking_says(tuned):
    other = beft_lib.tune("tiny-bert", tuned.data, term="query", seeds=(0, 1), epochs=2, workers=1)
    assert other.term == "query" and list(other.scores.tuned) == ["head only", "b_q", "all biases"]
    assert not any("selects" in notice for notice in other.notices)


def test_select_takes_adopted_data(tuned):
    frame = beft_lib.select("tiny-bert", tuned.data, seeds=(0, 1), epochs=2, each_epoch=True)
    assert frame.index[0] == "value" and frame.projection.iloc[0] == pytest.approx(
        float(tuned.ranking.projection[0]), rel=5e-3
    )


def test_a_decoder_answers_prompts_and_is_held_against_the_untuned_model():
    words = {"good": "great", "bad": "terrible"}
    found = beft_lib.tune(
        "tiny-llama", rows(24), rows(12, 100), prompt="{review} It was", words=words, seeds=(0,), epochs=1, workers=1
    )
    assert found.term == "value" and found.ranking.empty and "not defined" in found.notices[-1]
    assert list(found.scores.tuned) == ["zero-shot", "b_v", "all biases"]
    assert found.confusion.to_numpy().sum() == 12


# ------------------------------------------------------------------------------------------------------ saved


def test_what_is_saved_gives_the_runs_predictions_to_the_bit_with_as_many_threads(tuned, tmp_path):
    folder = tuned.save(tmp_path / "mine")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in folder.iterdir()}
    task = tuned.data.definition
    model = models.classifier("tiny-bert", task.num_labels, seed=7)
    adapters.merge(model, adapters.load(folder, model))
    biases.train_only(model, [])  # as in a run most of it is: kernels are chosen by it, and with them the last bit
    from beft_lib.tuning import batches, encoder_pass, loop

    spec = tuned.comparison.specs["value", 0]
    encoded = batches.encode(
        models.tokenizer("tiny-bert"), tasks.load(task, "validation", tuned.data.source), task.max_length
    )
    with threads(runs.stored(spec).environment["threads"]):
        logits = loop.predict(model, encoded, logits=encoder_pass.logits)
    assert np.array_equal(logits, runs.predictions(spec)["validation/logits"])
    assert np.allclose(logits, loop.predict(model, encoded), rtol=0, atol=1e-6)


def test_another_seed_can_be_saved_and_an_unknown_one_is_named(tuned, tmp_path):
    first, second = tuned.adapter(), tuned.adapter(seed=1)
    assert any(not torch.equal(first.delta[key], second.delta[key]) for key in first.delta)
    assert first.labels == ("bad", "good")
    with pytest.raises(UserError, match="seed 5 .* valid: 0, 1"):
        tuned.save(tmp_path / "mine", seed=5)


# ----------------------------------------------------------------------------------------- the command line


def write(path: Path, made: list[dict]) -> Path:
    path.write_text("\n".join(map(json.dumps, made)), encoding="utf-8")
    return path


def command(*arguments, capsys) -> tuple[int, str, str]:
    status = cli.main(["tune", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_the_shell_does_the_same_and_saves(tuned, tmp_path, capsys):
    train, held = write(tmp_path / "train.jsonl", rows(48)), write(tmp_path / "test.jsonl", rows(24, 100))
    out = tmp_path / "mine"
    settings = ["--seeds", 0, 1, "--epochs", 2, "--workers", 1, "--out", out]
    status, said, wrong = command("--model", "tiny-bert", "--train", train, "--eval", held, *settings, capsys=capsys)
    assert status == 0 and wrong == ""
    assert "selects b_v" in said and "head only" in said and "PeftModel.from_pretrained" in said
    assert (out / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--model", "tiny-brt"], ["'tiny-brt'", "tiny-bert"]),
        (["--term", "vale"], ["'vale'", "did you mean 'value'"]),
        (["--seeds", "1", "1"], ["repeats a seed"]),
        (["--label", "stars"], ["'stars'", "opinion"]),
        (["--text", "body"], ["'body'", "review"]),
        (["--train", "missing.csv"], ["missing.csv", "does not exist"]),
        (["--max-length", "4000"], ["4000", "128"]),
        (["--learning-rate", "-1"], ["learning_rate", "-1"]),
        (["--model", "tiny-opt"], ["decoder", "--prompt", "--words"]),
        (["--prompt", "{review} It was"], ["words"]),
        (["--workers", "99"], ["99", "cores"]),
    ],
)
def test_bad_input_is_one_message_and_trains_nothing(more, named, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = write(tmp_path / "train.jsonl", rows(80))
    status, said, wrong = command("--model", "tiny-bert", "--train", train, *more, capsys=capsys)
    assert status == 2 and wrong.startswith("error: ") and wrong.count("\n") == 1
    assert all(name in wrong for name in named), wrong
    assert not list((tmp_path / "runs").glob("*/result.json")) and not list(tmp_path.glob("beft-*"))


def test_a_folder_that_holds_other_things_is_not_written_to(tmp_path, capsys):
    train = write(tmp_path / "train.jsonl", rows(40))
    status, _, wrong = command("--model", "tiny-bert", "--train", train, "--out", tmp_path, capsys=capsys)
    assert status == 2 and str(tmp_path) in wrong and not (tmp_path / "adapter_config.json").exists()


# ------------------------------------------------------------------------------------------------ the rest


def test_a_hub_id_needs_no_prefix_and_a_folder_stays_one(tmp_path):
    assert plans.model_name("google-bert/bert-base-cased") == "hub:google-bert/bert-base-cased"
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "config.json").write_text("{}")
    assert plans.model_name(str(tmp_path / "own" / "model")) == str(tmp_path / "own" / "model")
    assert [plans.model_name(n) for n in ("minilm-l6", "hub:a/b", "./a/b")] == ["minilm-l6", "hub:a/b", "./a/b"]


def test_a_folder_of_ones_own_is_tuned_and_long_texts_are_reported(tmp_path):
    folder = tmp_path / "model"
    models.classifier("tiny-bert", 2, seed=0).save_pretrained(folder)
    models.tokenizer("tiny-bert").save_pretrained(folder)
    long = [{**row, "review": row["review"] + " and on" * 40} if i < 5 else row for i, row in enumerate(rows(40))]
    found = beft_lib.tune(str(folder), long, rows(16, 100), seeds=(0,), epochs=1, workers=1)
    saved = found.save(tmp_path / "mine")
    assert json.loads((saved / "adapter_config.json").read_text())["base_model_name_or_path"] == str(folder)
    assert any(notice.startswith("5 of 40 training texts are longer than 128 tokens") for notice in found.notices)


def test_the_example_is_two_files_that_are_read_as_they_come(tmp_path):
    data = tasks.adopt(*tune.example(tmp_path / "example"))
    assert (data.train, data.evaluation, list(data.counts)) == (200, 150, ["negative", "positive"])


def test_trainer_trains_the_bias_alone_and_the_saved_adapter_is_the_model(tmp_path):
    """The example of docs/library.md: beft, Hugging Face's Trainer, save; then load into a fresh model."""
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    tokenizer, labels = models.tokenizer("tiny-bert"), {"bad": 0, "good": 1}
    data = Dataset.from_list([{**tokenizer(r["review"]), "labels": labels[r["opinion"]]} for r in rows(32)])
    model = beft_lib.beft(models.classifier("tiny-bert", 2, seed=0), term="value")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    arguments = TrainingArguments(
        tmp_path / "trainer",
        max_steps=4,
        learning_rate=1e-2,
        weight_decay=0,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
    )
    Trainer(model, arguments, train_dataset=data, processing_class=tokenizer).train()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    values = {handle.name for handle in biases.term_biases(model, "value")}
    assert moved == values | {"classifier.weight", "classifier.bias", "bert.pooler.dense.bias"}
    adapters.save(model, tmp_path / "mine")
    fresh = models.classifier("tiny-bert", 2, seed=3)
    adapters.merge(fresh, adapters.load(tmp_path / "mine", fresh))
    batch = tokenizer([r["review"] for r in rows(8)], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(fresh(**batch).logits, model.eval()(**batch).logits)


def test_the_saved_adapter_loads_in_a_process_that_does_not_know_this_library(tuned, tmp_path):
    base, saved = tmp_path / "base", tuned.save(tmp_path / "mine")
    models.classifier("tiny-bert", 2, seed=3).save_pretrained(base)
    # Read and computed as in the other process: bits depend on the threads and on how weights lie in memory.
    fresh = transformers.AutoModelForSequenceClassification.from_pretrained(base)
    program = (
        "import sys, torch, transformers as t; from peft import PeftModel\n"
        "torch.set_num_threads(1)\n"
        "model = t.AutoModelForSequenceClassification.from_pretrained(sys.argv[1])\n"
        "model = PeftModel.from_pretrained(model, sys.argv[2]).eval()\n"
        "assert not any(name.startswith('beft_lib') for name in sys.modules)\n"
        "with torch.no_grad():\n"
        "    print(model(torch.tensor([[2, 5, 6, 7, 3]])).logits.flatten().tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, base, saved], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with adapters.attach(fresh, {"mine": adapters.load(saved, fresh)}) as attached, torch.no_grad():
        attached.use("mine")
        expected = fresh(torch.tensor([[2, 5, 6, 7, 3]])).logits.flatten().tolist()
    assert json.loads(done.stdout) == expected
