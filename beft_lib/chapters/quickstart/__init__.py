"""Notebook 00: your own model and data; `tune` and `select`."""
