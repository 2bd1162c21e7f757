"""Notebook 04 (§3.4, Table 4): further tasks and encoders, learning rates, epochs."""
