"""From stored runs to the tables and sentences of the notebooks.

stored            results and importance scores as long frames: results.csv and importance.csv
bias_selection    notebook 01: what each approach selects, what each method achieves, what precision does
glue_regimes      notebook 02: Table 1, gaps over tasks, the scoreboard
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
from .glue_regimes import downstream, examples, gap_sentences, gap_table, improvement, scoreboard_table
from .names import SHORT, TITLES
from .stored import IMPORTANCE_COLUMNS, MEAN, importance_scores, results

__all__ = [
    "IMPORTANCE_COLUMNS",
    "MEAN",
    "SHORT",
    "TITLES",
    "achieved_scores",
    "downstream",
    "examples",
    "gap_sentences",
    "gap_table",
    "importance_scores",
    "improvement",
    "null_sentence",
    "precision_study",
    "results",
    "scoreboard_table",
    "scores_and_places",
    "selection_sentence",
    "selections",
]
