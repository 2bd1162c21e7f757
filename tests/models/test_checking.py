"""Nothing that a model's folder lacks is replaced by random numbers, and every way to fail is one message."""

import json

import families
import pytest
import safetensors.torch
import torch

from beft_lib import models, tasks
from beft_lib.errors import UserError
from beft_lib.models import tiny
from beft_lib.runs import suitability


def saved(folder, family="bert", head="classification", tokens=True, **config):
    """A folder with a model, and the letters' tokenizer, whose vocabulary the model embeds."""
    if tokens:
        made = tiny.tokenizer("bert")
        made.save_pretrained(folder)
        config = {"vocab_size": len(made)} | config
    families.build(family, head=head, seed=5, **config).save_pretrained(folder)
    return f"{folder}/"


def rewrite(folder, change):
    """Change the names and tensors of the checkpoint."""
    path = folder / "model.safetensors"
    tensors = change(safetensors.torch.load_file(path))
    safetensors.torch.save_file({name: t.clone() for name, t in tensors.items()}, path, metadata={"format": "pt"})


def reconfigure(folder, file="config.json", **fields):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refused(name, *words, outputs=2):
    """Loading, and the check before it, end in one error that has the words in it."""
    for load in (lambda: models.outline(name, outputs), lambda: models.classifier(name, outputs, 0)):
        with pytest.raises(UserError) as error:
            load()
        message = str(error.value)
        assert all(word in message for word in words), message
        assert "trust_remote_code" not in message and len(message) < 900 and "\n" not in message


# ------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("prefix", ["module.", "model.model.", "student.bert."])
def test_weights_under_other_names_are_not_replaced_by_random_ones(tmp_path, prefix):
    name = saved(tmp_path)
    rewrite(tmp_path, lambda tensors: {prefix + key: value for key, value in tensors.items()})
    refused(name, "37 of 37 weights are not in the checkpoint", "bert.embeddings", f"{prefix}bert")


@pytest.mark.parametrize(
    ("lost", "count"), [("bert.encoder.layer.1.", 16), ("bert.embeddings.word_embeddings", 1), ("query.bias", 2)]
)
def test_a_part_that_is_missing_is_named(tmp_path, lost, count):
    name = saved(tmp_path)
    rewrite(tmp_path, lambda tensors: {key: value for key, value in tensors.items() if lost not in key})
    refused(name, f"{count} of 37 weights", lost)


def test_only_the_head_and_the_pooler_may_be_missing(tmp_path):
    name = saved(tmp_path)
    rewrite(tmp_path, lambda tensors: {k: v for k, v in tensors.items() if "pooler" not in k and "classifier" not in k})
    model = models.classifier(name, 2, seed=0)
    wanted = families.build("bert", seed=5, vocab_size=88).bert.encoder.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in model.bert.encoder.state_dict().items())
    fresh = {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    assert models.missing(name, model) == fresh


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_hidden_layers": 3}, ("16 of 53 weights", "bert.encoder.layer.2.")),
        ({"num_hidden_layers": 1}, ("bert.encoder.layer.1.", "has no place")),
        ({"vocab_size": 100}, ("word_embeddings.weight has the shape (88, 32)", "(100, 32)")),
        ({"intermediate_size": 64}, ("(48,)", "(64,)", "5 more")),
        ({"model_type": "electra"}, ("electra.", "it has bert.")),
    ],
)
def test_a_configuration_of_another_model_is_refused(tmp_path, fields, words):
    name = saved(tmp_path)
    reconfigure(tmp_path, **fields)
    refused(name, *words)


def test_biases_that_the_configuration_leaves_out_are_not_dropped(tmp_path):
    families.build("qwen2", head="lm").save_pretrained(tmp_path)
    reconfigure(tmp_path, model_type="llama", architectures=["LlamaForCausalLM"], layer_types=None)
    with pytest.raises(UserError, match=r"holds model.layers.0.self_attn.k_proj.bias.*has no place"):
        models.causal(f"{tmp_path}/")


@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("old", [{"num_labels": 3}, {"num_labels": 1}, {"problem_type": "multi_label_classification"}])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_head_of_any_size_and_kind_makes_room_for_a_fresh_one(tmp_path, family, old, outputs):
    name = saved(tmp_path, family, **({"num_labels": 2} | old))
    model = models.classifier(name, outputs, seed=0)
    base = families.build(family, head="base", seed=5, vocab_size=88)
    fresh = models.classifier(saved(tmp_path / "base", family, head="base"), outputs, seed=0)
    assert model.config.num_labels == outputs and model.config.problem_type is None
    assert {name: value.shape for name, value in model.state_dict().items()} == {
        name: value.shape for name, value in fresh.state_dict().items()
    }
    head = {name: value for name, value in model.named_parameters() if name.startswith("classifier")}
    assert all(torch.equal(value, fresh.get_parameter(name)) for name, value in head.items())
    assert base.config.vocab_size == 88


# --------------------------------------------------------------------------------------------------------- files

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 109424\n"


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("model.safetensors", POINTER, ("Git LFS pointer", "git lfs pull")),
        ("tokenizer.json", POINTER, ("Git LFS pointer", "tokenizer.json")),
        ("model.safetensors", b"", ("is empty",)),
        ("model.safetensors", b"<!DOCTYPE html><html>not found</html>" * 60, ("is damaged",)),
        ("model.safetensors", (1 << 60).to_bytes(8, "little") + b"{}" * 600, ("is damaged",)),
        ("config.json", b"{", ("config.json cannot be read",)),
        ("config.json", "{}".encode("utf-16"), ("config.json cannot be read",)),
        ("config.json", b"[1]", ("no JSON object",)),
        ("config.json", b"{}", ("no model_type",)),
        ("config.json", b'{"model_type": "berd"}', ("no model_type 'berd'",)),
        ("config.json", b'{"model_type": "vit"}', ("SequenceClassification", "'vit'")),
        ("config.json", b'{"model_type": "bert", "hidden_size": "wide"}', ("cannot be loaded",)),
    ],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path, file, content, words):
    name = saved(tmp_path)
    (tmp_path / file).write_bytes(content)
    refused(name, *words)


def test_a_file_that_was_copied_in_part(tmp_path):
    name = saved(tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(name, "is damaged", "download the file again")


def test_shards_are_all_there_or_named(tmp_path):
    name = saved(tmp_path)
    families.build("bert", seed=5, vocab_size=88).save_pretrained(tmp_path, max_shard_size="40KB")
    parts = sorted(path.name for path in tmp_path.glob("model-*.safetensors"))
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    models.classifier(name, 2, 0)
    (tmp_path / parts[1]).rename(tmp_path / "elsewhere")
    refused(name, f"1 of the {len(parts)} files", parts[1])
    (tmp_path / "elsewhere").rename(tmp_path / parts[1])
    (tmp_path / "model.safetensors.index.json").write_text("{")
    refused(name, "index.json cannot be read")
    (tmp_path / "model.safetensors.index.json").unlink()
    refused(name, "neither model.safetensors nor model.safetensors.index.json")


@pytest.mark.parametrize("known", [False, True])
def test_a_model_with_code_of_its_own(tmp_path, known):
    """The code is not run, and nobody is told how to run it."""
    name = saved(tmp_path)
    (tmp_path / "modeling_mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    auto = {"AutoConfig": "modeling_mine.C", "AutoModelForSequenceClassification": "modeling_mine.M"}
    reconfigure(tmp_path, auto_map=auto, model_type="bert" if known else "mine")
    if known:  # transformers has the architecture itself
        models.classifier(name, 2, 0)
    else:
        refused(name, "needs code of its own", "not run")
    reconfigure(tmp_path, model_type="bert")
    reconfigure(
        tmp_path,
        "tokenizer_config.json",
        tokenizer_class="MineTokenizer",
        auto_map={"AutoTokenizer": ["modeling_mine.T", None]},
    )
    try:
        models.tokenizer(name)
    except UserError as error:
        assert "trust_remote_code" not in str(error)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("how", ["config", "types"])
def test_quantised_weights_are_refused(tmp_path, how):
    name = saved(tmp_path)
    if how == "config":
        reconfigure(tmp_path, quantization_config={"quant_method": "gptq", "bits": 4})
        refused(name, "quantised", "gptq")
    else:
        rewrite(tmp_path, lambda t: {k: v.to(torch.int8) if "query.weight" in k else v for k, v in t.items()})
        refused(name, "quantised", "query.weight", "I8")


def test_an_adapter_beside_the_model_is_not_mixed_into_it(tmp_path):
    name = saved(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "x"}')
    refused(name, "adapter_config.json", "merge")
    (tmp_path / "config.json").unlink()
    with pytest.raises(UserError, match="holds an adapter.*its base model"):
        models.locate(name)


# ----------------------------------------------------------------------------------------------------- tokenizers


def toy(model, asked=None):
    task = tasks.of_encoder("toy-sentiment")
    return suitability.read_length(model, task, "bundled", asked)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    name = saved(tmp_path, tokens=False)
    with pytest.raises(UserError, match="has no tokenizer.*save_pretrained"):
        models.tokenizer(name)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    with pytest.raises(UserError, match="has no tokenizer"):
        models.tokenizer(name)


@pytest.mark.parametrize("family", ["roberta", "gpt2", "llama"])
def test_no_family_makes_up_a_tokenizer(tmp_path, family):
    name = saved(tmp_path, family, "lm", tokens=False)
    with pytest.raises(UserError, match="has no tokenizer|cannot be loaded"):
        models.tokenizer(name)


def test_a_vocabulary_of_special_tokens_alone_is_refused(tmp_path):
    name = saved(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).unlink()
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    with pytest.raises(UserError, match="vocabulary of its tokenizer is empty"):
        models.tokenizer(name)


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    made = tiny.tokenizer("llama")
    families.build("llama", head="lm").save_pretrained(tmp_path)
    made.pad_token = made.eos_token = None
    made.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="no padding token.*tokenizer.pad_token"):
        models.tokenizer(f"{tmp_path}/")


def test_another_models_tokenizer_is_refused(tmp_path):
    with pytest.raises(UserError, match="embeds 300 tokens and its tokenizer knows 88"):
        toy(saved(tmp_path / "large", vocab_size=300))
    with pytest.raises(UserError, match="embeds 30 tokens, and its tokenizer makes token"):
        toy(saved(tmp_path / "small", vocab_size=30, max_position_embeddings=200))


def test_texts_that_the_tokenizer_does_not_know_are_refused(tmp_path, monkeypatch):
    name = saved(tmp_path, max_position_embeddings=200)
    assert toy(name)[0] == 128
    examples = tasks.load(tasks.of_encoder("toy-sentiment"), "train", "bundled").take(range(20))
    for text, error in (("电影很好", "80 of 80 tokens are [UNK]"), ("\u200b", "20 of 20 texts have no token")):
        made = examples.__class__(texts=((text,),) * 20, labels=examples.labels, ids=examples.ids)
        monkeypatch.setattr(suitability.tasks, "load", lambda *_, made=made: made)
        with pytest.raises(UserError) as found:
            toy(name)
        assert "does not know the training texts" in str(found.value) and error in str(found.value)


def test_what_is_longer_than_the_models_positions(tmp_path):
    name = saved(tmp_path)  # 32 positions; its tokenizer says 128
    with pytest.raises(UserError, match="max_length 64 is more than the 32 tokens"):
        toy(name, 64)
    length, said = toy(name)
    assert length == 32 and any("longer than 32 tokens" in sentence for sentence in said)
