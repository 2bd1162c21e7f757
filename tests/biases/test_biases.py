"""Every bias is where `beft_lib.biases` says it is, and only the chosen ones train."""

import copy
from contextlib import contextmanager

import pytest
import torch
from families import FAMILIES, batch, build
from torch import Tensor, nn

from beft_lib.biases import (
    Bias,
    Layout,
    all_biases,
    attention_biases,
    contiguous,
    register_layout,
    restore,
    snapshot,
    term_biases,
    terms,
    train_only,
    trainable_scalars,
)
from beft_lib.errors import UserError
from beft_lib.models import ARCHITECTURES, Architecture

TERMS = ("query", "key", "value")
every_family = pytest.mark.parametrize("name", FAMILIES)

# The attention modules, and in them the modules that compute q, k, v and the output: transformers' own names,
# read in its model files a second time.
MODULES = {
    "bert": "bert.encoder.layer.{}.attention: self.query self.key self.value output.dense",
    "roberta": "roberta.encoder.layer.{}.attention: self.query self.key self.value output.dense",
    "xlm-roberta": "roberta.encoder.layer.{}.attention: self.query self.key self.value output.dense",
    "electra": "electra.encoder.layer.{}.attention: self.query self.key self.value output.dense",
    "distilbert": "distilbert.transformer.layer.{}.attention: q_lin k_lin v_lin out_lin",
    "mpnet": "mpnet.encoder.layer.{}.attention.attn: q k v o",
    "deberta-v2": "deberta.encoder.layer.{}.attention: self.query_proj self.key_proj self.value_proj output.dense",
    "opt": "model.decoder.layers.{}.self_attn: q_proj k_proj v_proj out_proj",
    "gpt2": "transformer.h.{}.attn: c_attn c_attn c_attn c_proj",
    "gpt_neox": "gpt_neox.layers.{}.attention: query_key_value query_key_value query_key_value dense",
    "gptj": "transformer.h.{}.attn: q_proj k_proj v_proj out_proj",
    "bloom": "transformer.h.{}.self_attention: query_key_value query_key_value query_key_value dense",
    "llama": "model.layers.{}.self_attn: q_proj k_proj v_proj o_proj",
    "mistral": "model.layers.{}.self_attn: q_proj k_proj v_proj o_proj",
    "gemma": "model.layers.{}.self_attn: q_proj k_proj v_proj o_proj",
    "qwen2": "model.layers.{}.self_attn: q_proj k_proj v_proj o_proj",
    "qwen3": "model.layers.{}.self_attn: q_proj k_proj v_proj o_proj",
    "phi": "model.layers.{}.self_attn: q_proj k_proj v_proj dense",
    "phi3": "model.layers.{}.self_attn: qkv_proj qkv_proj qkv_proj o_proj",
    "t5": "{}Attention: q k v o",
}
T5_ATTENTIONS = [
    "encoder.block.0.layer.0.Self",
    "encoder.block.1.layer.0.Self",
    "decoder.block.0.layer.0.Self",
    "decoder.block.0.layer.1.EncDec",
    "decoder.block.1.layer.0.Self",
    "decoder.block.1.layer.1.EncDec",
]


def test_the_modules_of_every_family_are_named():
    assert set(MODULES) == set(FAMILIES)


def modules(model, name) -> list[list[tuple[str, nn.Module]]]:
    """Per attention in forward order, the paths and modules that compute q, k, v and the output."""
    attention, parts = MODULES[name].split(": ")
    paths = [attention.format(place) for place in (T5_ATTENTIONS if name == "t5" else range(2))]
    names = [[f"{path}.{part}" for part in parts.split()] for path in paths]
    return [[(name, model.get_submodule(name)) for name in attention] for attention in names]


# How transformers splits a fused projection `out` (b, t, 3·width), each reshaped back to (b, t, heads·d).
def split_gpt2(out, config):
    return out.split(config.hidden_size, dim=2)


def split_phi3(out, config):
    queries = config.num_attention_heads * 8
    keys = config.num_key_value_heads * 8
    return out[..., :queries], out[..., queries : queries + keys], out[..., queries + keys :]


def split_gpt_neox(out, config):
    per_head = out.view(*out.shape[:2], -1, 3 * 8).transpose(1, 2)  # (b, h, t, 3·d)
    return [part.transpose(1, 2).flatten(2) for part in per_head.chunk(3, dim=-1)]


def split_bloom(out, config):
    per_head = out.view(*out.shape[:2], config.num_attention_heads, 3, 8)
    return [per_head[..., part, :].flatten(2) for part in range(3)]


SPLITS = {"gpt2": split_gpt2, "phi3": split_phi3, "gpt_neox": split_gpt_neox, "bloom": split_bloom}


def noise(handle: Bias, seed: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(handle.size, generator=random, dtype=handle.module.weight.dtype)


def gradient(handle: Bias) -> Tensor:
    return handle.parameter.grad[... if handle.index is None else handle.index]


@contextmanager
def shifted(*shifts):
    """Within, each handle's bias is moved by its delta."""
    handles = [handle for handle, _ in shifts]
    before = snapshot(handles)
    for handle, delta in shifts:
        handle.write(handle.read() + delta)
    yield
    restore(handles, before)


@torch.no_grad()
def logits(model, inputs):
    return model(**inputs).logits


def change(model, inputs, *shifts) -> float:
    """The largest change of a logit when biases are shifted."""
    before = logits(model, inputs)
    with shifted(*shifts):
        return (logits(model, inputs) - before).abs().max().item()


def chosen(handles) -> dict[nn.Parameter, torch.Tensor]:
    """Per parameter, which of its scalars the handles are."""
    masks = {}
    for handle in handles:
        mask = masks.setdefault(handle.parameter, torch.zeros(handle.parameter.shape, dtype=torch.bool))
        mask[... if handle.index is None else handle.index] = True
    return masks


def head_parameters(model) -> list[nn.Parameter]:
    body = set(model.base_model.parameters())
    return [parameter for parameter in model.parameters() if parameter not in body]


# 1. Only the chosen scalars train.


def train(model, steps: int = 2) -> None:
    model.train()
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0)
    for step in range(steps):
        optimizer.zero_grad()
        model(**batch(model, seed=step)).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@every_family
@pytest.mark.parametrize("term", [*TERMS, "all"])
def test_only_the_chosen_scalars_change(name, term):
    model = build(name)
    handles = all_biases(model) if term == "all" else term_biases(model, term)
    head = head_parameters(model)
    train_only(model, handles, also=head)
    masks = chosen(handles) | {parameter: torch.ones(parameter.shape, dtype=torch.bool) for parameter in head}
    assert trainable_scalars(model) == sum(int(mask.sum()) for mask in masks.values())
    before = {parameter: parameter.detach().clone() for parameter in model.parameters()}

    train(model)

    for parameter, old in before.items():
        mask = masks.get(parameter, torch.zeros(parameter.shape, dtype=torch.bool))
        assert (parameter.grad is not None) == parameter.requires_grad == bool(mask.any())
        assert torch.equal(parameter[~mask], old[~mask])
        assert parameter.grad is None or not parameter.grad[~mask].any()
    for handle in handles:
        moved = handle.read() != before[handle.parameter][... if handle.index is None else handle.index]
        # The gradient of b_k may be exactly zero, and a unit of a ReLU may never be active.
        assert moved.all() if handle.term == "value" else handle.term == "key" or moved.any()


def test_head_modules_and_parameters_can_train_beside_a_bias():
    model = build("bert", num_labels=3)
    train_only(model, term_biases(model, "value"), also=[model.classifier, model.bert.pooler.dense.bias])
    assert trainable_scalars(model) == 2 * 32 + (3 * 32 + 3) + 32
    assert model.bert.pooler.dense.bias.requires_grad and not model.bert.pooler.dense.weight.requires_grad


def test_choosing_again_replaces_the_selection_and_its_hooks():
    model = build("gpt2")
    fused = term_biases(model, "query")[0].parameter
    for term in TERMS:
        train_only(model, term_biases(model, term))
        model(**batch(model)).loss.backward()
        index = term_biases(model, term)[0].index
        assert len(fused._backward_hooks) == 1
        assert fused.grad[index].abs().sum() == fused.grad.abs().sum()  # no other part
        assert term == "key" or fused.grad[index].all()
    train_only(model, all_biases(model))
    assert not fused._backward_hooks and fused.grad is None
    train_only(model, term_biases(model, "value"), also=[fused])  # all of one fused bias, a part of the other
    assert not fused._backward_hooks and trainable_scalars(model) == 3 * 32 + 32
    train_only(model, [], also=[model])
    assert trainable_scalars(model) == model.num_parameters()
    train_only(model, [])
    assert trainable_scalars(model) == 0 and not any(p.requires_grad for p in model.parameters())


def test_parts_of_a_fused_bias_are_united():
    model = build("bloom")
    train_only(model, term_biases(model, "query") + term_biases(model, "value"))
    assert trainable_scalars(model) == 2 * 2 * 32
    model(**batch(model)).loss.backward()
    query, key, value = attention_biases(model)[0]
    assert query.parameter.grad[query.index].all() and query.parameter.grad[value.index].all()
    assert not query.parameter.grad[key.index].any()


def test_a_copy_of_the_model_is_counted_as_it_would_train():
    model = build("gpt2")
    train_only(model, term_biases(model, "value"))
    duplicate = copy.deepcopy(model)  # PyTorch copies no hooks
    assert trainable_scalars(model) == 2 * 32 and trainable_scalars(duplicate) == 2 * 96
    train_only(duplicate, term_biases(duplicate, "value"))
    assert trainable_scalars(duplicate) == 2 * 32


def test_a_bias_shared_by_two_layers_counts_once():
    model = build("bert")
    first, second = term_biases(model, "value")
    second.module.bias = first.parameter
    train_only(model, [first, second])
    assert trainable_scalars(model) == 32
    assert [bias.key for bias in all_biases(model) if bias.term == "value"] == ["0/value"]
    train(model)
    assert torch.equal(first.read(), second.read())


@pytest.mark.parametrize("what", ["handle", "also"])
def test_parts_of_another_model_are_refused_before_anything_changes(what):
    model, other = build("llama"), build("llama")
    handles = term_biases(other if what == "handle" else model, "value")
    also = [other.score if what == "also" else model.score]
    with pytest.raises(UserError, match="of another model"):
        train_only(model, handles, also)
    assert all(handle.missing for handle in handles) and all(p.requires_grad for p in model.parameters())


# 2. Handles: sizes, names, keys, and completeness.


@every_family
def test_sizes_names_and_keys(name):
    model = build(name, "lm")
    heads = model.config.num_attention_heads
    kv_heads = getattr(model.config, "num_key_value_heads", None) or heads
    sizes = (heads * 8, kv_heads * 8, kv_heads * 8)
    layers = attention_biases(model)
    for number, (layer, expected) in enumerate(zip(layers, modules(model, name), strict=True)):
        bias_free = layer.query.missing
        for term, handle, size, (path, module) in zip(TERMS, layer, sizes, expected[:3], strict=True):
            assert (handle.name, handle.module, handle.layer) == (f"{path}.bias", module, number)
            assert (handle.key, handle.size, len(handle.read())) == (f"{number}/{term}", size, size)
            handle.add()
            assert handle.size == size and model.get_parameter(handle.name) is handle.parameter
            assert handle.read().any() != bias_free
    assert terms(model)[:3] == list(TERMS)
    assert [layer.value.key for layer in layers] == [handle.key for handle in term_biases(model, "value")]


@every_family
@pytest.mark.parametrize("head", ["classification", "lm", "base"])
def test_all_biases_are_the_backbones(name, head):
    model = build(name, head)
    handles = all_biases(model)
    body = set(model.base_model.parameters())
    expected = [
        parameter_name
        for parameter_name, parameter in model.named_parameters()
        if parameter_name.endswith(".bias") and parameter in body and "pooler" not in parameter_name
    ]
    assert list(dict.fromkeys(handle.name for handle in handles)) == expected
    assert len({handle.key for handle in handles}) == len(handles)
    assert all(mask.all() for mask in chosen(handles).values())
    assert all(model.get_parameter(handle.name) is handle.parameter for handle in handles)
    assert set(terms(model)) == {*TERMS, *(handle.term for handle in handles)}


def test_terms_of_bert():
    model = build("bert")
    assert terms(model) == [
        *TERMS,
        "embeddings.LayerNorm",
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    ]
    assert [bias.key for bias in term_biases(model, "embeddings.LayerNorm")] == ["-/embeddings.LayerNorm"]
    assert [bias.key for bias in term_biases(model, "output.dense")] == ["0/output.dense", "1/output.dense"]
    with pytest.raises(UserError, match="term 'values'; valid: .*'value'"):
        term_biases(model, "values")


def test_a_head_inside_the_backbone_is_no_bias_of_it():
    from transformers import AutoModelForQuestionAnswering

    model = AutoModelForQuestionAnswering.from_config(build("t5", "base").config)
    assert model.base_model is model and model.qa_outputs.bias is not None
    assert all_biases(model) == []


# 3. Values go out and back.


@every_family
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_restore_is_bit_exact(name, dtype):
    model = build(name).to(dtype)
    handles = all_biases(model) + [h for layer in attention_biases(model) for h in layer if h.missing]
    values = snapshot(handles)
    before = {key: value.clone() for key, value in values.items()}
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    for handle in handles:
        handle.write(handle.read() + noise(handle))
        assert not torch.equal(handle.read(), values[handle.key])
    assert all(torch.equal(values[key], before[key]) for key in values)  # a snapshot is a copy
    restore(handles, values)
    assert all(torch.equal(handle.read(), before[handle.key]) for handle in handles)
    assert all(value.dtype is dtype for value in values.values())
    state = model.state_dict()
    assert all(torch.equal(state[key], weights[key]) for key in weights)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda values: values.pop("1/value"), "no bias '1/value'"),
        (lambda values: values.update({"7/value": values["0/value"]}), "no handle for bias '7/value'"),
        (
            lambda values: values.update({"1/value": torch.zeros(3)}),
            r"'1/value' .* \(32,\), .* \(3,\)",
        ),
    ],
)
def test_a_wrong_snapshot_is_refused_before_anything_changes(spoil, message):
    handles = term_biases(build("bert"), "value")
    before, values = snapshot(handles), snapshot(handles)
    values["0/value"] += 1
    spoil(values)
    with pytest.raises(UserError, match=message):
        restore(handles, values)
    assert all(torch.equal(handle.read(), before[handle.key]) for handle in handles)


def test_a_wrong_shape_is_refused():
    handle = term_biases(build("phi3"), "key")[0]
    with pytest.raises(UserError, match=r"0/key .*qkv_proj.bias\) has shape \(16,\), got \(1,\)"):
        handle.write(torch.zeros(1))
    assert handle.missing


# 4. A handle is what it says.


@every_family
@pytest.mark.parametrize("term", TERMS)
def test_a_handle_moves_its_own_part_of_the_projection(name, term):
    model = build(name, "lm").double()
    split = SPLITS.get(name)
    inputs = batch(model)

    def projected(attention):
        """q, k and v at every token, (..., size); DeBERTa also projects its relative positions."""
        outputs = {module: [] for _, module in attention[:3]}
        hooks = [
            module.register_forward_hook(lambda module, _, output: outputs[module].append(output)) for module in outputs
        ]
        logits(model, inputs)
        for hook in hooks:
            hook.remove()
        if split:
            return split(*outputs[attention[0][1]], model.config)
        return [torch.cat([out.flatten(0, -2) for out in outputs[module]]) for _, module in attention[:3]]

    for layer, attention in zip(attention_biases(model), modules(model, name), strict=True):
        handle = getattr(layer, term)
        delta = noise(handle)
        before = projected(attention)
        with shifted((handle, delta)):
            after = projected(attention)
        for part, old, new in zip(TERMS, before, after, strict=True):
            expected = delta if part == term else torch.zeros(new.shape[-1]).double()
            assert torch.allclose(new - old, expected.expand_as(new), atol=1e-12)


# Where the key is used as it was projected, b_k adds the same amount to every score of a query. (Tolerances
# are 1e-6, not 1e-12, because BLOOM's softmax and the RMSNorm of Llama and its kin compute in fp32 even so.)
INERT_KEY = {name for name in FAMILIES if ARCHITECTURES[name].key_is_inert}


@every_family
def test_b_k_moves_no_logit_unless_the_key_is_transformed(name):
    model = build(name, "lm").double()
    inputs = batch(model)
    moved = change(model, inputs, *((handle, noise(handle)) for handle in term_biases(model, "key")))
    assert moved <= 1e-6 if name in INERT_KEY else moved > 1e-2
    for term in ("query", "value"):
        assert change(model, inputs, *((handle, noise(handle)) for handle in term_biases(model, term))) > 1e-2


@pytest.mark.parametrize("name", sorted(INERT_KEY))
def test_the_gradient_of_b_k_is_rounding(name):
    model = build(name).double()
    handles = term_biases(model, "key") + term_biases(model, "value")
    train_only(model, handles)
    model(**batch(model)).loss.backward()
    norms = {term: 0.0 for term in TERMS}
    for handle in handles:
        norms[handle.term] += gradient(handle).norm().item()
    assert norms["key"] <= 1e-6 * norms["value"]


@pytest.mark.parametrize("name, rotated", [("phi", 4), ("gptj", 4), ("gpt_neox", 2)])
def test_with_partly_rotated_heads_only_the_rotated_part_of_b_k_is_live(name, rotated):
    model = build(name, "lm").double()
    inputs, keys = batch(model), term_biases(model, "key")
    is_rotated = torch.arange(keys[0].size) % 8 < rotated
    assert change(model, inputs, *((handle, noise(handle) * ~is_rotated) for handle in keys)) <= 1e-6
    assert change(model, inputs, *((handle, noise(handle) * is_rotated) for handle in keys)) > 1e-2


@pytest.mark.parametrize("types, live", [(["c2p"], False), (["p2c"], True), (["c2p", "p2c"], True)])
@pytest.mark.parametrize("shared", [True, False])
def test_in_deberta_the_position_to_content_scores_make_b_k_live(types, live, shared):
    model = build("deberta-v2", "lm", pos_att_type=types, share_att_key=shared).double()
    moved = change(model, batch(model), *((handle, noise(handle)) for handle in term_biases(model, "key")))
    assert moved > 1e-2 if live else moved <= 1e-6


def output_bias(model, name, layer) -> tuple[Bias, Tensor]:
    """b_o of an attention, and the matrix from b_v to it: W_o, the columns of a group of heads added up."""
    path, module = modules(model, name)[layer][3]
    weight = module.weight.T if name == "gpt2" else module.weight  # (width, h·d); Conv1D keeps the transpose
    kv_heads = term_biases(model, "value")[layer].size // 8
    grouped = weight.detach().view(len(weight), kv_heads, -1, 8).sum(2).flatten(1)  # (width, g·d)
    return Bias(term="output", layer=layer, name=f"{path}.bias", module=module), grouped


@every_family
def test_b_v_is_a_bias_of_the_output(name):
    model = build(name, "lm").double()
    inputs = batch(model)
    values = term_biases(model, "value")
    through_value = [(handle, noise(handle, seed=handle.layer)) for handle in values]
    through_output = []
    for handle, delta in through_value:
        output, weight = output_bias(model, name, handle.layer)
        output.add()
        through_output.append((output, weight @ delta))
    before = logits(model, inputs)
    with shifted(*through_value):
        by_value = logits(model, inputs)
    with shifted(*through_output):
        by_output = logits(model, inputs)
    assert (by_value - before).abs().max() > 1e-2
    assert torch.allclose(by_value, by_output, atol=1e-6)


@every_family
def test_the_gradient_of_b_v_is_that_of_the_output_bias(name):
    model = build(name, "lm").double()
    values = term_biases(model, "value")
    outputs = [output_bias(model, name, handle.layer) for handle in values]
    train_only(model, [*values, *(output for output, _ in outputs)])
    model(**batch(model)).loss.backward()
    for value, (output, weight) in zip(values, outputs, strict=True):
        by_output = weight.T @ gradient(output)
        assert by_output.norm() > 1e-6
        assert (gradient(value) - by_output).norm() <= 1e-6 * by_output.norm()


# 5. Adding a zero bias changes nothing.


@every_family
def test_adding_a_zero_bias_changes_no_bit(name):
    model = build(name, "lm")
    inputs = batch(model)
    before = logits(model, inputs)
    for layer in attention_biases(model):
        for handle in layer:
            handle.add()
            assert not handle.missing and handle.parameter.dtype is handle.module.weight.dtype
    assert torch.equal(logits(model, inputs), before)


# 6. Architectures.


def test_an_unknown_architecture_is_explained_and_can_be_registered(monkeypatch):
    model = build("albert")
    monkeypatch.delitem(ARCHITECTURES, "albert")
    with pytest.raises(UserError) as error:
        attention_biases(model)
    message = str(error.value)
    assert message.startswith("unknown architecture 'albert' (AlbertForSequenceClassification)")
    assert len(message) < 600 and "beft list architectures" in message
    layout = "Layout('albert_layers.*.attention', query='query', key='key', value='value')"
    advice = f"register_layout('albert', {layout})"
    assert advice in message

    monkeypatch.setitem(ARCHITECTURES, "albert", Architecture(model_type="albert"))  # taken out again afterwards
    eval(advice, {"register_layout": register_layout, "Layout": Layout})
    assert [handle.key for handle in term_biases(model, "value")] == ["0/value"]  # ALBERT's layers are one
    assert "attention.dense" in terms(model) and "pooler" not in terms(model)


def test_an_architecture_without_familiar_modules_gets_an_example():
    model = build("bert", "base")
    model.config.model_type = "novel"
    model.encoder = nn.Identity()
    with pytest.raises(UserError, match=r"; for example: register_layout\('novel', Layout\('layers\.\*"):
        all_biases(model)


def test_a_known_architecture_with_other_modules_is_explained(monkeypatch):
    model = build("bert")
    del model.bert.encoder.layer[1].attention.self.key
    with pytest.raises(UserError, match="known type 'bert'.*encoder.layer.1.attention.self has no 'key'"):
        attention_biases(model)
    model.bert.encoder.layer = nn.ModuleList()
    with pytest.raises(UserError, match="known type 'bert'.*layer.* with query, key, value, but no module"):
        attention_biases(model)
    with pytest.raises(UserError, match="Linear has no config"):
        attention_biases(nn.Linear(2, 2))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"attention": "h.*.attn", "query": "q"}, "name either"),
        ({"attention": "h.*.attn", "fused": "qkv"}, "name either"),
        ({"attention": "h.*.attn", "query": "q", "key": "k", "value": "v", "fused": "qkv"}, "name either"),
        ({"attention": "h.attn", "fused": "qkv", "split": contiguous}, r"must have one '\*'"),
    ],
)
def test_a_contradictory_layout_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Layout(**arguments)


def test_a_layout_must_be_a_layout():
    with pytest.raises(UserError, match="'novel' .*Layout, not tuple"):
        register_layout("novel", ("q", "k", "v"))


def test_the_language_model_inside_a_larger_one_is_found():
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    config = LlavaConfig(vision_config=vision, text_config=build("qwen2", "lm").config)
    model = LlavaForConditionalGeneration(config)
    handles = term_biases(model, "value")
    assert [handle.name for handle in handles] == [
        f"model.language_model.layers.{layer}.self_attn.v_proj.bias" for layer in range(2)
    ]
    assert len(all_biases(model)) == 6  # Qwen2's, and none of the image encoder
