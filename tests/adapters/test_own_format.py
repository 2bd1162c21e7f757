"""Biases that PEFT's format has no place for, in a file of our own: kept to the bit, refused by stock PEFT."""

import peft
import pytest
import torch
from families import FAMILIES, build
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tuned import logits, move, same, state, tuned

from beft_lib import adapters, biases
from beft_lib.errors import UserError
from beft_lib.tuning.head import head_biases, head_parameters

FILE = "beft_adapter.safetensors"


def all_tuned(name: str):
    """A model with every bias and its head moved, and what was tuned in it."""
    model = build(name)
    handles = biases.all_biases(model)
    before = biases.snapshot([*handles, *head_biases(model)])
    biases.train_only(model, handles, also=head_parameters(model))
    for term in dict.fromkeys(handle.term for handle in handles):
        move(model, term)
    return model, adapters.of(model, before)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name in ("bert", "mpnet", "opt", "gpt2", "distilbert")])
def test_all_biases_come_back_to_the_bit_and_give_the_models_logits(name, tmp_path):
    model, made = all_tuned(name)
    folder = adapters.save(made, tmp_path / "all")
    assert [path.name for path in folder.iterdir()] == [FILE]
    fresh = build(name)
    found, weights = adapters.load(folder, fresh), state(fresh)
    assert found.delta.keys() == made.delta.keys() and found.labels == made.labels
    assert all(torch.equal(found.delta[key], made.delta[key]) for key in made.delta)
    assert all(torch.equal(found.head[key], made.head[key]) for key in made.head)
    with adapters.attach(fresh, {"all": found}) as attached:
        attached.use("all")
        assert torch.allclose(logits(fresh), logits(model), rtol=0, atol=1e-5)
    before = adapters.merge(fresh, found)
    assert same(state(fresh), state(model))
    adapters.unmerge(fresh, before)
    assert same(state(fresh), weights)


def test_stock_peft_refuses_the_folder(tmp_path):
    _, made = all_tuned("bert")
    adapters.save(made, tmp_path / "all")
    with pytest.raises(ValueError, match=r"adapter_config\.json"):
        peft.PeftModel.from_pretrained(build("bert"), tmp_path / "all", local_files_only=True)


def test_one_format_takes_the_place_of_the_other(tmp_path):
    _, made = all_tuned("bert")
    adapters.save(tuned("bert", cancel=True), tmp_path / "one")
    adapters.save(made, tmp_path / "one")
    assert [path.name for path in (tmp_path / "one").iterdir()] == [FILE]
    adapters.save(tuned("bert"), tmp_path / "one")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}


def test_what_does_not_belong_to_the_model_is_refused(tmp_path):
    _, made = all_tuned("bert")
    folder = adapters.save(made, tmp_path / "all")
    with pytest.raises(UserError, match=r"classifier.*\(2,.*num_labels"):
        wider = build("bert")
        wider.classifier = torch.nn.Linear(32, 5)
        adapters.load(folder, wider)
    with pytest.raises(UserError, match="type 'bert'.*'roberta'"):
        adapters.load(folder, build("roberta"))
    with pytest.raises(UserError, match="merged into it already"):
        model = build("bert")
        adapters.merge(model, made)
        adapters.load(folder, model)


@pytest.mark.parametrize("fault", ["torn", "no header", "no head"])
def test_a_damaged_file_is_refused(fault, tmp_path):
    _, made = all_tuned("bert")
    file = adapters.save(made, tmp_path / "all") / FILE
    with safe_open(file, "pt") as content:
        notes = content.metadata()
    tensors = load_file(file)
    if fault == "torn":
        file.write_bytes(file.read_bytes()[:200])
    elif fault == "no header":
        save_file(tensors, file)
    else:
        save_file({name: values for name, values in tensors.items() if not name.startswith("head/")}, file, notes)
    with pytest.raises(UserError, match="damaged|lacks classifier"):
        adapters.load(file.parent, build("bert"))
