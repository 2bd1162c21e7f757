"""What a notebook shows, it also files: figures with a text alternative, tables with a caption."""

import io
import re

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from beft_lib import workspace
from beft_lib.evidence import stats


def show(figure: Figure, name: str, caption: str, alt: str) -> None:
    """Display a figure with its caption and text alternative, and file it as SVG and PNG where a report is made."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):  # the same figure is the same bytes
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    svg = _rounded(buffer.getvalue())
    if (out := workspace.report_folder()) is not None:
        file = out / "figures" / f"{name}{workspace.variant()}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_name(f"{file.name}.svg").write_bytes(svg)
        figure.savefig(f"{file}.png", bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    bundle = {"image/svg+xml": svg.decode(), "text/plain": f"{caption}\n\n{alt}"}
    display(bundle, raw=True, metadata={"alt": alt, "caption": caption})


def show_table(frame: pd.DataFrame, name: str, caption: str, bold: pd.DataFrame | None = None) -> None:
    """Display a table with its caption, and file it as CSV, Markdown and LaTeX where a report is made.

    `bold`: which cells to set in bold, True or False in the shape of the frame; the CSV marks them with **.
    """
    plain = frame.reset_index() if frame.index.name else frame
    if (out := workspace.report_folder()) is not None:
        folder = out / "tables"
        folder.mkdir(parents=True, exist_ok=True)
        marked = plain if bold is None else plain.astype(str).where(~bold, "**" + plain.astype(str) + "**")
        file = f"{name}{workspace.variant()}"
        marked.to_csv(folder / f"{file}.csv", index=False)
        marked.to_markdown(folder / f"{file}.md", index=False)
        (folder / f"{file}.tex").write_text(_latex(plain, caption, bold), encoding="utf-8")
    style = plain.style.hide(axis="index").set_caption(caption).format(escape="html", precision=4, na_rep="–")
    display(_embolden(style, bold))


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
