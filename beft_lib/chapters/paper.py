"""The paper's own numbers: the yardstick beside every result, never an input to one.

Huang, Balashankar and Aminifar, *BEFT: Bias-Efficient Fine-Tuning of Language Models*. Each entry of
`paper.yaml` names the figure or table it was read from.
"""

from functools import cache
from importlib.resources import files

import yaml


@cache
def _all() -> dict:
    return yaml.safe_load(files(__package__).joinpath("paper.yaml").read_text(encoding="utf-8"))


def numbers(entry: str) -> dict:
    """One entry of `paper.yaml`, for example `numbers("fig1")["accuracy"]["value"]` (percent, as printed)."""
    return _all()[entry]
