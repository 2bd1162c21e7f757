"""A quantised model in llama.cpp's file format, GGUF, as a folder that is read like every other."""

import contextlib
import io
from pathlib import Path
from typing import Any

from beft_lib.errors import UserError


def dequantise(file: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file of the SmolLM family into `folder`, the weights in fp32.

    They are the rounded weights of the file, multiplied out: in Q4_1, w = scale · q + minimum with q in 0..15 and a
    scale and a minimum for each 32 weights. Tied embeddings stay tied.

    The file's tokenizer splits off every digit ("smollm"), as the published one does. transformers passes over that,
    which would split white space before a number otherwise, so it is put back.
    """
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, __version__

    what = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    with contextlib.redirect_stderr(io.StringIO()):  # bars that no setting turns off
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **what)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            file.parent, **what, dtype=torch.float32, output_loading_info=True
        )
        model, info = loaded
        if missing := sorted(info["missing_keys"]):  # they would be random
            raise UserError(
                f"{file.name}: transformers {__version__} finds no {', '.join(missing[:3])} in it; use the versions of "
                "requirements.lock"
            )
        backend = tokenizer.backend_tokenizer
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), backend.pre_tokenizer]
        )
        for mark in ("hf_quantizer", "is_quantized", "quantization_method"):  # no longer so, and not saved while set
            vars(model).pop(mark, None)
        del model.config.quantization_config
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
