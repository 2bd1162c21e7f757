"""An adapter read from PEFT's format (see `peft_format`), ours or stock PEFT's, and checked against its base model."""

import hashlib
import itertools
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor, nn

from beft_lib.adapters import own_format, places, use
from beft_lib.adapters.adapter import Adapter, Base, check_base, form
from beft_lib.adapters.naming import name_classes
from beft_lib.adapters.peft_format import (
    CONFIG,
    PREFIX,
    REMAINDER,
    SUFFIX,
    WEIGHTS,
    Damaged,
    adapter_config,
    read_notes,
    read_tensors,
)
from beft_lib.biases import Bias, unwrapped
from beft_lib.errors import UserError


def load(folder: str | Path, model: nn.Module, keep_head: bool = False) -> Adapter:
    """Read an adapter of ours, or one of stock PEFT's BEFT, and check it against a model, which stays as it is.

    The model is the adapter's base, in the class it was tuned in, as it comes: `merge`, `attach` and `fold` take the
    result. All that changes in it is how its configuration names the classes (id2label, label2id): as the adapter does.
    `keep_head`: True accepts an adapter without a head, or with a part of one, and keeps the model's own.

    Nothing is passed over. Raises `UserError` for a folder that is missing, holds no adapter, one of another kind, or
    damaged files; for a module that the model does not have or of another width; where the model is not the adapter's
    base (ours: recognised by its weights; stock: by its name, if it has one), or has an adapter merged into it; where
    model and adapter have not the same head; and for a tensor that belongs nowhere.
    """
    folder, model = Path(folder), unwrapped(model)
    if own_format.is_own(folder):
        own = own_format.load(folder, model)
        _check_whole(folder, own, places.handles(model, own.delta), model, keep_head)
        name_classes(model, own.labels, own_head=not own.head)
        return own
    config = adapter_config(folder)
    tensors, header = read_tensors(folder / WEIGHTS)
    notes = read_notes(folder, header)
    vectors = {name: values for name, values in tensors.items() if name.endswith(SUFFIX)}
    others = {name: values for name, values in tensors.items() if not name.endswith(SUFFIX)}
    if not vectors:
        raise Damaged(folder / WEIGHTS, f"it holds no {SUFFIX.removeprefix('.')}")
    if notes:
        base = Base(**notes["base"], sketch={key: tuple(scalars) for key, scalars in notes["sketch"].items()})
        check_base(model, base, unchanged=True)
    else:
        base = stock_base(config)
        _check_name(folder, base, model)
    delta, tuned = _tuned(folder, vectors, notes, model)
    head, modules = _head(folder, others, config, model)
    labels = tuple(notes["labels"]) if notes else ()
    task = use.read(notes["use"], folder / WEIGHTS) if notes and "use" in notes else None
    adapter = Adapter(delta=delta, head=head, base=base, labels=labels, form=form(model, tuned, modules), use=task)
    _check_whole(folder, adapter, tuned, model, keep_head)
    name_classes(model, labels, own_head=not head)
    return adapter


def stock_base(config: Mapping) -> Base:
    """The base model that stock PEFT's configuration names."""
    return Base(name=config.get("base_model_name_or_path") or "", revision=config.get("revision"))


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
            raise Damaged(folder / WEIGHTS, f"it and its header disagree on {lost[0]}")
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
            raise Damaged(folder / WEIGHTS, f"it changes more of {path} than its header names")
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
        raise Damaged(folder, f"{REMAINDER} is missing, without which the tuned biases are not exact")
    rest, header = read_tensors(folder / REMAINDER)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    if header.get("of") != digest:
        raise Damaged(folder / REMAINDER, f"it belongs to another {WEIGHTS}")
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
