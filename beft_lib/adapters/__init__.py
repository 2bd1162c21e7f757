"""Tuned biases as things of their own: kept in PEFT's file format, averaged, put into a model, several on one model.

A *delta* is the change of some biases, {handle key: tensor (d,)}, as `runs.delta` returns it. An `Adapter` is a delta
with the head that was tuned beside it, and what it was tuned on. Deltas are kept in fp64, in which the difference of
two fp32 numbers is exact unless one is 2²⁹ times as large as the other: short of that, a model's bias plus its delta is
the tuned bias to the bit.

    of, runs.adapter                  make an adapter: of a model that was tuned, of a stored run
    save, load, check_folder          keep it in PEFT's format, which stock PEFT reads; read it, or a stock one, back
    merge, unmerge                    put it into a model's own biases and head, and take it out again, to the bit
    attach                            several on one model at once, one for each row of a batch; no weight changes
    pipeline, Predictor               name new texts: labels with probabilities, scores, a decoder's words
    fold, folded                      put b_v into the bias of the output projection, which is the same function
    average, only, low_rank           arithmetic on deltas
    difference, applied, products     what runs are stored and compared with

Three ways to use one give, in exact arithmetic, the same logits: merged W x + (b + δ), attached (W x + b) + δ, which is
what stock PEFT computes, and folded.
"""

from beft_lib.adapters.adapter import Adapter, Base, Form, of
from beft_lib.adapters.arithmetic import Delta, applied, average, difference, low_rank, merge, only, products, unmerge
from beft_lib.adapters.attached import Attached, attach
from beft_lib.adapters.folding import fold, folded
from beft_lib.adapters.loading import load
from beft_lib.adapters.peft_format import check_folder
from beft_lib.adapters.places import Place
from beft_lib.adapters.prediction import Predictor, pipeline
from beft_lib.adapters.saving import save
from beft_lib.adapters.use import Use

__all__ = [
    "Adapter",
    "Attached",
    "Base",
    "Delta",
    "Form",
    "Place",
    "Predictor",
    "Use",
    "applied",
    "attach",
    "average",
    "check_folder",
    "difference",
    "fold",
    "folded",
    "load",
    "low_rank",
    "merge",
    "of",
    "only",
    "pipeline",
    "products",
    "save",
    "unmerge",
]
