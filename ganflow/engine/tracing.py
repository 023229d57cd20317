"""Rounds as graphs of tensor operations, traced below autograd: of any loss, penalty or network that keeps to tensors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganflow.engine.compat import DispatchMode, trace
from ganflow.engine.game import Game

if TYPE_CHECKING:
    from torch import fx

Draws = dict[str, Tensor]


class Read(Exception):
    """A value, or a shape, was read out of a tensor into Python, which a trace would freeze."""


class Unread(DispatchMode):
    """While this lasts, reading out of tensors raises `Read`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if reads(func, args):
            raise Read(f"a step decides in Python by the values of tensors ({func})")
        return func(*args, **(kwargs or {}))


def reads(func: Any, args: Any) -> bool:
    """True for an operation whose result, or whose shape, depends on the values of tensors."""
    if func is torch.ops.aten.index.Tensor:
        return any(t is not None and t.dtype == torch.bool for t in args[1])
    return torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags


def trace_step(game: Game, function: Callable[[Draws], list[Tensor]], inputs: Draws) -> fx.GraphModule:
    """The operations of a step (or a round) on these draws, the optimizers' included, as a function of the list of draws. The
    step is played on the way."""
    names = list(inputs)

    def traced(tensors: list[Tensor]) -> list[Tensor]:
        with ExitStack() as stack:
            for player in game.players.values():
                stack.enter_context(player.traced())
            return function(dict(zip(names, tensors, strict=True)))

    with plain_batch_norm():
        return trace(traced, [list(inputs.values())])


def plain_batch_norm() -> AbstractContextManager[None]:
    """While a round is traced: batch norm as the operation that every rewriting of graphs knows. cuDNN's changes the running
    statistics without saying so, and they would be lost."""
    made: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=False)
    return made


def difference(old: fx.GraphModule, new: fx.GraphModule) -> str | None:
    """The first operation in which two graphs differ, in words; None where they are one. Tensors that both know are compared by
    identity: they are state, whose values may change. Others are constants."""
    mine, theirs = list(old.graph.nodes), list(new.graph.nodes)
    numbers = {node: i for nodes in (mine, theirs) for i, node in enumerate(nodes)}
    for a, b in zip(mine, theirs, strict=False):
        if a.op == b.op == "get_attr":  # under whatever name
            x, y = getattr(old, str(a.target)), getattr(new, str(b.target))
            if x is not y and not _equal(x, y):
                return f"a constant is {_value(y)} in place of {_value(x)}"
            continue
        called = ["a constant" if node.op == "get_attr" else str(node.target) for node in (b, a)]
        if called[0] == called[1] and a.op == b.op:
            called = [f"{node.target}{_arguments(node, numbers)}" for node in (b, a)]
        if called[0] != called[1] or a.op != b.op:
            return " in place of ".join(called)
    if len(mine) != len(theirs):
        return f"{len(theirs)} operations in place of {len(mine)}"
    return None


def _arguments(node: fx.Node, numbers: dict[fx.Node, int]) -> str:
    from torch.fx.node import map_arg

    args, kwargs = map_arg((node.args, node.kwargs), lambda n: _Number(f"%{numbers[n]}"))
    shown = [*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())]
    return f"({', '.join(shown)})"


class _Number(str):
    """A node by its number, shown without quotes."""

    __repr__ = str.__str__


def _equal(x: Any, y: Any) -> bool:
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        return bool(x == y)
    alike = x.shape == y.shape and x.dtype == y.dtype and x.device == y.device
    return alike and bool(((x == y) | ((x != x) & (y != y))).all())


def _value(t: Any) -> str:
    return f"{t.item():g}" if isinstance(t, Tensor) and t.numel() == 1 else "another tensor"
