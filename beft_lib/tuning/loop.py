"""One loop that tunes whatever parameters are left trainable: AdamW, clipping, length buckets, exact resume.

The random numbers of an epoch (order, dropout) are a function of the seed and the epoch alone. So evaluating in
between changes nothing, a resumed run equals an uninterrupted one, and methods of one seed see the same batches in the
same order. Equal is to the bit on one processor with one number of threads; elsewhere up to rounding.

This differs from the authors' loop in: 1. batches are padded to their own longest text, not to 128 tokens; 2. the
train set is not scored again each epoch; 3. frozen weights take no part in the optimizer.
"""

import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from beft_lib import workspace
from beft_lib.tuning import batches, encoder_pass
from beft_lib.tuning.batches import Encoded
from beft_lib.tuning.random_scalars import Scattered

EVALUATION_BATCH = 64
CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class Recipe:
    """How to tune. The defaults are the authors' settings for encoders (batch 16, AdamW, constant rate, clip 1)."""

    learning_rate: float
    epochs: int
    seed: int = 0
    batch_size: int = 16
    eps: float = 1e-6  # not PyTorch's 1e-8: it would amplify the rounding noise of a bias without a gradient
    weight_decay: float = 0.0
    schedule: str = "constant"  # or "linear": to zero over the run, without warm-up
    clip: float = 1.0  # the gradient's largest ℓ2 norm
    precision: str = "fp32"  # or "bf16": frozen matrices in bf16, everything trained and every 1-d parameter in fp32
    steps: int | None = None  # stop after so many, which are those that the whole run begins with
    micro_batch: int | None = None  # examples in one pass, whose gradients add up to a batch's; None: the whole batch


class Diverged(RuntimeError):
    """The loss or the gradient became NaN or infinite: the run is stopped and recorded as failed."""


@dataclass
class Trace:
    """What a training run leaves behind besides the parameters."""

    losses: list[float] = field(default_factory=list)  # mean training loss of each epoch
    seconds: float = 0.0  # in the loop, over all sittings, without the looks
    steps: int = 0
    tokens: int = 0  # processed, without padding
    padded: int = 0  # processed, with padding
    micro_batch: int | None = None  # examples in one pass by the end, if they were fewer than a batch
    notes: list = field(default_factory=list)  # what `look` returned, in order


def device() -> torch.device:
    """Where accelerate would train: a GPU if there is one."""
    return Accelerator().device


def hold_frozen_in_bf16(model: nn.Module) -> None:
    """Store every frozen matrix in bf16, and all else in fp32. Call it after choosing what is trained."""
    for parameter in model.parameters():
        frozen = not parameter.requires_grad and parameter.dim() > 1
        parameter.data = parameter.data.to(torch.bfloat16 if frozen else torch.float32)


def autocast(precision: str, where: torch.device) -> torch.autocast:
    """The context a forward pass runs in: bf16 products under "bf16", nothing under "fp32"."""
    return torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16")


def steps_an_epoch(examples: int, batch_size: int) -> int:
    """Optimizer steps in one pass over the examples: ⌈examples / batch_size⌉."""
    return math.ceil(examples / batch_size)


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over classes, or mean squared error over scores. logits (b, c), labels (b,)."""
    if labels.is_floating_point():
        return nn.functional.mse_loss(logits.float().squeeze(-1), labels)
    return nn.functional.cross_entropy(logits.float(), labels)


class Data(Protocol):
    """Training examples, which `Loss` knows how to read: of a classifier `batches.Encoded`."""

    @property
    def lengths(self) -> np.ndarray: ...  # (n,) tokens

    def __len__(self) -> int: ...


# The loss of the part `rows` of a batch `whole`, as it counts in the batch's mean, and how many tokens it took:
# the parts of a batch add up to its loss. Each loss reads its own kind of `Data`, hence Any.
Loss = Callable[[nn.Module, Any, Sequence[int], Sequence[int]], tuple[Tensor, int]]


Logits = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]  # of a model with a head: (b, c), from a batch's inputs


def own_logits(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """Those of the model's own forward pass."""
    return model(**inputs).logits


def head_loss(
    model: nn.Module, data: Encoded, rows: Sequence[int], whole: Sequence[int], logits: Logits = own_logits
) -> tuple[Tensor, int]:
    """`loss_of` a model with a head."""
    batch = batches.collate(data, rows, next(model.parameters()).device)
    labels = batch.pop("labels")
    return loss_of(logits(model, batch), labels) * (len(rows) / len(whole)), batch["input_ids"].numel()


def tune(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    checkpoint: Path | None = None,
    look: Callable[[int], object] | None = None,
    at: Collection[int] = (),
    scalars: Scattered | None = None,
    loss: Loss = head_loss,
    tell: Callable[[int], object] = lambda step: None,
) -> Trace:
    """Train the model's trainable parameters in place, and return the trace.

    `scalars`: train these of the tensors they lie in, and not the tensors. `loss`: what is minimised.

    Where a GPU's memory does not hold the recipe's micro-batch, the step is begun again with half of it, down to one
    example, and the rest of the run goes on so: the gradients of a batch are the same up to rounding (and dropout).

    `checkpoint`: a folder to resume from and to leave a checkpoint in, at most every `CHECKPOINT_SECONDS`.
    `tell(step)` is called after every step, so that others know how far it is.
    `look(step)` is called after each of the steps `at` (1, 2, ...; the last of an epoch is a multiple of
    `steps_an_epoch`), in evaluation mode. What it does changes no number; what it returns (JSON) is noted in the trace.
    Raises `Diverged` at the first loss or gradient norm that is not finite.
    """
    accelerator = Accelerator()
    where = accelerator.device
    if scalars is not None:
        scalars.values.data = scalars.values.data.to(where)
    named = _trained(model, scalars)
    trained = list(named.values())
    if not trained or recipe.epochs == 0:
        if getattr(model, "hf_device_map", None) is None:
            model.to(where)
        model.eval()
        return Trace()
    if recipe.precision == "bf16":
        hold_frozen_in_bf16(model)
    rates = {"lr": recipe.learning_rate, "betas": (0.9, 0.999), "eps": recipe.eps}
    optimizer = torch.optim.AdamW(trained, **rates, weight_decay=recipe.weight_decay, foreach=True)
    model, optimizer = accelerator.prepare(model, optimizer)  # a model that is spread over devices stays where it is
    lengths = data.lengths
    total_steps = recipe.epochs * steps_an_epoch(len(data), recipe.batch_size)
    trace = _resume(checkpoint, recipe, named, optimizer)
    if scalars is not None:
        scalars.write()
    saved = time.monotonic()
    micro = recipe.micro_batch or recipe.batch_size

    for epoch in range(len(trace.losses) + 1, recipe.epochs + 1):
        started = time.monotonic()
        model.train()
        torch.manual_seed(_epoch_seed(recipe.seed, epoch))
        order = np.random.default_rng([recipe.seed, epoch])
        total, seen = torch.zeros((), dtype=torch.float64), 0
        for rows in batches.shuffled(lengths, recipe.batch_size, order):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * _decay(recipe.schedule, trace.steps, total_steps)
            value, padded, micro = _backward(accelerator, model, data, rows, micro, recipe.precision, loss, optimizer)
            norm = accelerator.clip_grad_norm_(trained, recipe.clip)
            if not (math.isfinite(value) and math.isfinite(norm.item())):
                raise Diverged(
                    f"loss {value}, gradient norm {norm.item()} at step {trace.steps + 1} of "
                    f"{total_steps} (epoch {epoch}); a smaller learning rate than {recipe.learning_rate} may help"
                )
            optimizer.step()
            optimizer.zero_grad()
            if scalars is not None:
                scalars.write()
            total += value * len(rows)
            seen += len(rows)
            trace.steps += 1
            trace.tokens += int(lengths[rows].sum())
            trace.padded += padded
            trace.micro_batch = micro if micro < recipe.batch_size else None
            tell(trace.steps)
            if look is not None and trace.steps in at:
                paused = time.monotonic()
                model.eval()
                with torch.random.fork_rng():
                    trace.notes.append(look(trace.steps))
                model.train()
                started += time.monotonic() - paused
            if trace.steps == recipe.steps:
                break
        trace.losses.append(total.item() / seen)
        trace.seconds += time.monotonic() - started
        if trace.steps == recipe.steps:
            break
        if checkpoint is not None and epoch < recipe.epochs and time.monotonic() - saved > CHECKPOINT_SECONDS:
            _save(checkpoint, recipe, named, optimizer, trace)
            saved = time.monotonic()
    model.eval()
    return trace


def _backward(accelerator, model, data: Data, rows, micro: int, precision: str, loss: Loss, optimizer):
    """Accumulate the gradient of a batch; its loss, the tokens it took, and how many examples fitted at a time."""
    while True:
        try:
            value, padded = 0.0, 0
            for start in range(0, len(rows), micro):
                with autocast(precision, accelerator.device):
                    part, tokens = loss(model, data, rows[start : start + micro], rows)
                accelerator.backward(part)
                value += part.item()
                padded += tokens
            return value, padded, micro
        except torch.OutOfMemoryError:
            if (micro := min(micro, len(rows))) == 1:
                raise
        # Outside the handler, which keeps the failed pass's tensors alive.
        optimizer.zero_grad()
        torch.cuda.empty_cache()
        micro = -(-micro // 2)


def _trained(model: nn.Module, scalars: Scattered | None) -> dict[str, nn.Parameter]:
    """What the optimizer trains, by name: a vector of scalars stands for the tensors it lies in."""
    dense = scalars.dense() if scalars is not None else set()
    named = {n: p for n, p in model.named_parameters() if p.requires_grad and id(p) not in dense}
    return named | ({"scattered scalars": scalars.values} if scalars is not None else {})


def tokens_per_second(model: nn.Module, threads: int) -> float:
    """How fast this machine trains the model as it is set up, in tokens a second of one process: three short steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    model.to(where := device())
    ids = torch.full((16, 24), 5, device=where)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    try:
        for step in range(4):
            if step == 1:  # the first one warms up
                started = time.perf_counter()
            encoder_pass.logits(model, batch).sum().backward()
            if where.type == "cuda":
                torch.cuda.synchronize()
        return 3 * ids.numel() / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def predict(model: nn.Module, data: Encoded, precision: str = "fp32", logits: Logits = own_logits) -> np.ndarray:
    """Logits of every example in its original order, in evaluation mode. → (n, c) float32"""
    where = next(model.parameters()).device
    model.eval()
    out: np.ndarray | None = None
    for rows in batches.by_length(data.lengths, EVALUATION_BATCH):
        batch = batches.collate(data, rows, where)
        batch.pop("labels")
        with autocast(precision, where):
            found = logits(model, batch).float().cpu().numpy()
        if out is None:
            out = np.empty((len(data), found.shape[-1]), dtype=np.float32)
        out[rows] = found
    if out is None:
        raise ValueError("predict: there are no examples; give at least one")
    return out


def _decay(schedule: str, step: int, total: int) -> float:
    return 1.0 if schedule == "constant" else 1.0 - step / total


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, 1]).generate_state(1, np.uint64)[0] >> 1)


# ------------------------------------------------------------------------------------------------ checkpoints


def _save(folder: Path, recipe: Recipe, named: dict[str, nn.Parameter], optimizer, trace: Trace) -> None:
    """The trained parameters, the optimizer's moments and the trace, as one file that is renamed into place."""
    tensors = {}
    for name, parameter in named.items():
        tensors[f"parameter/{name}"] = parameter.detach().cpu()
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer/{key}/{name}"] = value.detach().cpu()
    notes = {"recipe": json.dumps(asdict(recipe)), "trace": json.dumps(asdict(trace))}
    with workspace.whole(folder / "checkpoint.safetensors") as partial:
        save_file({name: t.contiguous() for name, t in tensors.items()}, partial, metadata=notes)


def _resume(folder: Path | None, recipe: Recipe, parameters: dict[str, nn.Parameter], optimizer) -> Trace:
    """Restore the last checkpoint of the same recipe, if there is a readable one, and return its trace."""
    file = folder / "checkpoint.safetensors" if folder is not None else None
    if file is None or not file.exists():
        return Trace()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as content:
            notes = content.metadata() or {}
        tensors = load_file(file)
    except (SafetensorError, OSError):
        return Trace()  # a torn file: the run starts again, with the same numbers
    names = {name.split("/", 1)[1] for name in tensors if name.startswith("parameter/")}
    if notes.get("recipe") != json.dumps(asdict(recipe)) or names != set(parameters):
        return Trace()
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"parameter/{name}"])
            for key in [
                k.split("/", 2)[1] for k in tensors if k.startswith("optimizer/") and k.split("/", 2)[2] == name
            ]:
                value = tensors[f"optimizer/{key}/{name}"]
                optimizer.state[parameter][key] = value if key == "step" else value.to(parameter.device)
    return Trace(**json.loads(notes["trace"]))
