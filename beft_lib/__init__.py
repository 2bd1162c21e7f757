"""beft: a reproducible companion to *BEFT: Bias-Efficient Fine-Tuning of Language Models*."""

import warnings

__version__ = "0.1.0"

# Progress is told in lines, so a notebook needs no widget for bars, and its output no warning that there is none.
warnings.filterwarnings("ignore", message="IProgress not found")


def __getattr__(name: str):
    if name == "beft":  # loaded on use: importing the package costs nothing, so the command line answers at once
        from beft_lib.tuning.prepare import beft

        return beft
    if name == "select":
        from beft_lib.selection import select

        return select
    if name == "tune":
        from beft_lib.quickstart import tune

        return tune
    raise AttributeError(f"module 'beft_lib' has no attribute {name!r}")
