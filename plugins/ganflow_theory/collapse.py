"""Mode collapse: a recipe that does, and the same one with a single number changed.

Momentum turns the game's rotation into circling (Gidel et al. 2019, arXiv:1807.04740): the generator chases the critic from mode
to mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ganflow import COLOURS, INK, GanflowError, add_axes, new_figure, real_examples
from ganflow_theory.changes import values_of
from ganflow_theory.showing import Number, Shown, head, watched

ROWS = ("collapse", "no_collapse")  # recipes, in theory/
MOMENTUM = {"optimizer.generator.beta1", "optimizer.critic.beta1"}
TIMES, DRAWN, COUNTED, SIGMAS = 5, 1000, 2500, 3
SIDE, GAP, LEFT, BOTTOM, TOP = 230, 14, 190, 24, 96
MARGIN = 0.3  # around the data, of their extent


def settings_of(changes: Sequence[str]) -> list[str]:
    """Labels of the two rows: the settings in which their recipes differ after changes.

    Raises:
        GanflowError: there is no difference.
    """
    rows = [values_of(f"theory/{row}", changes) for row in ROWS]
    differ = [path for path in {**rows[0], **rows[1]} if path != "name" and rows[0].get(path) != rows[1].get(path)]
    if not differ:
        raise GanflowError("with these changes theory/collapse and theory/no_collapse are the same recipe: they differ in "
                           "optimizer.beta1 alone, so leave this key and the choice of the optimizer as they are")  # fmt: skip
    texts = []
    for values in rows:
        momentum = {values.get(path) for path in differ}
        if set(differ) == MOMENTUM and len(momentum) == 1:
            (beta1,) = momentum
            texts.append(f"{'with' if beta1 else 'without'} momentum (beta1 = {beta1:g})")
        else:
            texts.append(", ".join(f"{shortened(path)} = {values.get(path, '(none)')}" for path in differ))
    return texts


def shortened(path: str) -> str:
    """A key as a label: "generator's beta1" for optimizer.generator.beta1."""
    return path.removeprefix("optimizer.").replace(".", "'s ", 1) if path.startswith("optimizer.") else path


def show(changes: Sequence[str]) -> Shown:
    """Play both recipes; a row of pictures for each, from left to right over the rounds."""
    from ganflow_metrics.modes import count_modes

    width = LEFT + TIMES * (SIDE + GAP) + 10
    height = BOTTOM + 2 * (SIDE + 58) + TOP - 20
    figure = new_figure(width, height)
    key = f"blue: data, orange: generated; modes covered, and the share of samples within {SIGMAS} σ of one"
    figure.text(16 / width, 1 - 58 / height, key, fontsize=11, color=INK, va="top")
    numbers, covered = [], []
    for row, (name, setting) in enumerate(zip(ROWS, settings_of(changes), strict=True)):
        bottom = BOTTOM + (1 - row) * (SIDE + 58)
        text = setting.replace(" (", "\n(").replace("'s ", "'s\n").replace(", ", ",\n")
        figure.text(16 / width, (bottom + SIDE / 2) / height, text, fontsize=12, color=INK, va="center", parse_math=False)
        column = 0
        for game, played in watched(f"theory/{name}", changes, TIMES):
            data: Any = game.data
            if data.shape != (2,) or not hasattr(data, "centres"):
                raise GanflowError(f"this part counts modes in the plane, and data {data.name} has none: use data gaussians")
            if not played:
                continue
            samples, centres = game.samples(COUNTED), data.centres[data.weights > 0]
            modes, good = count_modes(samples, centres, SIGMAS * data.std)
            real, made = cast(Any, real_examples(data)), samples.numpy()
            (low, high), text = limits(real), f"round {played}: {modes} of {len(centres)}, {good:.0%}"
            axes = add_axes(figure, LEFT + column * (SIDE + GAP), bottom, SIDE, SIDE, text)
            if (outside := ((made < low) | (made > high)).any(1).mean()) >= 0.005:
                axes.text(0.02, 0.02, f"{outside:.0%} outside", transform=axes.transAxes, fontsize=9, color=INK)
            axes.plot(*real[:DRAWN].T, "o", color=COLOURS[0], markersize=2.5, alpha=0.15, markeredgewidth=0)
            axes.plot(*made[:DRAWN].T, "o", color=COLOURS[1], markersize=2.5, alpha=0.6, markeredgewidth=0)
            axes.set_xlim(low[0], high[0])
            axes.set_ylim(low[1], high[1])
            axes.set_xticks([])
            axes.set_yticks([])
            column += 1
        numbers += [
            Number(f"{name}_modes", modes, f"{setting}: modes covered at the end"),
            Number(f"{name}_high_quality", good, f"{setting}: share of samples within {SIGMAS} σ of a mode"),
        ]
        covered.append(modes)
    plain = covered[0] <= len(centres) / 2 and covered[1] == len(centres)
    title = "A GAN that collapses, and one that does not" if plain else "Two GANs that differ in Adam's momentum alone"
    head(figure, 16, title, changes)
    return Shown(title, numbers, figure)


def limits(points: Any) -> tuple[Any, Any]:
    """Lower and upper limits, (2,) each, of square axes around points (n, 2)."""
    low, high = points.min(0), points.max(0)
    half = (high - low).max() * (0.5 + MARGIN)
    return (low + high) / 2 - half, (low + high) / 2 + half
