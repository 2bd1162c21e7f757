"""Adapters that PEFT's format has no place for: biases that are added to no projection's output, as LayerNorm's are.

    beft_adapter.safetensors    delta/<key> (d,) fp64 of each tuned bias, head/<name> of the head's parameters; its
                                header says which model and task it was tuned on

There is no adapter_config.json beside it, so that stock PEFT refuses the folder, where it would else leave out what it
does not know. `load`, `merge`, `attach` and `pipeline` take it as any other; merged, the model is a plain one for all.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from beft_lib.adapters import places, use
from beft_lib.adapters.adapter import Adapter, Base, check_base, form
from beft_lib.adapters.arithmetic import sized
from beft_lib.adapters.peft_format import NOTES, OWN, Damaged, read_notes, read_tensors, serialised
from beft_lib.errors import UserError

DELTA, HEAD = "delta/", "head/"


def is_own(folder: Path) -> bool:
    return (folder / OWN).is_file()


def needs(adapter: Adapter) -> list[str]:
    """The keys of the biases for which PEFT's format has no place."""
    return [key for key, place in adapter.form.places.items() if not place.projection]


def content(adapter: Adapter, notes: Mapping) -> bytes:
    """The file, with what it says of the adapter."""
    tensors = {f"{DELTA}{key}": values.double() for key, values in adapter.delta.items()}
    tensors |= {f"{HEAD}{name}": values for name, values in adapter.head.items()}
    return serialised(tensors, {"format": "pt", NOTES: json.dumps({**notes, "modules": adapter.form.modules})})


def read(folder: Path) -> tuple[dict[str, Tensor], dict]:
    """The file's tensors, and what it says of the adapter; `Damaged` if it says nothing."""
    tensors, header = read_tensors(folder / OWN)
    notes = read_notes(folder, header)
    if not {"base", "sketch", "labels", "modules"} <= notes.keys() or not any(n.startswith(DELTA) for n in tensors):
        raise Damaged(folder / OWN, "it does not say what it is of")
    return tensors, notes


def base_of(notes: Mapping) -> Base:
    """The model that the adapter was tuned on."""
    return Base(**notes["base"], sketch={key: tuple(scalars) for key, scalars in notes["sketch"].items()})


def load(folder: Path, model: nn.Module) -> Adapter:
    """The adapter, checked against its base model (see `loading.load`)."""
    tensors, notes = read(folder)
    base = base_of(notes)
    check_base(model, base, unchanged=True)
    delta = {name.removeprefix(DELTA): values for name, values in tensors.items() if name.startswith(DELTA)}
    delta = dict(sorted(delta.items()))  # safetensors' own order is random
    head = {name.removeprefix(HEAD): tensors[name] for name in sorted(tensors) if name.startswith(HEAD)}
    handles, named = sized(model, delta), places.tensors(model)
    for name, values in head.items():
        if name not in named or named[name].shape != values.shape:
            here = f"has shape {tuple(named[name].shape)}" if name in named else "is not there"
            raise UserError(
                f"{name} of the head in {folder} has shape {tuple(values.shape)}, and in {type(model).__name__} it "
                f"{here}; load the base model in the class, and with the num_labels, that it was tuned with"
            )
    return Adapter(
        delta=delta,
        head=head,
        base=base,
        labels=tuple(notes["labels"]),
        form=form(model, handles, tuple(notes["modules"])),
        use=use.read(notes["use"], folder / OWN) if "use" in notes else None,
    )
