"""Notebook 02 (§3.2, Table 1, Fig. 4): GLUE from low to high data."""
