"""From stored runs to the tables and sentences of the notebooks.

bias_selection    notebook 01: what each approach selects, what each method achieves
glue_regimes      notebook 02: Table 1, gaps over tasks, the scoreboard
efficiency        notebook 03: Table 2, what every method costs and achieves; Table 3, merging
autoregressive    notebook 05: Table 5, b_k against the untuned model, shortened prompts
extension         notebook 04: Table 4, learning rates, epochs, Fisher along a run
quickstart        notebook 00: the ranking, scores and confusions on one's own data
why_b_v           notebook 06: b_v against b_o, parts of b_v, scores against norms, precision
names             how tables call the approaches
"""

from .autoregressive import PAPER_MODEL, key_against_untuned, key_sentence, shortened, table5
from .autoregressive import gap_sentences as decoder_gap_sentences
from .autoregressive import rate_sentences as decoder_rate_sentences
from .autoregressive import settings as decoder_settings
from .autoregressive import summary as decoder_summary
from .bias_selection import achieved_scores, null_sentence, scores_and_places, selection_sentence, selections
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
from .extension import encoders, epochs, fisher_along, order_sentences, rate_sentences, rates, sizes, word_sentences
from .glue_regimes import downstream, examples, gap_sentences, gap_table, improvement, scoreboard_table
from .names import SHORT, TITLES
from .quickstart import confusion, own_scores, ranking
from .why_b_v import (
    attention_sentences,
    kept,
    kept_sentences,
    norm_correlations,
    norm_sentences,
    output_sentences,
    part_sentences,
    parts,
    precision_sentence,
    precision_study,
    scores_and_sizes,
    tuned,
    tuned_sizes,
)

__all__ = [
    "PAPER_MODEL",
    "SHORT",
    "TITLES",
    "achieved_scores",
    "attention_sentences",
    "confusion",
    "cosine_sentences",
    "cosines",
    "cost",
    "decoder_gap_sentences",
    "decoder_rate_sentences",
    "decoder_settings",
    "decoder_summary",
    "downstream",
    "encoders",
    "epochs",
    "examples",
    "fisher_along",
    "gap_sentences",
    "gap_table",
    "improvement",
    "kept",
    "kept_sentences",
    "key_against_untuned",
    "key_sentence",
    "majority_sentence",
    "merged",
    "merging_sentences",
    "norm_correlations",
    "norm_sentences",
    "null_sentence",
    "order_sentences",
    "output_sentences",
    "own_scores",
    "part_sentences",
    "parts",
    "precision_sentence",
    "precision_study",
    "ranking",
    "rate_sentences",
    "rates",
    "score_sentences",
    "scoreboard_table",
    "scores",
    "scores_and_places",
    "scores_and_sizes",
    "selection_sentence",
    "selections",
    "shortened",
    "sizes",
    "table5",
    "tuned",
    "tuned_sizes",
    "word_sentences",
]
