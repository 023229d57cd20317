"""Kantorovich–Rubinstein duality: E f(x) − E f(G(z)) ≤ K · W₁(p_data, p_G) for every f of slope at most K (Villani 2009, 5.16).

On a line W₁ = ∫ |F_data − F_G| dx (Vallender 1974), and the best f has slope 1, up where F_G > F_data and down elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganflow import COLOURS, FAINT, INK, GanflowError
from ganflow_theory.changes import STAYS, kept
from ganflow_theory.densities import Pair, doubled, named, normal_of, pair_of, scores_of
from ganflow_theory.showing import Number, Shown, draw_densities, label, panels, trained

if TYPE_CHECKING:
    from ganflow import Game

RECIPE = "theory/duality"
WAYS = {
    "clip": ("weight clipping, c = 0.1", ["modifiers=[{use: weight_clip, c: 0.1}]"]),
    "gradient_penalty": ("gradient penalty", ["modifiers[0].one_sided=false"]),
    "one_sided": ("one-sided penalty", []),
    "spectral_norm": ("spectral norm", ["modifiers=[{use: spectral_norm}]"]),
}
"""Name → (what it is, its changes to the recipe)."""
KEPT = {
    **STAYS,
    "loss": "Kantorovich and Rubinstein's duality is of the Wasserstein loss",
    "modifiers": "the part has four ways to bound the slope, but more modifiers may be appended, '+modifiers=…'; for a single "
                 "way of your own: ganflow run theory/duality 'modifiers=…'",
}  # fmt: skip


class Bound(NamedTuple):
    """A critic's lower bound of W₁.

    Attributes:
        scores, slopes: f and f′ on the pair's grid.
        difference: E f(x) − E f(G(z)).
        steepest: the largest |f′|.
        w1: the exact distance.
    """

    scores: Tensor
    slopes: Tensor
    difference: float
    steepest: float
    w1: float

    @property
    def ratio(self) -> float:
        """The share of W₁ that the critic finds: (E f(x) − E f(G(z))) / K / W₁, at most 1; 0 of a constant, or where W₁ is 0."""
        return self.difference / self.steepest / self.w1 if self.steepest and self.w1 else 0.0


def check_wasserstein(game: Game) -> Pair:
    """Check that the critic is one of the Wasserstein loss, and return the densities.

    Raises:
        GanflowError: its loss is another, or the densities are not known.
    """
    if named(game.loss) != "wasserstein":
        raise GanflowError("a share of the earth mover's distance is what a critic of loss wasserstein finds, and the recipe has "
                           f"loss {named(game.loss)}: set loss=wasserstein")  # fmt: skip
    return pair_of(game)


def bound_of(game: Game, pair: Pair) -> Bound:
    """The game's critic as a lower bound of W₁.

    Of its slopes the largest is taken at the nodes and between them: no function with the same values there has a smaller one, so
    that the share cannot exceed 1, wherever the critic is steep.
    """
    critic = doubled(game.critic)
    x = pair.x.clone().requires_grad_()
    scores = scores_of(critic, x)
    (slopes,) = torch.autograd.grad(scores.sum(), x)
    scores = scores.detach()
    difference = pair.integral((pair.p - pair.q) * scores)
    steepest = max(float(slopes.abs().max()), float((scores.diff() / pair.x.diff()).abs().max()))
    return Bound(scores, slopes, difference, steepest, pair.integral(excess(game, pair).abs()))


def excess(game: Game, pair: Pair) -> Tensor:
    """F_G(x) − F_data(x) on the grid: the mass that must pass x to the right."""
    data: Any = game.data
    middle, scale = normal_of(game)
    return torch.special.ndtr((pair.x - middle) / scale) - data.cumulative(pair.x[:, None])


def potential(game: Game, pair: Pair) -> Tensor:
    """The best f, with f′ = ±1: the optimal critic."""
    steps = excess(game, pair).sign()
    return torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumulative_trapezoid(steps, pair.x)])


def check_distance(game: Game) -> None:
    """Refuse two distributions that are the same: there is no share of a distance of 0."""
    pair = check_wasserstein(game)
    if pair.integral(excess(game, pair).abs()) <= 1e-9 * float(pair.x[-1] - pair.x[0]):
        raise GanflowError("the data and the generator have the same distribution, and there is no share of W₁ = 0: change "
                           "data.centres or generator.bias")  # fmt: skip


def show(changes: Sequence[str]) -> Shown:
    """Train a critic in each way, and measure what it finds of W₁."""
    found = {}
    for _, way in WAYS.values():
        kept(RECIPE, way, changes, KEPT)
    for name, (_, way) in WAYS.items():
        game = trained(RECIPE, [*way, *changes], check_distance)
        pair = pair_of(game)
        found[name] = bound_of(game, pair)
    w1 = next(iter(found.values())).w1
    title = "The share of the earth mover's distance that a critic finds"
    titles = ["the two densities", "critics f, divided by their largest slope", "(E f(x) − E f(G(z))) / K, over W₁"]
    figure, (left, middle, right) = panels(title, titles, changes)
    x, mean = pair.x.numpy(), (pair.p + pair.q) / 2
    draw_densities(left, pair, legend="upper left")

    def centred(scores: Tensor) -> Any:
        return (scores - pair.integral(scores * mean)).numpy()

    middle.plot(x, centred(potential(game, pair)), color=FAINT, linewidth=6, label="optimal: slope ±1")
    colours = dict(zip(found, (COLOURS[3], COLOURS[4], COLOURS[0], COLOURS[2]), strict=True))
    for name, bound in found.items():
        middle.plot(x, centred(bound.scores / (bound.steepest or 1.0)), color=colours[name], linewidth=1.8, label=WAYS[name][0])
    low, high = pair.shown_range()
    there = (x >= low) & (x <= high)
    ends = [values[there] for line in middle.lines if len(values := np.asarray(line.get_ydata())) == len(x)]
    bottom, top = min(v.min() for v in ends), max(v.max() for v in ends)
    middle.set_ylim(bottom - 0.05 * (top - bottom), top + 0.55 * (top - bottom))  # room for the legend
    label(middle, "x", "f(x) / K", legend="upper left")
    middle.set_xlim(low, high)
    ratios = [bound.ratio for bound in found.values()]
    for i, (name, bound) in enumerate(found.items()):
        right.bar(i, bound.ratio, color=colours[name], width=0.8)
        inside = bound.ratio > 0.2
        text, colour = f"{bound.ratio:.2f}\nK = {bound.steepest:.3g}", "white" if inside else INK
        right.text(i, bound.ratio - 0.03 if inside else max(bound.ratio, 0) + 0.02, text, ha="center",
                   va="top" if inside else "bottom", fontsize=11, color=colour)  # fmt: skip
    right.axhline(1, color=FAINT, linewidth=3)
    right.set_xticks(range(len(found)), [WAYS[name][0].partition(",")[0].replace(" ", "\n") for name in found])
    right.set_ylim(min(0, *ratios) * 1.08, 1.08)
    label(right, "", f"share of W₁ = {w1:.4f}", legend=None)
    numbers = [Number("w1", w1, "∫ |F_data − F_G| dx, the exact earth mover's distance")]
    for name, bound in found.items():
        what = WAYS[name][0]
        numbers += [
            Number(f"{name}_ratio", bound.ratio, f"{what}: (E f(x) − E f(G(z))) / K / W₁"),
            Number(f"{name}_slope", bound.steepest, f"{what}: K, the largest slope"),
        ]
    return Shown(title, numbers, figure)
