"""Notebook 01 (§2, Fig. 1 to 3): which of b_q, b_k and b_v the approaches select."""
