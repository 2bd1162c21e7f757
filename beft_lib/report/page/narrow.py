"""A wide table made to fit its box: what is the same in every row is said once, the paper's number goes below ours."""

import re
from collections.abc import Callable

from bs4 import BeautifulSoup, Tag

from .exhibits import Exhibit
from .outline import slug

WIDE = 7  # columns; a table with fewer is left as it is
_TOGETHER = re.compile(r" ± |\[[-−\d.]+, [-−\d.]+\]")
PAPER = ", paper"  # ends the name of a column that holds the paper's numbers


def narrow(table: Tag) -> str:
    """Take columns out of a wide table with one row of headers; what has to be said of it above it, "" for nothing.

    A column with one value in all rows is said, not repeated. A column "NAME, paper" becomes a second line in the cells
    of "NAME".
    """
    heads = table.select("thead tr")
    rows = [row.find_all(["td", "th"]) for row in table.select("tbody tr")]
    if len(heads) != 1 or len(rows) < 3:
        return ""
    header = heads[0].find_all(["td", "th"])
    if len(header) < WIDE or any(len(row) != len(header) or row_spans(row) for row in [header, *rows]):
        return ""
    names = [cell.get_text(" ", strip=True) for cell in header]
    gone, said = set(), []
    for place, name in enumerate(names):
        texts = {row[place].get_text(" ", strip=True) for row in rows}
        if len(texts) == 1 and place > 0:
            gone.add(place)
            if (text := texts.pop()) not in ("", "–"):
                said.append(f"{name}: {text}")
    for place, name in enumerate(names):
        ours = name.removesuffix(PAPER) if name.endswith(PAPER) else None
        above = next((i for i, other in enumerate(names[:place]) if ours in (other, other.partition(" = ")[0])), place)
        if ours is not None and not {place, above} & gone and above != place:
            gone.add(place)
            for row in rows:
                if (text := row[place].get_text(" ", strip=True)) not in ("", "–"):
                    small = BeautifulSoup("<small></small>", "html.parser").small
                    assert small is not None, "it was just made"
                    small.string = f"paper {text}"
                    row[above].append(small)
    for row in [header, *rows]:
        for place in gone:
            row[place].decompose()
    return f"In every row: {'; '.join(said)}." if said else ""


def bind(table: Tag) -> None:
    """Keep "73.0 ± 0.7" and "[16.3, 22.9]" on one line each."""
    for text in table.find_all(string=re.compile(r" ± |\[[^\[\]]*, ")):
        text.replace_with(_TOGETHER.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), str(text)))


def row_spans(row: list[Tag]) -> bool:
    """Whether a cell of the row covers more than one place."""
    return any(cell.get("colspan", "1") != "1" or cell.get("rowspan", "1") != "1" for cell in row)


def mark_rows(table: Tag, exhibit: Exhibit, keep: Callable[[str], str]) -> None:
    """Give a place in the page to each row that a claim rests on: the one of its task and amount of data."""
    wanted = dict.fromkeys(row for claim in exhibit.claims for row in claim.rows)
    for row in table.select("tbody tr"):
        cells = row.find_all(["td", "th"])
        texts = {cell.get_text(" ", strip=True) for cell in cells}
        for task, regime in wanted:
            if (task, regime) not in exhibit.rows and {task, regime} <= texts:
                place = f"{exhibit.anchor}--{slug(f'{task}-{regime}')}"
                exhibit.rows[task, regime] = place
                cells[0].append(keep(f'<span class="place" id="{place}"></span>'))
