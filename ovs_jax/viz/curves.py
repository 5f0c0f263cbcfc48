"""Curves of a run, from the log that training writes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLUMNS = 3
"""Panels side by side."""
SMOOTHED = 50
"""Series with more points than this are drawn faintly, with their running mean on top."""

Series = dict[str, list[tuple[int, float]]]
"""(step, value) pairs by name."""


def read_metrics(path: Path) -> Series:
    """Reads a ``metrics.jsonl``: a JSON object a line, with ``step`` and numbers by name.

    Entries that are not numbers are left out. A last line that is cut short, as a run that was
    killed leaves it, is left out too.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if a line is no JSON object or has no step.
    """
    series: Series = {}
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            step = record["step"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise ValueError(
                f"{path}:{number}: expected a JSON object with 'step', got {line[:80]!r}"
            ) from error
        for name, value in record.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if name != "step" and is_number:
                series.setdefault(name, []).append((int(step), float(value)))
    return series


def draw_curves(
    series: Mapping[str, Sequence[tuple[int, float]]], *, title: str = ""
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws every series that has two finite values; names with one prefix share a panel.

    ``loss/total`` and ``loss/mask`` are drawn together under ``loss``; a name without a slash has a
    panel of its own.

    Args:
      series: (step, value) pairs by name.
      title: above all panels.

    Returns:
      The picture.

    Raises:
      ValueError: if no series can be drawn.
    """
    drawable = {name: _finite(points) for name, points in series.items()}
    drawable = {name: points for name, points in drawable.items() if len(points) > 1}
    if not drawable:
        raise ValueError("curves: expected a series of at least two finite values, got none")
    panels: dict[str, list[str]] = {}
    for name in drawable:
        panels.setdefault(name.split("/")[0], []).append(name)
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows + 0.3), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for place, (panel, names) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        for name in names:
            _draw(axes, drawable[name], label=name.removeprefix(f"{panel}/"))
        axes.set_title(panel, fontsize=10, loc="left")
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len(names) > 1:
            axes.legend(fontsize=8, frameon=False)
    if title:
        figure.suptitle(title, fontsize=11)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _finite(points: Sequence[tuple[int, float]]) -> np.ndarray:
    array = np.asarray(points, float).reshape(-1, 2)
    return array[np.isfinite(array).all(axis=1)]


def _draw(axes: Axes, points: np.ndarray, *, label: str) -> None:
    steps, values = points.T
    if len(points) <= SMOOTHED:
        axes.plot(steps, values, marker="." if len(points) < 20 else "", linewidth=1.5, label=label)
        return
    width = max(len(points) // SMOOTHED, 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(len(values)) - width, 0)
    high = np.minimum(np.arange(len(values)) + width + 1, len(values))
    (line,) = axes.plot(steps, (sums[high] - sums[low]) / (high - low), linewidth=1.6, label=label)
    axes.plot(steps, values, linewidth=0.6, alpha=0.3, color=line.get_color())
