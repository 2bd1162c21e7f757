"""What runs say.

comparison           one setting: scores paired by seed and by evaluation example
pairing              stored runs as comparisons
learning             whether anything was learned in a setting; what a constant answer scores
fixed                several settings, which a statement names: the mean gap over them
stats                estimates with intervals
costs                ratios of what methods cost
selection_quality    an approach's choices against what tuning the chosen term achieves
early_choice         how early in a run the choice is known
rate_search          a learning rate, chosen on development examples
cosines              how tuned biases of different runs lie to each other
words                paired differences in words
claims               claims and their verdicts
power                what would decide a claim that is undecided, and its price
"""

from beft_lib.evidence.comparison import Comparison, choice
from beft_lib.evidence.pairing import compare, compare_groups, compare_one, of_variant, title

__all__ = ["Comparison", "choice", "compare", "compare_groups", "compare_one", "of_variant", "title"]
