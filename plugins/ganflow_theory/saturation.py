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
from ganflow_theory.changes import LOSSES, STAYS, critic_steps, kept
from ganflow_theory.densities import Pair, doubled, normal_of, pair_of, scores_of
from ganflow_theory.duality import excess
from ganflow_theory.optimal import DISCRIMINATORS
from ganflow_theory.showing import Number, Shown, label, panels, trained, watched

if TYPE_CHECKING:
    from ganflow import Game

RECIPE, TIMES = "theory/saturation", 15
WASSERSTEIN = ["loss=wasserstein", "modifiers=[{use: gradient_penalty, weight: 10, one_sided: true}]"]
DISTANCES = (1.0, 2.0, 3.0, 4.0)
KEPT = {**STAYS, **LOSSES, "modifiers": "more may be appended: '+modifiers=…'"}
Formula = Callable[[Tensor], Tensor]


def formulas() -> dict[str, Formula]:
    """The shipped losses' generator terms, of the scores of generated examples."""
    from ganflow_vanilla.losses import MinimaxLoss, NonSaturatingLoss
    from ganflow_wgan.losses import WassersteinLoss

    losses: list[Any] = [MinimaxLoss(), NonSaturatingLoss(), WassersteinLoss()]
    return {loss.name: loss.generator_loss for loss in losses}


def codes(game: Game, pair: Pair) -> Tensor:
    """The z, (n,), of which the affine generator makes the nodes x of the pair.

    Raises:
        GanflowError: z has several numbers.
    """
    generator: Any = game.generator
    if game.prior is None or game.prior.shape != (1,):
        raise GanflowError("this part is about a z of one number: set 'prior={use: normal, dim: 1}'")
    found: Tensor = (pair.x - generator.bias.detach().double()) / generator.matrix.detach()[0, 0].double()
    return found


def gradient_norm(game: Game, pair: Pair, scores: Callable[[Tensor], Tensor], formula: Formula) -> float:
    """The length of the gradient of E formula(scores(G(z))) with respect to all of the generator's parameters.

    Where the discriminator wins, the expectation is that of rare z: not a mean over draws, but an integral.
    """
    generator, z = deepcopy(game.generator).cpu().double(), codes(game, pair)
    values = torch.vmap(lambda score: formula(score[None]))(scores(generator(z[:, None])))
    gradients = torch.autograd.grad(values @ (pair.weights * pair.q), list(generator.parameters()))
    return float(torch.cat([g.flatten() for g in gradients]).norm())


def best_wasserstein(game: Game, pair: Pair) -> float:
    """The length of the gradient of −E f(G(z)) of the optimal f, whose slope is ±1: 1 where the sign is the same everywhere."""
    slopes = excess(game, pair).sign()
    return math.hypot(pair.integral(slopes * pair.q), pair.integral(slopes * pair.q * codes(game, pair)))


def optimal_scores(game: Game) -> Callable[[Tensor], Tensor]:
    """log p_data(x) − log p_G(x), the scores of D*."""
    generator: Any = game.generator
    return lambda x: game.data.log_density(x) - generator.log_density(x)


def measured(game: Game) -> dict[str, float]:
    """The gradient's length by each loss, through the game's critic."""
    critic, pair = doubled(game.critic), pair_of(game)
    return {name: gradient_norm(game, pair, lambda x: scores_of(critic, x), formula) for name, formula in formulas().items()}


def ideal(game: Game) -> dict[str, float]:
    """The same through D*, and for `wasserstein` through the optimal f."""
    pair, best = pair_of(game), optimal_scores(game)
    found = {name: gradient_norm(game, pair, best, formulas()[name]) for name in DISCRIMINATORS}
    return {**found, "wasserstein": best_wasserstein(game, pair)}


def check(game: Game) -> None:
    """Refuse what this part cannot measure."""
    codes(game, pair_of(game))


def centre_of(game: Game) -> tuple[float, float]:
    """Mean and standard deviation of the data, a mixture."""
    data: Any = game.data
    centres, mean = data.centres[:, 0], float(data.weights @ data.centres[:, 0])
    return mean, math.sqrt(float(data.weights @ (data.stds.square() + (centres - mean).square())))


def show(changes: Sequence[str]) -> Shown:
    """Train discriminators and Wasserstein critics at several distances, and follow those at the recipe's."""
    settings = kept(RECIPE, [], changes, KEPT)
    kept(RECIPE, WASSERSTEIN, changes, KEPT)
    over_rounds: dict[str, list[float]] = {name: [] for name in formulas()}
    rounds = []
    for game, played in watched(RECIPE, changes, TIMES):
        check(game)
        far = measured(game)
        rounds.append(played)
        for name in DISCRIMINATORS:
            over_rounds[name].append(far[name])
    best = ideal(game)
    for critics, _ in watched(RECIPE, [*WASSERSTEIN, *changes], TIMES):
        over_rounds["wasserstein"].append(measured(critics)["wasserstein"])
    far["wasserstein"] = over_rounds["wasserstein"][-1]
    (mean, spread), (middle, scale) = centre_of(game), normal_of(game)
    farthest, side = abs(middle - mean), -1 if middle < mean else 1
    rows, ideals = {farthest: far}, {farthest: best}
    for distance in DISTANCES:
        moved = [*changes, f"generator.bias=[{mean + side * distance!r}]"]
        game = trained(RECIPE, moved, check)
        rows[distance], ideals[distance] = measured(game), ideal(game)
        rows[distance]["wasserstein"] = measured(trained(RECIPE, [*WASSERSTEIN, *moved], check))["wasserstein"]
    title = "The generator's gradient, when the discriminator wins"
    where = f"while the critic learns, {farthest:g} apart"
    figure, (left, right) = panels(title, [where, "after training, over the distance"], changes, side=560)
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
        if name in DISCRIMINATORS:
            optimal = [ideals[d][name] for d in distances]
            dashed = f"{text.partition(':')[0]}, through D* itself"
            right.plot(distances, optimal, color=colour, linewidth=1.2, linestyle="--", label=dashed)
    apart = f"σ of the data {spread:.3g}, of the generator {scale:.3g}"
    both = f"both have σ = {scale:g}" if math.isclose(scale, spread, rel_tol=1e-6) else apart
    for axes, x in ((left, critic_steps(settings)), (right, f"distance of the means ({both})")):
        axes.set_yscale("log", nonpositive="mask")
        lowest = min(axes.get_ylim()[0], 1e-2)
        axes.set_ylim(bottom=lowest**1.4 if lowest > 1e-200 else lowest)  # room for the legend
        label(axes, x, "length of the generator's gradient", legend="lower left")
    ratio = far["wasserstein"] / far["minimax"] if far["minimax"] else math.inf
    exact = f"gradient of −E f(G(z)), through the trained critic (exact: {best['wasserstein']:.4g})"
    return Shown(title, [
        Number("ratio", ratio, f"Wasserstein's gradient over minimax's, {farthest:g} apart"),
        Number("minimax", far["minimax"], "gradient of E log(1 − D(G(z))), through the trained discriminator"),
        Number("minimax_optimal", best["minimax"], "the same through D* itself"),
        Number("non_saturating", far["non_saturating"], "gradient of −E log D(G(z)), through the trained discriminator"),
        Number("wasserstein", far["wasserstein"], exact),
    ], figure)  # fmt: skip
