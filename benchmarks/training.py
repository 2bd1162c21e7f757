"""How fast is tuning b_v here, against a loop that behaves as the authors' does, and PEFT with a Trainer?

    python benchmarks/training.py --data local:DIR          (SST-2 and RTE; or --tasks toy-sentiment --data bundled)

Each way tunes b_v and the head on the same examples from the same start, predicts the same held-out examples, and takes
its turn in this one process, round after round: what slows the machine slows all of them, and ratios are taken within a
round. On one thread seconds are the processor's, which other work on the machine hardly touches; on more, the clock's.

    authors   as their loop is described: every text padded to 128 tokens, eager attention, batches of 16 in random
              order, the whole train set scored again after each epoch; written for this comparison
    peft      PEFT's BeftConfig under transformers.Trainer, batches padded to their longest text: what one would use
    fp32      this project's loop and encoder pass
    bf16      the same with products in bf16

Printed, and with --write put into docs/speed.md: samples a second in the loop, and over the whole run (training,
scoring of the train set where it is done, prediction, but not loading), both also as multiples of the authors' and the
latter of PEFT's; the share of the machine's measured GEMM peak that the loop's needed arithmetic reaches; the peak of
memory above what was there before loading; and the score. Needed are, a real token, 4 FLOP a parameter of the layers'
matrices (frozen weights need no gradient of their own), and in the last layer, of which the head reads the first token
alone, those of its keys and values.
"""

import argparse
import ctypes
import gc
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch

from beft_lib import models, tasks, workspace
from beft_lib.runs import machine
from beft_lib.tasks import metrics
from beft_lib.tuning import batches, encoder_pass, loop
from beft_lib.tuning.prepare import apply_method

PAD_TO, BATCH = 128, 16
BEGIN, END = "<!-- training speed: begin -->", "<!-- training speed: end -->"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "speed.md"


def seconds() -> float:
    """Processor seconds of this process on one thread; else those of the clock."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


class Setting(NamedTuple):
    """What is tuned on what."""

    model: str
    task: tasks.Task
    data: batches.Encoded
    held_out: batches.Encoded
    labels: np.ndarray
    recipe: loop.Recipe


class Turn(NamedTuple):
    """One way's turn in one round: seconds in the loop and of the whole run, its score, MB above those before."""

    loop: float
    whole: float
    score: float
    memory: float


# ------------------------------------------------------------------------------------------------------- the ways


def _padded(data: batches.Encoded, rows) -> dict[str, torch.Tensor]:
    """A batch as the authors' loop has it: always `PAD_TO` tokens wide."""
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
def _scored(model, data: batches.Encoded) -> np.ndarray:
    model.eval()
    out = []
    for start in range(0, len(data), BATCH):
        batch = _padded(data, range(start, min(start + BATCH, len(data))))
        batch.pop("labels")
        out.append(model(**batch).logits.numpy())
    return np.concatenate(out)


def eager(setting: Setting):
    """The model that tunes b_v and its head, loaded as the authors load it."""
    return apply_method(models.classifier(setting.model, setting.task.num_labels, 0, "eager"), "value").model


def authors(model, setting: Setting) -> tuple[float, np.ndarray]:
    """Seconds in the loop proper, and the held-out logits."""
    recipe, data, looped = setting.recipe, setting.data, 0.0
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, eps=recipe.eps, weight_decay=0.0)
    rng = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    for _ in range(recipe.epochs):
        started = seconds()
        model.train()
        order = rng.permutation(len(data))
        for start in range(0, len(order), BATCH):
            batch = _padded(data, order[start : start + BATCH])
            labels = batch.pop("labels")
            loop.loss_of(model(**batch).logits, labels).backward()
            torch.nn.utils.clip_grad_norm_(trained, recipe.clip)
            optimizer.step()
            optimizer.zero_grad()
        looped += seconds() - started
        _scored(model, data)
    return looped, _scored(model, setting.held_out)


def _rows(data: batches.Encoded) -> list[dict]:
    labels = data.labels.tolist()
    made = [{"input_ids": list(ids), "labels": label} for ids, label in zip(data.ids, labels)]
    for row, types in zip(made, data.types or ()):
        row["token_type_ids"] = list(types)
    return made


def wrapped(setting: Setting):
    """As `eager`, by PEFT."""
    import peft as library

    model = models.classifier(setting.model, setting.task.num_labels, 0)
    value = next(name for name in ("value", "v") if any(n.endswith(f".{name}") for n, _ in model.named_modules()))
    return library.get_peft_model(
        model, library.BeftConfig(target_modules=[value], modules_to_save=["classifier"], task_type="SEQ_CLS")
    )


def peft(model, setting: Setting) -> tuple[float, np.ndarray]:
    """As `authors`."""
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    recipe = setting.recipe
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            num_train_epochs=recipe.epochs,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="constant",
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=loop.EVALUATION_BATCH,
            adam_epsilon=recipe.eps,
            max_grad_norm=recipe.clip,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        collator = DataCollatorWithPadding(models.tokenizer(setting.model))
        trainer = Trainer(model, settings, data_collator=collator, train_dataset=_rows(setting.data))
        trainer.remove_callback(PrinterCallback)
        started = seconds()
        trainer.train()
        looped = seconds() - started
        return looped, trainer.predict(_rows(setting.held_out)).predictions


def plain(setting: Setting):
    """As `eager`, with the architecture's fastest attention (of which the encoder pass takes no notice)."""
    return apply_method(models.classifier(setting.model, setting.task.num_labels, 0), "value").model


def ours(model, setting: Setting) -> tuple[float, np.ndarray]:
    """As `authors`, in the precision of the setting's recipe."""
    loss = partial(loop.head_loss, logits=encoder_pass.logits)
    started = seconds()
    loop.tune(model, setting.data, setting.recipe, loss=loss)
    looped = seconds() - started
    return looped, loop.predict(model, setting.held_out, setting.recipe.precision, encoder_pass.logits)


WAYS = {  # how the model is loaded, what is measured, and in which precision
    "authors": (eager, authors, "fp32"),
    "peft": (wrapped, peft, "fp32"),
    "fp32": (plain, ours, "fp32"),
    "bf16": (plain, ours, "bf16"),
}


# -------------------------------------------------------------------------------------------------- what is measured


def gemm_peak(dtype: torch.dtype, size: int = 2048, repeats: int = 8) -> float:
    """Best FLOP/s of a square matrix product."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = 0.0
    for _ in range(repeats):
        started = seconds()
        a @ b
        best = max(best, 2 * size**3 / (seconds() - started))
    return best


def needed(setting: Setting) -> float:
    """FLOP of the loop that no way of computing it can leave out (see above)."""
    config = models.classifier(setting.model, setting.task.num_labels, 0).config
    d, inner, tokens = config.hidden_size, config.intermediate_size, int(setting.data.lengths.sum())
    layer, firsts = 4 * d * d + 2 * d * inner, len(setting.data)
    last = tokens * 2 * d * d + firsts * (layer - 2 * d * d)
    return 4.0 * setting.recipe.epochs * (tokens * (config.num_hidden_layers - 1) * layer + last)


def turn(name: str, setting: Setting) -> Turn:
    load, way, precision = WAYS[name]
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # what an earlier turn gave back stands no longer in the process's size
    measurable = machine.reset_peak()
    before = machine.peak_mb() if measurable else 0.0
    model = load(setting)
    started = seconds()
    recipe = loop.Recipe(**vars(setting.recipe) | {"precision": precision})
    looped, logits = way(model, setting._replace(recipe=recipe))
    whole = seconds() - started
    predicted = logits.squeeze(-1) if setting.task.regression else logits.argmax(-1)
    score = metrics.compute(setting.task.metric, predicted, setting.labels)
    return Turn(looped, whole, score, machine.peak_mb() - before if measurable else float("nan"))


def prepared(model: str, name: str, source: str, n: int, evaluated: int, epochs: int) -> Setting:
    """The first n training and held-out examples of a fixed shuffle."""
    task = tasks.get(name)
    tokenizer = models.tokenizer(model)

    def some(split: str, size: int):
        pool = tasks.load(task, split, source)
        return pool.take(np.random.default_rng(0).permutation(len(pool))[:size])

    train, held_out = some(task.train, n), some(task.validation[0].split, evaluated)
    encoded = [batches.encode(tokenizer, examples, PAD_TO) for examples in (train, held_out)]
    return Setting(model, task, *encoded, held_out.labels, loop.Recipe(task.learning_rate, epochs))


def compared(setting: Setting, source: str, rounds: int, peaks: dict[str, float]) -> list[str]:
    """A table's rows, a way each."""
    made: dict[str, list[Turn]] = {name: [] for name in WAYS}
    for name in WAYS:  # a first short turn of each, which imports what it needs, is not counted
        turn(name, prepared(setting.model, setting.task.name, source, BATCH, BATCH, 1))
    for place in range(rounds):
        order = [*WAYS][place % len(WAYS) :] + [*WAYS][: place % len(WAYS)]  # each round begins with another way
        for name in order:
            made[name].append(turn(name, setting))
            print(f"  round {place + 1}: {name} {made[name][-1].whole:.1f} s", flush=True)
    samples, flop, rows = len(setting.data) * setting.recipe.epochs, needed(setting), []

    def ratio(name: str, to: str, field: str) -> str:
        found = [getattr(b, field) / getattr(a, field) for a, b in zip(made[name], made[to])]
        return f"{statistics.median(found):.1f}×"

    for name, (*_, precision) in WAYS.items():
        own = made[name]
        looped, whole = (statistics.median(getattr(t, field) for t in own) for field in ("loop", "whole"))
        cells = [
            f"{models.title(setting.model)}, {setting.task.name}, {setting.data.lengths.mean():.0f} tokens",
            name,
            f"{samples / looped:.1f}",
            ratio(name, "authors", "loop"),
            f"{samples / whole:.1f}",
            ratio(name, "authors", "whole"),
            ratio(name, "peft", "whole"),
            f"{flop / looped / peaks[precision]:.0%}",
            f"{max(t.memory for t in own):.0f}",
            f"{100 * own[0].score:.1f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    return rows


def written(page: str, table: str) -> str:
    """The page with the table between its two marks; `ValueError` for a page that lacks them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} lacks the marks {BEGIN} and {END}, between which the table goes; put them in")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", nargs="+", default=["sst2", "rte"])
    parser.add_argument("--data", default="hub", help="hub, bundled or local:DIR")
    known = [name for name in ("minilm-l6", "mpnet-base") if name in models.CATALOGUE]
    parser.add_argument("--models", nargs="+", default=known)
    parser.add_argument("--n", type=int, default=1000, help="training examples; a fifth of it for a base-size model")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=workspace.cores())
    parser.add_argument("--write", action="store_true", help="put the table into docs/speed.md")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    peaks = {"fp32": gemm_peak(torch.float32), "bf16": gemm_peak(torch.bfloat16)}
    heads = ["setting", "way", "samples/s, loop", "of authors'", "samples/s, whole run", "of authors'", "of PEFT's"]
    heads += ["of GEMM peak", "memory, MB", "score"]
    rows = ["| " + " | ".join(heads) + " |", "|---|---" + "|---:" * (len(heads) - 2) + "|"]
    for model in arguments.models:
        n = arguments.n if model == "minilm-l6" else max(2 * BATCH, arguments.n // 5)
        for task in arguments.tasks:
            print(f"{model}, {task}, n = {n}, {arguments.epochs} epochs, {arguments.threads} threads", flush=True)
            # As many held-out examples beside the training examples as SST-2 has beside its 1,000.
            setting = prepared(model, task, arguments.data, n, round(0.872 * n), arguments.epochs)
            rows += compared(setting, arguments.data, arguments.rounds, peaks)
    clock = "processor" if arguments.threads == 1 else "clock"
    about = (
        f"{machine.processor()}, {arguments.threads} thread{'s' * (arguments.threads > 1)}, torch {torch.__version__}; "
        f"GEMM peak {peaks['fp32'] / 1e9:.0f} GFLOP/s in fp32, {peaks['bf16'] / 1e9:.0f} in bf16. "
        f"{arguments.n} training examples (of a base-size model a fifth), {arguments.epochs} epochs, medians of "
        f"{arguments.rounds} rounds, ratios within a round, {clock} seconds."
    )
    table = about + "\n\n" + "\n".join(rows)
    print(table)
    if arguments.write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
