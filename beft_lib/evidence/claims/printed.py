"""Findings from numbers that need no run: a table as it is printed, or counts that follow from a configuration.

They are exact: nothing is sampled, so an interval would say nothing. A printed number is its value to the last digit.
"""

from collections.abc import Mapping

import numpy as np

from beft_lib.evidence import stats
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    LEANS,
    MARGIN,
    NO_DIFFERENCE,
    SUPPORTED,
    Finding,
)


def exact(value: float, n: int) -> stats.Estimate:
    """A number that is known: no interval."""
    return stats.Estimate(float(value), np.nan, np.nan, n)


def each_higher(first: Mapping[str, float], second: Mapping[str, float], strictly: bool = True) -> Finding:
    """Whether each printed cell is higher than its partner: contradicted by a lower one, a lean where cells tie.

    The effect is the smallest difference. `strictly`: a tie speaks against it.
    """
    gaps = {cell: round(first[cell] - second[cell], 6) for cell in first}
    lower = [cell for cell, gap in gaps.items() if gap < 0]
    ties = [cell for cell, gap in gaps.items() if gap == 0]
    verdict = CONTRADICTED if lower else LEANS if ties and strictly else SUPPORTED
    reason = f"higher in {len(gaps) - len(lower) - len(ties)} of {len(gaps)} cells"
    reason += f", equal in {len(ties)} ({', '.join(ties)})" if ties else ""
    reason += f", lower in {len(lower)} ({', '.join(lower)})" if lower else ""
    return Finding(verdict, exact(min(gaps.values()), len(gaps)), "points", reason, "cells", scope="as printed")


def grows(printed: Mapping[str, float], sign: int) -> Finding:
    """Whether printed numbers grow (sign 1) or shrink (−1) from the first to the last.

    A step between them that goes the other way is told: of one seed, it decides nothing. The effect is the change.
    """
    first, *_, last = printed.values()
    change = round(sign * (last - first), 6)
    reason = "printed " + ", ".join(f"{value:.1f} with {name}" for name, value in printed.items())
    steps = [round(sign * (b - a), 6) for a, b in zip([*printed.values()], [*printed.values()][1:])]
    if back := sum(step < 0 for step in steps):
        reason += f"; the other way in {back} of {len(steps)} steps"
    verdict = SUPPORTED if change > 0 else CONTRADICTED
    unit = f"points {'wider' if sign > 0 else 'narrower'}"
    return Finding(verdict, exact(change, len(printed)), unit, reason, "cells", scope="as printed")


def each_at_least(first: Mapping[str, float], second: Mapping[str, float], margin: float = MARGIN) -> Finding:
    """Whether printed cells are at most the margin below their partners, in most of them. The effect is the smallest
    difference."""
    gaps = {cell: round(first[cell] - second[cell], 6) for cell in first}
    near = sum(gap >= -margin for gap in gaps.values())
    higher, equal = (sum(sign(gap) for gap in gaps.values()) for sign in (lambda g: g > 0, lambda g: g == 0))
    verdict = SUPPORTED if near > len(gaps) / 2 else CONTRADICTED
    reason = f"at most {margin:g} points lower in {near} of {len(gaps)} cells; higher in {higher}, equal in {equal}"
    return Finding(verdict, exact(min(gaps.values()), len(gaps)), "points", reason, "cells", scope="as printed")


def each_alike(first: Mapping[str, float], second: Mapping[str, float], margin: float = MARGIN) -> Finding:
    """Whether each printed cell is higher than its partner, where none differs by more than the margin: no difference.

    The effect is the mean difference.
    """
    gaps = np.array([round(first[cell] - second[cell], 6) for cell in first])
    verdict = NO_DIFFERENCE if abs(gaps).max() <= margin else SUPPORTED if (gaps > 0).all() else CONTRADICTED
    reason = (
        f"higher in {sum(gaps > 0)}, equal in {sum(gaps == 0)}, lower in {sum(gaps < 0)} of {len(gaps)} cells; "
        f"never more than {stats.number(abs(gaps).max())} points apart"
    )
    return Finding(verdict, exact(gaps.mean(), len(gaps)), "points", reason, "cells", scope="as printed")


def averages(cells: Mapping[str, list[float]], printed: Mapping[str, float], digits: int = 1) -> Finding:
    """Whether each printed average can be that of its row's cells, which are rounded themselves.

    The mean of rounded cells is off by half a last digit at most, and the printed average by as much again: only a
    difference beyond both is an error. The effect is the largest difference.
    """
    off = {row: printed[row] - float(np.mean(own)) for row, own in cells.items()}
    rounding = 0.5 * 10**-digits + 1e-9
    worst = max(off, key=lambda row: abs(off[row]))
    said = [
        f"{row} is printed {printed[row]:.{digits}f}, and its cells as printed give {np.mean(cells[row]):.{digits}f}"
        + ("" if abs(error) > 2 * rounding else ", which the rounding of the cells allows")
        for row, error in off.items()
        if abs(error) > rounding
    ]
    wrong = sum(abs(error) > 2 * rounding for error in off.values())
    reason = "; ".join([f"possible in {len(off) - wrong} of {len(off)} rows", *said])
    verdict = CONTRADICTED if wrong else SUPPORTED
    return Finding(verdict, exact(off[worst], len(off)), "points", reason, "rows", scope="as printed")


def shares(counted: Mapping[str, tuple[int, int]], printed: Mapping[str, float]) -> Finding:
    """Whether printed shares (percent) are those of the scalars counted, `(trained, of all)`, to the digits printed.

    A share is right if it rounds to what is printed, to as many significant digits. The effect is how many times too
    large the printed ones are, their geometric mean.
    """
    true = {row: 100 * trained / every for row, (trained, every) in counted.items()}
    right = [row for row in printed if np.isclose(printed[row], float(f"{true[row]:.{_digits(printed[row])}g}"))]
    times = np.exp(np.mean([np.log(printed[row] / true[row]) for row in printed]))
    named = ", ".join(f"{row} {true[row]:.2g} % for {printed[row]:g} %" for row in printed)
    verdict = SUPPORTED if len(right) == len(printed) else CONTRADICTED
    reason = f"right in {len(right)} of {len(printed)}: counted {named}"
    return Finding(verdict, exact(times, len(printed)), "times too large", reason, "shares", scope="as printed")


def _digits(value: float) -> int:
    """The significant digits of a printed share: 1 of 0.04, 2 of 1.2."""
    return len(f"{value:g}".replace(".", "").lstrip("0"))


def rounds_to(trained: int, every: int, printed: float, digits: int = 2) -> Finding:
    """Whether a share of the parameters rounds to what is printed, in percent. The effect is the share."""
    found = 100 * trained / every
    verdict = SUPPORTED if f"{found:.{digits}f}" == f"{printed:.{digits}f}" else CONTRADICTED
    reason = f"{trained:,} of {every:,} scalars, counted from the configuration"
    return Finding(verdict, exact(found, 1), "% of the parameters", reason, "count")


def times_as_many(more: int, fewer: int, claimed: float, tolerance: float = 0.15, at_least: bool = False) -> Finding:
    """Whether one count is `claimed` times another, within the tolerance, or at least that. The effect is the ratio."""
    ratio = more / fewer
    holds = ratio >= (1 - tolerance) * claimed and (at_least or ratio <= (1 + tolerance) * claimed)
    least = "at least " if at_least else ""
    reason = (
        f"{more:,} against {fewer:,} scalars, counted from the configuration; {least}{claimed:g} times as many are "
        f"claimed, within {100 * tolerance:.0f} %"
    )
    return Finding(SUPPORTED if holds else CONTRADICTED, exact(ratio, 1), "times as many", reason, "count")
