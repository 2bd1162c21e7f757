"""The eight questions that the paper's claims answer: the groups of the ledger, in its order."""

ORDER = "Is b_v better than b_q, and b_q than b_k?"
FINDS = "Does the projection ratio find the best term?"
RIVALS = "What do Magnitude and Fisher select?"
FOLLOWS = "Does the score follow the data?"
BIGGER = "Is b_v as good as bigger methods, and cheaper?"
MERGING = "Are tuned b_v specific to tasks, and can they be merged?"
RECIPE = "What do learning rates and epochs do?"
DECODERS = "Does it carry over to decoders?"

QUESTIONS = (ORDER, FINDS, RIVALS, FOLLOWS, BIGGER, MERGING, RECIPE, DECODERS)
