"""What a model's folder holds, held against what is needed: transformers warns at most, and takes random numbers.

config             its config.json
check_files        before anything is loaded: formats, missing shards, Git LFS pointers, quantised weights, foreign code
check_weights      after loading: only a head, and a pooler, may be missing
check_tokenizer    it has a vocabulary, and a token for padding
explained          every other error of loading, as one message
"""

import json
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beft_lib.errors import UserError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
POINTER = b"version https://git-lfs"  # what Git leaves in the place of a large file that was not fetched
SMALL = 1024  # bytes: no longer is a pointer
NAMED = 3  # weights that a message names
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.tiktoken", "*.spm", "*.bpe", "bpe.codes")
PACKED = ("I8", "U8", "I16", "I32", "F8", "F4", "F6")  # safetensors' types that only quantised weights have


def config(folder: Path, what: str) -> dict[str, Any]:
    """The configuration of a model folder, which messages call `what`; `UserError` if it is no JSON object."""
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{what}: {path} cannot be read ({error}); save the model again with save_pretrained") from None
    if not isinstance(found, dict):
        raise UserError(f"{what}: {path} holds no JSON object; save the model again with save_pretrained")
    return found


def check_files(folder: Path, what: str) -> None:
    """Raise `UserError` for a folder that transformers cannot read, or reads as another model than it is."""
    found = config(folder, what)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".safetensors", ".json", ".txt", ".model"):
            _check_whole(path, what)
    _check_form(found, folder, what)
    for path in _weights(folder, what):
        _check_header(path, what)


def check_class(auto, folder: Path, what: str) -> None:
    """Raise `UserError` where transformers has no class of this kind (`AutoModelFor...`) for the architecture."""
    from transformers import CONFIG_MAPPING

    kind = config(folder, what)["model_type"]
    if CONFIG_MAPPING[kind] not in auto._model_mapping:
        raise UserError(
            f"{what}: transformers has no {auto.__name__.removeprefix('AutoModelFor')} model of the architecture "
            f"{kind!r}; give a model of another one"
        )


def check_weights(model, info: Mapping[str, Any], what: str, head: bool) -> set[str]:
    """The names of the model's parameters that the checkpoint lacks: those of a head, and of a pooler.

    `info`: what `from_pretrained` says of its loading. `head`: whether the model has a head that is trained anew.
    Raises `UserError` for any other parameter that is missing or of another shape, and for weights that are left over.
    """
    inside = f"{model.base_model_prefix}."

    def of_the_head(name: str) -> bool:
        return head and (not name.startswith(inside) or "pooler" in name.split("."))

    missing = set(info["missing_keys"])
    other = {name: (stored, made) for name, stored, made in info["mismatched_keys"]}
    if lost := sorted(name for name in missing if not of_the_head(name)):
        count = sum(not of_the_head(name) for name, _ in model.named_parameters())
        found = sorted(info["unexpected_keys"])
        instead = f"; it has {_some(found)} instead" if found else ""
        raise UserError(
            f"{what} lacks {_some(lost)} of {_kind(model, head)}: {len(lost)} of {count} weights are not in the "
            f"checkpoint, and would be random{instead}. Check model_type in config.json and the names of the weights, "
            "and save the whole model with save_pretrained"
        )
    if wrong := sorted(name for name in other if not of_the_head(name)):
        stored, made = (tuple(shape) for shape in other[wrong[0]])
        raise UserError(
            f"{what}: {wrong[0]} has the shape {stored} in the checkpoint and {made} by config.json, and "
            f"{len(wrong) - 1} more weights differ; give the configuration that belongs to these weights"
        )
    if left := sorted(name for name in info["unexpected_keys"] if _of_backbone(model, name)):
        raise UserError(
            f"{what}: the checkpoint holds {_some(left)}, for which {_kind(model, head)} by config.json has no place; "
            "give the configuration that belongs to these weights"
        )
    return missing | set(other)


def check_tokenizer(tokenizer, folder: Path, what: str) -> None:
    """Raise `UserError` for a tokenizer without a vocabulary, or without a token to pad with."""
    needs = bool(getattr(type(tokenizer), "vocab_files_names", None))
    if needs and not any(path for pattern in VOCABULARIES for path in folder.glob(pattern)):
        raise UserError(
            f"{what} has no tokenizer: {folder} holds none of {', '.join(VOCABULARIES)}; put the model's own "
            "there with tokenizer.save_pretrained"
        )
    if not len(tokenizer) or set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise UserError(
            f"{what}: the vocabulary of its tokenizer is empty; put the model's own into {folder} with "
            "tokenizer.save_pretrained"
        )
    if tokenizer.pad_token is None:
        raise UserError(
            f"{what}: its tokenizer has no padding token and none that ends a text; set tokenizer.pad_token and save "
            f"it into {folder} with tokenizer.save_pretrained"
        )


def check_vocabulary(tokenizer, rows: int, what: str) -> None:
    """Raise `UserError` for a tokenizer that cannot be this model's: `rows` is how many tokens the model embeds."""
    known = len(tokenizer)
    special = {token: tokenizer.convert_tokens_to_ids(token) for token in tokenizer.all_special_tokens}
    if beyond := [f"{token!r} ({place})" for token, place in special.items() if place is not None and place >= rows]:
        raise UserError(
            f"{what} embeds {rows:,} tokens, and the tokenizer's {beyond[0]} is beyond them; save the model again "
            "after model.resize_token_embeddings(len(tokenizer)), or give it its own tokenizer"
        )
    if 2 * known < rows:
        raise UserError(
            f"{what} embeds {rows:,} tokens and its tokenizer knows {known:,}: it is another model's; put the model's "
            "own into the folder with tokenizer.save_pretrained"
        )


@contextmanager
def explained(what: str, folder: Path) -> Generator[None]:
    """Any error of a library that loads from the folder becomes a `UserError` of one sentence."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # their kinds are as many as the libraries' ways to fail
        lines = [line.strip() for line in str(error).splitlines()]
        said = next((line for line in lines if line and "trust_remote_code" not in line), "")
        reason = f"{type(error).__name__}{': ' if said else ''}{said[:300]}"
        raise UserError(
            f"{what} cannot be loaded from {folder} ({reason}); save it again with save_pretrained, with the versions "
            "of requirements.lock, or give another model"
        ) from None


def _check_whole(path: Path, what: str) -> None:
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{what}: {path} is empty; copy or download the file again")
    if size <= SMALL and path.read_bytes().startswith(POINTER):
        raise UserError(
            f"{what}: {path} is not the file but a Git LFS pointer to it; fetch it with `git lfs pull` in the clone, "
            "or download the file itself"
        )


def _check_form(found: Mapping[str, Any], folder: Path, what: str) -> None:
    from transformers import CONFIG_MAPPING, __version__

    kind = found.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise UserError(f"{what}: config.json has no model_type; save the model with save_pretrained")
    if kind not in CONFIG_MAPPING:
        if found.get("auto_map"):
            raise UserError(
                f"{what} needs code of its own ({kind}), which is not run; give a model whose architecture "
                "transformers has itself"
            )
        raise UserError(f"{what}: transformers {__version__} knows no model_type {kind!r} (config.json); correct it")
    if (packed := found.get("quantization_config")) is not None:
        method = packed.get("quant_method") if isinstance(packed, dict) else packed
        raise UserError(_quantised(what, f"config.json says {method!r}"))
    if (folder / "adapter_config.json").is_file():
        raise UserError(
            f"{what}: {folder} holds an adapter (adapter_config.json) beside the model, which transformers would mix "
            "into it; merge the adapter and save the model alone, or remove the adapter's files"
        )


def _weights(folder: Path, what: str) -> list[Path]:
    """The files of the weights, all of them there."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    if not (folder / INDEX).is_file():
        if found:
            raise UserError(
                f"{what}: {folder} has {', '.join(found[:NAMED])} and neither {WEIGHTS} nor {INDEX}, which lists the "
                "parts of a large model; copy all files of the model"
            )
        raise UserError(
            f"{what} has no *.safetensors file in {folder}; other weight formats can run code "
            "when they are read and are refused. Convert it with save_pretrained"
        )
    try:
        parts = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(f"{what}: {folder / INDEX} cannot be read; copy or download the file again") from None
    if absent := [part for part in parts if not (folder / str(part)).is_file()]:
        raise UserError(
            f"{what}: {len(absent)} of the {len(parts)} files of its weights are missing in {folder}, first "
            f"{absent[0]}; copy or download them"
        )
    return [folder / part for part in parts]


def _check_header(path: Path, what: str) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{what}: {path} is damaged ({error}); copy or download the file again") from None
    packed = [name for name, kind in kinds.items() if "weight" in name.rpartition(".")[2] and kind.startswith(PACKED)]
    if packed:
        raise UserError(_quantised(what, f"{packed[0]} is of type {kinds[packed[0]]}"))


def _quantised(what: str, why: str) -> str:
    return f"{what} is quantised ({why}), which is not read; give the model in fp32, fp16 or bf16"


def _of_backbone(model, name: str) -> bool:
    """Whether a weight that found no place belongs to the backbone, by the module that it names."""
    if not name.endswith((".weight", ".bias")):  # a buffer of an older version
        return False
    inner = name.removeprefix(f"{model.base_model_prefix}.")
    first = inner.partition(".")[0]
    return first in dict(model.base_model.named_children()) and "pooler" not in inner.split(".")


def _kind(model, head: bool) -> str:
    return f"{type(model).__name__}'s encoder" if head else "a decoder with its language-model head"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
