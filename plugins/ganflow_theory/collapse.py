"""Mode collapse: a recipe that does, and the same one with a single number changed.

Momentum turns the game's rotation into circling (Gidel et al. 2019, arXiv:1807.04740): the generator chases the critic from mode
to mode.
"""

from __future__ import annotations

from collections.abc import Sequence

from ganflow import COLOURS, INK, GanflowError, add_axes, new_figure
from ganflow_theory.showing import Number, Shown, watched

RECIPES = {
    "collapse": ("theory/collapse", "with momentum (beta1 = 0.9)"),
    "no_collapse": ("theory/no_collapse", "without (beta1 = 0)"),
}
TIMES, DRAWN, COUNTED = 5, 1000, 2500
SIDE, GAP, LEFT, BOTTOM, TOP = 230, 14, 190, 24, 96


def show(changes: Sequence[str]) -> Shown:
    """Play both recipes; a row of pictures for each, from left to right over the rounds."""
    from ganflow_metrics.modes import count_modes

    width = LEFT + TIMES * (SIDE + GAP) + 10
    height = BOTTOM + 2 * (SIDE + 58) + TOP - 40
    figure = new_figure(width, height)
    title = "A GAN that collapses, and one that does not"
    figure.text(16 / width, 1 - 16 / height, title, fontsize=15, color=INK, va="top", weight="bold")
    key = "blue: data, orange: generated; modes covered, and the share of samples within 3 σ of one"
    figure.text(16 / width, 1 - 44 / height, key, fontsize=11, color=INK, va="top")
    numbers = []
    for row, (name, (recipe, setting)) in enumerate(RECIPES.items()):
        bottom = BOTTOM + (1 - row) * (SIDE + 58)
        figure.text(16 / width, (bottom + SIDE / 2) / height, setting.replace(" (", "\n("), fontsize=12, color=INK, va="center")
        column = 0
        for game, played in watched(recipe, changes, TIMES):
            if not played:
                continue
            data = game.data
            if data.shape != (2,) or not hasattr(data, "centres"):
                raise GanflowError(f"this part counts modes in the plane, and data {data.name} has none: use data gaussians")
            samples = game.samples(COUNTED)
            modes, good = count_modes(samples, data.centres, 3 * data.std)  # type: ignore[attr-defined]
            text = f"round {played}: {modes} of {len(data.centres)}, {good:.0%}"
            axes = add_axes(figure, LEFT + column * (SIDE + GAP), bottom, SIDE, SIDE, text)
            real = data.held_out["real"][:DRAWN]
            axes.plot(*real.T.numpy(), "o", color=COLOURS[0], markersize=2.5, alpha=0.15, markeredgewidth=0)
            axes.plot(*samples[:DRAWN].T.numpy(), "o", color=COLOURS[1], markersize=2.5, alpha=0.6, markeredgewidth=0)
            axes.set_xlim(-1.6, 1.6)
            axes.set_ylim(-1.6, 1.6)
            axes.set_xticks([])
            axes.set_yticks([])
            column += 1
        numbers += [
            Number(f"{name}_modes", modes, f"{setting}: modes covered at the end"),
            Number(f"{name}_high_quality", good, f"{setting}: share of samples within 3 σ of a mode"),
        ]
    return Shown(title, numbers, figure)
