"""How fast is the training loop, against one that behaves as the authors' does?

    python benchmarks/training.py --data local:DIR            (real SST-2; or --task toy-sentiment --data bundled)

Both tune all biases of MiniLM-L6 on the same examples from the same start, one after the other in this process, on all
cores. The baseline pads every text to 128 tokens, attends eagerly, takes batches of 16 in random order and scores the
whole train set again after each epoch; it is written for this comparison, after the description of their loop.

Printed: samples per second in the loop and over the whole run (training, scoring of the train set where it is done,
final evaluation), the ratios, the final scores, and the share of the machine's measured GEMM peak that the loop's
useful arithmetic reaches: 4 FLOP a parameter of the encoder's layers and (real) token, since frozen weights need no
gradient of their own.
"""

import argparse
import time

import numpy as np
import torch

from beft_lib import models, tasks, workspace
from beft_lib.tasks import metrics
from beft_lib.tuning import batches, loop
from beft_lib.tuning.prepare import apply_method

PAD_TO, BATCH = 128, 16


def gemm_peak(dtype: torch.dtype, size: int = 2048, repeats: int = 8) -> float:
    """Best FLOP/s of a square matrix product."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = 0.0
    for _ in range(repeats):
        started = time.perf_counter()
        a @ b
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def padded(data: batches.Encoded, rows) -> dict[str, torch.Tensor]:
    """A batch as the baseline has it: always `PAD_TO` tokens wide."""
    batch = batches.collate(data, rows)
    width = PAD_TO - batch["input_ids"].shape[1]
    mask = batch.pop("attention_mask", torch.ones_like(batch["input_ids"]))
    fill = torch.nn.functional.pad
    batch["input_ids"] = fill(batch["input_ids"], (0, width), value=data.pad_id)
    batch["attention_mask"] = fill(mask, (0, width))
    if "token_type_ids" in batch:
        batch["token_type_ids"] = fill(batch["token_type_ids"], (0, width))
    return batch


@torch.no_grad()
def baseline_scores(model, data: batches.Encoded) -> np.ndarray:
    model.eval()
    out = []
    for start in range(0, len(data), BATCH):
        batch = padded(data, range(start, min(start + BATCH, len(data))))
        batch.pop("labels")
        out.append(model(**batch).logits.numpy())
    return np.concatenate(out)


def baseline(model, data, recipe) -> float:
    """Train as described above; returns the seconds spent in the loop proper."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, eps=recipe.eps, weight_decay=0.0)
    rng, seconds = np.random.default_rng(recipe.seed), 0.0
    torch.manual_seed(recipe.seed)
    for _ in range(recipe.epochs):
        started = time.perf_counter()
        model.train()
        order = rng.permutation(len(data))
        for start in range(0, len(order), BATCH):
            batch = padded(data, order[start : start + BATCH])
            labels = batch.pop("labels")
            loss = loop.loss_of(model(**batch).logits, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, recipe.clip)
            optimizer.step()
            optimizer.zero_grad()
        seconds += time.perf_counter() - started
        baseline_scores(model, data)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--task", default="sst2")
    parser.add_argument("--data", default="hub", help="hub, bundled or local:DIR")
    parser.add_argument("--model", default="minilm-l6")
    parser.add_argument("--method", default="all_biases")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=workspace.cores())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    task = tasks.get(arguments.task)
    pool = tasks.load(task, task.train, arguments.data)
    rows = np.random.default_rng(0).permutation(len(pool))[: arguments.n]
    tokenizer = models.tokenizer(arguments.model)
    data = batches.encode(tokenizer, pool.take(rows), PAD_TO)
    held_out = tasks.load(task, task.validation[0].split, arguments.data)
    evaluation = batches.encode(tokenizer, held_out, PAD_TO)
    samples, tokens = len(data) * arguments.epochs, int(data.lengths.sum()) * arguments.epochs
    print(
        f"{arguments.model}, {arguments.task}, n = {len(data)}, {arguments.epochs} epochs, method {arguments.method}, "
        f"{data.lengths.mean():.1f} tokens a text, {arguments.threads} threads"
    )

    results = {}
    for name, precision in (("baseline", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")):
        recipe = loop.Recipe(task.learning_rate, arguments.epochs, precision=precision)
        model = models.classifier(arguments.model, task.num_labels, 0, "eager" if name == "baseline" else None)
        apply_method(model, arguments.method)
        layers = sum(p.numel() for n, p in model.base_model.named_parameters() if p.dim() > 1 and "embeddings" not in n)
        peak = gemm_peak(torch.bfloat16 if precision == "bf16" else torch.float32)
        started = time.perf_counter()
        if name == "baseline":
            in_loop = baseline(model, data, recipe)
            logits = baseline_scores(model, evaluation)
        else:
            in_loop = loop.tune(model, data, recipe).seconds
            logits = loop.predict(model, evaluation, precision)
        whole = time.perf_counter() - started
        predicted = logits.squeeze(-1) if task.regression else logits.argmax(-1)
        score = metrics.compute(task.metric, predicted, held_out.labels)
        results[name] = (samples / in_loop, samples / whole)
        base = results["baseline"]
        print(
            f"{name:9} loop {samples / in_loop:7.1f} samples/s ({results[name][0] / base[0]:5.1f}x)   whole run "
            f"{samples / whole:7.1f} samples/s ({results[name][1] / base[1]:5.1f}x)   {task.metric} {score:.3f}   "
            f"{4 * layers * tokens / in_loop / peak:4.0%} of the GEMM peak, {peak / 1e9:.0f} GFLOP/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
