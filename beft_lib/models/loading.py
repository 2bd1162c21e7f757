"""Load a fetched model and its tokenizer."""

import tempfile
from pathlib import Path
from typing import Any

from beft_lib.errors import UserError, unknown

from . import checking, tiny
from .catalogue import CATALOGUE, architecture, family, is_decoder
from .fetching import cache_folder, fetch

PRECISIONS = ("fp32", "bf16")


def classifier(name: str, num_outputs: int, seed: int, attention: str | None = None):
    """The encoder with a fresh classification (or, for one output, regression) head, in fp32 and evaluation mode.

    `attention`: "eager" or "sdpa"; left out, the fastest that the architecture offers.

    What the checkpoint lacks (the head, and a pooler where there is none) is drawn from `seed` alone, N(0, σ²) with
    the configuration's σ and zero biases: every method of one seed starts from the same head.
    """
    import torch

    model, fresh = _classifier(name, num_outputs, attention)
    fresh |= _outside(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name in fresh:
                if parameter.dim() > 1:
                    std = getattr(model.config, "initializer_range", 0.02)
                    parameter.normal_(0.0, std, generator=generator)
                else:
                    parameter.fill_(0.0 if parameter_name.endswith("bias") else 1.0)
    config: Any = model.config
    if config.pad_token_id is None:  # a head on a decoder reads the last token that is no padding
        config.pad_token_id = tokenizer(name).pad_token_id
    return model.eval()


def causal(name: str, precision: str = "fp32", attention: str | None = None):
    """The decoder with its language-model head, in evaluation mode; over all CUDA devices where there are several.

    `precision`: "fp32", everything; "bf16", every matrix in bf16 and every vector (biases, norms) in fp32, to be run
    under autocast. For bf16 the weights are read in the checkpoint's own precision, so that its vectors lose nothing,
    fp16 ones neither, and a large model is never held in fp32. `attention` as in `classifier`.
    """
    import torch

    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    several = "auto" if torch.cuda.device_count() > 1 else None
    model = _causal(name, attention, dtype=torch.float32 if precision == "fp32" else "auto", device_map=several)
    if precision == "bf16":
        for parameter in model.parameters():
            parameter.data = parameter.data.to(torch.bfloat16 if parameter.dim() > 1 else torch.float32)
    return model.eval()


def missing(name: str, model) -> frozenset[str]:
    """The names of the parameters of a model made by `classifier` that the checkpoint lacks: they were drawn at random.

    The head's, and a pooler's where the checkpoint has none. Only the headers of its files are read.
    """
    if fetch(name) is None:
        return frozenset(_outside(model))
    return frozenset(_classifier(name, model.config.num_labels, None, device_map="meta")[1])


def outline(name: str, num_outputs: int | None):
    """The model as `classifier` (with so many outputs) or `causal` (None) loads it, but without its weights.

    Raises every error of loading, at the cost of reading the headers of its files.
    """
    if num_outputs is None:
        return _causal(name, None, device_map="meta")
    return _classifier(name, num_outputs, None, device_map="meta")[0]


def saved(name: str) -> Path:
    """The folder of the model as it comes, which any library can read; one that is made here is written out first."""
    folder = fetch(name)
    if folder is not None:
        return folder
    folder = cache_folder() / f"{name}-written"
    if not (folder / "config.json").is_file():
        model = causal(name) if is_decoder(name) else classifier(name, 2, seed=0)
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".") as scratch:
            model.save_pretrained(Path(scratch) / "model")
            tokenizer(name).save_pretrained(Path(scratch) / "model")
            (Path(scratch) / "model").replace(folder)
    return folder


def tokenizer(name: str):
    """The model's tokenizer. A decoder that has no token for padding pads with the one that ends a text."""
    from transformers import AutoTokenizer

    _quiet()
    folder = fetch(name)
    if folder is None:
        return tiny.tokenizer(family(name))
    what = f"the tokenizer of model {name!r}"
    checking.check_files(folder, f"model {name!r}")
    with checking.explained(what, folder):
        made = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if made.pad_token is None:
            made.pad_token = made.eos_token
    checking.check_tokenizer(made, folder, f"model {name!r}")
    if not made.is_fast and is_decoder(f"{folder}/"):
        raise UserError(
            f"{what} ({type(made).__name__}) is a slow one, which does not say where an option begins; put a fast one "
            f"(tokenizer.json) into {folder}"
        )
    return made


def _classifier(name: str, num_outputs: int, attention: str | None, **settings):
    """The encoder with a head of `num_outputs`, and the names of the parameters that its files lack."""
    import torch
    from transformers import AutoModelForSequenceClassification

    _quiet()
    folder = fetch(name)
    if folder is None:
        return tiny.classifier(family(name), num_outputs, _attention(name, attention)), set()
    settings = {"dtype": torch.float32, "num_labels": num_outputs, "problem_type": None, **settings}
    settings["attn_implementation"] = _attention(f"{folder}/", attention)
    return _read(AutoModelForSequenceClassification, name, folder, head=True, **settings)


def _causal(name: str, attention: str | None, **settings):
    """The decoder with its language-model head."""
    from transformers import AutoModelForCausalLM

    _quiet()
    _need_decoder(name, is_decoder(name))
    folder = fetch(name)
    if folder is None:
        return tiny.decoder(family(name), _attention(name, attention))
    _need_decoder(name, is_decoder(f"{folder}/"))
    settings["attn_implementation"] = _attention(f"{folder}/", attention)
    return _read(AutoModelForCausalLM, name, folder, head=False, **settings)[0]


def _outside(model) -> set[str]:
    """The names of the parameters outside the backbone: the head's."""
    return {name for name, _ in model.named_parameters() if not name.startswith(f"{model.base_model_prefix}.")}


def _read(auto, name: str, folder: Path, *, head: bool, **settings):
    """A folder's model as a class of transformers makes it, and the names of what its safetensors lack."""
    what = f"model {name!r}"
    checking.check_files(folder, what)
    checking.check_class(auto, folder, what)
    with checking.explained(what, folder):
        model, info = auto.from_pretrained(
            folder,
            **settings,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # refused below, but for a head
            output_loading_info=True,
        )
    return model, checking.check_weights(model, info, what, head)


def _attention(name: str, wanted: str | None) -> str | None:
    """The implementation of attention to ask for; None lets the class choose, where the architecture is not known."""
    known = architecture(name)
    if known is None or known.attention is None:
        return wanted
    if wanted not in (None, "eager", known.attention):
        raise UserError(
            f"attention {wanted!r}: transformers offers {known.model_type} only "
            f"{' and '.join(dict.fromkeys(['eager', known.attention]))}; give one of these, or leave attention out"
        )
    return wanted or known.attention


def _need_decoder(name: str, known: bool | None) -> None:
    if known is False:
        raise UserError(
            f"model {name!r} is no decoder: it has no language-model head that continues a text, which tasks with "
            f"prompts need. Give {_decoders()}; encoders are for the tasks that train a head of their own"
        )


def _decoders() -> str:
    names = [name for name in CATALOGUE if is_decoder(name)]
    return f"one of {', '.join(names)}, 'hub:ORG/NAME' or the folder of a decoder"


def _quiet() -> None:
    """A fresh head is intended here: transformers need not warn of it, nor draw bars into notebooks."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
