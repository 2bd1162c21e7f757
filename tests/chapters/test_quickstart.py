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
from beft_lib.chapters.quickstart import tables, tune
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


def test_a_new_process_predicts_what_the_tuned_one_does(tuned, tmp_path):
    folder, path = tuned.save(tmp_path / "mine"), tmp_path / "new.csv"
    texts = [row["review"] for row in rows(9, 500)]
    path.write_text("\n".join(["review", *texts]))
    given = [sys.executable, "-m", "beft_lib", "predict", "--adapter", folder, "--input", path, "--format", "jsonl"]
    done = subprocess.run(list(map(str, given)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    named, expected = [json.loads(line) for line in done.stdout.splitlines()], tuned.predict(texts)
    assert [row["review"] for row in named] == texts
    assert [row["predicted"] for row in named] == [one["label"] for one in expected]
    for row, one in zip(named, expected):
        assert row["probabilities"] == pytest.approx(one["probabilities"], abs=1e-6)


def test_what_is_saved_names_classes_base_and_columns_as_the_user_does(tuned, tmp_path):
    folder = tuned.save(tmp_path / "mine")
    namer = adapters.pipeline(folder)
    assert (namer.columns, namer.labels) == (("review",), ("bad", "good"))
    assert namer.model.config.id2label == {0: "bad", 1: "good"}
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] is None


def test_all_biases_can_be_saved_instead_and_predict_as_their_run(tuned, tmp_path):
    folder = tuned.save(tmp_path / "all", what="all_biases")
    spec = tuned.comparison.specs["all_biases", 0]
    texts = [texts for (texts,) in tasks.load(tuned.data.definition, "validation", tuned.data.source).texts]
    logits = adapters.pipeline(folder).outputs(texts)
    assert np.allclose(logits, runs.predictions(spec)["validation/logits"], rtol=0, atol=1e-5)
    with pytest.raises(UserError, match="'query'; valid: .*selected"):
        tuned.adapter(what="query")


def test_recall_precision_and_f1_of_each_class_are_scikit_learns():
    import pandas as pd
    from sklearn.metrics import precision_recall_fscore_support as of

    truth, taken = [0, 0, 0, 1, 1, 2, 2, 2, 2], [0, 1, 0, 1, 1, 2, 0, 2, 1]
    counts = pd.crosstab(pd.Series(truth, name="class"), pd.Series(taken))
    frame = tables.by_class(counts)
    for average, row in ((None, frame.iloc[:3]), ("macro", frame.iloc[3:])):
        precision, recall, f1, _ = of(truth, taken, average=average)
        for name, expected in (("precision %", precision), ("recall %", recall), ("F1 %", f1)):
            assert np.allclose(row[name], 100 * np.atleast_1d(expected), atol=0.05)


def test_both_scores_of_classes_are_shown(tuned):
    assert ["accuracy %", "macro-F1 %"] == [name for name in tuned.scores if name.endswith("%")]
    macro = tuned.comparison.by("macro_f1").score("value")
    assert tuned.scores["macro-F1 %"][1] == str(macro)


def test_advice_is_given_where_more_scores_decidedly_higher():
    from beft_lib.evidence.stats import Estimate

    class Runs:
        planned = ["value", "head_only", "all_biases", "lora"]

        def gap(self, first, second):
            low = {"all_biases": 2.0, "lora": -1.0, "head_only": -9.0, "value": 0.0}[first]
            return Estimate(mean=low + 3, low=low, high=low + 6, n=3)

    (advice,) = tune.words_of_advice(Runs(), "value")
    assert "all biases" in advice and "--save all_biases" in advice and "5.0 points [2.0, 8.0]" in advice


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
        (["--also", "lorra"], ["'lorra'", "lora"]),
        (["--epochs", "0"], ["epochs", "0"]),
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


def shell(*arguments, capsys) -> tuple[int, str, str]:
    status = cli.main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


def test_what_tune_finds_first_is_what_check_tells_without_training(tmp_path, capsys):
    made = [*rows(60), dict(rows(1)[0]), {"review": "", "opinion": "bad"}, {**rows(4)[2], "opinion": "Good"}]
    train = write(tmp_path / "train.jsonl", [*made, {"review": "one more thing", "opinion": "Good"}])
    given = ["--model", "tiny-bert", "--train", train, "--drop-invalid", "--max-length", 8]
    status, told, _ = shell("check", *given, capsys=capsys)
    assert status == 0 and not (tmp_path / "runs").exists()
    for part in (
        "50 rows to train on, 13 to evaluate on",
        "'review'",
        "'opinion' (3 classes)",
        "'Good'",
        "line 62 (no text)",
        "repeating an earlier one (line 61 ('the good thing number 0'))",
        "different labels (line 3 'good', line 63 'Good')",
        "longer than 8 tokens",
        "95 % interval",
        "Expected time: about",
    ):
        assert part in told, (part, told)
    out = tmp_path / "mine"
    more = ["--out", out, "--seeds", 0, "--epochs", 1, "--workers", 1, "--save", "all_biases"]
    status, said, _ = shell("tune", *given, *more, "--runs", tmp_path / "store", capsys=capsys)
    first = said.partition("1 runs to do")[0]
    assert status == 0 and "'Good'" in first and "Expected time" in first and "recall %" in said
    assert (out / "beft_adapter.safetensors").is_file()
    (task,) = [path.name for path in (tmp_path / "store" / "own").iterdir()]
    assert f"beft forget {task} --runs {tmp_path / 'store'}" in said
    status, _, wrong = shell("forget", "tsak", "--runs", tmp_path / "store", capsys=capsys)
    assert status == 2 and task in wrong
    status, said, _ = shell("forget", task, "--runs", tmp_path / "store", capsys=capsys)
    assert status == 0 and "3 runs" in said and not list((tmp_path / "store").glob("*/result.json"))
    assert not list((tmp_path / "store" / "own").iterdir()) and out.is_dir()


def test_all_that_is_wrong_is_told_at_once(tmp_path, capsys):
    train = write(tmp_path / "train.jsonl", rows(40))
    wrong = ["--model", "tiny-brt", "--label", "stars", "--text", "body", "--seeds", 1, 1, "--epochs", 0]
    status, said, told = shell("check", "--train", train, "--eval", "no.csv", *wrong, capsys=capsys)
    assert status == 2 and said == "" and told.startswith("error: 4 things are wrong:")
    assert all(part in told for part in ("repeats a seed", "epochs 0", "'tiny-brt'", "no.csv does not exist"))
    status, _, told = shell("check", "--train", train, "--model", "tiny-bert", *wrong[2:6], capsys=capsys)
    assert status == 2 and "'stars'" in told and "'body'" in told


def test_rows_that_are_wrong_are_all_named_by_their_lines(tmp_path, capsys):
    made = rows(40)
    made[3]["review"], made[5]["opinion"] = " ", ""
    evaluation = rows(20, 100)
    evaluation[7]["opinion"] = "GOOD"
    train, held = write(tmp_path / "train.jsonl", made), write(tmp_path / "test.jsonl", evaluation)
    status, _, told = shell("check", "--model", "tiny-bert", "--train", train, "--eval", held, capsys=capsys)
    assert status == 2 and "2 things are wrong" in told and "'GOOD' in line 8" in told and "did you mean 'good'" in told
    assert all(part in told for part in ("line 4 (no text)", "line 6 ('the", "line 8 ('the", "--drop-invalid")), told
    status, _, told = shell("check", "--model", "tiny-bert", "--train", held, "--eval", held, capsys=capsys)
    assert status == 2 and "holds every text of train" in told


def test_the_likelier_columns_are_proposed(tmp_path, capsys):
    made = [{"no": f"T-{i}", "channel": "web mail".split()[i % 2], "what": f"{r['review']} so", "queue": r["opinion"]}
            for i, r in enumerate(rows(40))]  # fmt: skip
    train = write(tmp_path / "train.jsonl", made)
    status, _, told = shell("check", "--model", "tiny-bert", "--train", train, capsys=capsys)
    assert status == 2 and "--label 'queue'" in told and "--text 'what'" in told


def test_check_needs_one_thing_to_check(tmp_path, capsys):
    for given in ([], ["task.yaml", "--train", "a.csv"], ["--train", "a.csv"]):
        status, _, wrong = shell("check", *given, capsys=capsys)
        assert status == 2 and ("check what" in wrong or "--model" in wrong)


def test_a_decoder_with_a_classification_head_is_tuned_like_any_other(tmp_path):
    folder = tmp_path / "model"
    transformers.LlamaForSequenceClassification(models.causal("tiny-llama").config).save_pretrained(folder)
    models.tokenizer("tiny-llama").save_pretrained(folder)
    found = beft_lib.tune(str(folder), rows(32), rows(12, 100), seeds=(0,), epochs=1, workers=1)
    assert list(found.scores.tuned) == ["head only", "b_v", "all biases"] and found.term == "value"
    spec = found.comparison.specs["value", 0]
    texts = [row["review"] for row in rows(12, 100)]
    logits = adapters.pipeline(found.save(tmp_path / "mine")).outputs(texts)
    assert np.allclose(logits, runs.predictions(spec)["validation/logits"], rtol=0, atol=1e-4)


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
