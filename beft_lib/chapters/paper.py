"""The paper's own numbers: the yardstick beside every result, never an input to one.

Huang, Balashankar and Aminifar, *BEFT: Bias-Efficient Fine-Tuning of Language Models*. Each entry of
`paper.yaml` names the figure or table it was read from.
"""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import yaml


@cache
def _all() -> dict:
    return yaml.safe_load(files("beft_lib.chapters").joinpath("paper.yaml").read_text(encoding="utf-8"))


def numbers(entry: str) -> dict:
    """One entry of `paper.yaml`, for example `numbers("fig1")["accuracy"]["value"]` (percent, as printed)."""
    return _all()[entry]


def against(first: float, second: float) -> str:
    """Two printed numbers and their difference, for readers: "85.8 − 80.0 = 5.8"."""
    return f"{first:.1f} − {second:.1f} = {first - second:.1f}".replace("= -", "= −")


def span(first: list[float], second: list[float]) -> str:
    """The smallest and the largest of printed differences, for readers: "from 0.4 to 14.5"."""
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    return f"from {min(gaps):.1f} to {max(gaps):.1f}".replace("-", "−")


class Cited(NamedTuple):
    """How the paper is cited."""

    title: str
    authors: tuple[str, ...]
    venue: str
    address: str


CITED = Cited(
    "BEFT: Bias-Efficient Fine-Tuning of Language Models",
    ("Baichuan Huang", "Ananth Balashankar", "Amir Aminifar"),
    "ACL 2026",
    "https://arxiv.org/abs/2509.15974",
)
