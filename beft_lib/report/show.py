"""What a notebook shows, it also files: figures with a text alternative, tables with a caption."""

import io
import re
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from beft_lib import workspace
from beft_lib.evidence import stats
from beft_lib.report import drawn

# What stays as it is in the address of a drawing, a quarter less than base64.
_READABLE = " !$'()*+,-./:;=?@[]^_`{|}~"


def show(figure: Figure, name: str, caption: str, alt: str) -> None:
    """Display a figure with its caption and text alternative, and file it as SVG and PNG where a report is made.

    What is displayed is HTML that fits the page of any notebook; its metadata hold the name, the two texts and the
    numbers drawn (see `drawn`), for the report.
    """
    svg, numbers = filed(figure, name)
    image = f'<img src="{address(svg)}" alt="{escape(alt)}" style="max-width: 100%; height: auto; background: white">'
    legend = f'<figcaption style="max-width: 46em; text-align: left">{escape(caption)}</figcaption>'
    bundle = {"text/html": f'<figure style="margin: 0">{image}{legend}</figure>', "text/plain": f"{caption}\n\n{alt}"}
    display(bundle, raw=True, metadata={"name": name, "alt": alt, "caption": caption, "data": numbers})


def filed(figure: Figure, name: str) -> tuple[bytes, str]:
    """Draw a figure as SVG, the same bytes each time, and file it with a PNG where a report is made; closes it.

    Returns the SVG and the numbers drawn, as CSV.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    svg = _rounded(buffer.getvalue())
    numbers = drawn.numbers(figure).to_csv(index=False, float_format="%.6g")
    if (out := workspace.report_folder()) is not None:
        file = out / "figures" / f"{name}{workspace.variant()}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_name(f"{file.name}.svg").write_bytes(svg)
        figure.savefig(f"{file}.png", bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return svg, numbers


def address(svg: bytes) -> str:
    """A drawing as an address that holds all of it, for an `<img>`: there it runs and loads nothing."""
    return "data:image/svg+xml," + quote(svg.decode(), safe=_READABLE)


def show_table(frame: pd.DataFrame, name: str, caption: str, bold: pd.DataFrame | None = None) -> None:
    """Display a table with its caption, and file it as CSV, Markdown and LaTeX where a report is made.

    `bold`: which cells to set in bold, True or False in the shape of the frame; the CSV marks them with **.
    """
    plain = frame.reset_index() if frame.index.name else frame
    marked = plain if bold is None else plain.astype(str).where(~bold, "**" + plain.astype(str) + "**")
    if (out := workspace.report_folder()) is not None:
        folder = out / "tables"
        folder.mkdir(parents=True, exist_ok=True)
        file = f"{name}{workspace.variant()}"
        marked.to_csv(folder / f"{file}.csv", index=False)
        marked.to_markdown(folder / f"{file}.md", index=False)
        (folder / f"{file}.tex").write_text(_latex(plain, caption, bold), encoding="utf-8")
    bundle = {"text/html": _html(plain, caption, bold)}
    bundle["text/plain"] = f"{caption}\n\n{plain.to_string(index=False)}"
    given = {"name": name, "caption": caption, "data": marked.to_csv(index=False)}
    display(bundle, raw=True, metadata=given)


def scientific(frame: pd.DataFrame, digits: int = 2) -> pd.DataFrame:
    """The frame with its fractional numbers as text of so many significant digits, 0.000021 as 2.1e−5.

    For numbers that lie orders of magnitude apart, of which `show_table`'s four decimals would leave zeros.
    """
    return frame.map(lambda value: stats.significant(value, digits) if isinstance(value, float) else value)


def _embolden(style, bold: pd.DataFrame | None):
    return style if bold is None else style.apply(lambda _: bold.map(lambda b: "font-weight: bold" if b else ""), None)


def _rounded(svg: bytes) -> bytes:
    """The drawing on one line, without comments, to a hundredth of a point, which no eye can tell: half the bytes."""
    svg = re.sub(rb"\s*\n\s*", b" ", re.sub(rb"<!--.*?-->", b"", svg)).strip()
    places = rb' d="[^"]*"|translate\([^)]*\)'
    return re.sub(places, lambda found: re.sub(rb"(\.\d\d)\d+", rb"\1", found[0]), svg)


def _html(frame: pd.DataFrame, caption: str, bold: pd.DataFrame | None) -> str:
    """The table with its caption; styles on its cells, as Jupyter drops the sheets of notebooks it does not trust."""

    def cell(tag: str, text: str, place: int, heavy: bool = False) -> str:
        side = "right" if pd.api.types.is_numeric_dtype(frame.dtypes.iloc[place]) else "left"
        weight = "; font-weight: bold" if heavy else ""
        return f'<{tag} style="text-align: {side}{weight}">{escape(text)}</{tag}>'

    def row(place: int, values: Sequence) -> str:
        heavy = [False] * len(values) if bold is None else list(map(bool, bold.iloc[place]))
        return "".join(cell("td", _written(value), i, heavy[i]) for i, value in enumerate(values))

    head = "".join(cell("th", str(name), i) for i, name in enumerate(frame.columns))
    rows = "".join(f"<tr>{row(place, own)}</tr>" for place, own in enumerate(frame.itertuples(index=False, name=None)))
    legend = f'<caption style="text-align: left">{escape(caption)}</caption>'
    return f"<table>{legend}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _written(value: object) -> str:
    """A cell: a fraction with four decimals, a dash for what is missing."""
    if pd.isna(value):
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _latex(frame: pd.DataFrame, caption: str, bold: pd.DataFrame | None) -> str:
    style = (
        frame.style.hide(axis="index")
        .format(escape="latex", precision=4, na_rep="--")
        .format_index(escape="latex", axis=1)
    )
    caption = re.sub(r"([%&_#])", r"\\\1", caption)
    return _embolden(style, bold).to_latex(hrules=True, caption=caption, convert_css=True)


def say(*sentences: str) -> None:
    """Show sentences that were computed from results, as a list."""
    display(Markdown("\n".join(f"- {sentence}" for sentence in sentences)))
