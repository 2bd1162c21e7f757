"""Adapters in PEFT's file format: stock PEFT reads what is written here, and what it writes is read here.

    adapter_config.json          a peft.BeftConfig: the tuned modules, the modules of the head, the base model
    adapter_model.safetensors    base_model.model.<module>.beft_bias (1, out) fp32, and the head's parameters in full
    remainder.safetensors        for this library, and only if needed: what fp32 leaves of the changes, in fp64: of each
                                 bias <key>/positions (n,) int32 and <key>/values (n,)

The bias of a fused projection is a vector of the whole width, zero where nothing was tuned. The header of the second
file also says, for this library, which bias is what, and by which scalars the base model is recognised. Weights in
other formats (*.bin) can run code when they are read, and are refused.
"""

import contextlib
import hashlib
import itertools
import json
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from beft_lib.adapters import places
from beft_lib.adapters.adapter import Adapter, Base, check_base, form, of
from beft_lib.biases import Bias
from beft_lib.errors import UserError
from beft_lib.workspace import write_whole

CONFIG, WEIGHTS, REMAINDER = "adapter_config.json", "adapter_model.safetensors", "remainder.safetensors"
WRITTEN = {CONFIG, WEIGHTS, REMAINDER, "README.md"}  # stock PEFT adds the last

PREFIX, SUFFIX = "base_model.model.", ".beft_bias"
NOTES, VERSION = "beft", 1  # our entry in the weights' header, and the version of what is in it


class _Damaged(UserError):
    """A file of an adapter that cannot be read, or not together with the others."""

    def __init__(self, path: Path, reason: object):
        super().__init__(f"{path} is damaged: {reason}; save the adapter again")


def save(what: Adapter | nn.Module, folder: str | Path, before: Mapping[str, Tensor] | None = None) -> Path:
    """Write an adapter, or what was tuned in a model that `beft` prepared, into a folder in PEFT's format; the folder.

    `before`: of a model, see `of` (which also takes `fresh`, for a pooler that the checkpoint does not have). Stock
    PEFT reads the folder with `PeftModel.from_pretrained(model, folder)`; on transformers' Conv1D (GPT-2), which its
    BEFT does not support, it raises a TypeError, and only `load` reads it. `load` gives the same adapter to the bit.

    A BEFT adapter in the folder is overwritten. Raises `UserError` for a folder that holds anything else, a bias that
    PEFT's format cannot hold (one that is not added to a projection's output, as LayerNorm's), and values that are not
    finite.
    """
    if not isinstance(what, Adapter | nn.Module):
        raise UserError(f"save: a {type(what).__name__} is given; give a model that beft prepared, or an Adapter")
    if isinstance(what, Adapter) and before is not None:
        raise UserError("save: before belongs to a model, and an Adapter is given; leave it out")
    adapter = what if isinstance(what, Adapter) else of(what, before)
    folder = Path(folder)
    check_folder(folder)
    _check_held(adapter)
    tensors, rest = _tensors(adapter)
    notes = {
        "version": VERSION,
        "biases": {key: place.module for key, place in adapter.form.places.items()},
        "base": {"name": adapter.base.name, "revision": adapter.base.revision, "model_type": adapter.base.model_type},
        "sketch": adapter.base.sketch,
        "labels": adapter.labels,
        "remainder": bool(rest),
    }
    weights = _serialised(tensors, {"format": "pt", NOTES: json.dumps(notes)})
    files = {WEIGHTS: weights, CONFIG: json.dumps(_config(adapter), indent=2, sort_keys=True).encode()}
    if rest:
        files[REMAINDER] = _serialised(rest, {"of": hashlib.sha256(weights).hexdigest()})
    _write(folder, files)
    return folder


def check_folder(folder: str | Path) -> None:
    """Raise `UserError` for a path where no adapter may be written: a file, or a folder that holds anything but one."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the adapter")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if other := sorted(names - WRITTEN) or (sorted(names) if CONFIG not in names else []):
        raise UserError(f"the folder {folder} holds {other[0]}, which is no BEFT adapter's; name a new folder")
    with contextlib.suppress(_Damaged):
        if names and (kind := _read_config(folder).get("peft_type")) != "BEFT":
            raise UserError(f"the folder {folder} holds an adapter of PEFT's type {kind!r}; name a new folder")


def _check_held(adapter: Adapter) -> None:
    """Raise `UserError` for an adapter that PEFT's format cannot hold."""
    if not adapter.delta:
        raise UserError("save: the adapter changes no bias, and PEFT's format is of tuned biases; use save_pretrained")
    for key, values in adapter.delta.items():
        if key not in adapter.form.places:
            raise UserError(f"save: the adapter does not say in which module {key!r} is; make it with of, or load")
        place = adapter.form.places[key]
        if not place.projection:
            raise UserError(
                f"save: the tuned bias {key} ({place.module}) is not added to the output of a projection, and PEFT's "
                "BEFT holds no other; tune a bias of a projection, or keep the whole model with save_pretrained"
            )
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


def _serialised(tensors: Mapping[str, Tensor], header: dict[str, str]) -> bytes:
    from safetensors.torch import save

    return save({name: values.detach().cpu().clone().contiguous() for name, values in tensors.items()}, header)


def _config(adapter: Adapter) -> dict:
    """The fields of the `peft.BeftConfig`, sets as sorted lists, so that one adapter has one file.

    PEFT's classes for a task expect its head in the file: an adapter without one has no such task.
    """
    import peft

    task = adapter.form.task
    headed = task in ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")
    config = peft.BeftConfig(
        target_modules=[place.module for place in adapter.form.places.values()],
        modules_to_save=sorted(adapter.form.modules) or None,
        base_model_name_or_path=adapter.base.name or None,
        revision=adapter.base.revision,
        task_type=None if headed and not adapter.form.modules else task,
        inference_mode=True,
    )
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put the files into the folder, each whole; a remainder of an earlier adapter goes first."""
    (folder / REMAINDER).unlink(missing_ok=True)
    for name, content in files.items():
        write_whole(folder / name, content)


def load(folder: str | Path, model: nn.Module, keep_head: bool = False) -> Adapter:
    """Read an adapter of ours, or one of stock PEFT's BEFT, and check it against a model, which stays as it is.

    The model is the adapter's base, in the class it was tuned in, as it comes: `merge`, `attach` and `fold` take the
    result. `keep_head`: True accepts an adapter without a head, or with a part of one, and keeps the model's own.

    Nothing is passed over. Raises `UserError` for a folder that is missing, holds no adapter, one of another kind, or
    damaged files; for a module that the model does not have or of another width; where the model is not the adapter's
    base (ours: recognised by its weights; stock: by its name, if it has one), or has an adapter merged into it; where
    model and adapter have not the same head; and for a tensor that belongs nowhere.
    """
    folder = Path(folder)
    config = _adapter_config(folder)
    tensors, header = _read_tensors(folder / WEIGHTS)
    notes = _notes(folder, header)
    vectors = {name: values for name, values in tensors.items() if name.endswith(SUFFIX)}
    others = {name: values for name, values in tensors.items() if not name.endswith(SUFFIX)}
    if not vectors:
        raise _Damaged(folder / WEIGHTS, f"it holds no {SUFFIX.removeprefix('.')}")
    if notes:
        base = Base(**notes["base"], sketch={key: tuple(scalars) for key, scalars in notes["sketch"].items()})
        check_base(model, base, unchanged=True)
    else:
        base = Base(name=config.get("base_model_name_or_path") or "", revision=config.get("revision"))
        _check_name(folder, base, model)
    delta, tuned = _tuned(folder, vectors, notes, model)
    head, modules = _head(folder, others, config, model)
    labels = tuple(notes["labels"]) if notes else ()
    adapter = Adapter(delta, head, base, labels, form(model, tuned, modules))
    _check_whole(folder, adapter, tuned, model, keep_head)
    return adapter


def _read_config(folder: Path) -> dict:
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _Damaged(path, error) from None
    if not isinstance(config, dict):
        raise _Damaged(path, "it is no adapter's configuration")
    return config


def _adapter_config(folder: Path) -> dict:
    """The configuration of a BEFT adapter whose weights are safetensors."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give one that adapters.save, or PEFT's save_pretrained, wrote")
    if not (folder / CONFIG).is_file():
        raise UserError(f"the folder {folder} has no {CONFIG}: it holds no adapter; give one that adapters.save wrote")
    config = _read_config(folder)
    if (kind := config.get("peft_type")) != "BEFT":
        raise UserError(
            f"{folder} holds an adapter of PEFT's type {kind!r}; this reads 'BEFT' only. Load it with "
            "peft.PeftModel.from_pretrained"
        )
    if not (folder / WEIGHTS).is_file():
        found = sorted(path.name for path in folder.glob("*.bin"))
        hint = f", only {found[0]}, which can run code when it is read and is refused" if found else ""
        raise UserError(f"the folder {folder} has no {WEIGHTS}{hint}; save the adapter again as safetensors")
    return config


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A safetensors file's tensors, and its header's notes."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _Damaged(path, error) from None


def _notes(folder: Path, header: Mapping[str, str]) -> dict:
    """What this library wrote into the header; empty for an adapter that stock PEFT wrote."""
    if NOTES not in header:
        return {}
    try:
        notes = json.loads(header[NOTES])
        version = notes["version"]
    except (ValueError, TypeError, KeyError):
        raise _Damaged(folder / WEIGHTS, "its header cannot be read") from None
    if version != VERSION:
        raise UserError(
            f"{folder / WEIGHTS} was written in version {version} of the format, and this reads version {VERSION}; use "
            "the beft that wrote it"
        )
    return notes


def _tuned(
    folder: Path, vectors: Mapping[str, Tensor], notes: Mapping, model: nn.Module
) -> tuple[dict[str, Tensor], list[Bias]]:
    """The change of each bias in fp64, and its handle in the model."""
    by_path = {name.removeprefix(PREFIX).removesuffix(SUFFIX): values.flatten() for name, values in vectors.items()}
    if notes:
        parts: dict[str, list[Bias]] = {}
        for handle in places.handles(model, notes["biases"]):
            parts.setdefault(notes["biases"][handle.key], []).append(handle)
        if lost := sorted(parts.keys() ^ by_path.keys()):
            raise _Damaged(folder / WEIGHTS, f"it and its header disagree on {lost[0]}")
    else:
        parts = _parts(folder, by_path, model)
    delta, tuned = {}, []
    for path, own in parts.items():
        vector = by_path[path]
        width = own[0].width
        if len(vector) != width:
            raise UserError(
                f"{path} in {folder} has {len(vector)} scalars, and in {type(model).__name__} {width}: the "
                "adapter was tuned on another model"
            )
        left = vector.clone()
        for handle in own:
            left[... if handle.index is None else handle.index] = 0
        if left.any():
            raise _Damaged(folder / WEIGHTS, f"it changes more of {path} than its header names")
        found = {h: vector[... if h.index is None else h.index].double() for h in own}
        if not notes and any(part.any() for part in found.values()):  # of a fused projection, what was tuned
            found = {handle: part for handle, part in found.items() if part.any()}
        delta |= {handle.key: part for handle, part in found.items()}
        tuned += found
    for key, (positions, values) in (_remainder(folder, delta) if notes and notes["remainder"] else {}).items():
        delta[key][positions] += values
    return delta, tuned


def _parts(folder: Path, paths: Collection[str], model: nn.Module) -> dict[str, list[Bias]]:
    """The handles of the biases of each module, one, or three of a fused projection; in the model's order."""
    modules, own = dict(model.named_modules(remove_duplicate=False)), {}
    for handle in places.tunable(model).values():
        own.setdefault(handle.module, []).append(handle)
    for path in paths:
        if path not in modules:
            raise UserError(
                f"{type(model).__name__} has no module {path}, which the adapter in {folder} changes: it was tuned on "
                "another model, or another class of it"
            )
        if modules[path] not in own:
            raise UserError(
                f"{path}, which the adapter in {folder} changes, is no projection of the base model of "
                f"{type(model).__name__}; use it with peft.PeftModel.from_pretrained"
            )
    return {path: own[module] for path, module in modules.items() if path in paths}


def _remainder(folder: Path, delta: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """What fp32 left of the changes, by key: positions and values."""
    if not (folder / REMAINDER).is_file():
        raise _Damaged(folder, f"{REMAINDER} is missing, without which the tuned biases are not exact")
    rest, header = _read_tensors(folder / REMAINDER)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    if header.get("of") != digest:
        raise _Damaged(folder / REMAINDER, f"it belongs to another {WEIGHTS}")
    keys = [key for key in delta if f"{key}/values" in rest]
    return {key: (rest[f"{key}/positions"].long(), rest[f"{key}/values"]) for key in keys}


def _head(
    folder: Path, tensors: Mapping[str, Tensor], config: Mapping, model: nn.Module
) -> tuple[dict[str, Tensor], list[str]]:
    """The head's parameters by their names in the model, and the modules that hold them."""
    wanted = tuple(config.get("modules_to_save") or ())  # ends of paths, as PEFT takes them
    named = places.tensors(model)
    paths = [path for path, _ in model.named_modules(remove_duplicate=False) if path.endswith(wanted)]
    paths = [path for path in paths if not places.inside(path, paths)]
    head = {}
    for key, values in tensors.items():
        name = key.removeprefix(PREFIX)
        above = itertools.accumulate(name.split(".")[:-1], "{}.{}".format)
        if key == name or not any(path.endswith(wanted) for path in above):
            raise UserError(
                f"{key} in {folder / WEIGHTS} is no tuned bias, and in no module of {CONFIG}'s modules_to_save; it "
                "belongs nowhere. Save the adapter again"
            )
        if name not in named or not places.inside(name, paths):
            raise UserError(
                f"the adapter in {folder} has a head with {name}, and {type(model).__name__} has no such parameter; "
                "load the base model in the class that it was tuned in"
            )
        if named[name].shape != values.shape:
            raise UserError(_other_shape(folder, name, values, named[name], model))
        head[name] = values
    return head, [path for path in paths if any(name.startswith(f"{path}.") for name in head)]


def _other_shape(folder: Path, name: str, theirs: Tensor, ours: Tensor, model: nn.Module) -> str:
    classes = getattr(model.config, "num_labels", None)
    if theirs.shape[1:] == ours.shape[1:] and len(ours) == classes:
        return (
            f"the adapter in {folder} is for {len(theirs)} classes ({name}), and {type(model).__name__} has {classes}; "
            f"load the base model with num_labels={len(theirs)}"
        )
    return (
        f"{name} of the head in {folder} has shape {tuple(theirs.shape)}, and in {type(model).__name__} "
        f"{tuple(ours.shape)}: it is another model's"
    )


def _check_name(folder: Path, base: Base, model: nn.Module) -> None:
    """Raise `UserError` where a stock adapter names another base model; two folders may hold one model."""
    own = getattr(model.config, "_name_or_path", "")
    if base.name and own and base.name != own and not Path(base.name).is_dir() and not Path(own).is_dir():
        raise UserError(
            f"the adapter in {folder} was tuned on {base.name}, and the model is {own}; load {base.name}, or correct "
            f"base_model_name_or_path in {CONFIG} if the two are one model"
        )


def _check_whole(folder: Path, adapter: Adapter, tuned: list[Bias], model: nn.Module, keep_head: bool) -> None:
    """Raise `UserError` where the model has a head, or a part of one, that the adapter lacks."""
    named = places.tensors(model)
    held = {named[name] for name in adapter.head} | {handle.parameter for handle in tuned}
    lost = [name for name, p in model.named_parameters() if p in places.own(model) - held]
    if lost and not keep_head:
        raise UserError(
            f"the adapter in {folder} lacks {', '.join(lost[:3])} of the head of {type(model).__name__}; save it with "
            "its head, or keep the model's own with keep_head=True"
        )
