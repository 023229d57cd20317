"""The optimal discriminator (Goodfellow et al. 2014, arXiv:1406.2661, proposition 1 and theorem 1).

With real = 1, as in this code, D*(x) = p_data / (p_data + p_G); with real = 0, as in the lecture, the same classifier is
D*(x) = p_G / (p_data + p_G), which is one minus the other. Its value ½ E log D*(x) + ½ E log(1 − D*(G(z))) is JSD − log 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganflow import COLOURS, FAINT, GanflowError
from ganflow_theory.changes import STAYS, critic_steps, kept
from ganflow_theory.densities import Pair, doubled, named, pair_of, scores_of
from ganflow_theory.showing import Number, Shown, draw_densities, label, panels, signed, watched

if TYPE_CHECKING:
    from ganflow import Game

RECIPE, TIMES = "theory/optimal_critic", 20
DISCRIMINATORS = ("minimax", "non_saturating")  # losses with the same critic


class Comparison(NamedTuple):
    """A critic beside the optimal one.

    Attributes:
        d, optimal: D and D* on the pair's grid, with real = 1.
        error: the mean of |D − D*| under ½ (p_data + p_G).
        value: ½ E log D(x) + ½ E log(1 − D(G(z))).
        bound: JSD − log 2, which no discriminator's value is above.
    """

    d: Tensor
    optimal: Tensor
    error: float
    value: float
    bound: float


def check_discriminator(game: Game) -> Pair:
    """Check that the critic's scores are log-odds of D, and return the densities.

    Raises:
        GanflowError: the loss trains no D with an optimum D*, or the densities are not known.
    """
    if named(game.loss) not in DISCRIMINATORS:
        raise GanflowError(f"D* = p_data / (p_data + p_G) is the optimum of losses minimax and non_saturating, and the "
                           f"critic of loss {named(game.loss)} is no such D: set loss=minimax")  # fmt: skip
    return pair_of(game)


def value_of(pair: Pair, scores: Tensor) -> float:
    """½ E log D(x) + ½ E log(1 − D(G(z))) of D = sigmoid(scores): log D = −softplus(−f), log(1 − D) = −softplus(f)."""
    return 0.0 - pair.integral(pair.p * softplus(-scores) + pair.q * softplus(scores)) / 2


def compared(game: Game, pair: Pair) -> Comparison:
    """The game's critic beside D*, whose score is log p_data − log p_G."""
    scores, best = scores_of(doubled(game.critic), pair.x), pair.log_p - pair.log_q
    d, optimal = scores.sigmoid(), best.sigmoid()
    error = pair.integral((d - optimal).abs() * (pair.p + pair.q) / 2)
    return Comparison(d, optimal, error, value_of(pair, scores), value_of(pair, best))


def show(changes: Sequence[str]) -> Shown:
    """Train the critic, and compare it on the way."""
    settings = kept(RECIPE, [], changes, STAYS)
    rounds, values = [], []
    for game, played in watched(RECIPE, changes, TIMES):
        pair = check_discriminator(game)
        found = compared(game, pair)
        rounds.append(played)
        values.append(found.value)
    title = "A trained discriminator beside the optimal one"
    titles = ["the two densities", "D(x), in both conventions", "the value of the game"]
    figure, (left, middle, right) = panels(title, titles, changes)
    x = pair.x.numpy()
    draw_densities(left, pair, legend="best")
    d, optimal = found.d, found.optimal
    there = torch.maximum(pair.p / pair.p.max(), pair.q / pair.q.max()) / 4
    middle.fill_between(x, there.numpy(), color=FAINT, alpha=0.5, linewidth=0, label="where the examples are")
    thick, dotted = {"color": FAINT, "linewidth": 6}, {"linestyle": (0, (1, 0.6))}
    curves: dict[str, tuple[Tensor, dict[str, Any]]] = {
        r"$D^* = p_{data}\,/\,(p_{data}+p_G)$, real = 1": (optimal, thick),
        "trained D": (d, {"color": COLOURS[0], "linewidth": 1.6}),
        r"$p_G\,/\,(p_{data}+p_G)$, the lecture: real = 0": (1 - optimal, {**thick, **dotted}),
        "trained, as the lecture labels it: 1 − D": (1 - d, {"color": COLOURS[3], "linewidth": 1.6, "linestyle": "--"}),
    }
    for text, (values_of, style) in curves.items():
        middle.plot(x, values_of.numpy(), label=text, **style)
    label(middle, "x", "probability", legend=None)
    middle.set_xlim(*pair.shown_range())
    middle.set_ylim(-0.02, 1.75)
    middle.set_yticks([0, 0.25, 0.5, 0.75, 1])
    middle.legend(fontsize=9.5, frameon=False, loc="upper center", ncols=1)
    right.axhline(found.bound, color=FAINT, linewidth=5, label=f"JSD − log 2 = {signed(found.bound)}")
    text = f"trained: {signed(found.value)} at the end"
    right.plot(rounds, values, color=COLOURS[0], linewidth=1.8, marker="o", markersize=3.5, label=text)
    label(right, critic_steps(settings), "½ E log D + ½ E log(1 − D)", legend="lower right")
    right.set_ylim(top=found.bound + 0.15 * max(found.bound - min(values), 1e-3))
    return Shown(title, [
        Number("error", found.error, "mean of |D − D*| under ½ (p_data + p_G)"),
        Number("value", found.value, "½ E log D(x) + ½ E log(1 − D(G(z))), by quadrature"),
        Number("jsd_minus_log2", found.bound, "JSD(p_data, p_G) − log 2, which it cannot be above"),
        Number("jsd", found.bound + math.log(2), "JSD(p_data, p_G), by quadrature"),
    ], figure)  # fmt: skip
