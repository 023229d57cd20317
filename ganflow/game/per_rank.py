"""State that differs between the workers of a run: of modules among the game's extras that say `per_rank` (a pool of earlier
fakes). A checkpoint has the first worker's under its plain name, and that of worker r under "rank<r>." and that name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganflow.game.game import Game
from ganflow.game.parallel import Group

Tensors = dict[str, Tensor]


def per_rank(game: Game) -> Tensors:
    """The live tensors of this worker's, by their names in a checkpoint."""
    modules = game.extras.named_modules(prefix="game.extras")
    return {f"{name}.{key}": t for name, m in modules if getattr(m, "per_rank", False) for key, t in m.state_dict().items()}


def gathered(game: Game, group: Group) -> Tensors:
    """Those of all workers but the first, to the bit, with the rank before each name: on rank 0; nothing on the others. All of
    them must call this."""
    mine = per_rank(game)
    if not mine:
        return {}
    pieces = [t.detach().cpu().contiguous().view(-1).view(torch.uint8) for t in mine.values()]
    found: Tensors = {}
    for rank, line in list(enumerate(group.gather(torch.cat(pieces))))[1:]:
        for (name, t), piece in zip(mine.items(), line.split(list(map(len, pieces))), strict=True):
            found[f"rank{rank}.{name}"] = piece.clone().view(t.dtype).view(t.shape)  # cloned: aligned for any dtype
    return found


def others_in(tensors: Mapping[str, Tensor]) -> Tensors:
    """What a checkpoint has of the workers after the first, under the names there."""
    return {name: t for name, t in tensors.items() if name.startswith("rank")}


def workers_of(others: Mapping[str, Tensor]) -> int:
    """How many workers they and the first one were."""
    return 1 + max((int(name.partition(".")[0].removeprefix("rank")) for name in others), default=0)


@torch.no_grad()
def load_rank(game: Game, rank: int, others: Mapping[str, Tensor]) -> None:
    """Load what is there of a worker."""
    for name, t in per_rank(game).items():
        if (kept := others.get(f"rank{rank}.{name}")) is not None:
            t.copy_(kept)
