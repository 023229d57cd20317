"""Adaptive augmentation: a probability that follows how much the critic overfits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganflow import AddedTerms, Game, GanflowError, Step, Terms
from ganflow_regularize.pipeline import alter

DIVIDED_BY_ZERO = ("minimax", "non_saturating", "hinge")
"""Losses whose critic says real above 0 and generated below."""
STEPS_AVERAGED = 4  # over which the sign is, about, as in the paper's code


class Adaptive(nn.Module, AddedTerms):
    """Probability p of altering what the critic sees, and the number that it follows.

    r = E sign f(x) of real examples x is 0 where the critic cannot tell them, and 1 where it knows them all (Karras et al. 2020,
    arXiv:2006.06676, eq. 1). After every step of the critic p goes up where r is above the target, else down. Scores of a loss
    that has no such zero (wasserstein, lsgan, relativistic) are compared with those of generated examples:
    r = E sign (f(x) − f(G(z))).

    Args:
        target: of r.
        steps: of the critic, in which p may go from 0 to 1.
        highest: of p.
        policy: see `pipeline.alter`.
    """

    p: Tensor
    sign: Tensor

    def __init__(self, target: float, steps: int, highest: float, start: float, policy: list[str]) -> None:
        super().__init__()
        self.target, self.steps, self.highest, self.policy, self.compares = target, steps, highest, list(policy), False
        self.register_buffer("p", torch.tensor(start))
        self.register_buffer("sign", torch.zeros(()))

    def check(self, game: Game) -> None:
        if game.critic is None:
            raise GanflowError("modifier 'ada' works on a critic, and the recipe has none; take it out")
        if sum(isinstance(part, Adaptive) for part in game.parts) > 1:
            raise GanflowError("modifier 'ada' follows all that the critic sees, and the recipe has it twice; take one out")
        fields = [name for name in (*game.domains, *game.condition) if game.data.fields[name].is_image]
        if not set(game.domains) <= set(fields):
            raise GanflowError(f"modifier 'ada' alters images (channels, height, width); data '{game.data.name}' has shape "
                               f"{game.data.shape}: take the modifier out")  # fmt: skip
        if beside := [name for name in game.condition if name in fields]:
            raise GanflowError(f"modifier 'ada' would move an image and not '{beside[0]}', with which the critic compares it; "
                               "take the modifier out")  # fmt: skip
        self.compares = getattr(game.loss, "name", "") not in DIVIDED_BY_ZERO

    def alter(self, x: Tensor) -> Tensor:
        return alter(x, self.policy, self.p)

    def critic_terms(self, step: Step) -> Terms:
        """None: r and p are logged beside the loss's terms."""
        signs = [sign for domain in step.domains for sign in self._signs(*step.scores(domain))]
        step.log("ada_sign", torch.stack(signs).mean())
        step.log("ada_p", self.p.clone())  # that of this step, which changes p
        return {}

    def _signs(self, real: Any, fake: Any) -> list[Tensor]:
        if isinstance(real, Mapping):
            return [sign for name in real for sign in self._signs(real[name], fake[name])]
        return [(real - fake if self.compares else real).detach().sign().mean()]

    def critic_stepped(self, values: Mapping[str, Tensor]) -> None:
        self.sign.lerp_(values["ada_sign"].to(self.sign), 1 / STEPS_AVERAGED)
        self.p.add_((self.sign - self.target).sign() / self.steps).clamp_(0, self.highest)


class Altering:
    """The forward pre-hook of a critic in training. An object, so that a copy of a game alters by its copy of the state."""

    def __init__(self, adaptive: Adaptive) -> None:
        self.adaptive = adaptive

    def __call__(self, critic: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return (self.adaptive.alter(inputs[0]), *inputs[1:]) if critic.training else None


def attach(game: Game) -> None:
    """Alter what the game's critic sees by the state that is among its terms."""
    adaptive = next(part for part in game.parts if isinstance(part, Adaptive))
    if game.critic is not None:
        game.critic.register_forward_pre_hook(Altering(adaptive))
