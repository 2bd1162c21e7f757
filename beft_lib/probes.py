"""Measurements on a model as it is before tuning: gradients and shifts that an identity predicts."""

import numpy as np
import pandas as pd
import torch

from beft_lib import batching, biases, methods, models, tasks
from beft_lib.importance import log_likelihood

TASK, EXAMPLES = "toy-sentiment", 16  # always at hand: what is measured here does not depend on the data


def _model_and_batch(name: str, dtype: torch.dtype):
    """The model in eval mode with a fresh head, and a batch of examples."""
    task = tasks.get(TASK)
    examples = tasks.load(task, task.train, "bundled").take(range(EXAMPLES))
    data = batching.encode(models.tokenizer(name), examples, task.max_length)
    model = models.classifier(name, task.num_labels, seed=0).to(dtype)
    batch = batching.collate(data, np.arange(len(data)))
    return model, batch, batch.pop("labels")


def gradient_norms(name: str) -> pd.DataFrame:
    """‖∇_b log p‖₂ of b_q, b_k and b_v over all layers, on one batch in evaluation mode, in fp32 and fp64."""
    rows = []
    for precision, dtype in (("fp32", torch.float32), ("fp64", torch.float64)):
        model, batch, labels = _model_and_batch(name, dtype)
        likelihood = log_likelihood(model(**batch).logits, labels).mean()
        row = {"precision": precision}
        for term in methods.ATTENTION_TERMS:
            handles = biases.term_biases(model, term)
            grads = torch.autograd.grad(likelihood, [h.parameter for h in handles], retain_graph=True)
            parts = [g if h.index is None else g[h.index] for h, g in zip(handles, grads)]
            row[methods.title(term)] = f"{torch.cat(parts).norm().item():.1e}"
        rows.append(row)
    return pd.DataFrame(rows)


@torch.no_grad()
def logit_shift(name: str, term: str, size: float) -> float:
    """The largest change of any logit when `size` is added to every coordinate of one term in every layer (fp64)."""
    model, batch, _ = _model_and_batch(name, torch.float64)
    before = model(**batch).logits
    for handle in biases.term_biases(model, term):
        handle.write(handle.read() + size)
    return (model(**batch).logits - before).abs().max().item()


@torch.no_grad()
def first_token_spread(name: str) -> float:
    """How much the first token's last vector, which the head reads, depends on the input: the norm of its standard
    deviation over `EXAMPLES` sentences, over its mean norm. Near 0 the head sees the same whatever the text.
    """
    model, batch, _ = _model_and_batch(name, torch.float32)
    vectors = model.base_model(**batch).last_hidden_state[:, 0]  # (b, d)
    return (vectors.std(0).norm() / vectors.norm(dim=1).mean()).item()
