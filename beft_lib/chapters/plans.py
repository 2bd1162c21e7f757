"""What the plans of several chapters share."""

from collections.abc import Sequence

from beft_lib import models
from beft_lib.errors import UserError
from beft_lib.tuning.methods import ATTENTION_TERMS

SEARCH_SEED = 100  # of the runs that choose a learning rate: none of the runs that are reported
PAPER, CHOSEN = "the paper's learning rate", "a learning rate chosen on development examples"  # variants


def arms(model: str) -> list[str]:
    """The terms to tune alone: not b_k where a run of it is known to be a run of the head alone."""
    return [term for term in ATTENTION_TERMS if not (term == "key" and models.key_is_inert(model))]


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise `UserError` unless there is a seed, and each once."""
    if not seeds:
        raise UserError("seeds: [] leaves nothing to run; give at least one, e.g. [0], and three for an interval")
    if len(set(seeds)) != len(seeds):
        raise UserError(f"seeds: {list(seeds)} repeats a seed, which would count one run twice; give each once")
