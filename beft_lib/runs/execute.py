"""One experiment from start to stored result: load, prepare what trains, tune, score, store."""

import hashlib
import io
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from beft_lib import adapters, biases, importance, tasks
from beft_lib.runs import examples, machine, merging, progress, store
from beft_lib.runs.decoder import DecoderRun
from beft_lib.runs.encoder import EncoderRun
from beft_lib.runs.experiment import Experiment
from beft_lib.runs.result import Alignment, Epoch, Importance, RunResult, Snapshot, Value
from beft_lib.runs.spec import SHARES, RunSpec
from beft_lib.tuning import loop, methods
from beft_lib.tuning.head import head_parameters
from beft_lib.tuning.prepare import Prepared, apply_method, trainable


def run(spec: RunSpec, noted: Mapping[str, Any] | None = None) -> RunResult:
    """Carry out a spec and store its result; a run that diverges is stored as failed, with the reason.

    `noted`: what the result's environment says besides, of a node of a cluster.

    The training examples are a sample of `n_train` drawn by the seed; methods of one seed share sample, head and
    batches, so that their scores can be paired. Not cached: see `sweep`, which runs only what is not stored yet.
    """
    clock = _Clock()
    experiment, facts = prepare(spec)
    prepared, cost = _apply_method(experiment, spec)
    alignment: list[Alignment] = []
    if spec.parts is not None:
        if lost := merging.failed_part(spec):
            return _store(spec, {}, noted, status="failed", reason=lost, data=facts, cost=cost)
        alignment = merging.merge(prepared.model, spec)
    ranked = _Ranked(spec, experiment, prepared)
    facts |= experiment.facts
    try:
        trace = _tune(spec, experiment, prepared, ranked)
    except loop.Diverged as error:
        return _store(spec, {}, noted, status="failed", reason=str(error), data=facts, cost=cost)
    scores = ranked.final()
    values, arrays = experiment.evaluate(prepared.model)
    files = {"predictions.npz": _npz(arrays)} | experiment.files() | _tuned_files(spec, prepared, ranked.before)
    cost |= _spent(clock, trace, files)
    outcome = {"metrics": values, "losses": trace.losses, "importance": _compact(scores), "alignment": alignment}
    return _store(spec, files, noted, status="done", data=facts, cost=cost, **outcome, **_noted(trace))


# -------------------------------------------------------------------------------------------------- model and data


def prepare(spec: RunSpec) -> tuple[Experiment, dict[str, Any]]:
    """The run's model and data, and what its result says of the data."""
    task = tasks.get(spec.task)
    if isinstance(task, tasks.PromptTask):
        prompts = tasks.load(task, task.train, spec.source)
        shown = examples.training_set(prompts, spec)
        return DecoderRun(spec=spec, task=task, pool=prompts, train=shown), _of_data(spec, prompts, shown)
    pool = tasks.load(task, task.train, spec.source)
    train = examples.training_set(pool, spec)
    return EncoderRun(spec=spec, task=task, pool=pool, train=train), _of_data(spec, pool, train)


def _of_data(spec: RunSpec, pool: examples.Pool, train: examples.Pool) -> dict[str, Any]:
    """What a result says of the data: its version, which examples are trained on, and of how many."""
    return {
        "version": spec.data,
        "train_ids": hashlib.sha256("\n".join(train.ids).encode()).hexdigest(),
        "train": len(train),
        "available": len(pool),
    }


def _apply_method(experiment: Experiment, spec: RunSpec) -> tuple[Prepared, dict[str, Any]]:
    """The model, made to train what the method says; its scalars, those that train, and its forward pass, as costs."""
    model = experiment.model
    cost = {"parameters": sum(p.numel() for p in model.parameters())}
    untuned = methods.get(spec.method).untuned
    head = sum(p.numel() for p in ([] if untuned else head_parameters(model, spec.head)))  # before LoRA wraps the model
    prepared = apply_method(model, spec.method, spec.seed, spec.head, spec.layers)
    cost |= {"trainable": trainable(prepared) - (0 if spec.method == "full" else head), "head": head}
    return prepared, cost | {"pass": experiment.pass_of(prepared.model)}


# ---------------------------------------------------------------------------------------------------------- tuning


def recipe_of(spec: RunSpec) -> loop.Recipe:
    """The part of a spec that the training loop sees."""
    return loop.Recipe(
        spec.learning_rate,
        spec.epochs,
        spec.seed,
        spec.batch_size,
        spec.eps,
        spec.weight_decay,
        spec.schedule,
        spec.clip,
        spec.precision,
        spec.steps,
        spec.micro_batch,
    )


class _Ranked:
    """The importance of the tuned biases: Fisher before tuning, and how far each moved since, at any time."""

    def __init__(self, spec: RunSpec, experiment: Experiment, prepared: Prepared):
        self._spec, self._experiment, self._prepared = spec, experiment, prepared
        self.before = biases.snapshot(prepared.handles)
        self._fisher = self._fisher_now() if spec.ranking else []

    def along(self) -> list[importance.Score]:
        """In mid-run: the scores that come from the change, and Fisher again where it is followed."""
        again = self._fisher_now() if self._spec.fisher_along else []
        return self._change() + again

    def final(self) -> list[importance.Score]:
        """Fisher before tuning, and the scores that come from the whole change."""
        return self._fisher + self._change()

    def _fisher_now(self) -> list[importance.Score]:
        return self._experiment.fisher(self._prepared.model, self._prepared.handles)

    def _change(self) -> list[importance.Score]:
        handles = self._prepared.handles
        return importance.change_scores(handles, self.before, biases.snapshot(handles))


def _tune(spec: RunSpec, experiment: Experiment, prepared: Prepared, ranked: _Ranked) -> loop.Trace:
    """Train the model, from its last checkpoint if there is one; `loop.Diverged` where the loss is not finite."""
    look, at = _looks(spec, ranked.along, lambda: experiment.evaluate(prepared.model)[0])
    with progress.Steps(spec.run_id, spec.steps or spec.total_steps) as steps:
        return loop.tune(
            prepared.model,
            experiment.data,
            recipe_of(spec),
            store.work_folder(spec.run_id),
            look,
            at,
            prepared.scalars,
            experiment.loss,
            steps,
        )


def _looks(
    spec: RunSpec, ranked: Callable[[], list[importance.Score]], scored: Callable[[], list[Value]]
) -> tuple[Callable[[int], dict[str, Any]], set[int]]:
    """What to look at in mid-run, and after which steps (see `loop.tune`)."""
    an_epoch = loop.steps_an_epoch(spec.n_train, spec.batch_size)
    total = spec.steps or spec.total_steps
    shares = {share: math.ceil(share * total) for share in SHARES} if spec.ranking else {}
    epochs = set(range(an_epoch, total + 1, an_epoch)) if spec.each_epoch else set()

    def look(step: int) -> dict[str, Any]:
        note = {}
        if step in shares.values():
            change = ranked()
            means = {
                approach: {
                    t: _digits(v) for t, v in importance.means(s for s in change if s.approach == approach).items()
                }
                for approach in dict.fromkeys(s.approach for s in change)
            }
            reached = [share for share, at in shares.items() if at == step]
            note["trajectory"] = [Snapshot(share=s, step=step, scores=means).model_dump() for s in reached]
        if step in epochs:
            note["curve"] = Epoch(epoch=step // an_epoch, metrics=scored()).model_dump()
        return note

    return look, set(shares.values()) | epochs


# ----------------------------------------------------------------------------------------------- what is stored


@dataclass(frozen=True)
class _Clock:
    """When a run started."""

    seconds: float = field(default_factory=time.monotonic)
    cpu_seconds: float = field(default_factory=time.process_time)
    peak_is_ours: bool = field(default_factory=machine.reset_peak)  # whether the peak of memory counts from here


def _spent(clock: _Clock, trace: loop.Trace, files: Mapping[str, bytes]) -> dict[str, Any]:
    """What the run cost, besides its counts of scalars."""
    cost = {
        "train_seconds": trace.seconds,
        "seconds": time.monotonic() - clock.seconds,
        "cpu_seconds": time.process_time() - clock.cpu_seconds,
        "steps": trace.steps,
        "tokens": trace.tokens,
        "tokens_padded": trace.padded,
        "peak_memory_mb": machine.peak_mb() if clock.peak_is_ours else None,
        "delta_bytes": len(files.get("delta.safetensors", b"")),
    }
    return cost | ({"micro_batch": trace.micro_batch} if trace.micro_batch is not None else {})


def _tuned_files(spec: RunSpec, prepared: Prepared, before: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
    """The change of the tuned biases, and the head beside them."""
    files, model = {}, prepared.model
    if prepared.handles:
        files["delta.safetensors"] = save(adapters.difference(before, biases.snapshot(prepared.handles)))
    if prepared.handles or spec.method == "head_only":
        whole = {id(p) for p in head_parameters(model)}  # also what of it did not train
        kept = {n: p.detach().cpu().contiguous() for n, p in model.named_parameters() if id(p) in whole}
        files["head.safetensors"] = save(kept)
    return files


def _noted(trace: loop.Trace) -> dict[str, Any]:
    """What was seen in mid-run, by field of the result."""
    notes = {kind: [note[kind] for note in trace.notes if kind in note] for kind in ("trajectory", "curve")}
    return notes | {"trajectory": [snapshot for snapshots in notes["trajectory"] for snapshot in snapshots]}


def _store(spec: RunSpec, files: dict[str, bytes], noted: Mapping[str, Any] | None, **outcome: Any) -> RunResult:
    """Put what came out of the spec into the store, with what every result holds, and return it."""
    about = {"run_id": spec.run_id, "spec": spec.portable, "environment": machine.describe() | dict(noted or {})}
    result = RunResult(**about, **outcome, recorded=time.time())
    store.write(result, files)
    return result


def _compact(scores: list[importance.Score]) -> list[Importance]:
    """One entry an approach and term, layers in order."""
    found: dict[tuple[str, str], Importance] = {}
    for s in scores:
        entry = found.setdefault(
            (s.approach, s.term), Importance(approach=s.approach, term=s.term, layers=[], scores=[])
        )
        entry.layers.append(s.layer)
        entry.scores.append(_digits(s.score))
    return list(found.values())


def _digits(score: float) -> float | None:
    """Six significant digits, of which fp32 training means fewer; None where the score is undefined."""
    return None if math.isnan(score) else float(f"{score:.6g}")


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    save_arrays: Callable[..., None] = np.savez_compressed  # its stub takes an array for the flag `allow_pickle`
    save_arrays(buffer, **arrays)
    return buffer.getvalue()
