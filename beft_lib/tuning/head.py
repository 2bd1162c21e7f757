"""The head that trains beside a bias: whatever of a model lies outside its pre-trained encoder, and a pooler's bias."""

from torch import nn

from beft_lib.biases import Bias
from beft_lib.errors import UserError


def head_parameters(model, kind: str | None = None) -> list:
    """The head's parameters: all outside `model.base_model`, and every `pooler` bias inside it.

    BERT: classifier weight and bias, `pooler.dense.bias`: c·d + c + d = 1,538 + 768 scalars for BERT-base and two
    classes. RoBERTa's head holds a dense layer of its own, 600,000 scalars beside which b_v is 1.5 %; `kind` "bias"
    leaves out that layer's weight, so that the head is what BERT's is. Raises `UserError` where a head has no such
    layer. A language model has none: an empty list.
    """
    if generates_text(model):
        return []
    inside = {id(p) for n, p in model.base_model.named_parameters() if not _pooler_bias(n)}
    named = {name: p for name, p in model.named_parameters() if id(p) not in inside}
    if kind is None:
        return list(named.values())
    hidden = [name for name, p in named.items() if p.dim() > 1][:-1]  # the last matrix is the output layer
    if not hidden:
        raise UserError(
            f"head {kind!r}: {type(model).__name__}'s head has no hidden layer of its own, so there is nothing "
            "to leave out; leave head out"
        )
    return [p for name, p in named.items() if name not in hidden]


def head_biases(model) -> list[Bias]:
    """Handles of the head's biases whose matrix is pre-trained and stays: a pooler's, and one tied to the embeddings'.

    Their layer is None, their keys "-/pooler.dense" and, in a masked language model, "-/cls.predictions.decoder".
    """

    trained, found = {id(p) for p in head_parameters(model)}, []
    for path, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        weight, bias = own.get("weight"), own.get("bias")
        if isinstance(weight, nn.Parameter) and id(bias) in trained and id(weight) not in trained:
            term = path.removeprefix(f"{model.base_model_prefix}.")
            found.append(Bias(term=term, layer=None, name=f"{path}.bias", module=module))
    return found


def generates_text(model) -> bool:
    """Whether the model is a language model that generates text: what it predicts words with is no fresh head."""
    return hasattr(model, "can_generate") and model.can_generate()


def _pooler_bias(name: str) -> bool:
    return name.split(".")[-1] == "bias" and "pooler" in name.split(".")
