"""From executed notebooks to one HTML file that opens without a network.

content     what a page is made of, as it is asked for
render      the page: questions, ledger, chapters, provenance
exhibits    figures and tables: their numbers, and what lies under them
outline     headings and their links
references, glossary    links in running text, and the words that are explained
markdown, formula, tables, narrow, outputs    each kind of content as safe HTML
"""

from beft_lib.report.page.content import Chapter
from beft_lib.report.page.render import render

__all__ = ["Chapter", "render"]
