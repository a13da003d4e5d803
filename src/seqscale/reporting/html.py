"""Small helpers that write HTML: escaping, numbers, tables, downloads. Every text from a table passes `esc`."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

MISSING = "—"
MIME = {".svg": "image/svg+xml", ".png": "image/png", ".csv": "text/csv;charset=utf-8", ".json": "application/json"}


class Html(str):
    """A piece of the page; a notebook shows it as HTML."""

    def _repr_html_(self) -> str:
        return str(self)


class Cell(NamedTuple):
    """A table cell: its HTML, its class, and the number or text to which it belongs in a row header."""

    html: str
    kind: str = ""


def esc(value: object) -> str:
    """Text as HTML; None and NaN become a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    return escape(str(value))


def data(value: float, text: str) -> str:
    """A number as shown, with the full value of the table that it comes from beside it, for people and programs."""
    return f'<data value="{float(value)!r}">{text}</data>'


def number(value: Any, digits: int = 4) -> str:
    """A number with `digits` significant ones, plainly written between 0.001 and a million; a dash for none."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return MISSING
    if not math.isfinite(value):
        return MISSING
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        places = max(0, digits - 1 - (math.floor(math.log10(abs(value))) if value else 0))
        return data(value, f"{value:,.{places}f}")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return data(value, f"{mantissa} &times; 10<sup>{int(exponent)}</sup>".replace("-", "&minus;"))


def fixed(value: float, places: int = 3) -> str:
    """A number with so many decimals; a dash for none."""
    return data(value, f"{value:,.{places}f}") if math.isfinite(value) else MISSING


def share(value: float, places: int = 1) -> str:
    """A share as per cent; a dash for none."""
    return data(value, f"{value * 100:.{places}f} %") if math.isfinite(value) else MISSING


def interval(low: float, high: float, places: int = 3, percent: bool = False) -> str:
    """ "[1.861, 1.918]"; without an interval it says so, since one run bears none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return '<span class="ci">one seed</span>'
    ends = (f"{v * 100:.{places}f}" if percent else f"{v:.{places}f}" for v in (low, high))
    return '<span class="ci">[' + ", ".join(data(v, t) for v, t in zip((low, high), ends, strict=True)) + "]</span>"


SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def si_text(value: float, unit: str) -> str:
    """0.0042 s -> "4.2 ms": three significant digits with an SI prefix."""
    if value == 0:
        return f"0 {unit}".strip()
    size, letter = next(((s, p) for s, p in SI if abs(value) >= s * 0.9995), SI[-1])
    return f"{value / size:.3g} {letter}{unit}".strip()


def si(value: float, unit: str) -> str:
    """si_text as HTML; a dash for no number."""
    return data(value, si_text(value, unit)) if math.isfinite(value) else MISSING


def length(value: float) -> str:
    """A length in tokens: "1,024"; a dash for none."""
    return data(value, f"{value:,.0f}") if math.isfinite(value) else MISSING


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[Cell | str]], kind: str = "") -> str:
    """A table in a box that scrolls by itself. The first cell of each row is its header; `caption` may hold HTML."""
    head = "".join(f'<th scope="col">{title}</th>' for title in header)
    body = []
    for row in rows:
        cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]
        first, rest = cells[0], cells[1:]
        body.append(
            f'<tr><th scope="row" class="{first.kind}">{first.html}</th>'
            + "".join(
                f'<td class="{cell.kind}" data-label="{escape(_plain(title))}">{cell.html}</td>'
                for cell, title in zip(rest, header[1:], strict=True)
            )
            + "</tr>"
        )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(_plain(caption))}"><table class="{kind}">'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _plain(html: str) -> str:
    """HTML without its tags (ours only: captions and column titles)."""
    out, inside = [], False
    for letter in html:
        inside = letter == "<" or (inside and letter != ">")
        if not inside and letter != ">":
            out.append(letter)
    return "".join(out)


def fold(words: str, html: str, is_open: bool = True) -> str:
    """A part that can be closed; one that stands open is closed at first on a phone, by the page's script."""
    return (
        f'<details class="fold"{" open" if is_open else ""}><summary>{words}</summary>{html}</details>' if html else ""
    )


def plural(count: int, noun: str, many: str = "") -> str:
    """ "1 run", "3 runs"."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"


def esc_none(value: object) -> str:
    """A text from a table, nothing for an empty cell."""
    return "" if value is None or value != value else str(value)


def listed(items: Sequence[str]) -> str:
    """ "a, b and c"."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


@dataclass
class Downloads:
    """Files carried inside the page as data: links, within a budget, so that the page stays one small file."""

    budget_bytes: int = 5_000_000  # of base64; figures, library and text come on top, the page stays below 15 MB
    largest_bytes: int = 1_000_000  # of one file: the history of hundreds of runs is not carried

    def link(self, path: Path, words: str) -> str:
        """A link that saves `path`; words only where the file is absent or the budget spent."""
        if not path.is_file():
            return f'<span class="muted">{esc(words)}: not there</span>'
        size = (path.stat().st_size + 2) // 3 * 4
        if size > min(self.budget_bytes, self.largest_bytes):
            return f'<span class="muted">{esc(words)}: too large to carry, see {esc(path.name)} beside this page</span>'
        self.budget_bytes -= size
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        mime = MIME.get(path.suffix, "application/octet-stream")
        return f'<a class="download" download="{esc(path.name)}" href="data:{mime};base64,{data}">{esc(words)}</a>'
