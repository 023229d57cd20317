"""A round as a function of stacked tensors: the state of many games, and the trace that runs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ganflow.engine.compat import decompositions, tree_leaves, tree_map
from ganflow.engine.compat import trace as traced
from ganflow.engine.game import Game
from ganflow.engine.player import parts_of
from ganflow.engine.tracing import plain_batch_norm
from ganflow.packed.numbers import NotPackable, keys_in


def leaves(game: Game) -> dict[str, Any]:
    """All that a round reads or changes: live tensors (what one optimizer trains as one), and the optimizers' plain numbers.

    Raises:
        NotPackable: an optimizer's parameters are not one tensor.
    """
    found: dict[str, Any] = {}
    flat = set()
    parts = parts_of(game.players)
    for name, part in parts.items():
        if part.flat is None:
            raise NotPackable(f"the {name}'s optimizer does not treat every number alone")
        found[f"game.{name}.flat"] = part.flat.tensor
        flat |= set(map(id, part.flat.parameters))
    found |= {f"game.{name}": p for name, p in game.named_parameters() if id(p) not in flat}
    found |= {f"game.{name}": buffer for name, buffer in game.named_buffers()}
    for name, part in parts.items():
        found |= dict(_walk(part.optimizer.state_dict(), f"optimizer.{name}"))
    return found


def _walk(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, (dict, list, tuple)):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _walk(value, f"{path}.{key}")
    else:
        yield path, tree


def check_alike(template: dict[str, Any], members: Sequence[dict[str, Any]]) -> None:
    """Raises NotPackable where members' states are not rows of one stack, or plain values differ."""
    for i, member in enumerate(members):
        if odd := template.keys() ^ member.keys():
            raise NotPackable(f"trial {i} keeps other state than trial 0: {', '.join(sorted(odd))}")
        for name, like in template.items():
            value = member[name]
            if isinstance(like, Tensor):
                shape = value.shape if isinstance(value, Tensor) else ()
                if like.shape != shape:
                    raise NotPackable(f"{name} has shape {tuple(shape)} in trial {i} and {tuple(like.shape)} in trial 0")
            elif like != value:
                raise NotPackable(f"{name} is {value} in trial {i} and {like} in trial 0, and is no tensor")


def stack(name: str, like: Tensor, members: Sequence[dict[str, Any]]) -> Tensor:
    """One row per member."""
    return torch.stack([torch.as_tensor(m[name], dtype=like.dtype, device=like.device).detach() for m in members])


@torch.no_grad()
def unstack(row: dict[str, Tensor], member: dict[str, Any]) -> None:
    """Write a row into a member's tensors. (Its plain numbers were never stacked.)"""
    for name, tensor in row.items():
        if isinstance(member[name], Tensor):
            member[name].copy_(tensor)


aten = torch.ops.aten
NORMS = [  # as elementary operations: vmap has no good rules for some of them
    aten.native_batch_norm, aten.native_batch_norm_backward, aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_functional, aten._native_batch_norm_legit_no_training, aten.native_layer_norm,
    aten.native_layer_norm_backward, aten.native_group_norm, aten.native_group_norm_backward,
]  # fmt: skip
NARROW = 8
"""A product with so few columns is faster the other way round: as the transposed product of the transposed factors."""


@dataclass
class Drawing:
    """A random operation that was lifted out of a graph: called, it draws from torch's generators."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self) -> Tensor:
        def empty(t: Any) -> Any:
            return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=t.device) if isinstance(t, Tensor) else t

        drawn: Tensor = self.operation(*tree_map(empty, self.args), **tree_map(empty, self.kwargs))
        return drawn


def trace(function: Callable[..., list[Tensor]], inputs: Sequence[Tensor]) -> fx.GraphModule:
    """The operations of function(*inputs), autograd's included. The inputs are taken in by identity: the function may
    know them from elsewhere, too, and may change them.

    Raises:
        NotPackable: another tensor is changed, or follows from a number by which trials differ.
    """
    with plain_batch_norm():
        graph = traced(function, inputs, decompositions(NORMS))
    for node in graph.graph.nodes:
        if node.op == "get_attr" and (found := keys_in(getattr(graph, node.target))):
            text = f"computes with {', '.join(sorted(found))} when it is built"
            raise NotPackable(f"a component {text}: that would be one trial's for all; compute it in the round")
        if node.op == "call_function" and _changes(node.target) and _base(node.args[0]).op == "get_attr":
            raise NotPackable("a component changes a tensor that is no part of its module's state (make it a buffer)")
    return graph


def lift_random(graph: fx.GraphModule) -> list[Drawing]:
    """Make inputs, after the others, of all random numbers, in the order in which they are drawn.

    Raises:
        NotPackable: how they are drawn depends on computed values.
    """
    drawings: list[Drawing] = []
    last = graph.graph.find_nodes(op="placeholder")[-1]
    for node in list(graph.graph.nodes):
        target = node.target
        if node.op != "call_function" or torch.Tag.nondeterministic_seeded not in getattr(target, "tags", ()):
            continue
        tensors = [a for a in tree_leaves((node.args, node.kwargs)) if isinstance(a, fx.Node)]
        shape_only = _changes(target) or "_like" in target._schema.name or target is aten.bernoulli.p
        if tensors and not (shape_only and tensors == [node.args[0]]):
            raise NotPackable(f"a component draws random numbers that depend on computed values ({target})")
        meta = fx.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
        drawings.append(Drawing(target, meta[0], meta[1]))
        with graph.graph.inserting_after(last):
            drawn = last = graph.graph.placeholder(f"random_{len(drawings)}")
        drawn.meta["val"] = node.meta["val"]
        if _changes(target):
            with graph.graph.inserting_before(node):
                drawn = graph.graph.call_function(aten.copy_.default, (node.args[0], drawn))
                drawn.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(drawn)
        graph.graph.erase_node(node)
    graph.recompile()
    return drawings


def functional(graph: fx.GraphModule, changing: int, inputs: Sequence[Tensor]) -> fx.GraphModule:
    """Functional form of a graph that changes its inputs in place: returns the new values of the first `changing` inputs, then
    what `graph` returns."""
    run = _Apart(graph)

    def fresh_state(*values: Tensor) -> list[Tensor]:
        fresh = [t.clone() for t in values[:changing]]
        return [*fresh, *run.run(*fresh, *values[changing:])]

    with torch.no_grad():
        return tidy(traced(torch.func.functionalize(fresh_state, remove="mutations"), inputs))


def batched(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> fx.GraphModule:
    """The same for many trials: all inputs and results have one more dimension, the first."""
    with torch.no_grad():
        made = tidy(traced(torch.func.vmap(graph), inputs))
    for node in made.graph.find_nodes(op="call_function", target=aten.bmm.default):
        _turn_narrow(node)
    made.recompile()
    return made


def tidy(graph: fx.GraphModule) -> fx.GraphModule:
    """Remove operations that change nothing: where nothing is written, a copy is as good as the original."""
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and _does_nothing(node):
            node.replace_all_uses_with(node.args[0])
        if node.target is aten.copy.default and _alike(node, node.args[1]):
            node.replace_all_uses_with(node.args[1])
        if node.target in (aten.view.default, aten._unsafe_view.default):  # copies gave a layout that the things may not have
            node.target = aten.reshape.default
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


class _Apart(fx.Interpreter):
    """Runs a graph with its operations on lists of tensors taken apart, for which vmap has no rules."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        name = getattr(target, "_schema", None) and target._schema.name
        if not name or not name.startswith("aten::_foreach_"):
            return super().call_function(target, args, kwargs)
        single = getattr(aten, name.removeprefix("aten::_foreach_"))
        count = len(args[0])
        made = [single(*[a[i] if isinstance(a, (list, tuple)) else a for a in args], **kwargs) for i in range(count)]
        return None if name.endswith("_") else made


def _changes(target: Any) -> bool:
    """True for an operation that changes its first argument."""
    arguments = list(getattr(getattr(target, "_schema", None), "arguments", ()))
    return bool(arguments) and arguments[0].alias_info is not None and arguments[0].alias_info.is_write


def _base(value: Any) -> Any:
    """The node that a view is of (the first of a list)."""
    node = tree_leaves(value)[0]
    while node.op == "call_function" and (getattr(node.target, "is_view", False) or "getitem" in str(node.target)):
        node = node.args[0]
    return node


def _does_nothing(node: fx.Node) -> bool:
    target, before = node.target, node.args[0] if node.args else None
    if not isinstance(before, fx.Node):
        return False
    if target in (aten.detach.default, aten.clone.default, aten.alias.default, aten.lift_fresh_copy.default):
        return True
    if target is aten.mul.Scalar:
        return bool(node.args[1] == 1)
    reshaping = (aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.expand.default)
    return target in reshaping and _alike(node, before)


def _alike(a: Any, b: Any) -> bool:
    """True for nodes whose values have one shape and dtype."""
    s, t = a.meta.get("val"), b.meta.get("val") if isinstance(b, fx.Node) else None
    return isinstance(s, Tensor) and isinstance(t, Tensor) and s.shape == t.shape and s.dtype == t.dtype


def _turn_narrow(node: fx.Node) -> None:
    """a @ b as (bᵀ aᵀ)ᵀ where b has few columns: the usual kernels want the long side last."""
    a, b = node.args
    rows, columns = node.meta["val"].shape[1:]
    if not columns <= NARROW < rows:
        return
    graph = node.graph
    with graph.inserting_before(node):
        turned = [graph.call_function(aten.transpose.int, (factor, 1, 2)) for factor in (b, a)]
        product = graph.call_function(aten.bmm.default, tuple(turned))
        back = graph.call_function(aten.transpose.int, (product, 1, 2))
    back.meta = dict(node.meta)
    node.replace_all_uses_with(back)
    graph.erase_node(node)
