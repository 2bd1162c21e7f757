"""Notebook 06: why b_v."""
