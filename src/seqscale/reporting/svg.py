"""Matplotlib's SVG files made fit for standing inside a page: own ids, no global styles, colours for the dark."""

import re
import xml.etree.ElementTree as ElementTree
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline

from seqscale.reporting.style import ModelStyle, Style, Tone

DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
PIXELS_PER_POINT = 1.5  # at this scale the figures' 8.5 pt text is as large as the page's small print

LEAST_PIXELS_PER_POINT = 1.1  # below this a figure scrolls in its box: smaller text could not be read


def description(path: str | Path) -> str:
    """The text description stored in an SVG file that canvas.save wrote; empty where there is none."""
    found = ElementTree.parse(path).getroot().find(f".//{DESCRIPTION}")
    return "" if found is None else (found.text or "")


def inline(text: str, prefix: str, label: str) -> str:
    """An SVG file's text as an element for an HTML page.

    Every id (and every reference to one) gets `prefix`, so that many figures can stand on one page; the file's own
    style sheet, which would apply to the whole page, and its metadata are left out; a screen reader says `label`.
    """
    start = text.index("<svg")
    text = re.sub(r"<metadata>.*?</metadata>", "", text[start:], flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<title>.*?</title>", "", text, count=1, flags=re.DOTALL)
    text = _smaller(text)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-").replace('href="#', f'href="#{prefix}-')
    opening = re.match(r"<svg[^>]*>", text)
    assert opening is not None
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', opening.group())
    if box is None:
        raise ValueError(f"figure {prefix}: the SVG has no viewBox; was it drawn by src/figures.py?")
    width = float(box.group(1))
    head = (
        f'<svg class="plot" role="img" aria-label="{escape(label)}" viewBox="0 0 {box.group(1)} {box.group(2)}" '
        f'style="--w:{width * PIXELS_PER_POINT:.0f}px;--min:{width * LEAST_PIXELS_PER_POINT:.0f}px" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + text[opening.end() :].strip()


def _smaller(text: str) -> str:
    """The same picture in two thirds of the bytes: a page of many panels carries megabytes of them.

    Comments, empty groups, ids that nothing refers to and further decimals than two (of a point) go; ids are renamed.
    Styles stay as Matplotlib writes them, since `dark_rules` selects by them.
    """
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"(?<![\d.])([1-9]\d*\.\d\d)\d+", r"\1", text)  # not those below 1: they scale what they stand by
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda found: found.group() if found.group(1) in used else "", text)
    short: dict[str, str] = {}
    text = re.sub(
        r'( id="|href="#|url\(#)([^")]+)',
        lambda found: found.group(1) + short.setdefault(found.group(2), f"{len(short):x}"), text,
    )  # fmt: skip
    text = re.sub(r"\s*\n\s*", " ", text.replace("xlink:href=", "href=")).replace("> <", "><").replace(' "', '"')
    while (less := re.sub(r"<g/>|<g></g>", "", text)) != text:
        text = less
    return text


def dark_rules(style: Style) -> str:
    """CSS that turns every colour of the figures into its dark counterpart (Matplotlib writes them into style="").

    The selectors name no ancestor, because markers are drawn by <use>: what it shows is styled outside its figure.
    Nothing else on the page writes ``fill: #`` or ``stroke: #`` into a style attribute.
    """
    rules = []
    for tone in style.tones():
        for kind in ("fill", "stroke"):
            rules.append(f'[style*="{kind}: {tone.light}"]{{{kind}:{tone.dark}!important}}')
    return "\n".join(rules)


def tone_variables(tone: Tone) -> str:
    """Inline custom properties that the style sheet chooses from by colour scheme."""
    return f"--light:{tone.light};--dark:{tone.dark}"


def marker_path(look: ModelStyle) -> str:
    """A model's marker as the path of an SVG of 14 by 14: the very outline that the figures draw."""
    style = MarkerStyle(look.marker)
    outline = style.get_path().transformed(style.get_transform())
    points = np.asarray(outline.vertices, dtype=float)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 10 / max(float((high - low).max()), 1e-9)
    middle = (low + high) / 2
    parts = []
    for vertices, code in outline.iter_segments(curves=True, simplify=False):
        pairs = [(7 + (x - middle[0]) * scale, 7 - (y - middle[1]) * scale) for x, y in vertices.reshape(-1, 2)]
        letter = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}.get(code, "Z")
        parts.append("Z" if letter == "Z" else letter + " ".join(f"{x:.2f} {y:.2f}" for x, y in pairs))
    return "".join(parts)


def marker(look: ModelStyle) -> str:
    """A model's marker as a small SVG for tables."""
    return (
        f'<svg class="marker" viewBox="0 0 14 14" aria-hidden="true" style="{tone_variables(look.tone)}">'
        f'<path d="{marker_path(look)}"/></svg>'
    )


SHAPES = {
    "check": '<circle cx="8" cy="8" r="7.2" class="solid"/><path d="M4.4 8.3 7 10.9 11.7 5.5" class="cut"/>',
    "cross": '<rect x="1" y="1" width="14" height="14" rx="2" class="solid"/>'
    '<path d="M5 5 11 11M11 5 5 11" class="cut"/>',
    "half": '<circle cx="8" cy="8" r="6.6" class="line"/><path d="M8 1.4a6.6 6.6 0 0 0 0 13.2z" class="solid"/>',
    "ring": '<circle cx="8" cy="8" r="6.4" class="line" stroke-dasharray="2.6 2.4"/>',
}


def shape(name: str) -> str:
    """A verdict's shape as a small SVG in the colour of the text around it."""
    return f'<svg class="shape" viewBox="0 0 16 16" aria-hidden="true">{SHAPES[name]}</svg>'
