"""Small charts as SVG text, for reports that open anywhere and load nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from training.rows import Floats

WIDTH, HEIGHT, MARGIN = 420, 220, 44
BAR, NAMES = 16, 200  # pixels: of a bar with its gap, and left of the bars
COLOURS = ("#1f6feb", "#d1242f", "#2da44e", "#9a6700", "#8250df", "#57606a", "#bf3989")


@dataclass(frozen=True, slots=True)
class Line:
    """One line; NaN breaks it. With `upper` it is the band between the two."""

    name: str
    x: Floats
    y: Floats
    upper: Floats | None = None


def chart(title: str, lines: Sequence[Line], x_label: str) -> str:
    """A chart with its axes' ends labelled; an empty one where no value is known."""
    known = [values[np.isfinite(values)] for line in lines for values in (line.y, line.upper) if values is not None]
    values = np.concatenate(known) if known else np.empty(0)
    if not len(values):
        return f"<figure><figcaption>{escape(title)}: nothing is known</figcaption></figure>"
    xs = np.concatenate([line.x for line in lines])
    frame = _Frame(float(xs.min()), float(xs.max()), min(0.0, float(values.min())), float(values.max()))
    drawn = [_drawn(line, COLOURS[at % len(COLOURS)], frame) for at, line in enumerate(lines)]
    names = "".join(
        f'<tspan fill="{COLOURS[at % len(COLOURS)]}" dx="8">{escape(line.name)}</tspan>' for at, line in enumerate(lines)
    )
    axes = (
        f'<path d="M{MARGIN} 16V{HEIGHT - MARGIN}H{WIDTH - 8}" fill="none" stroke="#8c959f"/>'
        f'<text x="{MARGIN - 4}" y="22" text-anchor="end">{frame.top:.3g}</text>'
        f'<text x="{MARGIN - 4}" y="{HEIGHT - MARGIN}" text-anchor="end">{frame.bottom:.3g}</text>'
        f'<text x="{MARGIN}" y="{HEIGHT - MARGIN + 14}">{frame.left:g}</text>'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - MARGIN + 14}" text-anchor="end">{escape(x_label)} {frame.right:g}</text>'
        f'<text x="{MARGIN - 8}" y="{HEIGHT - 8}">{names}</text>'
    )
    body = "".join(drawn) + axes
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-size="11" font-family="sans-serif">{body}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>"


def bars(title: str, values: Mapping[str, float]) -> str:
    """A bar per name, from the top down in their order, each with its value; none is below 0."""
    longest = max(values.values(), default=0.0) or 1.0
    room = WIDTH - NAMES - 50
    drawn = []
    for at, (name, value) in enumerate(values.items()):
        top, length = 4 + at * BAR, max(value, 0.0) / longest * room
        drawn.append(
            f'<text x="{NAMES - 4}" y="{top + 10}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{NAMES}" y="{top}" width="{length:.1f}" height="{BAR - 4}" fill="{COLOURS[0]}"/>'
            f'<text x="{NAMES + length + 4:.1f}" y="{top + 10}">{value:.3f}</text>'
        )
    height = 8 + BAR * len(values)
    svg = f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" font-size="11" font-family="sans-serif">{"".join(drawn)}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>"


@dataclass(frozen=True, slots=True)
class _Frame:
    left: float
    right: float
    bottom: float
    top: float

    def place(self, x: Floats, y: Floats) -> list[tuple[float, float]]:
        """Pixels of the points."""
        across = (x - self.left) / ((self.right - self.left) or 1.0)
        up = (y - self.bottom) / ((self.top - self.bottom) or 1.0)
        pixels = zip(MARGIN + across * (WIDTH - MARGIN - 8), HEIGHT - MARGIN - up * (HEIGHT - MARGIN - 16), strict=True)
        return [(float(a), float(b)) for a, b in pixels]


def _drawn(line: Line, colour: str, frame: _Frame) -> str:
    if line.upper is not None:
        around = [*frame.place(line.x, line.y), *reversed(frame.place(line.x, line.upper))]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in around)
        return f'<polygon points="{points}" fill="{colour}" opacity="0.18"/>'
    path, pen = [], "M"
    for at, (x, y) in enumerate(frame.place(line.x, np.nan_to_num(line.y))):
        if not np.isfinite(line.y[at]):
            pen = "M"
            continue
        path.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
