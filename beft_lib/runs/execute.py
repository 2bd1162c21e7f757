"""One experiment from start to stored result."""

import hashlib
import io
import math
import time

import numpy as np
import torch
from safetensors.torch import save

from beft_lib import batching, biases, importance, methods, metrics, models, tasks, training
from beft_lib.runs import environment, store
from beft_lib.runs.spec import RunSpec
from beft_lib.runs.store import Importance, RunResult, Value

FISHER_BATCH = 8  # the authors' batch size for Fisher; the exact score does not depend on it


def run(spec: RunSpec) -> RunResult:
    """Carry out a spec and store its result; a run that diverges is stored as failed, with the reason.

    The training examples are a sample of `n_train` drawn by the seed; methods of one seed share sample, head and
    batches, so that their scores can be paired. Not cached: see `sweep`, which runs only what is not stored yet.
    """
    started, cpu, peak_is_ours = time.monotonic(), time.process_time(), _reset_peak_memory()
    task = tasks.get(spec.task)
    pool = tasks.load(task, task.train, spec.source)
    train = sample(pool, spec)
    tokenizer = models.tokenizer(spec.model)
    data = batching.encode(tokenizer, train, spec.max_length)
    model = models.classifier(spec.model, task.num_labels, spec.seed)
    handles = methods.apply(model, spec.method)
    pre = biases.snapshot(handles)
    facts = {
        "version": spec.data,
        "train_ids": hashlib.sha256("\n".join(train.ids).encode()).hexdigest(),
        "train": len(train),
        "available": len(pool),
        "truncated": data.truncated,
    }
    cost = {
        "trainable": sum(handle.size for handle in handles)
        if spec.method != "full"
        else biases.trainable_scalars(model),
        "head": sum(p.numel() for p in methods.head(model)) if spec.method != "none" else 0,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    scores = fisher(model, data, handles) if spec.ranking else []
    try:
        trace = training.tune(model, data, recipe_of(spec), store.work_folder(spec.run_id))
    except training.Diverged as error:
        return _store(spec, {}, status="failed", reason=str(error), data=facts, cost=cost)
    post = biases.snapshot(handles)
    scores += importance.change_scores(handles, pre, post)
    values, predictions = evaluate(model, tokenizer, task, spec, facts)
    delta = save({key: (post[key].float() - pre[key].float()).contiguous() for key in post})
    cost |= {
        "train_seconds": trace.seconds,
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
        "steps": trace.steps,
        "tokens": trace.tokens,
        "tokens_padded": trace.padded,
        "peak_memory_mb": _peak_memory_mb() if peak_is_ours else None,
        "delta_bytes": len(delta) if handles else 0,
    }
    recorded = [
        Importance(approach=s.approach, term=s.term, layer=s.layer, score=None if math.isnan(s.score) else s.score)
        for s in scores
    ]
    files = {"predictions.npz": predictions} | ({"delta.safetensors": delta} if handles else {})
    outcome = {"metrics": values, "losses": trace.losses, "importance": recorded}
    return _store(spec, files, status="done", data=facts, cost=cost, **outcome)


def _store(spec: RunSpec, files: dict[str, bytes], **outcome) -> RunResult:
    """Put what came out of the spec into the store, with what every result holds, and return it."""
    about = {"run_id": spec.run_id, "spec": store.portable(spec), "environment": environment.describe()}
    result = RunResult(**about, **outcome, recorded=time.time())
    store.write(result, files)
    return result


def recipe_of(spec: RunSpec) -> training.Recipe:
    """The part of a spec that the training loop sees."""
    return training.Recipe(
        spec.learning_rate,
        spec.epochs,
        spec.seed,
        spec.batch_size,
        spec.eps,
        spec.weight_decay,
        spec.schedule,
        spec.clip,
        spec.precision,
    )


def sample(pool: tasks.Examples, spec: RunSpec) -> tasks.Examples:
    """The run's training examples: `n_train` of the pool without replacement, in an order drawn by the seed."""
    spec.check_size(len(pool))
    rows = np.random.default_rng([spec.seed, 2]).permutation(len(pool))[: spec.n_train]
    return pool.take(rows)


def fisher(model, data: batching.Encoded, handles) -> list[importance.Score]:
    """Fisher scores before any tuning, over the run's training examples: exact, and the authors' batch-mean variant."""
    where = training.device()
    model.to(where)
    rng = np.random.default_rng(0)
    shuffled = [batching.collate(data, rows, where) for rows in batching.shuffled(data.lengths, FISHER_BATCH, rng)]
    return importance.empirical_fisher(model, shuffled, handles) + importance.batch_fisher(model, shuffled, handles)


def evaluate(model, tokenizer, task: tasks.Task, spec: RunSpec, facts: dict) -> tuple[list[Value], bytes]:
    """The task's metrics on every validation split the source has, and the predictions as the bytes of an .npz file."""
    values, arrays = [], {}
    available = tasks.sizes(task, spec.source)
    for split in (validation.split for validation in task.validation):
        if split not in available:
            continue
        examples = tasks.load(task, split, spec.source)
        encoded = batching.encode(tokenizer, examples, spec.max_length)
        logits = training.predict(model, encoded, spec.precision)
        predicted = logits.squeeze(-1) if task.regression else logits.argmax(-1)
        for metric in task.metrics:
            values.append(
                Value(
                    metric=metric,
                    split=split,
                    n=len(examples),
                    value=metrics.compute(metric, predicted, examples.labels),
                    stderr=metrics.standard_error(metric, predicted, examples.labels),
                )
            )
        facts[split] = len(examples)
        facts[f"{split}_truncated"] = encoded.truncated
        arrays |= {
            f"{split}/logits": logits,
            f"{split}/labels": examples.labels,
            f"{split}/ids": np.array(examples.ids),
        }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return values, buffer.getvalue()


def _reset_peak_memory() -> bool:
    """Start measuring the peak anew, since a worker carries out many runs; False where the system cannot."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return True
    except OSError:
        return False


def _peak_memory_mb() -> float:
    """Largest resident size of the process since the reset; on a GPU, the memory torch allocated at most."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 2**10
