"""Parallel lines (Arjovsky et al. 2017, arXiv:1701.07875, example 1): P_0 on {0} × [0, 1], P_θ on {θ} × [0, 1].

JSD(P_0, P_θ) = log 2 for every θ but 0, where it is 0; W₁(P_0, P_θ) = |θ|. So the first has no gradient, and the second sign θ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganflow import COLOURS, FAINT, INK, GanflowError
from ganflow_theory.changes import LOSSES, critic_steps, kept
from ganflow_theory.data import lines
from ganflow_theory.densities import normal_of
from ganflow_theory.networks import Affine
from ganflow_theory.showing import Number, Shown, label, panels, watched

RECIPE, TIMES = "theory/lines", 30
WASSERSTEIN = ["loss=wasserstein", "modifiers=[{use: gradient_penalty, weight: 10, one_sided: true}]"]
EXAMPLES, STEP = 100, 1e-3
SMALLEST, LARGEST = 1e-4, 1e4  # |θ|
STRAIGHT = "optimizer.generator.matrix.lr"
KEPT = {
    **LOSSES,
    "modifiers": "more may be appended: '+modifiers=…'",
    "data.use": "it is about lines",
    "data.at": "the data's line is at 0, and '--theta 2' sets the other's distance",
    "prior": "heights are U(0, 1) on both lines",
    "generator": "'--theta 2' sets the lines' distance",
    STRAIGHT: "the generator's line is shifted, not turned",
}


def pair(theta: float) -> tuple[Tensor, Tensor]:
    """Points of both lines, (EXAMPLES, 2) each, at the same heights: data `lines` at 0, an affine generator with b = (θ, 0)."""
    real = lines([0.0], EXAMPLES, 0).train["real"][:].double()
    matrix, bias = torch.tensor([[0.0], [1.0]], dtype=real.dtype), torch.tensor([theta, 0.0], dtype=real.dtype)
    with torch.no_grad():
        return real, Affine(matrix, bias)(real[:, 1:])


def jsd(x: Tensor, y: Tensor) -> float:
    """JSD, in nats, of two distributions that have the rows of x (n, d) and of y (m, d) in equal shares."""
    points, where = torch.cat([x, y]).unique(dim=0, return_inverse=True)
    p, q = (where[part].bincount(minlength=len(points)).double() for part in (slice(len(x)), slice(len(x), None)))
    p, q = p / len(x), q / len(y)
    m = (p + q) / 2
    return float((torch.xlogy(p, p / m) + torch.xlogy(q, q / m)).sum() / 2)


def w1(x: Tensor, y: Tensor) -> float:
    """The exact earth mover's distance of the rows of x (n, d) and of y (m, d), in equal shares, by POT."""
    import ot

    costs = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")  # by |x|² + |y|² − 2xy small ones are rounding
    return float(ot.emd2([], [], costs.numpy()))


def divergences(theta: float) -> tuple[float, float, float, float]:
    """JSD and W₁ of the lines, and their derivatives with respect to θ, of which there are none at 0."""
    if theta == 0:
        return jsd(*pair(0.0)), w1(*pair(0.0)), math.nan, math.nan
    step = STEP * abs(theta)
    here, before, after = pair(theta), pair(theta - step), pair(theta + step)
    slopes = [(f(*after) - f(*before)) / (2 * step) for f in (jsd, w1)]  # central differences
    return jsd(*here), w1(*here), slopes[0], slopes[1]


def show(changes: Sequence[str], theta: float = 1.0) -> Shown:
    """Compute both over θ, and let the minimax loss and the Wasserstein loss move a line that begins at θ."""
    if theta and not SMALLEST <= abs(theta) <= LARGEST:
        raise GanflowError(f"--theta {theta:g}: 0, or between {SMALLEST:g} and {LARGEST:g} from it, on either side")
    start = [f"generator.bias=[{theta!r},0.0]", f"{STRAIGHT}=0"]
    ways = {"minimax": start, "wasserstein": [*start, *WASSERSTEIN]}
    for way in ways.values():
        settings = kept(RECIPE, way, changes, KEPT)
    paths = {n: [(i, normal_of(g)[0]) for g, i in watched(RECIPE, [*way, *changes], TIMES)] for n, way in ways.items()}
    widest = max(2.0, abs(theta))
    grid = sorted({*(i * widest / 40 for i in range(-40, 41)), theta})
    found = {t: divergences(t) for t in grid}
    at_zero = found[0.0][0]
    title = "Parallel lines: what Jensen–Shannon cannot see, and the earth mover's distance can"
    titles = ["two distributions", "their distance", "its derivative", "descending it by a critic"]
    figure, (first, second, third, fourth) = panels(title, titles, changes, side=300)
    _, made = pair(theta)
    first.plot([0, 0], [0, 1], color=COLOURS[0], linewidth=4, label="data")
    first.plot(made[:, 0].numpy()[[0, 0]], [0, 1], color=COLOURS[1], linewidth=4, label="generator")
    first.annotate("", (theta, 0.5), (0, 0.5), arrowprops={"arrowstyle": "<->", "color": INK})
    first.text(theta / 2, 0.53, "θ", ha="center", fontsize=14, color=INK)
    wide = max(1.0, abs(theta))
    first.set_xlim(min(0, theta) - wide / 2, max(0, theta) + wide / 2)
    first.set_ylim(-0.1, 1.5)
    label(first, "x", "y", legend="upper right")
    curves = (
        ("JSD: log 2, but 0 at θ = 0", 0, COLOURS[3]),
        ("W₁ = |θ|", 1, COLOURS[2]),
    )
    for text, i, colour in curves:
        but = [t for t in grid if i or t]  # JSD jumps at 0
        second.plot(but, [found[t][i] for t in but], color=colour, linewidth=2, label=text)
        values = [found[t][i + 2] for t in grid]
        for side in (-1, 1):  # one curve on either side of 0, where there is no derivative
            part = [(t, v) for t, v in zip(grid, values, strict=True) if side * t > 0]
            curve = ("dJSD / dθ", "dW₁ / dθ")[i] if side > 0 else None
            third.plot(*zip(*part, strict=True), color=colour, linewidth=2, label=curve)
    second.plot([0], [math.log(2)], "o", color=COLOURS[3], markerfacecolor="white", markersize=7)
    second.plot([0], [at_zero], "o", color=COLOURS[3], markersize=7)
    second.set_ylim(-0.05 * widest, 1.3 * widest)
    third.set_ylim(-1.2, 1.9)
    label(second, "θ", "distance", legend="upper center")
    label(third, "θ", "derivative", legend="upper center")
    fourth.axhline(0, color=FAINT, linewidth=4, label="the data's line")
    for loss, colour in (("minimax", COLOURS[3]), ("wasserstein", COLOURS[2])):
        fourth.plot(*zip(*paths[loss], strict=True), color=colour, linewidth=2, label=f"{loss} loss".replace("w", "W", 1))
    reached = [0.0, *(t for path in paths.values() for _, t in path)]
    low, high = min(reached), max(reached)
    fourth.set_ylim(low - 0.15 * (high - low or 1), high + 0.55 * (high - low or 1))  # room for the legend
    label(fourth, critic_steps(settings), "θ", legend="upper right")
    here = found[theta]
    rounds, by_minimax = paths["minimax"][-1]
    known = ("its derivative with respect to θ", "its derivative: sign θ")
    derivatives = known if theta else ("at θ = 0 it has no derivative",) * 2
    return Shown(title, [
        Number("theta", theta, "the lines' distance"),
        Number("jsd", here[0], f"JSD of the two lines (log 2 = {math.log(2):.5f}), from {EXAMPLES} points of each"),
        Number("jsd_at_zero", at_zero, "the same at θ = 0"),
        Number("jsd_gradient", here[2], derivatives[0]),
        Number("w1", here[1], "earth mover's distance of the same points, by POT: |θ|"),
        Number("w1_gradient", here[3], derivatives[1]),
        Number("theta_minimax", by_minimax, f"θ after {rounds} rounds of the minimax loss"),
        Number("theta_wasserstein", paths["wasserstein"][-1][1], f"θ after {rounds} rounds of the Wasserstein loss"),
    ], figure)  # fmt: skip
