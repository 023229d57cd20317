"""Players: parameters, flattened, and the optimizers that train them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from ganflow.engine.distributed import Group


class Flat:
    """The parameters of a module, or some of them, laid out in one tensor.

    The modules keep their parameters, which become views of `tensor`, in the memory format they had.

    Attributes:
        parameters: distinct, in order.
        tensor: all their numbers; what the optimizer gets.
    """

    def __init__(self, module: nn.Module, parameters: Sequence[nn.Parameter] | None = None) -> None:
        self.parameters = list(module.parameters() if parameters is None else parameters)
        ours = set(map(id, self.parameters))
        self._owners = [(owner, name, p) for owner in module.modules() for name, p in owner._parameters.items() if id(p) in ours]
        self._sizes = [p.numel() for p in self.parameters]
        self._channels_last = [
            p.dim() == 4 and not p.is_contiguous() and p.is_contiguous(memory_format=torch.channels_last) for p in self.parameters
        ]
        flat = torch.cat([self._line(p.detach(), last) for p, last in zip(self.parameters, self._channels_last, strict=True)])
        self.tensor = nn.Parameter(flat)
        for p, view in zip(self.parameters, self.views(flat), strict=True):
            p.data = view
        self._gradient = torch.zeros_like(flat)
        self._gradient_views = self.views(self._gradient)
        self._traced = False

    def views(self, line: Tensor) -> list[Tensor]:
        """A flat tensor cut into the parameters' shapes."""
        pieces = line.split(self._sizes)
        return [
            piece.view(p.shape) if not last else piece.view(p.shape[0], *p.shape[2:], p.shape[1]).permute(0, 3, 1, 2)
            for piece, p, last in zip(pieces, self.parameters, self._channels_last, strict=True)
        ]

    def gather(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """One gradient per parameter (None: it took no part), laid out as the flat tensor is. The result is overwritten
        by the next call."""
        whole = [g if g is not None else torch.zeros_like(p) for g, p in zip(gradients, self.parameters, strict=True)]
        if self._traced:
            return torch.cat([self._line(g, last) for g, last in zip(whole, self._channels_last, strict=True)])
        torch._foreach_copy_(self._gradient_views, whole)  # as they are: a weight's gradient comes transposed
        return self._gradient

    @contextmanager
    def fresh_leaves(self) -> Iterator[list[Tensor]]:
        """While this lasts the modules' parameters are new leaves, views of the flat tensor made by traceable operations.

        A traced graph then reads and writes one tensor, and needs to know nothing of the aliasing."""
        leaves = [view.requires_grad_() for view in self.views(self.tensor.detach())]
        replaced = dict(zip(map(id, self.parameters), leaves, strict=True))
        self._traced = True
        try:
            for owner, name, p in self._owners:
                owner._parameters[name] = replaced[id(p)]  # type: ignore[assignment]
            yield leaves
        finally:
            self._traced = False
            for owner, name, p in self._owners:
                owner._parameters[name] = p

    @staticmethod
    def _line(t: Tensor, channels_last: bool) -> Tensor:
        return (t.permute(0, 2, 3, 1) if channels_last else t).reshape(-1)


NUMBERS = ("lr", "betas", "alpha", "eps", "weight_decay", "momentum", "nesterov")
"""What optimizers call the numbers that a recipe gives them; anything else in their groups is state."""
MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


class Part:
    """Parameters that one optimizer trains: a player's network, a sub-module of it, or the rest of either.

    Args:
        name: as in the recipe: "generator", "generator.mapping", "loss".
        module: where the parameters are used.
        make_optimizer: gets the parameters to update.
        parameters: distinct ones of the module; all of them, if not given.
        elementwise: the optimizer treats every number alone, so all parameters may be one flat tensor.
        schedule: the factor on the learning rate in each round, None for 1.

    Attributes:
        leaves: the parameters that gradients are taken for.
        updated: what the optimizer gets: as few tensors as possible.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        make_optimizer: MakeOptimizer,
        *,
        parameters: Sequence[nn.Parameter] | None = None,
        elementwise: bool = False,
        schedule: Callable[[int], float] | None = None,
    ) -> None:
        self.name, self.schedule = name, schedule
        distinct = list(module.parameters() if parameters is None else parameters)
        uniform = len({(p.dtype, p.device) for p in distinct}) == 1 and all(p.requires_grad for p in distinct)
        self.flat = Flat(module, distinct) if elementwise and uniform else None
        self.leaves: list[Tensor] = [p for p in distinct if p.requires_grad]
        self.updated: list[nn.Parameter] = [self.flat.tensor] if self.flat else [p for p in distinct if p.requires_grad]
        self.optimizer = make_optimizer(self.updated)
        self._numbers = [{name: group[name] for name in NUMBERS if name in group} for group in self.optimizer.param_groups]
        rates = [group["lr"] for group in self.optimizer.param_groups if "lr" in group]
        self._base_rates = [rate if isinstance(rate, Tensor) else float(rate) for rate in rates]

    def gather(self, gradients: Sequence[Tensor | None]) -> list[Tensor]:
        """The leaves' gradients (None: it took no part) in the shape of `updated`. Good until the next call."""
        if self.flat:
            return [self.flat.gather(gradients)]
        return [g if g is not None else torch.zeros_like(p) for g, p in zip(gradients, self.leaves, strict=True)]

    def reset_numbers(self) -> None:
        """Give the optimizer the numbers that it was made with, where another's state was loaded into it."""
        for group, numbers in zip(self.optimizer.param_groups, self._numbers, strict=True):
            group.update(numbers)

    def reset_rate(self) -> None:
        """Give the optimizer the learning rate that it was made with, where a state with another was loaded into it."""
        for group, numbers in zip(self.optimizer.param_groups, self._numbers, strict=True):
            group.update({name: value for name, value in numbers.items() if name == "lr"})

    def start_round(self, round: int) -> None:
        """Set the learning rate for this round."""
        if self.schedule is None:
            return
        factor = self.schedule(round)
        for group, base in zip(self.optimizer.param_groups, self._base_rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(base * factor)
            else:
                group["lr"] = base * factor

    @property
    def learning_rate(self) -> float | None:
        """Of the last round begun."""
        return float(self.optimizer.param_groups[0]["lr"]) if self._base_rates else None

    @property
    def traceable(self) -> bool:
        """True where a trace can follow its updates."""
        return self.flat is not None and hasattr(self.optimizer, "traceable")

    @contextmanager
    def traced(self) -> Iterator[None]:
        """While this lasts, steps are made of traceable operations on the flat tensor."""
        assert self.flat is not None, "only flat parameters can be traced"
        kept = self.leaves
        with self.flat.fresh_leaves() as leaves:
            self.leaves = leaves
            try:
                yield
            finally:
                self.leaves = kept


class Player:
    """"generator" or "critic".

    Args:
        name: of the player.
        parts: what it trains, each part by an optimizer of its own.
        clip_norm: the largest norm of the whole gradient, over all parts; None for any.
        group: the workers whose gradients are averaged; None for this one alone.
    """

    def __init__(
        self, name: str, parts: Sequence[Part], *, clip_norm: float | None = None, group: Group | None = None
    ) -> None:
        self.name, self.parts, self.clip_norm, self.group = name, list(parts), clip_norm, group

    @property
    def updated(self) -> list[nn.Parameter]:
        """All its parameters, as few tensors as possible."""
        return [p for part in self.parts for p in part.updated]

    def descend(self, objective: Tensor) -> None:
        """One step of every optimizer down the gradient of a scalar."""
        self.update(self.gradients(objective))

    def gradients(self, objective: Tensor) -> list[Tensor]:
        """The gradient of a scalar, in the shape of `updated`. Only this player's part of the graph is walked: the
        other player's parameters cost nothing and get nothing. Good until the next call."""
        leaves = [leaf for part in self.parts for leaf in part.leaves]
        found = iter(torch.autograd.grad(objective, leaves, allow_unused=True))
        return [g for part in self.parts for g in part.gather([next(found) for _ in part.leaves])]

    @torch.no_grad()
    def update(self, gradients: Sequence[Tensor]) -> None:
        """One step of every optimizer with these gradients (which are written over), averaged over all workers and clipped to
        `clip_norm`. They are the `grad` of `updated` until `forget` is called."""
        if self.group is not None:
            gradients = self.group.mean(gradients)
        if self.clip_norm is not None:
            norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
            factor = (self.clip_norm / (norm + 1e-6)).clamp(max=1.0)
            gradients = [g * factor for g in gradients]
        updated = self.updated
        for p, g in zip(updated, gradients, strict=True):
            p.grad = g
        for part in self.parts:
            part.optimizer.step()

    def forget(self) -> None:
        """Drop the last step's gradients."""
        for p in self.updated:
            p.grad = None

    def start_round(self, round: int) -> None:
        """Set the learning rates for this round."""
        for part in self.parts:
            part.start_round(round)

    @contextmanager
    def traced(self) -> Iterator[None]:
        """While this lasts, steps are made of traceable operations on flat tensors."""
        with ExitStack() as stack:
            for part in self.parts:
                stack.enter_context(part.traced())
            yield


def parts_of(players: Mapping[str, Player]) -> dict[str, Part]:
    """All that is trained, by name."""
    return {part.name: part for player in players.values() for part in player.parts}


def learning_rates(players: Mapping[str, Player]) -> dict[str, float]:
    """Of the last round begun, by part; those of optimizers without one are left out."""
    return {name: rate for name, part in parts_of(players).items() if (rate := part.learning_rate) is not None}
