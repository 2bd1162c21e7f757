"""Claims and their verdicts.

claim         what a claim is
finding       what decides it: a verdict, and the effect it rests on
scope         where a predicate is asked
performance, selection, trends, costs    the predicates, by what they are about
judge         the ledger, a row a claim and model
"""

from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.judge import COLUMNS, judge

__all__ = ["COLUMNS", "Claim", "judge"]
