"""From stored runs to the tables and sentences of the notebooks.

stored            results and importance scores as long frames: results.csv and importance.csv
bias_selection    notebook 01: what each approach selects, what each method achieves, what precision does
glue_regimes      notebook 02: Table 1, gaps over tasks, the scoreboard
efficiency        notebook 03: Table 2, what every method costs and achieves; Table 3, merging
extension         notebook 04: Table 4, learning rates, epochs, Fisher along a run
names             how tables call the approaches
"""

from .bias_selection import (
    achieved_scores,
    null_sentence,
    precision_study,
    scores_and_places,
    selection_sentence,
    selections,
)
from .efficiency import (
    cosine_sentences,
    cosines,
    cost,
    majority_sentence,
    merged,
    merging_sentences,
    score_sentences,
    scores,
)
from .extension import (
    encoders,
    epochs,
    fisher_along,
    order_sentences,
    rate_sentences,
    rates,
    sizes,
    word_sentences,
)
from .glue_regimes import downstream, examples, gap_sentences, gap_table, improvement, scoreboard_table
from .names import SHORT, TITLES
from .stored import IMPORTANCE_COLUMNS, MEAN, importance_scores, results

__all__ = [
    "IMPORTANCE_COLUMNS",
    "MEAN",
    "SHORT",
    "TITLES",
    "achieved_scores",
    "cosine_sentences",
    "cosines",
    "cost",
    "downstream",
    "encoders",
    "epochs",
    "examples",
    "fisher_along",
    "gap_sentences",
    "gap_table",
    "importance_scores",
    "improvement",
    "majority_sentence",
    "merged",
    "merging_sentences",
    "null_sentence",
    "order_sentences",
    "precision_study",
    "rate_sentences",
    "rates",
    "results",
    "score_sentences",
    "scoreboard_table",
    "scores",
    "scores_and_places",
    "selection_sentence",
    "selections",
    "sizes",
    "word_sentences",
]
