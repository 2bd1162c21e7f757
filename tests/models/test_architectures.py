"""A row of the table of architectures says what a model of it does; `test_biases` tests its layout and its keys."""

import subprocess
import sys
import textwrap

import families
import pytest
import torch
import transformers

import beft_lib
from beft_lib import biases, models
from beft_lib.errors import UserError
from beft_lib.models import ARCHITECTURES
from beft_lib.tuning.head import head_parameters

every_family = pytest.mark.parametrize("name", families.FAMILIES)


def test_the_tests_know_every_architecture_whose_biases_are_located():
    located = {name for name, row in ARCHITECTURES.items() if row.layout}
    assert located == set(families.FAMILIES) | set(families.KIN)
    assert {name for name in located if ARCHITECTURES[name].decoder} == set(families.DECODERS)
    assert all(name == row.model_type for name, row in ARCHITECTURES.items())


def test_the_table_is_read_without_torch():
    code = """
        import sys
        from beft_lib import models
        assert models.key_is_inert("mpnet-base") and models.version("mpnet-base")
        assert not {"torch", "transformers"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


@every_family
def test_a_head_has_a_hidden_layer_where_the_table_says_so(name):
    model = families.build(name)
    if ARCHITECTURES[name].hidden_head:
        assert sum(p.numel() for p in head_parameters(model, "bias")) < sum(p.numel() for p in head_parameters(model))
    elif name in families.ENCODERS:
        with pytest.raises(UserError, match="no hidden layer of its own"):
            head_parameters(model, "bias")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_attention_is_the_fastest_that_transformers_offers(name):
    """Left to itself a model takes SDPA where its class has it, else the written-out form."""
    auto = transformers.AutoModelForCausalLM if ARCHITECTURES[name].decoder else transformers.AutoModel
    known = families.FAMILIES | families.KIN
    settings = families.COMMON | known[name] if name in known else {}
    with torch.device("meta"):
        model = auto.from_config(transformers.AutoConfig.for_model(name, **settings))
    assert model.config._attn_implementation == ARCHITECTURES[name].attention


@every_family
def test_a_folder_of_every_family_is_loaded_and_trains_a_step(name, tmp_path):
    decoder = name in families.DECODERS
    families.build(name, head="lm" if decoder else "classification", seed=3).save_pretrained(tmp_path)
    model = models.causal(f"{tmp_path}/") if decoder else models.classifier(f"{tmp_path}/", 2, seed=0)
    model = beft_lib.beft(model)
    assert model.config._attn_implementation == ARCHITECTURES[name].attention

    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.0)
    model(**families.batch(model)).loss.backward()
    optimizer.step()

    assert all(value.isfinite().all() for value in model.state_dict().values())
    tuned = {handle.name for handle in biases.term_biases(model, "value")}
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    inside = {n for n, p in model.named_parameters() if not any(p is q for q in head_parameters(model))}
    assert moved & inside == tuned


def test_an_attention_that_the_architecture_lacks_is_refused(tmp_path):
    families.build("mpnet").save_pretrained(tmp_path)
    for name in (f"{tmp_path}/", "tiny-mpnet"):
        with pytest.raises(UserError, match="'sdpa': transformers offers mpnet only eager; .*leave attention out"):
            models.classifier(name, 2, seed=0, attention="sdpa")
        assert models.classifier(name, 2, seed=0, attention="eager").config._attn_implementation == "eager"


def test_an_architecture_without_a_row_chooses_its_attention_itself(tmp_path):
    config = transformers.MegatronBertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    transformers.MegatronBertForSequenceClassification(config).save_pretrained(tmp_path)
    assert models.architecture(f"{tmp_path}/") is None
    assert models.classifier(f"{tmp_path}/", 2, seed=0).config._attn_implementation == "eager"
