"""An adapter: the change of some biases, the head that was tuned beside them, and what both were tuned on."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from beft_lib import biases, models
from beft_lib.adapters import places
from beft_lib.adapters.places import Place
from beft_lib.adapters.use import Use
from beft_lib.biases import Bias
from beft_lib.errors import UserError
from beft_lib.tuning import prepare
from beft_lib.tuning.head import head_biases

SAMPLED = 8  # scalars of a matrix, and of a bias, by which a base model is recognised

# How far a scalar may lie from the sampled one: bf16 rounds by 2⁻⁹, fp16's smallest numbers by 3e-8; six digits less.
RELATIVE, ABSOLUTE = 2**-8, 1e-6

Sketch = Mapping[str, tuple[list[float], list[float]]]

# PEFT's task types by the end of a model's class name, and "SEQ_2_SEQ_LM" for an encoder-decoder that generates.
TASKS = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "ForConditionalGeneration": "CAUSAL_LM",
    "ForCausalLM": "CAUSAL_LM",
    "LMHeadModel": "CAUSAL_LM",
    "Model": "FEATURE_EXTRACTION",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Base:
    """The model that an adapter was tuned on.

    `weights`: which they are, as `models.version` says it; empty where that is not known. `sketch`: some scalars of
    each tuned bias's matrix, and of the bias before tuning, {handle key: ([w, ...], [b, ...])}, which tell the model
    from others in any precision. Empty for an adapter that stock PEFT wrote.
    """

    name: str = ""  # a Hub id, a folder or a name of the catalogue; empty for a model made in memory
    revision: str | None = None
    model_type: str = ""
    weights: str = ""
    sketch: Sketch = field(repr=False, default_factory=dict)


@dataclass(frozen=True, eq=False)
class Form:
    """How PEFT's format holds an adapter: its task type, the modules saved whole, and the place of each bias by key."""

    task: str | None = None
    modules: tuple[str, ...] = ()
    places: Mapping[str, Place] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Adapter:
    """What tuning changed, apart from the model: some KB beside its GB.

    `delta`: {handle key: (d,) fp64} of the tuned biases, and of the head's biases whose matrix is the base model's own:
    the pooler's, "-/pooler.dense", and the one beside a masked language model's tied matrix. `head`: every other
    parameter outside the base model, and those of modules that the checkpoint lacks, in full, by name. `labels`: the
    names of the classes, if they have any. `use`: the task that it was tuned on, if that is known.
    """

    delta: Mapping[str, Tensor]
    head: Mapping[str, Tensor]
    base: Base
    labels: tuple[str, ...] = ()
    form: Form = Form()
    use: Use | None = None

    def __repr__(self) -> str:
        scalars = sum(len(values) for values in self.delta.values())
        head = sum(values.numel() for values in self.head.values())
        return f"Adapter({scalars} scalars of {len(self.delta)} biases, a head of {head}, base={self.base})"


def of(model: nn.Module, before: Mapping[str, Tensor] | None = None, fresh: Collection[str] = ()) -> Adapter:
    """What was tuned in this model: its biases now minus `before`, and its head as it is.

    `before`: {handle key: (d,)}, by default what `beft` remembered of this model; given by hand, it needs the head's
    biases too: `biases.snapshot([*biases.term_biases(model, "value"), *tuning.head.head_biases(model)])`, taken before
    training. `fresh`: names of parameters that the checkpoint did not have (transformers lists them when it loads one);
    their modules are saved whole, because no other copy of the base model has them.

    A change is rounded to fp32, in which PEFT keeps it, wherever the bias before plus the rounded change is the tuned
    bias to the bit all the same, and is exact elsewhere (where the two nearly cancel). Raises `UserError` without a
    `before`, or for one of other biases.
    """
    model = biases.unwrapped(model)
    before = prepare.before(model) if before is None else before
    if before is None:
        raise UserError(
            f"this {type(model).__name__} was not prepared by beft_lib.beft, so what its biases were before training "
            "is not known; call beft before training, or give before=biases.snapshot(...) taken then"
        )
    order = {key: number for number, key in enumerate(places.tunable(model))}
    tuned = sorted(places.handles(model, before), key=lambda handle: order.get(handle.key, len(order)))
    modules = places.whole_modules(model, places.own(model, fresh))
    of_the_head = [bias for bias in head_biases(model) if not places.inside(bias.name, modules)]
    if lost := [bias.key for bias in of_the_head if bias.key not in before]:
        raise UserError(
            f"before lacks {lost[0]!r}, which trains with the head of {type(model).__name__}; take it with "
            "biases.snapshot([*..., *tuning.head.head_biases(model)])"
        )
    kept = [handle for handle in tuned if not places.inside(handle.name, modules)]
    for handle in kept:
        if tuple(before[handle.key].shape) != (handle.size,):
            raise UserError(
                f"before: {handle.key!r} has shape {tuple(before[handle.key].shape)}, the model's bias "
                f"({handle.name}) has {handle.size} scalars; take it from this model"
            )
    delta = {handle.key: _change(before[handle.key].cpu(), handle.read()) for handle in kept}
    head = {
        name: values.detach().cpu().clone().contiguous()
        for name, values in places.tensors(model).items()
        if places.inside(name, modules)
    }
    config: Any = model.config
    name, revision = models.public_name(given) if (given := getattr(config, "_name_or_path", "")) else ("", None)
    base = Base(
        name=name,
        revision=revision or getattr(config, "_commit_hash", None),
        model_type=config.model_type,
        sketch=_sketch(kept, before),
    )
    labels = _labels(model) if head else ()
    return Adapter(delta=delta, head=head, base=base, labels=labels, form=form(model, kept, modules))


def form(model: nn.Module, handles: Collection[Bias], modules: Collection[str]) -> Form:
    """How PEFT's format holds these biases and modules of the model."""
    name = type(model).__name__
    task = next((task for end, task in TASKS.items() if name.endswith(end)), None)
    config: Any = model.config
    if task == "CAUSAL_LM" and config.is_encoder_decoder:
        task = "SEQ_2_SEQ_LM"
    return Form(task, tuple(modules), {handle.key: places.place(handle) for handle in handles})


def _change(before: Tensor, now: Tensor) -> Tensor:
    """now − before in fp64, rounded to fp32 where that makes no difference to `before` plus it in now's precision."""
    exact = now.double() - before.double()
    short = exact.float().double()
    return exact.where((before.double() + short).to(now.dtype) != now, short)


def _labels(model: nn.Module) -> tuple[str, ...]:
    """The names of the classes in the configuration, if they are names and not LABEL_0, LABEL_1, ..."""
    names = getattr(model.config, "id2label", None) or {}
    found = tuple(str(names[number]) for number in sorted(names))
    return () if all(re.fullmatch(r"LABEL_\d+", name) for name in found) else found


def _sketch(handles: Collection[Bias], values: Mapping[str, Tensor]) -> Sketch:
    found = {}
    for handle in handles:
        weight = getattr(handle.module, "weight", None)
        weights = []
        if weight is not None and weight.is_floating_point():  # a quantised matrix is packed and tells nothing
            weights = places.evenly(weight, SAMPLED)
        found[handle.key] = weights, places.evenly(values[handle.key], SAMPLED)
    return found


def check_base(model: nn.Module, base: Base, unchanged: bool) -> None:
    """Raise `UserError` for a model that is not an adapter's base; if `unchanged`, also where its biases are not."""
    named = base.name or "a model made in memory"
    config: Any = model.config
    if base.model_type and config.model_type != base.model_type:
        raise UserError(
            f"the adapter was tuned on {named}, of type {base.model_type!r}; this {type(model).__name__} is of type "
            f"{config.model_type!r}. Load the adapter's base model"
        )
    tuned = places.handles(model, base.sketch)
    here = _sketch(tuned, biases.snapshot(tuned))
    for handle in tuned:
        theirs, ours = base.sketch[handle.key][0], here[handle.key][0]
        if theirs and ours and not _same(theirs, ours):
            path = handle.name.removesuffix(".bias")
            raise UserError(
                f"the adapter was tuned on {named}, another model than this {type(model).__name__}: {path}.weight is "
                f"{theirs[0]:.6g}, ... there and {ours[0]:.6g}, ... here. Load the adapter's base model"
                + _if_pooler(handle)
            )
    for handle in tuned if unchanged else ():
        if not _same(base.sketch[handle.key][1], here[handle.key][1]):
            raise UserError(
                f"the bias {handle.key} ({handle.name}) of this {type(model).__name__} is not that of the adapter's "
                f"base model ({named}), while the matrices are: an adapter is merged into it already. Undo that with "
                "unmerge, or load the base model anew"
            )


def same_base(first: Base, second: Base) -> bool:
    """Whether two adapters of the same biases were tuned on one model, as far as their sketches tell."""
    shared = first.sketch.keys() & second.sketch.keys()
    return first.model_type == second.model_type and all(
        _same(ours, theirs) for key in shared for ours, theirs in zip(first.sketch[key], second.sketch[key])
    )


def _same(first: list[float], second: list[float]) -> bool:
    return len(first) == len(second) and all(
        abs(a - b) <= ABSOLUTE + RELATIVE * max(abs(a), abs(b)) for a, b in zip(first, second)
    )


def _if_pooler(handle: Bias) -> str:
    return (
        ". If the checkpoint has no pooler, so that it was drawn at random, save it with the adapter: "
        "of(model, fresh=[...])"
        if handle.layer is None and "pooler" in handle.term
        else ""
    )
