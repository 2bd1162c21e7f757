"""A layout in a file says where the biases of a new architecture are, or what is wrong with it."""

import pytest
import torch
import transformers
from families import COMMON

from beft_lib import biases
from beft_lib.cli import layouts
from beft_lib.errors import UserError
from beft_lib.models import architectures


@pytest.fixture(autouse=True)
def own_table(monkeypatch):
    monkeypatch.setattr(architectures, "_registered", {})
    for name in ("megatron-bert", "novel"):
        monkeypatch.setitem(architectures.ARCHITECTURES, name, None)
        monkeypatch.delitem(architectures.ARCHITECTURES, name)


def test_a_file_registers_an_architecture(tmp_path):
    path = tmp_path / "layout.yaml"
    fields = "attention: layer.*.attention.self\nquery: query\nkey: key\nvalue: value\noutput: .output.dense\n"
    path.write_text(f"model_type: megatron-bert\n{fields}")
    config = transformers.MegatronBertConfig(**COMMON, intermediate_size=48)
    with torch.device("meta"):
        model = transformers.MegatronBertForSequenceClassification(config)
    with pytest.raises(UserError, match="unknown architecture 'megatron-bert'.*--layout FILE"):
        biases.attention_biases(model)
    layouts.register(path)
    assert [bias.name for bias in biases.term_biases(model, "value")] == [
        f"bert.encoder.layer.{layer}.attention.self.value.bias" for layer in range(2)
    ]
    path.write_text("model_type: novel\nattention: [a.*.b, c.*.d]\nfused: qkv\nsplit: interleaved\n")
    layouts.register(path)
    assert architectures.ARCHITECTURES["novel"].layout.split is architectures.interleaved


WRONG = {
    "": "holds no fields",
    "- a": "holds no fields",
    "a: [": "cannot be read",
    "model_type: novel": "must be there",
    "attention: a.*.b": "must be there",
    "model_type: novel\nattention: a.b\nquery: q\nkey: k\nvalue: v": "one '*'",
    "model_type: novel\nattention: a.*.b\nquery: q\nkey: k": "name either",
    "model_type: novel\nattention: a.*.b\nfused: q": "name either",
    "model_type: novel\nattention: a.*.b\nfused: q\nsplit: odd": "valid: contiguous, interleaved",
    "model_type: novel\nattention: a.*.b\nqueri: q": "unknown field",
    "model_type: novel\nattention: 3": "attention is 3",
    "model_type: novel\nattention: []": "attention is []",
    "model_type: novel\nattention: a.*.b\nquery: null\nkey: k\nvalue: v": "query is None",
    "!!python/object/apply:os.getcwd []": "cannot be read",
    "\x00": "cannot be read",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said(tmp_path, text):
    (tmp_path / "layout.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        layouts.register(tmp_path / "layout.yaml")
    assert WRONG[text] in str(error.value) and "\n" not in str(error.value)
    assert "novel" not in architectures.ARCHITECTURES
