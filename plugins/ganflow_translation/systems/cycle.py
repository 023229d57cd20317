"""CycleGAN."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganflow import Game, GanflowError, Loss, Step, Terms
from ganflow_translation.systems.pool import Pools
from ganflow_translation.systems.translation import TranslationLoss, check_cycles, distance, origin_of, translated


class CycleLoss(TranslationLoss):
    """In each domain, y one of its images and x one of the other's: the adversarial loss of y against G(x); the generators also
    descend λ E|x − F(G(x))| and share · λ E|y − G(y)|, with F the way back.

    Args:
        pool: earlier fakes that are kept for the critic, in each domain; 0: none.
        shapes: of the images, by domain.

    Attributes:
        former_keys: under which earlier versions' checkpoints have the pools.
    """

    def __init__(
        self, adversarial: Loss, cycle: float, identity: float, critic_weight: float, pool: int = 0,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(adversarial, critic_weight)
        self.cycle, self.identity = cycle, identity
        self.keeps = isinstance(identity, Tensor) or identity > 0  # a tensor in packed trials
        self.pools = Pools(pool, shapes or {}) if pool else None
        self.former_keys = {f"pool_{domain}": f"pools.{domain}" for domain in shapes or {}}

    def check(self, game: Game) -> None:
        check_cycles(game, "cycle")
        (one, other), fields = game.domains, game.data.fields
        if self.keeps and fields[one].shape != fields[other].shape:
            raise GanflowError(
                f"loss.identity: '{one}' has {fields[one].shape[0]} channels and '{other}' {fields[other].shape[0]}, and an "
                "image of one is no input of the network that makes it: set loss.identity=0 to leave that term out, or give both "
                "domains the same channels"
            )

    def generate(self, step: Step, domain: str) -> Tensor:
        """With `train.one_pass`, what is translated and what is to stay go through the generator together."""
        origin = step.batch[origin_of(step, domain)]
        if not (step.together and self.keeps and step.player == "generator"):
            return translated(step, origin, domain)
        both = step.once(f"both_{domain}", lambda: translated(step, torch.cat((origin, step.real(domain))), domain))
        return both[: len(origin)]

    def same(self, step: Step, domain: str) -> Tensor:
        """The generator's translation of images that are in the domain already."""
        if not step.together:
            return translated(step, step.real(domain), domain)
        step.fake(domain)
        both: Tensor = step.once(f"both_{domain}", lambda: translated(step, step.real(domain), domain))
        return both[-len(step.real(domain)) :]

    def shown(self, step: Step, domain: str, fake: Tensor) -> Tensor:
        """Generated examples out of the pool of earlier ones."""
        return fake if self.pools is None else self.pools.exchange(step, domain, fake)

    def generator_terms(self, step: Step) -> Terms:
        terms = self.adversarial_terms(step)
        for to in step.domains:
            origin = origin_of(step, to)
            terms[f"cycle_{origin}"] = self.cycle * distance(translated(step, step.fake(to), origin), step.real(origin))
        for to in step.domains if self.keeps else ():
            terms[f"identity_{to}"] = self.identity * self.cycle * distance(self.same(step, to), step.real(to))
        return terms
