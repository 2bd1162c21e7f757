"""The figures: one function an idea, each returning a matplotlib figure (`display.show` shows and files it).

geometry          Figs 2 and 3, drawn from the formulas
bias_selection    Fig. 1: scores by layer, and ranks against achieved scores
glue_regimes      Fig. 4 over data regimes, and how early the ranking is known
efficiency        score against cost, mixtures of two b_v, cosines by layer
autoregressive    score over tuned scalars, decoders
extension         learning rates and learning curves
quickstart        learning curves and confusions on one's own data
why_b_v           scores against norms, attention moved by each bias, parts of b_v
style             colours, markers and the look they share
"""

from .autoregressive import scores_over_scalars
from .bias_selection import importance_heatmaps, ranking_against_score
from .efficiency import cosines_by_layer, mixtures, score_against_cost
from .extension import learning_curves, over_rates
from .geometry import approaches_geometry, projection_geometry
from .glue_regimes import agreement_along, ranking_over_regimes
from .quickstart import own_curves
from .why_b_v import attention_moved, parts, scores_against_sizes

__all__ = [
    "agreement_along",
    "approaches_geometry",
    "attention_moved",
    "cosines_by_layer",
    "importance_heatmaps",
    "learning_curves",
    "mixtures",
    "over_rates",
    "own_curves",
    "parts",
    "projection_geometry",
    "ranking_against_score",
    "ranking_over_regimes",
    "score_against_cost",
    "scores_against_sizes",
    "scores_over_scalars",
]
