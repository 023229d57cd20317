"""Figures: the style that all plots share. The only module that imports matplotlib, and only its object interface:
no pyplot, so no state that threads would share and no window system."""

from __future__ import annotations

import os
import sys

import numpy as np
from PIL import Image

_RC = "matplotlibrc"
if "matplotlib" not in sys.modules:
    # On import matplotlib obeys a file of this name in the working folder, before the user's own and without a way to turn that
    # off: a stranger's `text.usetex: true` would end a training. (Changing the folder meanwhile would mislead other threads.)
    _exists = os.path.exists
    os.path.exists = lambda path: path != _RC and _exists(path)
    try:
        import matplotlib
    finally:
        os.path.exists = _exists
else:
    import matplotlib

    if matplotlib.matplotlib_fname() == _RC:  # a plugin imported it, and it obeyed
        matplotlib.rcdefaults()

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

DPI = 100
INK, FAINT = "#333333", "#cfcfcf"
COLOURS = ("#3b6fd4", "#e8833a", "#2f9e62", "#c8453c", "#8a63c7", "#4bb3c4", "#b58a1b", "#7a7a7a")


def new_figure(width: int, height: int) -> Figure:
    """An empty white figure of so many pixels."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_axes(figure: Figure, left: float, bottom: float, width: float, height: float, title: str) -> Axes:
    """Axes at a position in pixels from the figure's lower left corner."""
    w, h = figure.get_size_inches() * DPI
    axes = figure.add_axes((left / w, bottom / h, width / w, height / h))
    axes.set_title(title, fontsize=11, color=INK, loc="left", pad=6)
    axes.tick_params(labelsize=9, colors=INK, length=3, width=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
        spine.set_linewidth(0.6)
    return axes


def figure_image(figure: Figure) -> Image.Image:
    """The figure drawn."""
    canvas = FigureCanvasAgg(figure)  # also where pyplot made it, and took its own away
    canvas.draw()  # type: ignore[no-untyped-call]
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())  # type: ignore[no-untyped-call]
