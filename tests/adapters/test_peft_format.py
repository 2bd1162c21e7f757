"""Adapters in PEFT's format: what is saved comes back to the bit, stock PEFT reads it, and nothing is passed over."""

import gc
import json
import os
import shutil
import subprocess
import sys
import warnings
import weakref

import peft
import pytest
import torch
import transformers
from families import batch, build
from safetensors.torch import load_file, save_file
from tuned import CONTAINERS, PAIRS, logits, move, same, state, stock, tuned

import beft_lib
from beft_lib import adapters, biases
from beft_lib.errors import UserError
from beft_lib.tuning import prepare
from beft_lib.tuning.head import head_biases, head_parameters

every_pair = pytest.mark.parametrize(("name", "head"), PAIRS)
PREFIX = "base_model.model."
VALUE = f"{PREFIX}bert.encoder.layer.1.attention.self.value.beft_bias"


def stock_adapter(name, head, folder, seed=0):
    """An adapter that stock PEFT makes and saves, with random vectors and head; the PeftModel."""
    model = build(name, head)
    paths = {layer.value.name.removesuffix(".bias") for layer in biases.attention_biases(model)}
    if (name, head) == ("bert", "classification"):
        paths.add("bert.pooler.dense")
    own = set(head_parameters(model))
    outside = dict.fromkeys(
        n.partition(".")[0] for n, p in model.named_parameters() if p in own and not n.startswith("bert.pooler")
    )
    task = "SEQ_CLS" if head == "classification" else None
    config = peft.BeftConfig(target_modules=sorted(paths), modules_to_save=[*outside] or None, task_type=task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model, config).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, parameter in wrapped.named_parameters():
            if "beft_bias" in parameter_name or "modules_to_save" in parameter_name:
                if not (parameter.dim() == 2 and len(parameter) == model.config.vocab_size):  # that one is tied
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    wrapped.save_pretrained(folder)
    return wrapped


# ------------------------------------------------------------------------------------------------------ round trip


@every_pair
@pytest.mark.parametrize("cancel", [False, True], ids=["plain", "cancelling"])
def test_what_is_saved_is_loaded_and_merged_to_the_bit(name, head, cancel, tmp_path):
    model, fresh = tuned(name, head, cancel=cancel), build(name, head)
    made = adapters.of(model)
    assert adapters.save(model, tmp_path / "adapter") == tmp_path / "adapter"
    added = all(not values.any() for values in prepare.before(model).values())  # the change is the bias, so fp32 has it
    assert (tmp_path / "adapter" / "remainder.safetensors").exists() == (cancel and not added)
    unmoved, before_loading = logits(fresh), state(fresh)
    loaded = adapters.load(tmp_path / "adapter", fresh)
    assert same(state(fresh), before_loading), "loading leaves the model as it is"
    assert [*loaded.delta] == [*made.delta] and same(loaded.delta, made.delta) and same(loaded.head, made.head)
    assert loaded.base.sketch == made.base.sketch and loaded.form.modules == made.form.modules

    before = adapters.merge(fresh, loaded)
    assert same(state(fresh), state(model)) and torch.equal(logits(fresh), logits(model))
    assert (logits(fresh) - unmoved).abs().max() > 1e-2
    adapters.unmerge(fresh, before)
    put_back = state(fresh)
    assert same({key: put_back[key] for key in before_loading}, before_loading)
    assert not any(values.any() for key, values in put_back.items() if key not in before_loading)
    assert torch.equal(logits(fresh), unmoved)


@every_pair
def test_stock_peft_computes_what_is_attached_to_the_bit(name, head, tmp_path):
    model = tuned(name, head)
    adapters.save(model, tmp_path)
    fresh = build(name, head)
    with adapters.attach(fresh, {"it": adapters.load(tmp_path, fresh)}) as attached:
        attached.use("it")
        expected = logits(fresh)
    assert torch.allclose(expected, logits(model), rtol=0, atol=1e-5)
    if name == "gpt2":
        with pytest.raises(TypeError, match="Conv1D"):
            peft.PeftModel.from_pretrained(build(name, head), tmp_path)
        return
    theirs = stock(build(name, head), tmp_path)
    assert torch.equal(logits(theirs), expected)
    if any(h.missing for h in biases.term_biases(build(name, head), "value")):
        with pytest.raises(ValueError, match="no bias"):
            theirs.merge_adapter()
    elif (name, head) in CONTAINERS:  # PEFT 0.21 unloads no head that is a module of modules
        theirs.merge_adapter()
        assert torch.equal(logits(theirs), logits(model))
    else:
        merged = theirs.merge_and_unload()
        assert same(state(merged), state(model)) and torch.equal(logits(merged), logits(model))


@every_pair
def test_an_adapter_that_stock_peft_wrote_is_read(name, head, tmp_path):
    if name == "gpt2":
        pytest.skip("stock PEFT has no BEFT of it")
    wrapped = stock_adapter(name, head, tmp_path)
    fresh = build(name, head)
    unmoved = logits(fresh)
    loaded = adapters.load(tmp_path, fresh)
    with adapters.attach(fresh, {"it": loaded}) as attached:
        attached.use("it")
        assert torch.equal(logits(fresh), logits(wrapped))
        assert (logits(fresh) - unmoved).abs().max() > 1e-2
    before = adapters.merge(fresh, loaded)
    assert torch.allclose(logits(fresh), logits(wrapped), rtol=0, atol=1e-5)
    adapters.unmerge(fresh, before)
    assert torch.equal(logits(fresh), unmoved)


@pytest.mark.parametrize(
    ("name", "head"), [("bert", "classification"), ("roberta", "lm"), ("phi3", "lm"), ("t5", "lm")]
)
def test_the_file_has_the_keys_that_stock_peft_writes(name, head, tmp_path):
    model = tuned(name, head)
    adapters.save(model, tmp_path / "ours")
    stock(build(name, head), tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    ours, theirs = (load_file(tmp_path / side / "adapter_model.safetensors") for side in ("ours", "theirs"))
    assert same(ours, theirs)
    configs = [json.loads((tmp_path / side / "adapter_config.json").read_text()) for side in ("ours", "theirs")]
    for config in configs:
        config["target_modules"] = sorted(config["target_modules"])
        config["modules_to_save"] = sorted(set(config["modules_to_save"] or []) - {"score"})
        del config["auto_mapping"]  # PEFT's note of the class where a task has none
    assert configs[0] == configs[1]
    assert all(key.startswith(PREFIX) for key in ours)
    again = adapters.load(tmp_path / "theirs", build(name, head))
    assert same(again.delta, adapters.of(model).delta) and same(again.head, adapters.of(model).head)


def test_stock_peft_alone_in_a_new_process_gives_the_same_logits(tmp_path):
    expected = {}
    for name, head in (("bert", "classification"), ("phi3", "lm")):
        build(name, head).save_pretrained(tmp_path / name / "base")
        base = type(build(name, head)).from_pretrained(tmp_path / name / "base").eval()
        move(beft_lib.beft(base))
        adapters.save(base, tmp_path / name / "adapter")
        fresh = type(base).from_pretrained(tmp_path / name / "base").eval()
        with adapters.attach(fresh, {"it": adapters.load(tmp_path / name / "adapter", fresh)}) as attached:
            attached.use("it")
            inputs = {key: batch(fresh)[key] for key in ("input_ids", "attention_mask")}
            with torch.no_grad():
                expected[name] = fresh(**inputs).logits
        save_file(inputs, tmp_path / name / "inputs.safetensors")
    program = (
        "import sys, torch, transformers as t; from peft import PeftModel\n"
        "from safetensors.torch import load_file, save_file\n"
        "torch.set_num_threads(1)\n"
        "for name, auto in (('bert', t.AutoModelForSequenceClassification), ('phi3', t.AutoModelForCausalLM)):\n"
        "    folder = f'{sys.argv[1]}/{name}'\n"
        "    model = PeftModel.from_pretrained(auto.from_pretrained(f'{folder}/base'), f'{folder}/adapter').eval()\n"
        "    with torch.no_grad():\n"
        "        logits = model(**load_file(f'{folder}/inputs.safetensors')).logits\n"
        "    save_file({'logits': logits.contiguous()}, f'{folder}/logits.safetensors')\n"
        "assert not any(name.startswith('beft_lib') for name in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, logits_here in expected.items():
        assert torch.equal(load_file(tmp_path / name / "logits.safetensors")["logits"], logits_here), name


def test_the_file_of_a_small_encoder_is_small(tmp_path):
    size = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "cancel": True}
    adapters.save(tuned("bert", **size), tmp_path / "adapter")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "adapter").iterdir()}
    assert sizes["adapter_model.safetensors"] < 25_000 and sum(sizes.values()) < 60_000, sizes


def test_a_bias_that_is_rounded_makes_no_difference_and_what_cannot_be_is_kept():
    model = tuned("bert", cancel=True)
    before = prepare.before(model)
    found = adapters.of(model).delta
    exact = adapters.difference(before, {key: handle(model, key).read() for key in before})
    for key, values in found.items():
        assert torch.equal((before[key].double() + values).float(), handle(model, key).read())
        kept = values != values.float().double()
        assert kept.any() and torch.equal(values[kept], exact[key][kept])
        assert (values - exact[key]).abs().max() <= 2**-24 * exact[key].abs().max()


def handle(model, key):
    return next(
        h
        for h in (*biases.all_biases(model), *(b for layer in biases.attention_biases(model) for b in layer))
        + tuple(head_biases(model))
        if h.key == key
    )


@pytest.mark.parametrize("term", ["query", "key", "attention.output.dense", "intermediate.dense"])
def test_every_bias_of_a_projection_can_be_saved(term, tmp_path):
    model = tuned("bert", term=term)
    adapters.save(model, tmp_path)
    fresh = build("bert")
    adapters.merge(fresh, adapters.load(tmp_path, fresh))
    assert torch.equal(logits(fresh), logits(model))
    stock(build("bert"), tmp_path)


def test_all_terms_of_a_fused_projection_share_its_vector(tmp_path):
    model = beft_lib.beft(build("gpt_neox", "lm"))
    handles = [bias for layer in biases.attention_biases(model) for bias in layer]
    before = biases.snapshot(handles)
    for number, one in enumerate(handles):
        one.write(before[one.key] + 0.01 * (number + 1))
    adapters.save(model, tmp_path, before)
    assert len(load_file(tmp_path / "adapter_model.safetensors")) == 2
    fresh = build("gpt_neox", "lm")
    loaded = adapters.load(tmp_path, fresh)
    assert sorted(loaded.delta) == sorted(before)
    adapters.merge(fresh, loaded)
    assert torch.equal(logits(fresh), logits(model))


def test_a_head_of_names_keeps_them(tmp_path):
    model = tuned("bert", num_labels=3)
    model.config.id2label = {0: "no", 1: "maybe", 2: "yes"}
    adapters.save(model, tmp_path)
    assert adapters.load(tmp_path, build("bert", num_labels=3)).labels == ("no", "maybe", "yes")
    adapters.save(tuned("bert"), tmp_path)
    assert adapters.load(tmp_path, build("bert")).labels == ()


def test_one_adapter_is_one_file(tmp_path):
    made = adapters.of(tuned("bert", cancel=True))
    for side in ("a", "b"):
        adapters.save(made, tmp_path / side)
    assert json.loads((tmp_path / "a" / "adapter_config.json").read_text())["target_modules"] == [
        "bert.encoder.layer.0.attention.self.value",
        "bert.encoder.layer.1.attention.self.value",
        "bert.pooler.dense",
    ]
    for file in ("adapter_config.json", "adapter_model.safetensors", "remainder.safetensors"):
        assert (tmp_path / "a" / file).stat().st_size == (tmp_path / "b" / file).stat().st_size


# ----------------------------------------------------------------------------------------------------- what is tuned


def test_a_second_preparation_starts_from_what_is_there():
    model = tuned("bert")
    beft_lib.beft(model)
    assert not any(values.any() for values in adapters.of(model).delta.values())
    move(model, seed=2)
    assert all(values.any() for values in adapters.of(model).delta.values())


def test_what_was_before_is_forgotten_with_the_model():
    model = beft_lib.beft(build("bert"))
    assert set(prepare.before(model)) == {"0/value", "1/value", "-/pooler.dense"}
    assert prepare.before(build("bert")) is None
    remembered = weakref.ref(prepare.before(model)["0/value"])
    del model
    gc.collect()
    assert remembered() is None


def test_a_model_that_was_not_prepared_needs_its_biases_before(tmp_path):
    model = build("bert")
    with pytest.raises(UserError, match="was not prepared by beft_lib.beft"):
        adapters.of(model)
    before = biases.snapshot(biases.term_biases(model, "value"))
    with pytest.raises(UserError, match="before lacks '-/pooler.dense'.*head.head_biases"):
        adapters.of(model, before)
    before |= biases.snapshot(head_biases(model))
    move(model)
    assert same(adapters.of(model, before).delta, adapters.of(tuned("bert")).delta)
    with pytest.raises(UserError, match=r"before: '0/value' has shape \(3,\).*32 scalars"):
        adapters.of(model, before | {"0/value": torch.zeros(3)})
    with pytest.raises(UserError, match="save: a dict is given; give a model that beft prepared, or an Adapter"):
        adapters.save(before, tmp_path)
    with pytest.raises(UserError, match="before belongs to a model"):
        adapters.save(adapters.of(model, before), tmp_path, before)


def test_a_pooler_that_was_drawn_at_random_is_saved_whole(tmp_path):
    drawn = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    model, other = tuned("bert"), build("bert")
    with torch.no_grad():
        other.bert.pooler.dense.weight.normal_()
        other.bert.pooler.dense.bias.normal_()
    adapters.save(model, tmp_path / "change")
    with pytest.raises(UserError, match=r"bert.pooler.dense.weight.*of\(model, fresh=\[...\]\)"):
        adapters.load(tmp_path / "change", other)

    made = adapters.of(model, fresh=drawn)
    assert sorted(made.delta) == ["0/value", "1/value"] and drawn < made.head.keys()
    assert made.form.modules == ("bert.pooler", "classifier")
    adapters.save(made, tmp_path / "whole")
    loaded = adapters.load(tmp_path / "whole", other)
    with adapters.attach(other, {"it": loaded}) as attached:
        attached.use("it")
        expected = logits(other)
    assert torch.equal(logits(stock(build("bert"), tmp_path / "whole")), expected)
    adapters.merge(other, loaded)
    assert torch.equal(logits(other), logits(model))
    with pytest.raises(UserError, match="unknown parameter .* 'pooler.weight'"):
        adapters.of(model, fresh=["pooler.weight"])


def test_a_base_without_a_head_takes_an_adapter_of_a_language_model(tmp_path):
    adapters.save(tuned("llama", "lm"), tmp_path)
    bare = build("llama", "base")
    bare.load_state_dict(build("llama", "lm").model.state_dict())
    loaded = adapters.load(tmp_path, bare)
    assert loaded.form.places["0/value"].module == "layers.0.self_attn.v_proj"
    adapters.merge(bare, loaded)
    assert torch.equal(bare.layers[1].self_attn.v_proj.bias, tuned("llama", "lm").model.layers[1].self_attn.v_proj.bias)


def test_a_trainer_tunes_what_is_saved(tmp_path):
    examples = [
        {"input_ids": batch(build("bert"), seed=i)["input_ids"][0], "labels": torch.tensor(i % 2)} for i in range(16)
    ]
    model = beft_lib.beft(build("bert"))
    settings = transformers.TrainingArguments(
        output_dir=str(tmp_path / "trainer"),
        max_steps=3,
        learning_rate=1e-2,
        weight_decay=0.0,
        per_device_train_batch_size=8,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(model, settings, train_dataset=examples)
    trainer.train()
    adapters.save(trainer.model, tmp_path / "adapter")
    fresh = build("bert")
    assert not torch.equal(logits(fresh), logits(model.eval()))
    adapters.merge(fresh, adapters.load(tmp_path / "adapter", fresh))
    assert same(state(fresh), state(model)) and torch.equal(logits(fresh), logits(model))


# ------------------------------------------------------------------------------------------------ the base is checked


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of an adapter of a tiny BERT; tests that change it copy it."""
    return adapters.save(tuned("bert"), tmp_path_factory.mktemp("saved") / "adapter")


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "adapter")


@pytest.fixture
def cancelling(tmp_path):
    """The folder of an adapter with a remainder."""
    return adapters.save(tuned("bert", cancel=True), tmp_path / "adapter")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_base_is_known_in_any_precision(saved, dtype):
    base = build("bert").to(dtype)
    adapters.merge(base, adapters.load(saved, base))
    assert torch.allclose(logits(base).float(), logits(tuned("bert")), rtol=0, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_base_in_half_precision_knows_the_whole_one(dtype, tmp_path):
    model = beft_lib.beft(build("bert").to(dtype))
    move(model)
    adapters.save(model, tmp_path)
    adapters.load(tmp_path, build("bert"))
    half = build("bert").to(dtype)
    adapters.merge(half, adapters.load(tmp_path, half))
    assert same(state(half), state(model))


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "phi3"])
def test_another_models_weights_are_refused(name, tmp_path):
    made = adapters.of(tuned(name, "lm"))
    adapters.save(made, tmp_path)
    for use in (
        lambda model: adapters.load(tmp_path, model),
        lambda model: adapters.merge(model, made),
        lambda model: adapters.attach(model, {"it": made}),
        lambda model: adapters.fold(model, made),
    ):
        other = build(name, "lm", seed=7)
        untouched = state(other)
        with pytest.raises(UserError, match="another model than this .*Load the adapter's base model"):
            use(other)
        assert same(state(other), untouched)


def test_a_base_of_another_type_or_depth_is_refused(saved):
    with pytest.raises(UserError, match="of type 'bert'; this RobertaForSequenceClassification is of type 'roberta'"):
        adapters.load(saved, build("roberta"))
    with pytest.raises(UserError, match="another model|1/value"):
        adapters.load(saved, build("bert", num_hidden_layers=1))
    with pytest.raises(UserError, match="another model"):
        adapters.load(saved, build("bert", hidden_size=64))


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_a_base_with_an_adapter_in_it_is_refused(name, tmp_path):
    made = adapters.of(tuned(name))
    adapters.save(made, tmp_path)
    base = build(name)
    before = adapters.merge(base, made)
    for use in (
        lambda: adapters.load(tmp_path, base),
        lambda: adapters.merge(base, made),
        lambda: adapters.attach(base, {"it": made}),
    ):
        with pytest.raises(UserError, match="an adapter is merged into it already.*unmerge"):
            use()
    adapters.unmerge(base, before)
    adapters.load(tmp_path, base)


# -------------------------------------------------------------------------------------------------------- refusals


def refused(folder, model, said, **settings):
    before = state(model)
    with pytest.raises(UserError, match=said):
        adapters.load(folder, model, **settings)
    assert same(state(model), before)


def test_a_folder_without_an_adapter_is_named(copied, tmp_path):
    refused(tmp_path / "nowhere", build("bert"), "there is no folder .*nowhere")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", build("bert"), "has no adapter_config.json: it holds no adapter")
    (copied / "adapter_model.safetensors").unlink()
    refused(copied, build("bert"), "has no adapter_model.safetensors; save")
    (copied / "adapter_model.bin").write_bytes(b"pickle")
    refused(copied, build("bert"), "only adapter_model.bin, which can run code when it is read and is refused")


def test_an_adapter_of_another_kind_is_named(tmp_path):
    config = peft.LoraConfig(r=2, target_modules=["value"], task_type="SEQ_CLS")
    peft.get_peft_model(build("bert"), config).save_pretrained(tmp_path)
    refused(tmp_path, build("bert"), "PEFT's type 'LORA'; this reads 'BEFT' only")
    with pytest.raises(UserError, match="holds an adapter of PEFT's type 'LORA'; name a new folder"):
        adapters.save(tuned("bert"), tmp_path)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors", "remainder.safetensors"])
@pytest.mark.parametrize("how", ["cut", "garbage", "empty"])
def test_a_damaged_file_is_named_and_may_be_overwritten(cancelling, file, how):
    content = (cancelling / file).read_bytes()
    (cancelling / file).write_bytes({"cut": content[: len(content) // 2], "garbage": b"\x80" * 99, "empty": b""}[how])
    refused(cancelling, build("bert"), f"{file} is damaged: .*save the adapter again")
    adapters.save(tuned("bert"), cancelling)
    adapters.load(cancelling, build("bert"))


def test_a_remainder_of_another_adapter_or_none_is_refused(cancelling):
    remainder = cancelling / "remainder.safetensors"
    kept = remainder.read_bytes()
    remainder.unlink()
    refused(cancelling, build("bert"), "remainder.safetensors is missing")
    adapters.save(tuned("bert", seed=2, cancel=True), cancelling)
    remainder.write_bytes(kept)
    refused(cancelling, build("bert"), "remainder.safetensors is damaged: it belongs to another adapter_model.safe")
    adapters.save(tuned("bert", seed=3), cancelling)
    assert not remainder.exists()


def rewritten(folder, tensors=None, note=None, config=None):
    """The adapter's files with some tensors, notes of the header and entries of the configuration replaced."""
    path = folder / "adapter_model.safetensors"
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))["__metadata__"]
    notes = json.loads(header["beft"])
    old = load_file(path)
    if note is not None:
        header["beft"] = json.dumps(notes | note)
    changed = {name: values for name, values in (old | (tensors or {})).items() if values is not None}
    save_file(changed, path, header)
    if config:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))


def test_a_header_of_another_version_or_without_sense_is_refused(copied):
    rewritten(copied, note={"version": 99})
    refused(copied, build("bert"), "version 99 of the format, and this reads version 1")
    path = copied / "adapter_model.safetensors"
    save_file(load_file(path), path, {"format": "pt", "beft": "{"})
    refused(copied, build("bert"), "its header cannot be read")


def test_a_vector_that_the_header_does_not_know_is_refused(copied):
    rewritten(copied, {f"{PREFIX}bert.encoder.layer.0.output.dense.beft_bias": torch.zeros(1, 32)})
    refused(copied, build("bert"), "disagree on bert.encoder.layer.0.output.dense")


def test_a_module_that_the_model_lacks_or_has_in_another_width_is_named(tmp_path):
    stock_adapter("bert", "classification", tmp_path)
    refused(tmp_path, build("roberta"), "RobertaForSequenceClassification has no module bert.encoder.layer.0")
    refused(tmp_path, build("bert", num_hidden_layers=1), "has no module bert.encoder.layer.1.attention.self.value")
    refused(tmp_path, build("bert", hidden_size=64), "value .* has 32 scalars, and in .* 64: .*another model")


def test_a_vector_of_the_wrong_width_is_named(copied):
    rewritten(copied, {VALUE: torch.zeros(1, 31)})
    refused(copied, build("bert"), "layer.1.attention.self.value .* has 31 scalars, and in .* 32")


def test_what_changes_more_of_a_fused_projection_than_was_tuned_is_refused(tmp_path):
    adapters.save(tuned("gpt_neox", "lm"), tmp_path)
    key = f"{PREFIX}gpt_neox.layers.0.attention.query_key_value.beft_bias"
    rewritten(tmp_path, {key: torch.ones(1, 96)})
    refused(tmp_path, build("gpt_neox", "lm"), "changes more of gpt_neox.layers.0.attention.query_key_value")


def test_a_tensor_that_belongs_nowhere_is_named(copied):
    for name in ("bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.attention.self.value.weight", "other"):
        rewritten(copied, {f"{PREFIX}{name}": torch.zeros(3)})
        refused(copied, build("bert"), f"{name} in .*adapter_model.safetensors is no tuned bias.*belongs nowhere")
        rewritten(copied, {f"{PREFIX}{name}": None})
    rewritten(copied, {"classifier.weight": torch.zeros(2, 32)})
    refused(copied, build("bert"), "classifier.weight in .*belongs nowhere")


def test_another_number_of_classes_is_named(saved, tmp_path):
    three = build("bert", num_labels=3)
    three.bert.load_state_dict(build("bert").bert.state_dict())
    refused(saved, three, "for 2 classes .classifier.*has 3; load the base model with num_labels=2")
    adapters.save(tuned("llama", num_labels=5), tmp_path)
    refused(tmp_path, build("llama"), "for 5 classes .score.weight.*has 2; load the base model with num_labels=5")


def test_a_head_of_another_shape_is_named(copied):
    rewritten(copied, {f"{PREFIX}classifier.weight": torch.zeros(2, 31)})
    refused(copied, build("bert"), r"classifier.weight of the head in .* has shape \(2, 31\), and in .* \(2, 32\)")


def test_a_head_that_only_the_adapter_has_is_refused(saved, tmp_path):
    bare = build("bert", "base")
    bare.load_state_dict(build("bert").bert.state_dict())
    for keep_head in (False, True):
        refused(
            saved, bare, "has a head with classifier.bias, and BertModel has no such parameter", keep_head=keep_head
        )
    adapters.save(tuned("llama"), tmp_path)
    model = build("llama", "lm")
    model.model.load_state_dict(build("llama").model.state_dict())
    refused(tmp_path, model, "has a head with score.weight, and LlamaForCausalLM has no such parameter")


def test_a_head_that_only_the_model_has_stays_if_that_is_asked_for(tmp_path):
    adapters.save(tuned("llama", "lm"), tmp_path)
    model = build("llama")
    model.model.load_state_dict(build("llama", "lm").model.state_dict())
    refused(tmp_path, model, "lacks score.weight of the head of LlamaForSequenceClassification.*keep_head=True")
    loaded = adapters.load(tmp_path, model, keep_head=True)
    own = model.score.weight.clone()
    adapters.merge(model, loaded)
    assert not loaded.head and torch.equal(model.score.weight, own)
    adapters.save(loaded, tmp_path)
    stock(build("llama"), tmp_path)


def test_a_part_of_a_head_is_none(copied):
    rewritten(copied, {f"{PREFIX}classifier.bias": None})
    refused(copied, build("bert"), "lacks classifier.bias of the head of BertForSequenceClassification")
    assert [*adapters.load(copied, build("bert"), keep_head=True).head] == ["classifier.weight"]


def test_a_stock_adapter_without_the_poolers_bias_keeps_the_models_if_that_is_asked_for(tmp_path):
    config = peft.BeftConfig(target_modules=["value"], task_type="SEQ_CLS", init_weights=False)
    wrapped = peft.get_peft_model(build("bert"), config).eval()
    wrapped.save_pretrained(tmp_path)
    refused(tmp_path, build("bert"), "lacks bert.pooler.dense.bias of the head")
    fresh = build("bert")
    with adapters.attach(fresh, {"it": adapters.load(tmp_path, fresh, keep_head=True)}) as attached:
        attached.use("it")
        assert torch.equal(logits(fresh), logits(wrapped))


def test_a_stock_adapter_of_another_base_is_refused_by_its_name(tmp_path):
    stock_adapter("bert", "classification", tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "org/first"}))
    model = build("bert")
    assert adapters.load(tmp_path / "adapter", model).base.name == "org/first"
    model.config._name_or_path = "org/second"
    refused(tmp_path / "adapter", model, "was tuned on org/first, and the model is org/second")
    model.config._name_or_path = str(tmp_path)
    adapters.load(tmp_path / "adapter", model)


def test_a_stock_adapter_of_a_module_outside_the_base_is_refused(tmp_path):
    model = build("bert")
    config = peft.BeftConfig(target_modules=["value", "bert.pooler.dense", "classifier"])
    peft.get_peft_model(model, config).save_pretrained(tmp_path)
    refused(tmp_path, build("bert"), "classifier, which the adapter .* changes, is no projection of the base model")


def test_a_stock_adapter_of_other_projections_is_read(tmp_path):
    config = peft.BeftConfig(target_modules=["up_proj", "o_proj"], init_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(build("llama", "lm"), config).eval()
    wrapped.save_pretrained(tmp_path)
    fresh = build("llama", "lm")
    loaded = adapters.load(tmp_path, fresh)
    assert [*loaded.delta] == ["0/self_attn.o_proj", "0/mlp.up_proj", "1/self_attn.o_proj", "1/mlp.up_proj"]
    with adapters.attach(fresh, {"it": loaded}) as attached:
        attached.use("it")
        assert torch.equal(logits(fresh), logits(wrapped))


def test_of_a_fused_projection_only_what_a_stock_adapter_changed_is_its_delta(tmp_path):
    model = build("phi3", "lm")
    adapters.save(tuned("phi3", "lm"), tmp_path / "ours")
    stock(model, tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    assert [*adapters.load(tmp_path / "theirs", build("phi3", "lm")).delta] == ["0/value", "1/value"]


def test_a_tied_head_that_was_trained_apart_can_be_attached_but_not_merged(tmp_path):
    wrapped = stock_adapter("bert", "lm", tmp_path)
    with torch.no_grad():
        next(p for n, p in wrapped.named_parameters() if n.endswith("default.predictions.decoder.weight")).add_(0.1)
    wrapped.save_pretrained(tmp_path)
    fresh = build("bert", "lm")
    loaded, before = adapters.load(tmp_path, fresh), state(fresh)
    with adapters.attach(fresh, {"it": loaded}) as attached:
        attached.use("it")
        assert torch.equal(logits(fresh), logits(wrapped))
    with pytest.raises(UserError, match="trained apart from bert.embeddings.word_embeddings.weight.*use attach"):
        adapters.merge(fresh, loaded)
    assert same(state(fresh), before)


def test_what_diverged_cannot_be_saved(tmp_path):
    model = tuned("bert")
    with torch.no_grad():
        model.bert.encoder.layer[0].attention.self.value.bias[3] = float("nan")
    with pytest.raises(UserError, match="the change of bias 0/value .* is not finite"):
        adapters.save(model, tmp_path / "adapter")


def test_a_folder_that_holds_other_things_is_refused(tmp_path):
    made = adapters.of(tuned("bert"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file is a file"):
        adapters.save(made, tmp_path / "file")
    for held in ("README.md", "notes.txt"):
        folder = tmp_path / held.partition(".")[0]
        folder.mkdir()
        (folder / held).write_text("mine")
        with pytest.raises(UserError, match=f"holds {held}, which is no BEFT adapter's"):
            adapters.save(made, folder)
        assert os.listdir(folder) == [held]
    with pytest.raises(UserError, match="model.safetensors, which is no BEFT adapter's"):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
        adapters.check_folder(tmp_path / "model")


def test_an_adapter_is_overwritten_and_nothing_else_is_left(tmp_path):
    folder = tmp_path / "deep" / "adapter"
    adapters.save(tuned("bert", cancel=True), folder)
    wrapped = stock(build("bert"), folder)
    wrapped.save_pretrained(folder)  # writes a README.md
    adapters.check_folder(folder)
    adapters.save(tuned("bert", seed=2), folder)
    assert sorted(os.listdir(folder)) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert os.listdir(tmp_path / "deep") == ["adapter"]
    assert same(adapters.load(folder, build("bert")).delta, adapters.of(tuned("bert", seed=2)).delta)
