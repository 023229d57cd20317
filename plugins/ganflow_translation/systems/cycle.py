"""CycleGAN."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganflow import UNPAIRED, Batch, Loss, Terms, in_domain, mixes_examples
from ganflow_translation.systems.translation import TranslationLoss, distance

if TYPE_CHECKING:
    from ganflow import Game


class CycleLoss(TranslationLoss):
    """In each domain, y one of its images and x one of the other's: the adversarial loss of y against G(x); the generators also
    descend λ E|x − F(G(x))| and share · λ E|y − G(y)|, with F the way back."""

    reads = ("a", "b")
    domains = ("b", "a")
    mean_over_examples = True

    def __init__(self, adversarial: Loss, cycle: float, identity: float, critic_weight: float, pool: int = 0) -> None:
        super().__init__(adversarial, critic_weight)
        self.pool = pool
        self.cycle, self.identity = cycle, identity
        self.keeps = isinstance(identity, Tensor) or identity > 0  # a tensor in packed trials

    @property
    def whole_batch(self) -> dict[str, str]:
        why = "the pool of earlier fakes serves whole batches and is one worker's (loss.pool=0 leaves it out)"
        return {self.name: why} if self.pool else {}

    def generate(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        fake: Tensor = game.generator(batch[UNPAIRED[domain]], domain)
        return fake

    def generated(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        """With `train.one_pass`, what is translated and what is to stay go through the generator together."""
        key, same = in_domain("generated", domain), in_domain("same", domain)
        if key not in batch and self.keeps and game.one_pass and not mixes_examples(game.generator):
            both = game.generator(torch.cat((batch[UNPAIRED[domain]], batch[domain])), domain)
            batch[key], batch[same] = both.chunk(2)
        return super().generated(game, batch, domain)

    def fakes(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        """Generated examples out of the pool of earlier ones, once per batch."""
        fresh = in_domain("fake", domain) not in batch
        fake = super().fakes(game, batch, domain)
        pool = in_domain("pool", domain)
        if fresh and pool in game.extras:
            fake = batch[in_domain("fake", domain)] = game.extras[pool](fake)
        return fake

    def reals(self, batch: Batch, domain: str = "") -> Tensor:
        return batch[domain]

    def score(self, game: Game, x: Tensor, batch: Batch, domain: str = "") -> Tensor:
        return self.judge(game, x, domain)

    def generator_terms(self, game: Game, batch: Batch) -> Terms:
        terms = self.adversarial_terms(game, batch)
        for to, origin in UNPAIRED.items():
            back = game.generator(self.generated(game, batch, to), origin)
            terms[f"cycle_{origin}"] = self.cycle * distance(back, batch[origin])
        for to in UNPAIRED if self.keeps else ():
            same = batch.get(in_domain("same", to))
            same = game.generator(batch[to], to) if same is None else same
            terms[f"identity_{to}"] = self.identity * self.cycle * distance(same, batch[to])
        return terms
