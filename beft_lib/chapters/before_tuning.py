"""Measurements on a model as it is before tuning: gradients and shifts that an identity predicts.

Each is measured once for the same weights, and stored (see `runs.probes`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from beft_lib import biases, models, tasks
from beft_lib.importance import log_likelihood
from beft_lib.runs.probes import measured
from beft_lib.tuning import batches, methods

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TASK, EXAMPLES = "toy-sentiment", 16  # always at hand: what is measured here does not depend on the data
OF_DECODERS = 2  # examples for a decoder, whose every token is a prediction over the vocabulary
SCALE = 0.1  # standard deviation of a random b_v; a bias of a small BERT has 0.02 to 0.2


class Probe(NamedTuple):
    """A model in evaluation mode and a batch for it: an encoder with a fresh head, or a decoder on the same texts."""

    model: nn.Module
    batch: dict[str, Tensor]
    labels: Tensor  # (b,) classes, or (b, t) tokens, −100 where there is none

    def logits(self) -> Tensor:
        return self.model(**self.batch).logits

    def likelihood(self) -> Tensor:
        """The mean log-likelihood of the labels, or of each next token."""
        logits = self.logits()
        if self.labels.dim() == 1:
            return log_likelihood(logits, self.labels).mean()
        return -nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), self.labels[:, 1:].flatten())


def _probe(name: str, dtype: torch.dtype, attention: str | None = None) -> Probe:
    task = tasks.of_encoder(TASK)
    decoder = models.is_decoder(_known(name))
    count = OF_DECODERS if decoder else EXAMPLES
    examples = tasks.load(task, task.train, "bundled").take(range(count))
    data = batches.encode(models.tokenizer(name), examples, task.max_length)
    batch = batches.collate(data, np.arange(len(data)))
    labels = batch.pop("labels")
    if decoder:
        seen = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
        labels = batch["input_ids"].masked_fill(seen == 0, -100)
        return Probe(models.causal(name, attention=attention).to(dtype), batch, labels)
    model = models.classifier(name, task.num_labels, seed=0, attention=attention)
    # transformers wraps `to`, and loses its signature
    return Probe(cast(nn.Module, model).to(dtype), batch, labels)


def _known(name: str) -> str:
    """The name; for a Hub model outside the catalogue, of which nothing is known before it is fetched, its folder."""
    return name if models.is_decoder(name) is not None else f"{models.fetch(name)}/"


def gradient_norms(name: str) -> pd.DataFrame:
    """‖∇_b log p‖₂ of b_q, b_k and b_v over all layers, on one batch in evaluation mode.

    Two rows, `precision` fp32 and fp64; a column a term, under its title.
    """

    def measure() -> list[dict]:
        dtypes = {"fp32": torch.float32, "fp64": torch.float64}
        return [{"precision": each} | _gradient_norms(_probe(name, dtype)) for each, dtype in dtypes.items()]

    found = pd.DataFrame(measured("gradient norms", name, {}, measure))
    return found.rename(columns={term: methods.title(term) for term in methods.ATTENTION_TERMS})


def _gradient_norms(probe: Probe) -> dict[str, float]:
    terms = {term: biases.term_biases(probe.model, term) for term in methods.ATTENTION_TERMS}
    biases.train_only(probe.model, [handle for handles in terms.values() for handle in handles])
    probe.likelihood().backward()
    return {term: torch.cat([_gradient(h) for h in handles]).norm().item() for term, handles in terms.items()}


def _gradient(handle: biases.Bias) -> Tensor:
    parameter = handle.parameter
    assert parameter is not None and parameter.grad is not None, f"{handle.key} is trained, and took part"
    gradient = parameter.grad
    return gradient if handle.index is None else gradient[handle.index]


def logit_shift(name: str, term: str, size: float) -> float:
    """The largest change of any logit when `size` is added to every coordinate of one term in every layer (fp64)."""
    arguments = {"term": term, "size": size}
    (row,) = measured(
        "logit shift", name, arguments, lambda: [{"shift": _shift(_probe(name, torch.float64), term, size)}]
    )
    return row["shift"]


@torch.no_grad()
def _shift(probe: Probe, term: str, size: float) -> float:
    before = probe.logits()
    handles = biases.term_biases(probe.model, term)
    values = biases.snapshot(handles)
    for handle in handles:
        handle.write(values[handle.key] + size)
    shift = (probe.logits() - before).abs().max().item()
    biases.restore(handles, values)
    return shift


def keys(names: list[str]) -> pd.DataFrame:
    """A row a model: what b_k's gradient is beside b_v's, and what adding 1 to all of either does to a logit (fp64)."""
    rows = []
    for name in names:
        (found,) = measured("keys", name, {}, lambda name=name: [_keys(name)])
        row = {"model": models.title(name), "b_k is": "inert" if found["inert"] else "live"}
        row |= {"∇b_k / ∇b_v": found["gradients"], "logit, b_k + 1": found["key"], "logit, b_v + 1": found["value"]}
        rows.append(row)
    return pd.DataFrame(rows)


def _keys(name: str) -> dict[str, float | bool]:
    probe = _probe(name, torch.float64)
    norms = _gradient_norms(probe)
    shifts = {term: _shift(probe, term, 1.0) for term in ("key", "value")}
    return {"inert": bool(models.key_is_inert(_known(name))), "gradients": norms["key"] / norms["value"]} | shifts


def output_identity(names: list[str]) -> pd.DataFrame:
    """A row a model: adding random δ to every b_v against adding W_o δ to every b_o, in fp64.

    Columns: the largest change of a logit by the first; the largest difference between the two; the same for the
    gradients, ‖∇b_v − W_oᵀ ∇b_o‖ / ‖∇b_v‖; and how far what the first layer adds to the residual stream varies over
    positions and texts, the standard deviation as a share of its norm (0: one constant vector).
    """
    rows = []
    for name in names:
        (row,) = measured("output identity", name, {}, lambda name=name: [_output_identity(name)])
        rows.append({"model": models.title(name)} | row)
    return pd.DataFrame(rows)


def _output_identity(name: str) -> dict:
    probe, random = _probe(name, torch.float64), torch.Generator().manual_seed(0)
    values, outputs = biases.term_biases(probe.model, "value"), biases.outputs(probe.model)
    deltas = [SCALE * torch.randn(h.size, generator=random, dtype=torch.float64) for h in values]
    biases.train_only(probe.model, [*values, *(output.bias for output in outputs)])
    probe.likelihood().backward()
    by_value = torch.cat([_gradient(handle) for handle in values])
    by_output = torch.cat([output.weight.T @ _gradient(output.bias) for output in outputs])

    added = []
    hook = outputs[0].bias.module.register_forward_hook(lambda module, _, out: added.append(out.detach()))
    logits = []
    with torch.no_grad():
        logits.append(probe.logits())
        for handles, changes in (
            (values, deltas),
            ([o.bias for o in outputs], [o.weight @ d for o, d in zip(outputs, deltas)]),
        ):
            before = biases.snapshot(handles)
            for handle, change in zip(handles, changes):
                handle.write(before[handle.key] + change)
            logits.append(probe.logits())
            biases.restore(handles, before)
    hook.remove()
    constant = (added[1] - added[0]).flatten(0, -2)  # (positions of all texts, width)
    return {
        "logits moved by": (logits[1] - logits[0]).abs().max().item(),
        "b_v against b_o": (logits[2] - logits[1]).abs().max().item(),
        "gradients apart": ((by_value - by_output).norm() / by_value.norm()).item(),
        "varies by": (constant.std(0).norm() / constant.mean(0).norm()).item(),
    }


def attention_shift(name: str, sizes: Mapping[int, float]) -> pd.DataFrame:
    """How far a change of one bias in one layer moves that layer's attention: columns `term`, `layer`, `distance`.

    `sizes`: by how much each coordinate changes, by layer; its sign is drawn at random. Layers without a size are left
    out. `distance`: the total variation ½ Σ_j |p_ij − p'_ij| of the attention weights, mean over heads and real query
    positions; 0 is the same attention, 1 attention to entirely other words.
    """
    sizes = {layer: float(f"{size:.6g}") for layer, size in sizes.items()}  # alike on every processor
    arguments = {"sizes": {str(layer): size for layer, size in sizes.items()}}
    rows = measured("attention shift", name, arguments, lambda: _attention_shift(name, sizes))
    return pd.DataFrame(rows, columns=["term", "layer", "distance"])


@torch.no_grad()
def _attention_shift(name: str, sizes: Mapping[int, float]) -> list[dict]:
    probe = _probe(name, torch.float32, attention="eager")
    real = probe.batch.get("attention_mask", torch.ones_like(probe.batch["input_ids"])).bool()  # (b, t)
    before = probe.model(**probe.batch, output_attentions=True).attentions
    random, rows = torch.Generator().manual_seed(0), []
    for layer, handles in enumerate(biases.attention_biases(probe.model)):
        for handle in handles if layer in sizes else ():
            values = handle.read()
            signs = torch.randint(2, values.shape, generator=random) * 2 - 1
            handle.write(values + sizes[layer] * signs)
            after = probe.model(**probe.batch, output_attentions=True).attentions[layer]
            handle.write(values)
            distance = (after - before[layer]).abs().sum(-1).mean(1) / 2  # (b, t)
            rows.append({"term": handle.term, "layer": layer, "distance": distance[real].mean().item()})
    return rows


def bias_sizes(name: str) -> pd.DataFrame:
    """The root mean square of every bias of the encoder as it comes: columns `term`, `layer` ("-" outside), `rms`."""
    return pd.DataFrame(measured("bias sizes", name, {}, lambda: _bias_sizes(name)))


def _bias_sizes(name: str) -> list[dict]:
    return [
        {
            "term": h.term,
            "layer": "-" if h.layer is None else str(h.layer),
            "rms": h.read().square().mean().sqrt().item(),
        }
        for h in biases.all_biases(_probe(name, torch.float32).model)
    ]


def first_token_spread(name: str) -> float:
    """How much the first token's last vector, which the head reads, depends on the input: the norm of its standard
    deviation over `EXAMPLES` sentences, over its mean norm. Near 0 the head sees the same whatever the text.
    """
    (row,) = measured("first token's spread", name, {}, lambda: [{"spread": _first_token_spread(name)}])
    return row["spread"]


@torch.no_grad()
def _first_token_spread(name: str) -> float:
    probe = _probe(name, torch.float32)
    vectors = cast("PreTrainedModel", probe.model).base_model(**probe.batch).last_hidden_state[:, 0]  # (b, d)
    return (vectors.std(0).norm() / vectors.norm(dim=1).mean()).item()
