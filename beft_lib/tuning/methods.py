"""The methods: what each one trains, on which kind of model, at what cost, and how figures show it.

`METHODS` is the one place: a new method is a record here, and a branch in `prepare` that says what it trains. On an
encoder the *head* trains beside every method but `none` and `merged`, as in the authors' code (see `head`); the
`head_only` control tells what the head alone does. A language model has no such head: what it predicts words with
is pre-trained, and stays.
"""

from dataclasses import dataclass

from beft_lib.errors import UserError, unknown

ATTENTION_TERMS = ("query", "key", "value")
PREFIX = "bias:"  # any other term by its path in a layer, e.g. bias:attention.output.dense

# What a token costs against one of bias tuning (a forward pass, and a backward pass through the activations alone).
NO_TRAINING, HEAD_ALONE, BIASES, EVERY_WEIGHT = 0.0, 0.5, 1.0, 1.5


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to tune. `models`: "both", or only "encoders" with a head, or only "decoders" that answer prompts.

    `cost`: of a token in training, where bias tuning is 1; 0 for a method that trains nothing. `seedless`: the same
    whatever the seed, so that one run stands for all. `colour`, `marker`: in every figure, from a palette that
    colour-blind readers can tell apart (Okabe and Ito).
    """

    name: str
    title: str
    trains: str
    models: str = "both"
    cost: float = BIASES
    seedless: bool = False
    colour: str = "#999999"
    marker: str = "v"

    @property
    def untuned(self) -> bool:
        return self.cost == NO_TRAINING


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(name="query", title="b_q", trains="the query biases b_q and the head", colour="#0072B2", marker="s"),
        Method(name="key", title="b_k", trains="the key biases b_k and the head", colour="#E69F00", marker="D"),
        Method(name="value", title="b_v", trains="the value biases b_v and the head", colour="#009E73", marker="o"),
        Method(
            name="output",
            title="b_o",
            trains="the biases b_o of the attention's output projections and the head",
            colour="#F0E442",
            marker="h",
        ),
        Method(
            name="all_biases",
            title="all biases",
            trains="every bias of the model and the head (BitFit); b_q, b_k and b_v of a model that has none",
            colour="#CC79A7",
            marker="P",
        ),
        Method(
            name="random",
            title="rand uniform",
            trains="as many scalars of the encoder as b_v has, drawn at random, and the head",
            cost=EVERY_WEIGHT,
            colour="#56B4E9",
            marker="p",
        ),
        Method(
            name="full",
            title="all parameters",
            trains="every parameter",
            cost=EVERY_WEIGHT,
            colour="#000000",
            marker="^",
        ),
        Method(
            name="lora",
            title="LoRA",
            trains="low-rank changes of the query and value projections, and the head",
            colour="#D55E00",
            marker="<",
        ),
        Method(
            name="prefix",
            title="prefix tuning",
            trains="virtual tokens before the keys and values of every layer, and the head",
            colour="#8C6D31",
            marker=">",
        ),
        Method(
            name="head_only",
            title="head only",
            trains="the head alone: the control",
            models="encoders",
            cost=HEAD_ALONE,
            colour="#555555",
            marker="X",
        ),
        Method(
            name="none",
            title="no tuning",
            trains="nothing: the model as it comes",
            models="encoders",
            cost=NO_TRAINING,
        ),
        Method(
            name="zero_shot",
            title="zero-shot",
            trains="nothing: a decoder answers the prompt as it comes",
            models="decoders",
            cost=NO_TRAINING,
            seedless=True,
        ),
        Method(
            name="in_context",
            title="in-context learning",
            trains="nothing: a decoder answers after solved examples in its prompt",
            models="decoders",
            cost=NO_TRAINING,
        ),
        Method(
            name="merged",
            title="merged",
            trains="nothing: biases that other runs tuned, weighted and added up, and the head of one of them",
            models="encoders",
            cost=NO_TRAINING,
        ),
    )
}


def check(name: str) -> str:
    """The name itself if it is a method, else `UserError`; a `bias:` term is checked when a model is there."""
    if name in METHODS or (name.startswith(PREFIX) and len(name) > len(PREFIX)):
        return name
    raise unknown("method", name, METHODS, f"Any other bias term: '{PREFIX}<path in the layer>'")


def get(name: str) -> Method:
    """The record of a method; of another bias term, `bias:PATH`, one of its own. Raises `UserError` for other names."""
    if check(name) in METHODS:
        return METHODS[name]
    path = name.removeprefix(PREFIX)
    return Method(name=name, title=path, trains=f"the biases {path} and the head")


def check_for(name: str, prompts: bool) -> None:
    """Raise `UserError` for a method that a task with prompts, or one for a head, cannot be carried out with."""
    wrong = "encoders" if prompts else "decoders"
    if get(name).models == wrong:
        kind = "answers prompts and trains no head" if prompts else "is for a model with a head, not for prompts"
        valid = [method.name for method in METHODS.values() if method.models != wrong]
        raise UserError(f"method {name!r}: the task {kind}; valid: {', '.join(valid)}")


def is_seedless(name: str) -> bool:
    """Whether one run of the method stands for all seeds; False for whatever is no method of the table."""
    return name in METHODS and METHODS[name].seedless


def tunes_one_term(name: str) -> bool:
    """Whether the method tunes one bias term, and so can be held to some layers."""
    return name in (*ATTENTION_TERMS, "output") or name.startswith(PREFIX)


def title(name: str) -> str:
    """How a figure or a table calls a method or a bias term; a name of neither stays as it is."""
    return METHODS[name].title if name in METHODS else name.removeprefix(PREFIX)
