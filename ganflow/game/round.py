"""The round: Algorithm 1's outer iteration, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ganflow.errors import GanflowError
from ganflow.game.game import Game
from ganflow.loss import Batch, Loss, ScoreLoss, Terms, in_domain, mixes_examples

Listener = Callable[..., None]
Draws = dict[str, Tensor]


class Round:
    """`n_critic` critic steps, each on its own draw, then one generator step.

    Args:
        game: with its players.
        n_critic: critic steps per generator step (none in a critic-free game).
        accumulate: micro-batches per update; the batch is cut into so many, their gradients averaged.
        precision: "bf16" runs the networks under autocast.
        one_batch: the generator's step plays on the critic's last batch, and on what was generated for it.
        critic_stepped, generator_stepped: called after the steps, with `game`.
        settings: of the components that play, by place in the recipe; for messages on what changes in them.

    A call takes the round's draws, one tensor (`draws`, m, …) per name, "z" among them, and returns the terms, in the
    order of `names`: the critic's of its last step, then the generator's.
    """

    def __init__(
        self,
        game: Game,
        n_critic: int,
        *,
        accumulate: int = 1,
        precision: str = "fp32",
        one_batch: bool = False,
        critic_stepped: list[Listener] | None = None,
        generator_stepped: list[Listener] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.game, self.accumulate, self.precision = game, accumulate, precision
        self.settings = dict(settings or {})
        self.n_critic = n_critic if game.critic is not None else 0
        self.one_batch = one_batch and self.n_critic > 0
        self.critic_stepped, self.generator_stepped = critic_stepped or [], generator_stepped or []
        self.names: list[str] = []
        self._autocast = self._make_autocast()
        several = self.n_critic > 0 and not self.one_batch
        at_once = game.one_pass and several and not mixes_examples(game.generator)
        self._one_generator_pass = at_once and generates_row_by_row(game.loss)

    @property
    def data_draws(self) -> int:
        """Real batches that a round draws."""
        return self.n_critic + int(self.game.loss.generator_needs_data and not self.one_batch)

    @property
    def prior_draws(self) -> int:
        """Prior batches that a round draws: one per critic step, and one for the generator's step."""
        return self.n_critic + int(not self.one_batch)

    @property
    def generator_draw(self) -> int:
        """Which of the round's draws the generator's step plays on."""
        return self.n_critic - int(self.one_batch)

    def __call__(self, draws: Draws) -> list[Tensor]:
        steps = split(draws)
        terms: Terms = {}
        if self._one_generator_pass:
            self._generate_at_once(draws, steps)
        for i in range(self.n_critic):
            if self.one_batch and i == self.generator_draw and self.accumulate == 1:
                with self._autocast:  # the critic's step does not change the generator: its pass serves both
                    self.game.loss.prepare(self.game, steps[i])
            terms = self.critic_step(steps[i])
        named = {f"critic/{name}": t for name, t in terms.items()}
        named |= {f"generator/{name}": t for name, t in self.generator_step(steps[self.generator_draw]).items()}
        self.names = list(named)
        return list(named.values())

    def critic_step(self, batch: Batch) -> Terms:
        """One descent of the critic; then whoever listens (clipping)."""
        terms = self._step("critic", self.game.loss.critic_terms, batch)
        for listener in self.critic_stepped:
            listener(game=self.game)
        return terms

    def generator_step(self, batch: Batch) -> Terms:
        """One descent of the generator; then whoever listens (averaging)."""
        terms = self._step("generator", self.game.loss.generator_terms, batch)
        for listener in self.generator_stepped:
            listener(game=self.game)
        return terms

    def _step(self, name: str, terms_of: Callable[[Game, Batch], Terms], batch: Batch) -> Terms:
        player = self.game.players[name]
        if self.accumulate == 1:
            with self._autocast:
                terms = terms_of(self.game, batch)
            player.descend(total(terms))
            return {name: t.detach() for name, t in terms.items()}
        gradients: list[Tensor] = []
        sums: Terms = {}
        for part in _micro_batches(batch, self.accumulate):
            with self._autocast:
                terms = terms_of(self.game, part)
            found = player.gradients(total(terms) / self.accumulate)
            gradients = [a + b for a, b in zip(gradients, found, strict=True)] if gradients else [g.clone() for g in found]
            sums = {name: sums.get(name, 0) + t.detach() / self.accumulate for name, t in terms.items()}
        player.update(gradients)
        return sums

    def _generate_at_once(self, draws: Draws, steps: list[Batch]) -> None:
        """The fakes of all critic steps in one generator pass: the generator does not change between them."""
        loss: Any = self.game.loss
        flat = {name: t[: self.n_critic].flatten(0, 1) for name, t in draws.items() if len(t) >= self.n_critic}
        for domain in loss.domains:
            with self._autocast:
                fakes = loss.fakes(self.game, flat, domain)
            for step, fake in zip(steps, fakes.unflatten(0, (self.n_critic, -1)).unbind(), strict=False):
                step[in_domain("fake", domain)] = fake

    def _make_autocast(self) -> AbstractContextManager[object]:
        if self.precision == "bf16":
            return torch.autocast(self.game.device.type, dtype=torch.bfloat16)
        return nullcontext()


def generates_row_by_row(loss: Loss) -> bool:
    """Whether a loss generates from each row of a batch alone, so that batches which are put together give the same fakes: from
    z, as a ScoreLoss does, or by its declaration that a batch can be cut."""
    fakes, generate = getattr(loss, "fakes", None), getattr(loss, "generate", None)
    if getattr(fakes, "__func__", None) is not ScoreLoss.fakes:  # none, or through a pool, say
        return False
    if getattr(generate, "__func__", None) is ScoreLoss.generate:
        return True
    owner: Any = getattr(generate, "__self__", None)
    return isinstance(owner, Loss) and owner.mean_over_examples and not owner.whole_batch


def total(terms: Terms) -> Tensor:
    """The sum that a player descends."""
    for name, term in terms.items():
        if term.dim():
            raise GanflowError(f"the loss's term '{name}' has shape {tuple(term.shape)}; a term must be a scalar")
    values = iter(terms.values())
    result = next(values)
    for value in values:
        result = result + value
    return result


def split(draws: Draws) -> list[Batch]:
    """One batch per step; a name with fewer draws than there are steps is missing in the last ones."""
    unbound = {name: t.unbind() for name, t in draws.items()}
    steps = max(map(len, unbound.values()))
    return [{name: ts[i] for name, ts in unbound.items() if i < len(ts)} for i in range(steps)]


def _micro_batches(batch: Batch, parts: int) -> list[Batch]:
    cut = {name: t.chunk(parts) for name, t in batch.items()}
    return [{name: ts[i] for name, ts in cut.items()} for i in range(parts)]
