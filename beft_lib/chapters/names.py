"""How tables and figures call the approaches, and the methods beside the paper's."""

from beft_lib.evidence import selection_quality
from beft_lib.tuning import methods

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


def method(name: str) -> str:
    """How a table that holds BEFT against other methods calls one."""
    return "b_v (BEFT)" if name == "value" else methods.title(name)
