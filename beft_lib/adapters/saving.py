"""An adapter written in PEFT's format (see `peft_format`), with what stock PEFT needs and what makes it exact.

Where PEFT's has no place for it, it is written in our own (see `own_format`).
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from beft_lib import models
from beft_lib.adapters import own_format
from beft_lib.adapters.adapter import Adapter, of
from beft_lib.adapters.peft_format import (
    CONFIG,
    NOTES,
    OWN,
    PREFIX,
    REMAINDER,
    SUFFIX,
    VERSION,
    WEIGHTS,
    check_folder,
    serialised,
)
from beft_lib.errors import UserError


def save(what: Adapter | nn.Module, folder: str | Path, before: Mapping[str, Tensor] | None = None) -> Path:
    """Write an adapter, or what was tuned in a model that `beft` prepared, into a folder in PEFT's format; the folder.

    `before`: of a model, see `of` (which also takes `fresh`, for a pooler that the checkpoint does not have). Stock
    PEFT reads the folder with `PeftModel.from_pretrained(model, folder)`; on transformers' Conv1D (GPT-2), which its
    BEFT does not support, it raises a TypeError, and only `load` reads it. `load` gives the same adapter to the bit.

    Where a bias is not added to a projection's output, as LayerNorm's is not, PEFT's format has no place for it: the
    folder then holds one file of our own (`own_format`), which `load` reads and stock PEFT refuses.

    A BEFT adapter in the folder is overwritten. Raises `UserError` for a folder that holds anything else, and values
    that are not finite.
    """
    if not isinstance(what, Adapter | nn.Module):
        raise UserError(f"save: a {type(what).__name__} is given; give a model that beft prepared, or an Adapter")
    if isinstance(what, Adapter) and before is not None:
        raise UserError("save: before belongs to a model, and an Adapter is given; leave it out")
    adapter = what if isinstance(what, Adapter) else of(what, before)
    folder = Path(folder)
    check_folder(folder)
    _check_held(adapter)
    if own_format.needs(adapter):
        _write(folder, {OWN: own_format.content(adapter, {"version": VERSION, **about(adapter)})})
        return folder
    tensors, rest = _tensors(adapter)
    notes = {
        "version": VERSION,
        "biases": {key: place.module for key, place in adapter.form.places.items()},
        **about(adapter),
        "remainder": bool(rest),
    }
    weights = serialised(tensors, {"format": "pt", NOTES: json.dumps(notes)})
    files = {WEIGHTS: weights, CONFIG: json.dumps(_config(adapter), indent=2, sort_keys=True).encode()}
    if rest:
        files[REMAINDER] = serialised(rest, {"of": hashlib.sha256(weights).hexdigest()})
    _write(folder, files)
    return folder


def about(adapter: Adapter) -> dict:
    """What a file says of an adapter besides its tensors: the model and the task that it was tuned on, its classes."""
    base = adapter.base
    named = {"name": base.name, "revision": base.revision, "model_type": base.model_type, "weights": base.weights}
    use = {} if adapter.use is None else {"use": adapter.use.notes()}
    return {"base": named, "sketch": base.sketch, "labels": adapter.labels, **use}


def _check_held(adapter: Adapter) -> None:
    """Raise `UserError` for an adapter that no format can hold."""
    if not adapter.delta:
        raise UserError("save: the adapter changes no bias, and PEFT's format is of tuned biases; use save_pretrained")
    for key, values in adapter.delta.items():
        if key not in adapter.form.places:
            raise UserError(f"save: the adapter does not say in which module {key!r} is; make it with of, or load")
        place = adapter.form.places[key]
        if not values.isfinite().all() or not values.float().isfinite().all():
            raise UserError(f"save: the change of bias {key} ({place.module}) is not finite in fp32: training diverged")


def _tensors(adapter: Adapter) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The file's tensors by name; and those of the remainder."""
    vectors: dict[str, Tensor] = {}
    rest = {}
    for key, values in adapter.delta.items():
        place = adapter.form.places[key]
        name = f"{PREFIX}{place.module}{SUFFIX}"
        vector = vectors.setdefault(name, torch.zeros(1, place.width))
        vector[0, ... if place.index is None else place.index] = values.float()
        left = values.double() - values.float().double()
        if left.any():
            positions = left.nonzero().flatten()
            rest |= {f"{key}/positions": positions.int(), f"{key}/values": left[positions]}
    return vectors | {f"{PREFIX}{name}": values for name, values in adapter.head.items()}, rest


def _config(adapter: Adapter) -> dict:
    """The fields of the `peft.BeftConfig`, sets as sorted lists, so that one adapter has one file.

    PEFT's classes for a task expect its head in the file: an adapter without one has no such task. The base model is
    named only where others can have it: by its Hub id, or as a folder.
    """
    import peft

    task = adapter.form.task
    headed = task in ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")
    config = peft.BeftConfig(
        target_modules=[place.module for place in adapter.form.places.values()],
        modules_to_save=sorted(adapter.form.modules) or None,
        base_model_name_or_path=None if adapter.base.name in models.CATALOGUE else adapter.base.name or None,
        revision=adapter.base.revision,
        task_type=None if headed and not adapter.form.modules else task,
        inference_mode=True,
    )
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put the files into the folder, each whole; those of an earlier adapter that has others go first."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        for name, content in files.items():
            (Path(scratch) / name).write_bytes(content)
        for name in {CONFIG, WEIGHTS, REMAINDER, OWN} - ({CONFIG, WEIGHTS} & files.keys()):
            (folder / name).unlink(missing_ok=True)
        for name in files:
            os.replace(Path(scratch) / name, folder / name)
