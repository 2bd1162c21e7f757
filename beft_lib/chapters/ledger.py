"""Every claim of the paper that is judged here, by the question that it helps to answer."""

from beft_lib.chapters.autoregressive import claims as autoregressive
from beft_lib.chapters.bias_selection import claims as bias_selection
from beft_lib.chapters.efficiency import claims as efficiency
from beft_lib.chapters.extension import claims as extension
from beft_lib.chapters.glue_regimes import claims as glue_regimes
from beft_lib.chapters.questions import QUESTIONS
from beft_lib.evidence.claims import Claim, listing

__all__ = ["CLAIMS", "listing"]

_BY_CHAPTER: tuple[Claim, ...] = (
    *bias_selection.CLAIMS,
    *glue_regimes.CLAIMS,
    *efficiency.CLAIMS,
    *extension.CLAIMS,
    *autoregressive.CLAIMS,
)

CLAIMS: tuple[Claim, ...] = tuple(sorted(_BY_CHAPTER, key=lambda claim: QUESTIONS.index(claim.question)))
