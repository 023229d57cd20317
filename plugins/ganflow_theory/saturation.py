"""The generator's gradient through a discriminator that has won (Arjovsky & Bottou 2017, arXiv:1701.04862, theorems 2.4 and 2.6).

By E log(1 − D(G(z))) it vanishes as D nears D*; by −E log D(G(z)) it grows; by a Wasserstein critic's −E f(G(z)) its size is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganflow import COLOURS, GanflowError
from ganflow_theory.showing import POINTS, Number, Shown, doubled, label, normal_of, panels, scores_of, trained, watched

if TYPE_CHECKING:
    from ganflow import Game

RECIPE, TIMES = "theory/saturation", 15
WASSERSTEIN = ["loss=wasserstein", "modifiers=[{use: gradient_penalty, weight: 10, one_sided: true}]"]
DISTANCES = (1.0, 2.0, 3.0, 4.0)
Formula = Callable[[Tensor], Tensor]


def formulas() -> dict[str, Formula]:
    """The shipped losses' generator terms, of the scores of generated examples."""
    from ganflow_vanilla.losses import MinimaxLoss, NonSaturatingLoss
    from ganflow_wgan.losses import WassersteinLoss

    losses: list[Any] = [MinimaxLoss(), NonSaturatingLoss(), WassersteinLoss()]
    return {loss.name: loss.generator_loss for loss in losses}


def gradient_norm(game: Game, scores: Callable[[Tensor], Tensor], formula: Formula) -> float:
    """The length of the gradient of E formula(scores(G(z))) with respect to all of the generator's parameters.

    Where the discriminator wins, the expectation is that of rare z: not a mean over draws, but an integral over z ~ N(0, 1).
    """
    if game.prior is None or game.prior.support is not None or game.prior.shape != (1,):
        raise GanflowError("this part integrates over a normal z of one number: set 'prior={use: normal, dim: 1}'")
    generator = deepcopy(game.generator).cpu().double()
    z = torch.linspace(-10, 10, POINTS, dtype=torch.float64)
    weights = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    values = torch.vmap(lambda score: formula(score[None]))(scores(generator(z[:, None])))
    gradients = torch.autograd.grad(torch.trapezoid(values * weights, z), list(generator.parameters()))
    return float(torch.cat([g.flatten() for g in gradients]).norm())


def optimal_scores(game: Game) -> Callable[[Tensor], Tensor]:
    """log p_data(x) − log p_G(x), the scores of D*."""
    generator: Any = game.generator
    return lambda x: game.data.log_density(x) - generator.log_density(x)


def measured(game: Game) -> dict[str, float]:
    """The gradient's length by each loss, through the game's critic."""
    critic = doubled(game.critic)
    return {name: gradient_norm(game, lambda x: scores_of(critic, x), formula) for name, formula in formulas().items()}


def show(changes: Sequence[str]) -> Shown:
    """Train discriminators and Wasserstein critics at several distances, and follow those at the recipe's."""
    over_rounds: dict[str, list[float]] = {name: [] for name in formulas()}
    rounds = []
    for game, played in watched(RECIPE, changes, TIMES):
        found = measured(game)
        rounds.append(played)
        for name in ("minimax", "non_saturating"):
            over_rounds[name].append(found[name])
    farthest, far = normal_of(game)[0], found
    ideal = {name: gradient_norm(game, optimal_scores(game), formulas()[name]) for name in ("minimax", "non_saturating")}
    for game, _ in watched(RECIPE, [*WASSERSTEIN, *changes], TIMES):
        over_rounds["wasserstein"].append(measured(game)["wasserstein"])
    far["wasserstein"] = over_rounds["wasserstein"][-1]
    rows, ideals = {farthest: far}, {farthest: ideal}
    for distance in DISTANCES:
        moved = [*changes, f"generator.bias=[{distance}]"]
        game = trained(RECIPE, moved)
        rows[distance] = measured(game)
        ideals[distance] = {name: gradient_norm(game, optimal_scores(game), formulas()[name]) for name in ideal}
        rows[distance]["wasserstein"] = measured(trained(RECIPE, [*WASSERSTEIN, *moved]))["wasserstein"]
    title = "The generator's gradient, when the discriminator wins"
    where = f"while the critic learns, {farthest:g} apart"
    figure, (left, right) = panels(title, [where, "after training, over the distance"], side=560)
    names = {
        "minimax": "minimax: E log(1 − D(G(z)))",
        "non_saturating": "non-saturating: −E log D(G(z))",
        "wasserstein": "Wasserstein, gradient penalty: −E f(G(z))",
    }
    distances = sorted(rows)
    for (name, text), colour in zip(names.items(), (COLOURS[3], COLOURS[1], COLOURS[2]), strict=True):
        left.plot(rounds, over_rounds[name], color=colour, linewidth=1.8, marker="o", markersize=3.5, label=text)
        after = [rows[d][name] for d in distances]
        right.plot(distances, after, color=colour, linewidth=1.8, marker="o", markersize=5, label=text)
        if name in ideal:
            best = [ideals[d][name] for d in distances]
            dashed = f"{text.partition(':')[0]}, through D* itself"
            right.plot(distances, best, color=colour, linewidth=1.2, linestyle="--", label=dashed)
    for axes, x in ((left, "rounds (10 critic steps each)"), (right, "distance of the means (both have σ = 0.5)")):
        axes.set_yscale("log")
        axes.set_ylim(bottom=min(axes.get_ylim()[0], 1e-2) ** 1.4)  # room for the legend
        label(axes, x, "length of the generator's gradient", legend="lower left")
    ratio = far["wasserstein"] / far["minimax"]
    return Shown(title, [
        Number("ratio", ratio, f"Wasserstein's gradient over minimax's, {farthest:g} apart"),
        Number("minimax", far["minimax"], "gradient of E log(1 − D(G(z))), through the trained discriminator"),
        Number("minimax_optimal", ideal["minimax"], "the same through D* itself"),
        Number("non_saturating", far["non_saturating"], "gradient of −E log D(G(z)), through the trained discriminator"),
        Number("wasserstein", far["wasserstein"], "gradient of −E f(G(z)), through the trained critic (exact: 1)"),
    ], figure)  # fmt: skip
