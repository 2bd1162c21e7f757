"""beft: a reproducible companion to *BEFT: Bias-Efficient Fine-Tuning of Language Models*."""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beft_lib.chapters.quickstart.select import select
    from beft_lib.chapters.quickstart.tune import tune
    from beft_lib.tuning.prepare import beft

__all__ = ["beft", "select", "tune"]

__version__ = "0.1.0"

# Progress is told in lines, so a notebook needs no widget for bars, and its output no warning that there is none.
warnings.filterwarnings("ignore", message="IProgress not found")


_ON_USE = {"beft": "tuning.prepare", "select": "chapters.quickstart.select", "tune": "chapters.quickstart.tune"}


def __getattr__(name: str):
    """The doors are loaded on use: importing the package costs nothing, so that the command line answers at once."""
    if name in _ON_USE:
        return getattr(import_module(f"{__name__}.{_ON_USE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
