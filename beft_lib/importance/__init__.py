"""Which bias term matters: the paper's projection ratio, the two rivals, and a null model (paper §2).

    projection_ratio, magnitude, null_model, change_scores    from a bias before and after tuning (`change`)
    empirical_fisher, batch_fisher, fishers, log_likelihood   from gradients before tuning (`fisher`)
    rank, means, Score, Rank                                  from scores to an order (`ranking`)

A ranking is only as good as its run: with AdamW, mixed precision or a tiny `eps` turns rounding noise into large
scores, so runs that feed a ranking are held to fp32, eps 1e-6 and no weight decay (`beft_lib.runs.RANKING_RECIPE`).
"""

from .change import change_scores, magnitude, null_model, projection_ratio
from .fisher import Outputs, batch_fisher, empirical_fisher, fishers, log_likelihood, observed
from .ranking import Rank, Score, means, rank

APPROACHES = ("projection", "magnitude", "fisher", "fisher_batch", "null_model")

__all__ = [
    "APPROACHES",
    "Rank",
    "Score",
    "batch_fisher",
    "change_scores",
    "empirical_fisher",
    "fishers",
    "observed",
    "Outputs",
    "log_likelihood",
    "magnitude",
    "means",
    "null_model",
    "projection_ratio",
    "rank",
]
