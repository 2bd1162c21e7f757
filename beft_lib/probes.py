"""Measurements on a model as it is before tuning: gradients and shifts that an identity predicts."""

import numpy as np
import pandas as pd
import torch

from beft_lib import batching, biases, methods, models, tasks
from beft_lib.importance import log_likelihood
from beft_lib.runs import RunSpec
from beft_lib.runs.execute import sample

EXAMPLES = 16


def _model_and_batch(spec: RunSpec, dtype: torch.dtype):
    """The run's model in eval mode, and its first training examples as one batch."""
    task = tasks.get(spec.task)
    train = sample(tasks.load(task, task.train, spec.source), spec).take(range(min(EXAMPLES, spec.n_train)))
    data = batching.encode(models.tokenizer(spec.model), train, spec.max_length)
    model = models.classifier(spec.model, task.num_labels, spec.seed).to(dtype)
    batch = batching.collate(data, np.arange(len(data)))
    return model, batch, batch.pop("labels")


def gradient_norms(spec: RunSpec) -> pd.DataFrame:
    """‖∇_b log p‖₂ of b_q, b_k and b_v over all layers, on one batch in evaluation mode, in fp32 and fp64."""
    rows = []
    for name, dtype in (("fp32", torch.float32), ("fp64", torch.float64)):
        model, batch, labels = _model_and_batch(spec, dtype)
        likelihood = log_likelihood(
            model(**batch).logits, labels.to(dtype) if labels.is_floating_point() else labels
        ).mean()
        row = {"precision": name}
        for term in methods.ATTENTION_TERMS:
            handles = biases.term_biases(model, term)
            grads = torch.autograd.grad(likelihood, [h.parameter for h in handles], retain_graph=True)
            parts = [g if h.index is None else g[h.index] for h, g in zip(handles, grads)]
            row[methods.title(term)] = f"{torch.cat(parts).norm().item():.1e}"
        rows.append(row)
    return pd.DataFrame(rows)


@torch.no_grad()
def logit_shift(spec: RunSpec, term: str, size: float) -> float:
    """The largest change of any logit when `size` is added to every coordinate of one term in every layer (fp64)."""
    model, batch, _ = _model_and_batch(spec, torch.float64)
    before = model(**batch).logits
    for handle in biases.term_biases(model, term):
        handle.write(handle.read() + size)
    return (model(**batch).logits - before).abs().max().item()
