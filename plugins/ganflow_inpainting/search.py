"""The search for latent points whose images agree with what is known of others (Yeh et al. 2016, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ganflow import GanflowError, ScoreLoss

if TYPE_CHECKING:
    from ganflow import Game


@dataclass(frozen=True)
class Search:
    """Settings of a search.

    Attributes:
        starts: latent points for each image, all descended together; the same for every image unless there are candidates.
        candidates: draws from the prior of which each image takes the `starts` with the least context loss.
        iterations, lr: of Adam.
        window: side of the window of the context loss's weights, in pixels.
        prior: what the prior loss is: "critic", "norm" (½‖z‖²) or "none".
        weight: λ, of the prior loss.
        limit: the largest absolute value of a coordinate of z where the prior's support has no bounds.
        seed: of the draws.
    """

    starts: int = 4
    candidates: int = 4
    iterations: int = 100
    lr: float = 0.05
    window: int = 7
    prior: str = "critic"
    weight: float = 0.003
    limit: float = 3.0
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """Results for n images from s starts each, best first.

    Attributes:
        z: (n, s, *prior.shape), and the images that it makes, `made`: (n, s, channels, height, width).
        context, prior: the two losses, (n, s); the latter without λ.
        loss: context + λ · prior, by which they are ranked.
    """

    z: Tensor
    made: Tensor
    context: Tensor
    prior: Tensor
    loss: Tensor


def context_weights(known: Tensor, window: int) -> Tensor:
    """W, (height, width): of a known pixel, the share of missing pixels in the window around it, as far as that lies in the
    image; 0 of a missing one (eq. 3)."""
    missing = (~known).double()[None]
    share = avg_pool2d(missing, window, 1, window // 2, count_include_pad=False)[0]
    return share * known


def search(game: Game, images: Tensor, known: Tensor, how: Search, real: Tensor | None = None,
           tick: Callable[[float], object] = lambda loss: None) -> Found:  # fmt: skip
    """For each image, latent points with small context loss ‖W ⊙ (G(z) − y)‖₁ + λ · prior loss (eq. 2 to 5).

    An image's result does not depend on the others: neither its starts nor any step does.

    Args:
        images: (n, channels, height, width); what they hold in the hole is not looked at.
        known: (height, width), bool.
        real: real examples, for the prior loss of a relativistic loss.
        tick: called after each iteration with the mean loss.
    """
    network = game.averaged
    like = next(network.parameters())
    weights = context_weights(known, how.window).to(like)
    if not weights.any():
        raise GanflowError(f"no known pixel has a hole in its window of {how.window} pixels; take a larger --window")
    y = torch.where(known, images, 0).to(like)  # so that not even a NaN in the hole has an effect
    prior_loss = _prior_loss(game, how, real)

    z = nn.Parameter(_starts(game, y, weights, how).flatten(0, 1))
    y = y.repeat_interleave(how.starts, 0)

    def losses() -> tuple[Tensor, Tensor, Tensor]:
        made = network(z)
        return made, _context(made, y, weights), prior_loss(z, made)

    from ganflow_optim.elementwise import Adam

    adam = Adam([z], lr=how.lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    assert game.prior is not None
    low, high = game.prior.support or (-how.limit, how.limit)
    for _ in range(how.iterations):
        _, context, prior = losses()
        total = (context + how.weight * prior).sum()  # a sum, so that each point's gradient is its own
        (z.grad,) = torch.autograd.grad(total, z)
        adam.step()
        with torch.no_grad():
            z.clamp_(low, high)
        tick(total.item() / len(z))
    with torch.no_grad():
        made, context, prior = losses()
    loss = context + how.weight * prior
    order = loss.view(len(images), -1).argsort(dim=1, stable=True)
    return Found(*(_ranked(t.detach(), order) for t in (z, made, context, prior, loss)))


def _context(made: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    return (weights * (made - y).abs()).flatten(-3).sum(-1)


def _starts(game: Game, y: Tensor, weights: Tensor, how: Search) -> Tensor:
    """(n, starts, *prior.shape), on y's device."""
    z = game.latents(max(how.candidates, how.starts), how.seed)
    if len(z) == how.starts:
        return z.to(y).expand(len(y), *z.shape).clone()
    made = game.call(game.maker, z=z).to(y)
    chosen = [_context(made, one, weights).argsort(dim=0, stable=True)[: how.starts] for one in y]
    return z.to(y)[torch.stack(chosen)]


def _prior_loss(game: Game, how: Search, real: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
    """From z and what it makes to a number for each."""
    if how.prior == "norm":
        return lambda z, made: z.flatten(1).square().sum(1) / 2
    if how.prior == "none" or how.weight == 0:
        return lambda z, made: z.new_zeros(len(z))
    loss = game.loss
    if not (isinstance(loss, ScoreLoss) and judges(game)):
        raise GanflowError("the run's loss does not judge examples by a critic's scores; take --prior-loss norm or none")
    like, domain = next(game.generator.parameters()), game.domains[0]
    if loss.compares and real is None:
        raise GanflowError("the run's loss compares with real examples, and its data cannot be had any more; "
                           "take --prior-loss norm or none")  # fmt: skip
    examples = torch.zeros(1, *game.data.shape) if real is None else real
    step = game.step("generator", {domain: examples.to(like)})
    scores = None
    if loss.compares:
        with torch.no_grad():
            scores = step.score(step.real())

    def one(score: Any) -> Tensor:
        alone = score[None] if isinstance(score, Tensor) else {name: t[None] for name, t in score.items()}
        return step.over(loss.generator_loss, alone, scores)

    each = torch.func.vmap(one)
    return lambda z, made: each(game.step("generator", {domain: made}).score(made))


def judges(game: Game) -> bool:
    """True where the game's critic scores how real a generated example is."""
    return game.critic is not None and isinstance(game.loss, ScoreLoss)


def _ranked(t: Tensor, order: Tensor) -> Tensor:
    t = t.view(*order.shape, *t.shape[1:])
    return t[torch.arange(len(order), device=order.device)[:, None], order]
