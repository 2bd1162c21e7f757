"""Notebook 05 (§3.5, Table 5): decoders."""
