"""How tables and figures call the approaches."""

from beft_lib.evidence import selection_quality

TITLES = {
    "projection": "Projection ratio (BEFT)",
    "magnitude": "Magnitude (ℓ1)",
    "fisher": "Fisher (per example)",
    "fisher_batch": "Fisher (authors' batch mean)",
    "null_model": "Null model (random direction)",
    selection_quality.FIXED: "Always b_v",
    selection_quality.CHANCE: "A random choice",
}
SHORT = {
    "projection": "projection",
    "magnitude": "magnitude",
    "fisher": "Fisher",
    "fisher_batch": "Fisher, batch",
    "null_model": "null model",
}
