"""LoRA and prefix tuning are PEFT's and train what they should; tuning is what a Hugging Face `Trainer` does."""

import math
from dataclasses import replace

import families
import numpy as np
import peft
import pytest
import torch
import transformers
from peft.tuners.lora import LoraLayer
from test_loop import RECIPE, assert_equal, data, parameters

import beft_lib
from beft_lib import biases, models, runs
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec
from beft_lib.tuning import batches, loop
from beft_lib.tuning.head import head_parameters
from beft_lib.tuning.methods import METHODS, Method
from beft_lib.tuning.prepare import apply_method, trainable

LAYERS, WIDTH = 2, 32
EXTRA = {"lora": 2 * LAYERS * 2 * 8 * WIDTH, "prefix": 5 * LAYERS * 2 * WIDTH}  # scalars beside the head's
HEAD = {"bert": WIDTH + 2 * WIDTH + 2, "roberta": WIDTH * WIDTH + WIDTH + 2 * WIDTH + 2}

TRAINED = [name for name, method in METHODS.items() if not method.untuned]

either_method = pytest.mark.parametrize("method", EXTRA)
either_encoder = pytest.mark.parametrize("family", HEAD)


def prepared(method, family="bert", seed=1, head=None):
    return apply_method(families.build(family), method, seed, head)


def plain_name(name):
    """A parameter's name as it is without PEFT's wrapping."""
    for more in ("base_model.", "modules_to_save.default.", "original_module.", "base_layer."):
        name = name.replace(more, "")
    return name


def trained(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


# ------------------------------------------------------------------------------------------------------ every method


@pytest.mark.parametrize("method", TRAINED)
def test_every_method_trains_something_of_its_own(method):
    if METHODS[method].models != "decoders":
        beside = trainable(prepared(method)) - HEAD["bert"]
        assert (beside > 0) == (method != "head_only")
    if METHODS[method].models != "encoders":
        assert trainable(apply_method(families.build("opt", "lm"), method)) > 0


def test_every_method_that_trains_has_a_look_of_its_own():
    looks = [(METHODS[name].colour, METHODS[name].marker) for name in TRAINED]
    assert [len(set(part)) for part in zip(*looks)] == [len(TRAINED)] * 2
    assert (Method.colour, Method.marker) not in looks


def test_a_method_that_nothing_prepares_is_refused(monkeypatch):
    monkeypatch.setitem(METHODS, "unwritten", Method(name="unwritten", title="unwritten", trains="what?"))
    with pytest.raises(UserError, match=r"'unwritten'.*trained_biases.*prepare\.py"):
        prepared("unwritten")


# ------------------------------------------------------------------------------------------------ LoRA and prefixes


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "llama"])
def test_lora_is_pefts_in_every_query_and_value_projection_and_nowhere_else(family):
    model = families.build(family)
    projections = [getattr(layer, term).name for layer in biases.attention_biases(model) for term in ("query", "value")]
    lora = apply_method(model, "lora").model
    found = {name: module for name, module in lora.named_modules() if isinstance(module, LoraLayer)}
    assert set(found) == {name.removesuffix(".bias") for name in projections} and len(found) == 2 * LAYERS
    for module in found.values():
        assert isinstance(module, peft.tuners.lora.Linear)
        assert (module.r, module.lora_alpha, module.scaling) == ({"default": 8}, {"default": 16}, {"default": 2.0})
        assert isinstance(module.lora_dropout["default"], torch.nn.Identity)
    assert sum("lora" in name for name in trained(lora)) == 2 * len(found)


@either_encoder
def test_a_prefix_is_pefts_without_reparametrisation(family):
    model = prepared("prefix", family).model
    assert isinstance(model, peft.PeftModelForSequenceClassification)
    config = model.active_peft_config
    assert isinstance(config, peft.PrefixTuningConfig) and config.num_virtual_tokens == 5
    encoder = model.prompt_encoder["default"]
    assert isinstance(encoder, peft.PrefixEncoder) and not encoder.prefix_projection
    assert encoder.embedding.weight.shape == (5, LAYERS * 2 * WIDTH)


@either_method
@either_encoder
def test_only_the_adapter_and_the_head_change(method, family):
    plain = families.build(family)
    head = {name for name, p in plain.named_parameters() if any(p is other for other in head_parameters(plain))}
    ready = prepared(method, family)
    model = ready.model
    names = trained(model)
    adapter = {name for name in names if "lora_" in name or name == "prompt_encoder.default.embedding.weight"}
    assert {plain_name(name) for name in names.keys() - adapter} == head
    assert sum(names[name].numel() for name in adapter) == EXTRA[method]
    assert trainable(ready) == EXTRA[method] + HEAD[family]
    before = parameters(model)
    trace = loop.tune(model, data(), RECIPE)
    assert trace.steps == 24 and np.isfinite(trace.losses).all()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) != (name in names), name
    assert all((names[name] != before[name]).float().mean() > 0.9 for name in adapter)


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
def test_lora_changes_no_logit_before_training(family):
    model = families.build(family)
    inputs = families.batch(model)
    model.config.pad_token_id = 0
    with torch.no_grad():
        before = model(**inputs).logits
        assert torch.equal(apply_method(model, "lora").model(**inputs).logits, before)


@either_encoder
def test_every_virtual_token_counts_and_none_is_hidden_by_padding(family):
    model, examples = prepared("prefix", family).model, data()
    together = loop.predict(model, examples)
    with torch.no_grad():
        alone = [model(input_ids=torch.tensor([ids])).logits.numpy() for ids in examples.ids]
    assert np.abs(together - np.concatenate(alone)).max() < 1e-5
    assert np.abs(together - loop.predict(families.build(family), examples)).max() > 1e-2
    prefix = model.prompt_encoder["default"].embedding.weight
    model(**batches.collate(examples, range(8))).loss.backward()
    assert (prefix.grad.abs() > 1e-9).all()


@either_method
def test_the_start_is_the_seeds_and_drawing_it_disturbs_no_other_random_number(method):
    def start(seed, noise):
        torch.manual_seed(noise)
        model = prepared(method, seed=seed).model
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(noise)))
        return parameters(model)

    first, same, other = start(1, noise=5), start(1, noise=6), start(2, noise=5)
    assert_equal(first, same)
    differ = {name for name in first if not torch.equal(first[name], other[name])}
    drawn = {"lora": "lora_A.default.weight", "prefix": "prompt_encoder.default.embedding.weight"}[method]
    assert differ == {name for name in first if name.endswith(drawn)}


@either_method
@pytest.mark.parametrize(("family", "kind"), [("bert", None), ("roberta", None), ("roberta", "bias")])
def test_the_head_beside_an_adapter_is_the_one_beside_b_v(method, family, kind):
    def head(method):
        names = trained(prepared(method, family, head=kind).model)
        return {
            plain_name(name): p.detach().clone()
            for name, p in names.items()
            if not name.endswith("value.bias") and "lora_" not in name and "prompt_encoder" not in name
        }

    beside_bias, beside_adapter = head("value"), head(method)
    assert beside_bias.keys() == beside_adapter.keys()
    assert_equal(beside_bias, beside_adapter)
    assert sum(p.numel() for p in beside_adapter.values()) == HEAD[family] - (WIDTH * WIDTH if kind else 0)


@either_method
@pytest.mark.parametrize("model", ["tiny-bert", "tiny-roberta"])
def test_a_run_ends_and_counts_what_it_trained(method, model):
    spec = RunSpec(model=model, task="toy-sentiment", source="bundled", method=method, n_train=24, epochs=2, n_eval=30)
    result = runs.run(spec)
    assert result.done and len(result.losses) == 2 and all(map(math.isfinite, result.losses))
    assert result.cost["trainable"] == EXTRA[method] and result.cost["head"] == HEAD[model.removeprefix("tiny-")]
    assert result.cost["parameters"] == sum(p.numel() for p in models.classifier(model, 2, 0).parameters())
    assert result.cost["delta_bytes"] == 0
    again = runs.run(spec)
    assert again.losses == result.losses and again.metrics == result.metrics


# ------------------------------------------------------------------------------------------------------------ head


@pytest.mark.parametrize("method", ["value", "all_biases", "random", "head_only", "lora", "prefix"])
def test_a_head_of_biases_leaves_its_hidden_weight_to_the_bit(method):
    model, _, scalars = prepared(method, "roberta", head="bias")
    before = parameters(model)
    loop.tune(model, data(), RECIPE, scalars=scalars)
    changed = {
        plain_name(name) for name, p in model.named_parameters() if not torch.equal(p, before[name]) and "class" in name
    }
    assert changed == {"classifier.dense.bias", "classifier.out_proj.weight", "classifier.out_proj.bias"}


def test_a_run_with_a_head_of_biases_counts_just_that_and_stores_the_whole_head():
    fields = {"task": "toy-sentiment", "source": "bundled", "method": "value", "n_train": 16, "epochs": 1}
    spec = RunSpec(model="tiny-roberta", head="bias", n_eval=20, **fields)
    result = runs.run(spec)
    assert result.cost["head"] == HEAD["roberta"] - WIDTH * WIDTH and result.cost["trainable"] == 64
    head = runs.store.tensors(spec.run_id, "head")
    assert set(head) == {f"classifier.{layer}.{kind}" for layer in ("dense", "out_proj") for kind in ("weight", "bias")}
    assert spec.run_id != RunSpec(model="tiny-roberta", n_eval=20, **fields).run_id
    with pytest.raises(UserError, match="head 'bias': BertForSequenceClassification's"):
        runs.run(RunSpec(model="tiny-bert", head="bias", **fields))
    with pytest.raises(UserError, match="head"):
        RunSpec(model="tiny-roberta", head="weight", **fields)


# --------------------------------------------------------------------------------------------------------- Trainer


class Epochs:
    """A data loader that gives the batches of one epoch after the other, as `training.tune` makes them."""

    def __init__(self, examples, recipe):
        self.examples, self.recipe, self.epoch = examples, recipe, 0

    def __len__(self):
        return loop.steps_an_epoch(len(self.examples), self.recipe.batch_size)

    def __iter__(self):
        self.epoch += 1
        rng = np.random.default_rng([self.recipe.seed, self.epoch])
        for rows in batches.shuffled(self.examples.lengths, self.recipe.batch_size, rng):
            yield batches.collate(self.examples, rows)


class Trainer(transformers.Trainer):
    """Hugging Face's own, but for the order of the examples."""

    def __init__(self, *arguments, loader, **more):
        super().__init__(*arguments, **more)
        self.loader = loader

    def get_train_dataloader(self):
        return self.loader


@pytest.mark.parametrize("method", ["full", "value"])
def test_tuning_equals_a_hugging_face_trainer_on_the_same_batches(method, tmp_path):
    recipe = replace(RECIPE, learning_rate=1e-3 if method == "full" else 1e-2)

    def fresh():
        return families.build("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)

    ours, theirs, start = fresh(), fresh(), parameters(fresh())
    apply_method(ours, method)
    trace = loop.tune(ours, data(), recipe)

    if method == "value":
        theirs = beft_lib.beft(theirs)
    settings = transformers.TrainingArguments(
        output_dir=tmp_path,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        adam_epsilon=1e-6,
        weight_decay=0.0,
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(theirs, settings, loader=Epochs(data(), recipe))
    trainer.remove_callback(transformers.PrinterCallback)
    assert trainer.train().global_step == trace.steps == 24
    norms = [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry]
    assert len(norms) == 24 and max(norms) > 1  # clipping is part of what is compared
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters()):
        assert torch.allclose(mine, other.cpu(), rtol=0, atol=2e-6), name
    moved = {name for name, p in ours.named_parameters() if (p - start[name]).abs().max() > 1e-3}
    assert "classifier.weight" in moved and "bert.encoder.layer.0.attention.self.value.bias" in moved
    assert ("bert.encoder.layer.0.attention.self.value.weight" in moved) == (method == "full")
