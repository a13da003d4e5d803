"""Every number on the page stands in a table: those that are marked as data exactly, those in running text as words."""

import math
import random
import re
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

LEAST = 50
PREFIXES = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "m": 1e-3, "µ": 1e-6, "n": 1e-9}
TOKEN = re.compile(r"(?<![\w.#])[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


@pytest.fixture(scope="module")
def cells(results: Path) -> tuple[set[float], set[str]]:
    """All numbers of all tables, and all number-like words in their texts."""
    values: set[float] = set()
    tokens: set[str] = set()
    for path in sorted((results / "tables").glob("*.csv")):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        for text in {cell for column in frame for cell in frame[column] if cell}:
            tokens |= {t.strip(",.") for t in TOKEN.findall(text)}
            try:
                values.add(float(text))
            except ValueError:
                values |= {float(t.replace(",", "")) for t in TOKEN.findall(text)}
    return values, tokens


def spelled(text: str) -> tuple[float, float]:
    """A printed number and half a unit of its last digit: "1.23 ms" -> (0.00123, 0.000005)."""
    text = unescape(re.sub(r"<[^>]+>", "", text.replace("<sup>", "^"))).replace("−", "-").replace("\u2212", "-")
    power = re.fullmatch(r"([-+]?[\d.]+) × 10\^([-+]?\d+)", text)
    if power:
        digits, scale = power.group(1), 10.0 ** int(power.group(2))
    else:
        found = re.fullmatch(r"(?:× ?)?([-+]?[\d,]+(?:\.\d+)?(?:e[-+]?\d+)?) ?(%|[TGMkmµn]?)(?:B|s|FLOP)?", text)
        assert found, f"{text!r} is no number as the page writes them"
        digits = found.group(1).replace(",", "")
        scale = 0.01 if found.group(2) == "%" else PREFIXES.get(found.group(2), 1.0)
    places = len(digits.split("e")[0].partition(".")[2])
    return float(digits) * scale, 0.500001 * 10.0**-places * scale


def test_a_sample_of_marked_numbers_is_found_in_a_table_and_rounded_rightly(
    html: str, cells: tuple[set[float], set[str]]
) -> None:
    marked = re.findall(r'<data value="([^"]+)">(.*?)</data>', html, re.DOTALL)
    assert len(marked) > 4 * LEAST
    ordered = sorted(cells[0])
    frame = pd.Series(ordered)
    for value, text in random.Random(20260101).sample(marked, 3 * LEAST):
        number = float(value)
        nearest = frame.iloc[(frame - number).abs().argmin()]
        assert math.isclose(nearest, number, rel_tol=1e-9, abs_tol=1e-15), f"{number} ({text}) is in no table"
        shown, half = spelled(text)
        loose = 0.5 * 10 ** (math.floor(math.log10(abs(number))) - 2) if number else 0.0  # three significant digits
        percent = 0.01 * number  # percentage points are written without a sign of it
        assert any(abs(shown - want) <= max(half, loose * 1.001, 1e-12) for want in (number, 100 * number, percent)), (
            f"{text} for {number}"
        )


def test_a_sample_of_numbers_in_running_text_is_found_in_a_table(html: str, cells: tuple[set[float], set[str]]) -> None:
    values, tokens = cells
    body = html[html.index("<main") : html.index("</main>")]
    for pattern in (r"<script.*?</script>", r"<data.*?</data>", r"<svg.*?</svg>", r"<pre.*?</pre>", r"<math.*?</math>",
                    r"<figcaption>.*?</figcaption>", r"<noscript>.*?</noscript>", r"<h2.*?</h2>\s*<p>.*?</p>",
                    r'<section class="equations".*?</section>', r"<caption>.*?</caption>", r"<summary>.*?</summary>",
                    r'<p class="note">.*?</p>', r"<code>.*?</code>"):  # fmt: skip
        body = re.sub(pattern, " ", body, flags=re.DOTALL)
    text = unescape(re.sub(r"<[^>]+>", " ", body))
    found = [t.strip(",.") for t in TOKEN.findall(text)]
    found = [t for t in found if t and not re.fullmatch(r"95|20|80", t)]  # the levels of intervals
    assert len(found) > 2 * LEAST
    sample = random.Random(1).sample(found, 2 * LEAST)
    lost = [t for t in sample if t not in tokens and float(t.replace(",", "")) not in values]
    assert lost == []
