"""What is trained: one bias term, all biases, everything, the head alone, or nothing.

In every method but `none` the *head* trains too, as in the authors' code: whatever lies outside the pre-trained
encoder, and the bias (not the weight) of a pooler inside it. The `head_only` control tells what the head alone does.
"""

from beft_lib.errors import UserError, unknown

ATTENTION_TERMS = ("query", "key", "value")
METHODS = {
    "query": "the query biases b_q and the head",
    "key": "the key biases b_k and the head",
    "value": "the value biases b_v and the head",
    "all_biases": "every bias of the encoder and the head (BitFit)",
    "full": "every parameter",
    "head_only": "the head alone: the control",
    "none": "nothing: the model as it comes",
}
PREFIX = "bias:"  # any other term by its path in a layer, e.g. bias:attention.output.dense

TITLES = {
    "query": "b_q",
    "key": "b_k",
    "value": "b_v",
    "all_biases": "all biases",
    "full": "all parameters",
    "head_only": "head only",
    "none": "no tuning",
}


def check(name: str) -> str:
    """The name itself if it is a method, else `UserError`; a `bias:` term is checked when a model is there."""
    if name in METHODS or (name.startswith(PREFIX) and len(name) > len(PREFIX)):
        return name
    raise unknown("method", name, METHODS, f"Any other bias term: '{PREFIX}<path in the layer>'")


def title(name: str) -> str:
    """How a figure or a table calls the method."""
    return TITLES.get(name, name.removeprefix(PREFIX))


def trained_biases(model, method: str) -> list:
    """The handles of the biases that a method tunes (none for `full`, `head_only` and `none`)."""
    from beft_lib import biases

    if method == "all_biases":
        return biases.all_biases(model)
    if method in ATTENTION_TERMS or method.startswith(PREFIX):
        return biases.term_biases(model, method.removeprefix(PREFIX))
    return []


def head(model) -> list:
    """The head's parameters: all outside `model.base_model`, and every `pooler` bias inside it.

    BERT: classifier weight and bias, `pooler.dense.bias`: (2 + c)·d + ... = 768 + 1,538 scalars for BERT-base and two
    classes. RoBERTa's head holds a dense layer of its own, 600,000 scalars beside which b_v is 1.5 %.
    """
    inside = {id(p) for n, p in model.base_model.named_parameters() if not _pooler_bias(n)}
    return [p for p in model.parameters() if id(p) not in inside]


def _pooler_bias(name: str) -> bool:
    return name.split(".")[-1] == "bias" and "pooler" in name.split(".")


def apply(model, method: str) -> list:
    """Make the model train what the method says, and return the handles of the tuned biases."""
    from beft_lib import biases

    handles = trained_biases(model, check(method))
    if method == "all_biases" and not handles:
        raise UserError(
            f"method 'all_biases': {type(model).__name__} has no bias; tune one that is added: "
            f"{', '.join(ATTENTION_TERMS)}"
        )
    if method == "full":
        biases.train_only(model, [], also=[model])
    else:
        biases.train_only(model, handles, also=[] if method == "none" else head(model))
    return handles


def beft(model, term: str = "value"):
    """Make a Hugging Face model train just one kind of bias, and its head; returns the model.

    `term`: "value" (the paper's choice), "query", "key", or another term of `biases.terms(model)`. A projection
    without a bias first gets a zero one, which changes no output. Raises `UserError` for a term or architecture that is
    not known.
    """
    from beft_lib import biases

    biases.train_only(model, biases.term_biases(model, term), also=head(model))
    return model
