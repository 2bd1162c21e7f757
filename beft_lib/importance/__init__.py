"""Which bias term matters: the paper's projection ratio, the two rivals, and a null model (paper §2).

    projection_ratio, magnitude, null_model, change_scores    from a bias before and after tuning (`change`)
    empirical_fisher, batch_fisher, fishers, log_likelihood   from gradients before tuning (`fisher`)
    rank, means, Score, Rank                                  from scores to an order (`ranking`)

A ranking is only as good as its run: with AdamW, mixed precision or a tiny `eps` turns rounding noise into large
scores, so runs that feed a ranking are held to fp32, eps 1e-6 and no weight decay (`beft_lib.runs.RANKING_RECIPE`).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .ranking import APPROACHES, Rank, Score, means, rank

if TYPE_CHECKING:
    from .change import change_scores, magnitude, null_model, projection_ratio
    from .fisher import Outputs, batch_fisher, empirical_fisher, fishers, log_likelihood, observed

__all__ = [
    "APPROACHES",
    "Outputs",
    "Rank",
    "Score",
    "batch_fisher",
    "change_scores",
    "empirical_fisher",
    "fishers",
    "log_likelihood",
    "magnitude",
    "means",
    "null_model",
    "observed",
    "projection_ratio",
    "rank",
]

_ON_USE = {
    **dict.fromkeys(("change_scores", "magnitude", "null_model", "projection_ratio"), "change"),
    **dict.fromkeys(("Outputs", "batch_fisher", "empirical_fisher", "fishers", "log_likelihood", "observed"), "fisher"),
}


def __getattr__(name: str):
    """What needs torch is loaded on use, so that stored scores can be ranked, and claims named, without it."""
    if name in _ON_USE:
        return getattr(import_module(f"{__name__}.{_ON_USE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
