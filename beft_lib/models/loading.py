"""Load a fetched model and its tokenizer; make the tiny random ones."""

import tempfile
from pathlib import Path

from beft_lib.errors import UserError

from .catalogue import Lowest, locate
from .fetching import fetch


def classifier(name: str, num_outputs: int, seed: int, attention: str = "sdpa"):
    """The encoder with a fresh classification (or, for one output, regression) head, in fp32 and evaluation mode.

    What the checkpoint lacks (the head, and a pooler where there is none) is drawn from `seed` alone, N(0, σ²) with
    the configuration's σ and zero biases: every method of one seed starts from the same head.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    _quiet()
    folder = fetch(name)
    if folder is None:
        model, fresh = _random_classifier(locate(name).family, num_outputs), None
    else:
        if not list(folder.glob("*.safetensors")):
            raise UserError(
                f"model {name!r} has no *.safetensors file in {folder}; other weight formats can run code "
                "when they are read and are refused. Convert it with save_pretrained(safe_serialization=True)"
            )
        source = locate(name)
        shallower = {"num_hidden_layers": source.layers} if isinstance(source, Lowest) else {}
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder,
            **shallower,
            num_labels=num_outputs,
            attn_implementation=attention,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
        fresh = set(info["missing_keys"])
    generator = torch.Generator().manual_seed(seed)
    outside = {n for n, _ in model.named_parameters() if not n.startswith(model.base_model_prefix + ".")}
    fresh = outside if fresh is None else fresh | outside
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name in fresh:
                if parameter.dim() > 1:
                    std = getattr(model.config, "initializer_range", 0.02)
                    parameter.normal_(0.0, std, generator=generator)
                else:
                    parameter.fill_(0.0 if parameter_name.endswith("bias") else 1.0)
    return model.eval()


def tokenizer(name: str):
    """The model's tokenizer."""
    from transformers import AutoTokenizer

    _quiet()
    folder = fetch(name)
    return _letters() if folder is None else AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _quiet() -> None:
    """A fresh head is intended here: transformers need not warn of it, nor draw bars into notebooks."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _random_classifier(family: str, num_outputs: int):
    import torch
    import transformers as t

    size = dict(
        vocab_size=len(_vocabulary()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=160,
        num_labels=num_outputs,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the weights are a constant of the project; only the head is drawn per run
        if family == "bert":
            model = t.BertForSequenceClassification(t.BertConfig(**size))
        else:
            model = t.RobertaForSequenceClassification(t.RobertaConfig(**size, pad_token_id=0))
        with torch.no_grad():  # untrained biases are zero, for which a direction is undefined: give them one
            for name, parameter in model.base_model.named_parameters():
                if name.endswith(".bias"):
                    parameter.normal_(0.0, 0.1)
    return model


def _vocabulary() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters), *".,;:!?'\"()-"]


def _letters():
    """A tokenizer that spells words out, so that random models need no vocabulary file."""
    from transformers import BertTokenizerFast

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "vocab.txt"
        path.write_text("\n".join(_vocabulary()), encoding="utf-8")
        return BertTokenizerFast(vocab=str(path), do_lower_case=True, model_max_length=128)
