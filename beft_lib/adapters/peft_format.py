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
import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from beft_lib.errors import UserError

CONFIG, WEIGHTS, REMAINDER = "adapter_config.json", "adapter_model.safetensors", "remainder.safetensors"
OWN = "beft_adapter.safetensors"  # what PEFT's format cannot hold (see `own_format`)
WRITTEN = {CONFIG, WEIGHTS, REMAINDER, OWN, "README.md"}  # stock PEFT adds the last

PREFIX, SUFFIX = "base_model.model.", ".beft_bias"
NOTES, VERSION = "beft", 1  # our entry in the weights' header, and the version of what is in it


class Damaged(UserError):
    """A file of an adapter that cannot be read, or not together with the others."""

    def __init__(self, path: Path, reason: object):
        super().__init__(f"{path} is damaged: {reason}; save the adapter again")


def check_folder(folder: str | Path) -> None:
    """Raise `UserError` for a path where no adapter may be written: a file, or a folder that holds anything but one."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the adapter")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if other := sorted(names - WRITTEN) or (sorted(names) if not {CONFIG, OWN} & names else []):
        raise UserError(f"the folder {folder} holds {other[0]}, which is no BEFT adapter's; name a new folder")
    with contextlib.suppress(Damaged):
        if CONFIG in names and (kind := read_config(folder).get("peft_type")) != "BEFT":
            raise UserError(f"the folder {folder} holds an adapter of PEFT's type {kind!r}; name a new folder")


def read_config(folder: Path) -> dict:
    """The configuration of whatever adapter is in the folder; `Damaged` if it is no JSON object."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Damaged(path, error) from None
    if not isinstance(config, dict):
        raise Damaged(path, "it is no adapter's configuration")
    return config


def adapter_config(folder: Path) -> dict:
    """The configuration of a BEFT adapter whose weights are safetensors."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give one that adapters.save, or PEFT's save_pretrained, wrote")
    if not (folder / CONFIG).is_file():
        raise UserError(f"the folder {folder} has no {CONFIG}: it holds no adapter; give one that adapters.save wrote")
    config = read_config(folder)
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


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A safetensors file's tensors, and its header's notes."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise Damaged(path, error) from None


def read_notes(folder: Path, header: Mapping[str, str]) -> dict:
    """What this library wrote into the header; empty for an adapter that stock PEFT wrote."""
    if NOTES not in header:
        return {}
    try:
        notes = json.loads(header[NOTES])
        version = notes["version"]
    except (ValueError, TypeError, KeyError):
        raise Damaged(folder / WEIGHTS, "its header cannot be read") from None
    if version != VERSION:
        raise UserError(
            f"{folder / WEIGHTS} was written in version {version} of the format, and this reads version {VERSION}; use "
            "the beft that wrote it"
        )
    return notes


def serialised(tensors: Mapping[str, Tensor], header: dict[str, str]) -> bytes:
    """The content of a safetensors file that holds the tensors, and the header's notes."""
    from safetensors.torch import save

    return save({name: values.detach().cpu().clone().contiguous() for name, values in tensors.items()}, header)
