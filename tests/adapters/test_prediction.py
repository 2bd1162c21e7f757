"""New texts named by a saved adapter: as stock PEFT computes them, whatever their order and length."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import transformers
from tuned import move, stock

import beft_lib
from beft_lib import adapters, models, tasks
from beft_lib.errors import UserError
from beft_lib.tasks import PromptTask, Task

LABELS = ("bad", "good", "fair")
TEXTS = ["a fine film", "no", "the longest of these texts by far, which is why it is padded to nothing", "a fine film"]
OF_ALL = {"version": 1, "title": "t", "validation": [{"split": "validation", "title": "t"}], "learning_rate": 1e-3}
OF_ALL |= {"epochs": {"base": 1}, "n": {"low": 8}, "name": "t"}


def of(text, **more) -> Task:
    return Task.model_validate({**OF_ALL, "text": text, **more})


def made(task: Task, folder, columns, max_length=64):
    """An adapter of a tiny BERT in a folder of its own, as if it had been tuned on the task."""
    base = folder / "base"
    models.classifier("tiny-bert", task.num_labels, seed=0).save_pretrained(base)
    models.tokenizer("tiny-bert").save_pretrained(base)
    model = beft_lib.beft(models.classifier(str(base), task.num_labels, seed=1))
    move(model)
    use = adapters.Use(task=task, columns=columns, max_length=max_length)
    return replace(adapters.of(model), labels=task.labels, use=use), base


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    task = of(["{text}"], kind="classification", labels=LABELS, metrics=["accuracy"])
    adapter, base = made(task, folder, {"review": "text"}, max_length=16)
    return adapters.save(adapter, folder / "adapter"), base


@torch.no_grad()
def stock_logits(base, folder, *texts, labels=3):
    """What transformers and stock PEFT make of each example alone."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels)
    model, tokenizer = stock(model, folder), transformers.AutoTokenizer.from_pretrained(base)
    rows = [tokenizer(*own, truncation=True, max_length=16, return_tensors="pt") for own in zip(*texts)]
    return np.concatenate([model(**row).logits.numpy() for row in rows])


def test_probabilities_are_the_softmax_of_stock_pefts_logits(saved):
    folder, base = saved
    namer, told = adapters.pipeline(folder), []
    expected = stock_logits(base, folder, TEXTS)
    assert np.allclose(namer.outputs(TEXTS), expected, rtol=0, atol=1e-5) and namer.truncated == 1
    found = namer(TEXTS, lambda done, of: told.append((done, of)))
    shares = torch.from_numpy(expected).softmax(-1).numpy()
    assert [list(one["probabilities"]) for one in found] == [list(LABELS)] * 4
    assert np.allclose([list(one["probabilities"].values()) for one in found], shares, atol=1e-5)
    assert [one["label"] for one in found] == [LABELS[place] for place in expected.argmax(1)]
    assert all(one["probability"] == max(one["probabilities"].values()) for one in found)
    assert found[0] == found[3] and told[-1] == (4, 4) and namer.labels == LABELS
    assert namer({"review": TEXTS[1], "other": 1})[0]["label"] == found[1]["label"] == namer(TEXTS[1])[0]["label"]


def test_stock_pefts_own_adapter_is_read_too(saved, tmp_path):
    folder, base = saved
    numbered = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
    load = partial(transformers.AutoModelForSequenceClassification.from_pretrained, base, **numbered)
    stock(load(), folder).save_pretrained(tmp_path / "stock")
    namer = adapters.pipeline(tmp_path / "stock", str(base))
    expected = stock_logits(base, folder, TEXTS[:2])
    assert np.allclose(namer.outputs(TEXTS[:2]), expected, rtol=0, atol=1e-5)
    given = adapters.pipeline(tmp_path / "stock", load(), models.tokenizer(str(base)))
    assert given.labels == LABELS and np.allclose(given.outputs(TEXTS[:2]), expected, rtol=0, atol=1e-5)
    with pytest.raises(UserError, match="without its tokenizer"):
        adapters.pipeline(tmp_path / "stock", load())


def test_pairs_and_scores(tmp_path):
    task = of(["{first}", "{second}"], kind="regression", range=(0.0, 5.0), metrics=["spearman"])
    adapter, base = made(task, tmp_path, {"a": "first", "b": "second"})
    folder = adapters.save(adapter, tmp_path / "adapter")
    namer = adapters.pipeline(folder)
    pairs = [("a fine film", "no"), ("no", "a dull one")]
    expected = stock_logits(base, folder, *zip(*pairs), labels=1)
    assert np.allclose([one["score"] for one in namer(pairs)], expected[:, 0], rtol=0, atol=1e-5)
    assert namer.labels == () and namer.columns == ("a", "b")
    assert namer([{"b": "no", "a": "a fine film"}])[0]["score"] == pytest.approx(expected[0, 0], abs=1e-5)
    with pytest.raises(UserError, match="text 1: 1 texts .* 2 .*a and b"):
        namer([pairs[0], "one alone"])


def test_a_decoder_answers_with_a_word(tmp_path):
    task = PromptTask.model_validate(
        {
            **OF_ALL,
            "kind": "options",
            "objective": "options",
            "prompt": "{text} It was",
            "options": ["terrible", "great"],
            "label": "label",
            "labels": ["bad", "good"],
            "metrics": ["accuracy"],
        }
    )
    model = beft_lib.beft(models.causal("tiny-llama"))
    move(model)
    adapter = replace(adapters.of(model), use=adapters.Use(task=task, columns={"review": "text"}, max_length=128))
    adapter = replace(adapter, base=replace(adapter.base, name="tiny-llama"))
    found = adapters.pipeline(adapters.save(adapter, tmp_path / "adapter"))(TEXTS)
    assert {(one["label"], one["word"]) for one in found} <= {("bad", "terrible"), ("good", "great")}
    with torch.no_grad():
        tokenizer, scores = models.tokenizer("tiny-llama"), []
        for word in task.options:
            start = len(tokenizer(f"{TEXTS[0]} It was")["input_ids"])
            ids = tokenizer(f"{TEXTS[0]} It was {word}", return_tensors="pt")["input_ids"]
            logs = model.eval()(ids).logits.log_softmax(-1)[0, start - 1 : -1]
            scores.append(logs.gather(1, ids[0, start:, None]).mean())
    assert found[0]["probabilities"]["good"] == pytest.approx(torch.stack(scores).softmax(0)[1].item(), abs=1e-4)


@pytest.mark.parametrize("texts", [[""], ["fine", "  "], [None], [3]])
def test_what_is_no_text_is_named_by_its_place(texts, saved):
    with pytest.raises(UserError, match=f"text {len(texts) - 1}: .* is no text"):
        adapters.pipeline(saved[0])(texts)


def test_no_text_is_no_prediction(saved):
    assert adapters.pipeline(saved[0])([]) == []


def test_another_model_than_the_base_is_refused(saved):
    with pytest.raises(UserError, match="tuned on .*base"):
        adapters.pipeline(saved[0], "tiny-roberta")


def test_the_task_of_a_saved_adapter_is_checked(saved, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    folder, _ = saved
    (tmp_path / "a").mkdir()
    for path in folder.iterdir():
        (tmp_path / "a" / path.name).write_bytes(path.read_bytes())
    file = tmp_path / "a" / "adapter_model.safetensors"
    with safe_open(file, "pt") as content:
        notes = content.metadata()
    for wrong in ('"kind": "poem"', '"kind": 3'):
        save_file(load_file(file), file, {**notes, "beft": notes["beft"].replace('"kind": "classification"', wrong)})
        with pytest.raises(UserError, match="its task cannot be read"):
            adapters.pipeline(tmp_path / "a")


def test_an_adapter_of_a_task_with_options_of_each_example_names_none():
    assert tasks.get("toy-causes").prompts and adapters.use.of_task(tasks.get("toy-causes"), 64) is None
