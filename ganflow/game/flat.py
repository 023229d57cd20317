"""Parameters as views of one flat tensor: then an optimizer's step, or a clip, is one kernel each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


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
        self._places = [(owner, name, p) for owner in module.modules() for name, p in owner._parameters.items() if id(p) in ours]
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
            for owner, name, p in self._places:
                owner._parameters[name] = replaced[id(p)]  # type: ignore[assignment]
            yield leaves
        finally:
            self._traced = False
            for owner, name, p in self._places:
                owner._parameters[name] = p

    @staticmethod
    def _line(t: Tensor, channels_last: bool) -> Tensor:
        return (t.permute(0, 2, 3, 1) if channels_last else t).reshape(-1)
