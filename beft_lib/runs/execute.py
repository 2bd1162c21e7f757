"""One experiment from start to stored result."""

import hashlib
import io
import itertools
import math
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from safetensors.torch import save

from beft_lib import adapters, biases, importance, tasks
from beft_lib.errors import UserError
from beft_lib.runs import examples, machine, store
from beft_lib.runs.decoder import DecoderRun as Prompted
from beft_lib.runs.encoder import EncoderRun as Headed
from beft_lib.runs.result import Alignment, Epoch, Importance, RunResult, Snapshot, Value
from beft_lib.runs.spec import SHARES, RunSpec
from beft_lib.tuning import loop, methods
from beft_lib.tuning.head import head_parameters
from beft_lib.tuning.prepare import apply_method, trainable


def prepare(spec: RunSpec) -> tuple[Headed | Prompted, dict]:
    """The run's model and data, and what its result says of the data."""
    task = tasks.get(spec.task)
    pool = tasks.load(task, task.train, spec.source)
    train = examples.training_set(pool, spec)
    form = Prompted if task.prompts else Headed
    facts = {
        "version": spec.data,
        "train_ids": hashlib.sha256("\n".join(train.ids).encode()).hexdigest(),
        "train": len(train),
        "available": len(pool),
    }
    return form(spec, task, pool, train), facts


def run(spec: RunSpec) -> RunResult:
    """Carry out a spec and store its result; a run that diverges is stored as failed, with the reason.

    The training examples are a sample of `n_train` drawn by the seed; methods of one seed share sample, head and
    batches, so that their scores can be paired. Not cached: see `sweep`, which runs only what is not stored yet.
    """
    started, cpu, peak_is_ours = time.monotonic(), time.process_time(), machine.reset_peak()
    form, facts = prepare(spec)
    cost = {"parameters": sum(p.numel() for p in form.model.parameters())}
    head = _trained_head(form.model, spec)
    prepared = apply_method(form.model, spec.method, spec.seed, spec.head, spec.layers)
    model, handles, scalars = prepared
    cost |= {
        "trainable": trainable(prepared) - (0 if spec.method == "full" else sum(p.numel() for p in head.values())),
        "head": sum(p.numel() for p in head.values()),
    }
    if spec.parts is not None and (lost := _failed_part(spec)):
        return _store(spec, {}, status="failed", reason=lost, data=facts, cost=cost)
    alignment = _merge(model, spec) if spec.parts is not None else []
    pre = biases.snapshot(handles)
    scores = form.fisher(model, handles) if spec.ranking else []
    facts |= form.facts

    def ranked() -> list[importance.Score]:
        again = form.fisher(model, handles) if spec.fisher_along else []
        return importance.change_scores(handles, pre, biases.snapshot(handles)) + again

    look, at = _looks(spec, ranked, lambda: form.evaluate(model)[0])
    checkpoint = store.work_folder(spec.run_id)
    try:
        trace = loop.tune(model, form.data, recipe_of(spec), checkpoint, look, at, scalars, form.loss)
    except loop.Diverged as error:
        return _store(spec, {}, status="failed", reason=str(error), data=facts, cost=cost)
    post = biases.snapshot(handles)
    scores += importance.change_scores(handles, pre, post)
    values, arrays = form.evaluate(model)
    files = {"predictions.npz": _npz(arrays)} | form.files()
    if handles:
        files["delta.safetensors"] = save(adapters.difference(pre, post))
    if handles or spec.method == "head_only":
        whole = {id(p) for p in head_parameters(model)}  # also what of it did not train
        kept = {n: p.detach().cpu().contiguous() for n, p in model.named_parameters() if id(p) in whole}
        files["head.safetensors"] = save(kept)
    cost |= {
        "train_seconds": trace.seconds,
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
        "steps": trace.steps,
        "tokens": trace.tokens,
        "tokens_padded": trace.padded,
        "peak_memory_mb": machine.peak_mb() if peak_is_ours else None,
        "delta_bytes": len(files.get("delta.safetensors", b"")),
    }
    if trace.micro_batch is not None:
        cost["micro_batch"] = trace.micro_batch
    notes = {kind: [note[kind] for note in trace.notes if kind in note] for kind in ("trajectory", "curve")}
    outcome = {"metrics": values, "losses": trace.losses, "importance": _compact(scores), "alignment": alignment}
    outcome["trajectory"] = [snapshot for snapshots in notes["trajectory"] for snapshot in snapshots]
    outcome["curve"] = notes["curve"]
    return _store(spec, files, status="done", data=facts, cost=cost, **outcome)


def _trained_head(model, spec: RunSpec) -> dict[str, torch.nn.Parameter]:
    """The head's parameters that train, by name; of a model before `methods.apply`."""
    if methods.get(spec.method).untuned:
        return {}
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: p for p in head_parameters(model, spec.head)}


def _failed_part(spec: RunSpec) -> str | None:
    """Why the run cannot be merged, if one that it is made from failed."""
    for run in dict.fromkeys([*(run for run, _ in spec.parts), *(spec.head_of or ())]):
        if (part := store.read_id(run)) is not None and not part.done:
            return f"it is made from run {run}, which failed: {part.reason}"
    return None


def _merge(model, spec: RunSpec) -> list[Alignment]:
    """Put the parts' weighted biases and the mean of the heads into the model; how the parts lie to each other.

    Raises `UserError` for a run that is not stored, was made from other weights, or has a head of another shape.
    """
    for run in dict.fromkeys([*(run for run, _ in spec.parts), *(spec.head_of or ())]):
        if (part := store.read_id(run)) is not None and part.spec["weights"] != spec.weights:
            raise UserError(
                f"merged run {spec.run_id}: run {run} was made from the weights {part.spec['weights']}, not from "
                f"{spec.weights}; merge runs of one model"
            )
    deltas = [store.tensors(run, "delta") for run, _ in spec.parts]
    mixed = adapters.average(deltas, [weight for _, weight in spec.parts]) if deltas else {}
    alignment = _alignment(model, deltas)
    if mixed and spec.layers is not None:
        mixed = adapters.only(mixed, spec.layers)
    if mixed and spec.rank is not None:
        mixed = adapters.low_rank(adapters.folded(model, mixed), spec.rank)
    adapters.merge(model, mixed)
    if spec.head_of:
        _put_heads(model, {run: store.tensors(run, "head") for run in spec.head_of})
    return alignment


def _alignment(model, deltas: list[dict[str, torch.Tensor]]) -> list[Alignment]:
    """How every two of the deltas, and the biases that they make of the model's, lie to each other."""
    tuned = [adapters.applied(model, delta) for delta in deltas]
    found = []
    for i, j in itertools.combinations(range(len(deltas)), 2):
        whole = adapters.products(tuned[i], tuned[j])
        for key, (dot, *norms) in adapters.products(deltas[i], deltas[j]).items():
            tuned_dot, *tuned_norms = whole[key]
            about = {"parts": (i, j), "key": key, "size": len(deltas[i][key]), "dot": dot, "norms": norms}
            found.append(Alignment(**about, tuned_dot=tuned_dot, tuned_norms=tuned_norms))
    return found


def _put_heads(model, heads: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Overwrite the model's head with the mean of the runs' heads."""
    named = {name: p for name, p in model.named_parameters()}
    own = {id(p) for p in head_parameters(model)}
    shapes = {name: tuple(p.shape) for name, p in named.items() if id(p) in own}
    for run, head in heads.items():
        if (theirs := {name: tuple(t.shape) for name, t in head.items()}) != shapes:
            raise UserError(
                f"the head of run {run} has the shapes {theirs}, the evaluated model's {shapes}; name another"
            )
    with torch.no_grad():
        for name in shapes:
            named[name].copy_(sum(head[name].double() for head in heads.values()) / len(heads))


def _store(spec: RunSpec, files: dict[str, bytes], **outcome) -> RunResult:
    """Put what came out of the spec into the store, with what every result holds, and return it."""
    about = {"run_id": spec.run_id, "spec": spec.portable, "environment": machine.describe()}
    result = RunResult(**about, **outcome, recorded=time.time())
    store.write(result, files)
    return result


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


def _looks(
    spec: RunSpec, ranked: Callable[[], list[importance.Score]], scored: Callable[[], list[Value]]
) -> tuple[Callable[[int], dict], set[int]]:
    """What to look at in mid-run, and after which steps (see `training.tune`)."""
    an_epoch = loop.steps_an_epoch(spec.n_train, spec.batch_size)
    total = spec.steps or spec.total_steps
    shares = {share: math.ceil(share * total) for share in SHARES} if spec.ranking else {}
    epochs = set(range(an_epoch, total + 1, an_epoch)) if spec.each_epoch else set()

    def look(step: int) -> dict:
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
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
