# SPDX-License-Identifier: MIT
"""From pairs of figures to a table of ratios."""
import dataclasses
import statistics

from .sides import FerrySide, QemuSide


@dataclasses.dataclass
class Row:
    """One thing that is measured."""

    key: str
    title: str
    unit: str
    measure: object  # function of a side and a Bench
    more_is_better: bool = True
    ratio_min: float = None  # aims: ferry's figure over QEMU's
    ratio_max: float = None
    ferry_max: float = None  # or ferry's figure alone
    table: str = "measured"  # which one of the document it stands in
    sides: tuple = (FerrySide, QemuSide)
    pairs: list = dataclasses.field(default_factory=list)

    def aim(self):
        """In words."""
        if self.ferry_max is not None:
            return f"≤ {self.ferry_max:g} {self.unit}".rstrip()
        if self.ratio_min is not None:
            return f"≥ {self.ratio_min:g}"
        return f"≤ {self.ratio_max:g}" if self.ratio_max is not None else ""

    def met(self):
        """Does the median reach the aim? None: there is none."""
        ratio = statistics.median(self.ratios()) if self.ratios() else None
        if self.ferry_max is not None:
            return statistics.median(f for f, _ in self.pairs) <= self.ferry_max
        if ratio is None or self.aim() == "":
            return None
        return ratio >= self.ratio_min if self.ratio_min is not None else ratio <= self.ratio_max

    def ratios(self):
        """ferry's figure over QEMU's, of each pair."""
        return [ferry / qemu for ferry, qemu in self.pairs if qemu]


def number(value):
    """Three digits that mean something."""
    if value >= 10000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values, form):
    """Median (min to max)."""
    if not values:
        return "-"
    return f"{form(statistics.median(values))} ({form(min(values))}–{form(max(values))})"


HEADS = {"cost": ["", "with it", "without it", "with / without", "aim", ""]}
HEAD = ["", "ferry", "QEMU 7.2", "ferry / QEMU", "aim", ""]


def cells(row):
    """One line of the table."""
    mark = {True: "met", False: "MISSED", None: ""}[row.met()]
    better = "" if row.more_is_better else ", less is better"
    return [f"{row.title} ({row.unit}{better})" if row.unit else f"{row.title}{better}",
            spread([ferry for ferry, _ in row.pairs], number),
            spread([qemu for _, qemu in row.pairs], number),
            spread(row.ratios(), "{:.2f}".format), row.aim(), mark]


def markdown(rows):
    """The table, with its columns lined up for those who read the source."""
    head = HEADS.get(rows[0].table, HEAD)
    lines = [head, *(cells(row) for row in rows if row.pairs)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(line, widths)] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)
