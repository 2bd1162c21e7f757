"""Scores from gradients before tuning: the exact per-example empirical Fisher, and the authors' batch-mean variant.

Notation: b examples in a batch, t tokens, d scalars of one bias, c classes.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from beft_lib import biases
from beft_lib.biases import Bias
from beft_lib.errors import UserError

from .ranking import Score

Outputs = dict[nn.Module, list[Tensor]]  # what each of these modules gave out in a forward pass, in order
# The model's logits of some inputs, noting those outputs.
Forward = Callable[[nn.Module, Mapping[str, Tensor], Outputs], Tensor]


def observed(model: nn.Module, inputs: Mapping[str, Tensor], outputs: Outputs) -> Tensor:
    """The logits of the model's own forward pass; the outputs of the modules in `outputs` are appended there."""

    def note(module: nn.Module, _: object, output: Tensor) -> None:
        outputs[module].append(output)

    hooks = [module.register_forward_hook(note) for module in outputs]
    try:
        return model(**inputs).logits
    finally:
        for hook in hooks:
            hook.remove()


def log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """log p(y | x) of each example. Shapes: → (b,).

    Classes: logits (b, c), labels (b,) int. Scores: logits (b, 1), labels (b,) float, under a unit normal up to a
    constant, −½(y − ŷ)². Tokens: logits (b, t, vocabulary), labels (b, t) with −100 where a token does not count;
    the sum over the tokens, each predicted from those before it.
    """
    if logits.dim() == 3:
        shifted, targets = logits[:, :-1].transpose(1, 2), labels[:, 1:]  # (b, vocabulary, t−1), (b, t−1)
        return -nn.functional.cross_entropy(shifted, targets, ignore_index=-100, reduction="none").sum(-1)
    if labels.is_floating_point():
        return -0.5 * (labels - logits.squeeze(-1)).square()
    return -nn.functional.cross_entropy(logits, labels, reduction="none")


def empirical_fisher(
    model: nn.Module, batches: Iterable[Mapping[str, Tensor]], handles: Sequence[Bias] | None = None
) -> list[Score]:
    """Exact diagonal empirical Fisher of every bias, from one ordinary backward pass a batch (§2.2).

        score = 1/N Σᵢ ‖∇_b log p(yᵢ | xᵢ)‖₂²

    A bias is added to each of its module's outputs, so its gradient for one example is the sum over that example's
    tokens of the gradient at the output: the backward pass of the summed log-likelihood holds every example's
    gradient apart. The result equals the one-by-one loop to round-off.

    `batches`: dictionaries of the model's inputs with `labels` (see `log_likelihood`); `handles`: default every bias
    of the backbone. The model is evaluated without dropout and returned as it was. Raises `UserError` for biases that
    the model does not have.
    Differs from the authors' code (see `batch_fisher`) in: 1. per example, as the paper's formula says; 2. no clipping.
    """
    return fishers(model, batches, handles)[0]


def batch_fisher(
    model: nn.Module, batches: Iterable[Mapping[str, Tensor]], handles: Sequence[Bias] | None = None, clip: float = 1.0
) -> list[Score]:
    """The authors' variant: the square of the clipped *batch-mean* gradient, averaged over batches.

        score = 1/B Σ_B ‖clip(1/|B| Σ_{i∈B} ∇_b log p(yᵢ | xᵢ))‖₂²

    The examples of a batch cancel before the square is taken, which shrinks terms by different factors, so that it
    estimates another quantity than §2.2's formula. Kept for comparison, under its own name. The norm that is clipped
    is that of all `handles` together.
    """
    return fishers(model, batches, handles, clip)[1]


def fishers(
    model: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    handles: Sequence[Bias] | None = None,
    clip: float = 1.0,
    forward: Forward | None = None,
) -> tuple[list[Score], list[Score]]:
    """`empirical_fisher` and `batch_fisher` from the same backward passes, for the price of one of them.

    `forward`: how logits and outputs are computed; default `observed`, the model's own forward pass.
    """
    forward = forward or observed
    handles = _present(model, handles)
    exact, of_batches = (dict.fromkeys((handle.key for handle in handles), 0.0) for _ in range(2))
    examples = number = 0
    mixed = None  # a property of the architecture, found on the first batch
    with _evaluated_on(model, handles):
        for batch in batches:
            mixed = _mixes_examples(model, batch, handles, forward) if mixed is None else mixed
            size = len(batch["labels"])
            gradients = _gradients(model, batch, handles, forward)
            means = {key: g.sum(0) / size for key, g in gradients.items()}
            norm = math.sqrt(sum(g.square().sum().item() for g in means.values()))
            scale = min(1.0, clip / (norm + 1e-6))
            for key, gradient in means.items():
                of_batches[key] += (scale * gradient).square().sum().item()
            alone = [_gradients(model, part, handles, forward) for part in _one_by_one(batch)] if mixed else [gradients]
            for own in alone:
                for key, gradient in own.items():
                    exact[key] += gradient.square().sum().item()
            examples, number = examples + size, number + 1
    return (
        [Score("fisher", h.term, h.layer, exact[h.key] / examples) for h in handles],
        [Score("fisher_batch", h.term, h.layer, of_batches[h.key] / number) for h in handles],
    )


def _present(model: nn.Module, handles: Sequence[Bias] | None) -> list[Bias]:
    handles = list(handles) if handles is not None else biases.all_biases(model)
    if not handles:
        raise UserError(
            "the model has no bias to score; give handles of zero biases added to it: "
            "handles = biases.term_biases(model, 'value'), then handle.add() for each"
        )
    if missing := [handle.name for handle in handles if handle.missing]:
        raise UserError(f"the model has no {missing[0]}; add a zero bias first: handle.add() for each handle")
    return handles


def _gradients(
    model: nn.Module, batch: Mapping[str, Tensor], handles: Sequence[Bias], forward: Forward
) -> dict[str, Tensor]:
    """∇_b log p of each handle's bias, read at its module's outputs: {key: (b, d)} in fp64.

    Rows are examples, unless the module also sees something that examples share: then only the sum over rows is theirs.
    """
    likelihood, outputs = _likelihood(model, batch, handles, forward)  # (b,)
    flat = [(module, output) for module in outputs for output in outputs[module]]
    gradients = torch.autograd.grad(likelihood.sum(), [output for _, output in flat], allow_unused=True)
    rows: dict[nn.Module, Tensor] = {}
    for (module, output), gradient in zip(flat, gradients):
        summed = _sum_tokens(gradient, output, len(likelihood)).double()  # (b, d)
        rows[module] = rows[module] + summed if module in rows else summed  # used twice, its bias is added twice
    return {h.key: rows[h.module] if h.index is None else rows[h.module][:, h.index] for h in handles}


@torch.no_grad()
def _mixes_examples(model: nn.Module, batch: Mapping[str, Tensor], handles: Sequence[Bias], forward: Forward) -> bool:
    """Whether a module also sees something that the examples of a batch share, so that its output has no row of each.

    DeBERTa does: it projects relative positions by the layer's own query and key.
    """
    _, outputs = _likelihood(model, batch, handles, forward)
    size, tokens = batch["input_ids"].shape
    return not all(len(output) in (size, size * tokens) for seen in outputs.values() for output in seen)


def _one_by_one(batch: Mapping[str, Tensor]) -> list[Mapping[str, Tensor]]:
    return [{name: value[i : i + 1] for name, value in batch.items()} for i in range(len(batch["labels"]))]


def _likelihood(
    model: nn.Module, batch: Mapping[str, Tensor], handles: Sequence[Bias], forward: Forward
) -> tuple[Tensor, Outputs]:
    """log p of each example (b,), and the outputs of the handles' modules on the way to it."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    outputs: Outputs = {handle.module: [] for handle in handles}
    return log_likelihood(forward(model, inputs, outputs).float(), batch["labels"]), outputs


def _sum_tokens(gradient: Tensor | None, output: Tensor, size: int) -> Tensor:
    """(b, t, d), (b, d) or (b·t, d) → (b, d); what examples share, (1, n, d) or (n, d), counts in the first row."""
    summed = output.new_zeros(size, output.shape[-1])
    if gradient is not None and len(gradient) % size == 0:
        summed += gradient.reshape(size, -1, gradient.shape[-1]).sum(1)
    elif gradient is not None:
        summed[0] += gradient.reshape(-1, gradient.shape[-1]).sum(0)
    return summed


@contextmanager
def _evaluated_on(model: nn.Module, handles: Sequence[Bias]):
    """Evaluation mode, a graph to the handles' biases only; everything as before on leaving."""
    mode, flags = model.training, [(p, p.requires_grad) for p in model.parameters()]
    model.eval()
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    for parameter in (handle.parameter for handle in handles):
        if parameter is not None:
            parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        model.train(mode)
