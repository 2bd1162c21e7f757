"""Claims and their verdicts.

claim         what a claim is
finding       what decides it: a verdict, why, and the effect it rests on
scope         where a predicate is asked
performance, selection, trends, costs    the predicates, by what they are about
printed       findings from printed tables and configurations, without a run
judge         the ledger, a row a claim and model
"""

from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.judge import COLUMNS, Judged, judge, judged, ledger, listing, measurements, summary

__all__ = ["COLUMNS", "Claim", "Judged", "judge", "judged", "ledger", "listing", "measurements", "summary"]
