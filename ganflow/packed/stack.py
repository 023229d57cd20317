"""The state of one game as named tensors that a trace can follow, and that of many as rows of stacked ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ganflow.game.game import Game
from ganflow.game.player import parts_of
from ganflow.packed.numbers import NotPackable


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
    for i, own in enumerate(members):
        if odd := template.keys() ^ own.keys():
            raise NotPackable(f"trial {i} keeps other state than trial 0: {', '.join(sorted(odd))}")
        for name, like in template.items():
            value = own[name]
            if isinstance(like, Tensor):
                shape = value.shape if isinstance(value, Tensor) else ()
                if like.shape != shape:
                    raise NotPackable(f"{name} has shape {tuple(shape)} in trial {i} and {tuple(like.shape)} in trial 0")
            elif like != value:
                raise NotPackable(f"{name} is {value} in trial {i} and {like} in trial 0, and is no tensor")


def stack(name: str, like: Tensor, members: Sequence[dict[str, Any]]) -> Tensor:
    """One row per member."""
    rows = [torch.as_tensor(own[name], dtype=like.dtype, device=like.device) for own in members]
    return torch.stack([row.detach() for row in rows])


@torch.no_grad()
def unstack(row: dict[str, Tensor], own: dict[str, Any]) -> None:
    """Write a row into a member's own tensors. (Its plain numbers are its own all along.)"""
    for name, tensor in row.items():
        if isinstance(own[name], Tensor):
            own[name].copy_(tensor)
