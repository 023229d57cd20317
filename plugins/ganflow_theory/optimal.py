"""The optimal discriminator (Goodfellow et al. 2014, arXiv:1406.2661, proposition 1 and theorem 1).

With real = 1, as in this code, D*(x) = p_data / (p_data + p_G); with real = 0, as in the lecture, the same classifier is
D*(x) = p_G / (p_data + p_G), which is one minus the other. Its value ½ E log D*(x) + ½ E log(1 − D*(G(z))) is JSD − log 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor
from torch.nn.functional import softplus

from ganflow import COLOURS, FAINT
from ganflow_theory.showing import Number, Pair, Shown, doubled, label, pair_of, panels, scores_of, shown_range, signed, watched

if TYPE_CHECKING:
    from ganflow import Game

RECIPE, TIMES = "theory/optimal_critic", 20


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


def compared(game: Game, pair: Pair) -> Comparison:
    """The game's critic beside D*."""
    from ganflow_metrics.density import jsd_1d

    from ganflow_theory.showing import log_density_of

    scores = scores_of(doubled(game.critic), pair.x)
    d, optimal = scores.sigmoid(), (pair.log_p - pair.log_q).sigmoid()
    jsd = jsd_1d(game.data.log_density, lambda x: log_density_of(game.generator, x), float(pair.x[0]), float(pair.x[-1]))
    return Comparison(
        d, optimal,
        error=pair.integral((d - optimal).abs() * (pair.p + pair.q) / 2),
        value=pair.integral(-(pair.p * softplus(-scores) + pair.q * softplus(scores)) / 2),
        bound=jsd - math.log(2),
    )  # fmt: skip


def show(changes: Sequence[str]) -> Shown:
    """Train the critic, and compare it on the way."""
    rounds, values = [], []
    for game, played in watched(RECIPE, changes, TIMES):
        pair = pair_of(game)
        found = compared(game, pair)
        rounds.append(played)
        values.append(found.value)
    title = "A trained discriminator beside the optimal one"
    figure, (left, middle, right) = panels(title, ["the two densities", "D(x), in both conventions", "the value of the game"])
    x = pair.x.numpy()
    left.fill_between(x, pair.p.numpy(), color=COLOURS[0], alpha=0.35, linewidth=0, label=r"$p_{data}$")
    left.fill_between(x, pair.q.numpy(), color=COLOURS[1], alpha=0.35, linewidth=0, label=r"$p_G$")
    label(left, "x", "density")
    left.set_ylim(bottom=0)
    d, optimal = found.d, found.optimal
    mean = (pair.p + pair.q) / 2
    middle.fill_between(x, (mean / mean.max() / 4).numpy(), color=FAINT, alpha=0.5, linewidth=0, label="where the examples are")
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
    left.set_xlim(*shown_range(pair))
    middle.set_xlim(*shown_range(pair))
    middle.set_ylim(-0.02, 1.75)
    middle.set_yticks([0, 0.25, 0.5, 0.75, 1])
    middle.legend(fontsize=9.5, frameon=False, loc="upper center", ncols=1)
    right.axhline(found.bound, color=FAINT, linewidth=5, label=f"JSD − log 2 = {signed(found.bound)}")
    text = f"trained: {signed(found.value)} at the end"
    right.plot(rounds, values, color=COLOURS[0], linewidth=1.8, marker="o", markersize=3.5, label=text)
    label(right, "rounds (10 critic steps each)", "½ E log D + ½ E log(1 − D)", legend="lower right")
    figure.axes[2].set_ylim(top=found.bound + 0.15 * (found.bound - min(values)))
    return Shown(title, [
        Number("error", found.error, "mean of |D − D*| under ½ (p_data + p_G)"),
        Number("value", found.value, "½ E log D(x) + ½ E log(1 − D(G(z))), by quadrature"),
        Number("jsd_minus_log2", found.bound, "JSD(p_data, p_G) − log 2, which it cannot be above"),
        Number("jsd", found.bound + math.log(2), "JSD(p_data, p_G), by quadrature"),
    ], figure)  # fmt: skip
