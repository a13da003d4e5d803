"""Two small diagrams as SVG: the block of a model from its description, and the DAG of the pipeline with its jobs."""

from collections.abc import Mapping, Sequence
from typing import Any

from seqscale.reporting.html import esc


def _box(x: float, y: float, width: float, words: str, kind: str = "") -> str:
    return (
        f'<g class="box {kind}"><rect x="{x:g}" y="{y:g}" width="{width:g}" height="24" rx="4"/>'
        f'<text x="{x + width / 2:g}" y="{y + 16:g}" text-anchor="middle">{esc(words)}</text></g>'
    )


def block(card: Mapping[str, Any]) -> str:
    """A model as a picture: embedding, the residual block as often as it stands there, norm and head.

    `card` has mixer, n_layers, channel_mixer, norm, positions (texts, numbers; missing ones are left out).
    """
    norm, mixer = str(card.get("norm") or "norm"), str(card.get("mixer") or "mixer").replace("_", " ")
    channel = card.get("channel_mixer")
    inner = [norm, mixer, *([norm, str(channel)] if channel and channel != "none" else [])]
    positions = card.get("positions")
    first = "embedding" + (f" + {positions} positions" if positions and positions != "none" else "")
    width, x, top = 176.0, 34.0, 8.0
    parts, y = [_box(x, top, width, first)], top + 24
    box_top = y + 12
    y = box_top + 10
    for k in range(0, len(inner), 2):
        start = y - 5
        for words in inner[k : k + 2]:
            parts.append(f'<path class="arrow" d="M{x + width / 2:g} {y - 8:g}V{y:g}"/>')
            parts.append(_box(x, y, width, words, "mixer" if words == mixer else ""))
            y += 32
        parts.append(f'<path class="arrow" d="M{x + width / 2:g} {y - 8:g}V{y:g}"/>')
        parts.append(f'<circle class="plus" cx="{x + width / 2:g}" cy="{y + 8:g}" r="8"/>'
                     f'<path class="arrow" d="M{x + width / 2 - 5:g} {y + 8:g}h10m-5-5v10"/>')  # fmt: skip
        parts.append(
            f'<path class="arrow" d="M{x + width / 2:g} {start:g}H{x - 16:g}V{y + 8:g}H{x + width / 2 - 8:g}"/>'
        )
        y += 24
    depth = card.get("n_layers")
    times = f"× {depth:g}" if isinstance(depth, int | float) and depth == depth else "× layers"
    parts.insert(0, f'<rect class="frame" x="{x - 26:g}" y="{box_top:g}" width="{width + 74:g}" '
                 f'height="{y - box_top:g}" rx="6"/>'
                 f'<text x="{x + width + 8:g}" y="{box_top + 18:g}" class="times">{times}</text>')  # fmt: skip
    y += 12
    for words in (norm, "head"):
        parts.append(f'<path class="arrow" d="M{x + width / 2:g} {y - 12:g}V{y:g}"/>')
        parts.append(_box(x, y, width, words))
        y += 36
    told = f"{first}; {times} residual: {', '.join(inner)}; {norm}; head"
    return (
        f'<svg class="diagram" role="img" aria-label="Block diagram: {esc(told)}" viewBox="0 0 270 {y - 8:g}" '
        f'style="--w:270px">{"".join(parts)}</svg>'
    )


def reduced(edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows without those that a longer way implies (transitive reduction of an acyclic graph)."""
    after: dict[str, set[str]] = {}
    for a, b in edges:
        after.setdefault(a, set()).add(b)

    def reaches(start: str, goal: str) -> bool:
        return any(n == goal or reaches(n, goal) for n in after.get(start, ()))

    return [(a, b) for a, b in edges if not any(n != b and reaches(n, b) for n in after[a])]


def dag(edges: Sequence[tuple[str, str]], jobs: Mapping[str, int]) -> str:
    """The rules as boxes, in columns by their longest way to the end; `jobs` counts the jobs of each."""
    names = list(dict.fromkeys([n for edge in edges for n in edge] + list(jobs)))
    edges = reduced(edges)
    level = dict.fromkeys(names, 0)  # longest way to the end, so that a rule stands just before what needs it
    for _ in names:  # as many rounds as there are nodes always suffice
        for a, b in edges:
            level[a] = max(level[a], level[b] + 1)
    last = max(level.values(), default=-1)
    columns = [[n for n in names if last - level[n] == k] for k in range(last + 1)]
    place = {n: (16 + 150.0 * k, 14 + 52.0 * r) for k, column in enumerate(columns) for r, n in enumerate(column)}
    arrows = "".join(
        f'<path class="arrow" d="M{place[a][0] + 116:g} {place[a][1] + 12:g}'
        f"C{place[a][0] + 140:g} {place[a][1] + 12:g} {place[b][0] - 24:g} {place[b][1] + 12:g} "
        f'{place[b][0]:g} {place[b][1] + 12:g}" marker-end="url(#dag-end)"/>'
        for a, b in edges
    )
    boxes = "".join(_box(x, y, 116, f"{n} × {jobs[n]}" if n in jobs else n) for n, (x, y) in place.items())
    width = 16 + 150 * len(columns)
    height = 28 + 52 * max((len(c) for c in columns), default=1)
    told = ", ".join(f"{a} to {b}" for a, b in edges)
    return (
        '<div class="scroll" role="region" tabindex="0" aria-label="DAG of the pipeline">'
        f'<svg class="diagram" role="img" aria-label="DAG of the pipeline: {esc(told)}" viewBox="0 0 {width} {height}" '
        f'style="--w:{width}px;--min:{width * 0.75:.0f}px"><defs><marker id="dag-end" viewBox="0 0 8 8" '
        f'refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>'
        f"{arrows}{boxes}</svg></div>"
    )
