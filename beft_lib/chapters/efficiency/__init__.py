"""Notebook 03 (§3.3, Tables 2 and 3): cost against everything else, and merging."""
