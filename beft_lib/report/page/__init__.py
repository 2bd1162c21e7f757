"""From executed notebooks to one HTML file that opens without a network.

render      the page: chapters, tables, provenance
outline     headings and their links
markdown, formula, tables, outputs    each kind of content as safe HTML
"""

from beft_lib.report.page.content import Chapter
from beft_lib.report.page.render import render

__all__ = ["Chapter", "render"]
