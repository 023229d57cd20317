"""The state of a game as named tensors and plain values; its parts that differ between workers."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganflow.engine.distributed import Group
from ganflow.engine.game import Game, seed_generators
from ganflow.engine.player import parts_of
from ganflow.errors import GanflowError

Tensors = dict[str, Tensor]
_TENSOR, _PAIRS, _TUPLE = "$tensor", "$pairs", "$tuple"


def game_state(game: Game) -> tuple[Tensors, dict[str, Any]]:
    """Networks, extras and optimizers: live tensors by name (not copies), and the plain values around them."""
    tensors: Tensors = {f"game.{name}": t for name, t in game.state_dict().items()}
    parts = parts_of(game.players)
    optimizers = {name: flatten(part.optimizer.state_dict(), f"optimizer.{name}", tensors) for name, part in parts.items()}
    return tensors, {"optimizers": optimizers}


def load_game_state(game: Game, tensors: Tensors, plain: dict[str, Any]) -> None:
    """Load a state; the networks' tensors are written into.

    Raises:
        ValueError: the state is another game's.
    """
    load_networks(game, tensors)
    parts = parts_of(game.players)
    if unlike := parts.keys() ^ plain["optimizers"].keys():
        raise ValueError(f"optimizers of other parts: {', '.join(sorted(unlike))}")
    for name, part in parts.items():
        part.optimizer.load_state_dict(unflatten(plain["optimizers"][name], tensors))


def load_networks(game: Game, tensors: Tensors) -> None:
    """Only the networks and extras. Raises ValueError where they are another game's."""
    _load(game, {_today(name.removeprefix("game."), game): t for name, t in tensors.items() if name.startswith("game.")})


def load_generator(game: Game, tensors: Tensors) -> None:
    """Only the generator, from averaged weights; its average becomes the same. The game is without a critic from then on, for the
    weights of that are not known. Raises ValueError where they are another's."""
    game.critic = None
    theirs = {name.removeprefix("game.generator."): t for name, t in tensors.items()}
    for network in {game.generator, game.averaged}:
        _load(network, theirs)


def _load(module: nn.Module, theirs: Tensors) -> None:
    """Load a state of just these tensors.

    Raises:
        ValueError: it is another module's; the first difference is named.
    """
    try:
        module.load_state_dict(theirs)
    except RuntimeError as error:
        mine = {name: t.shape for name, t in module.state_dict().items() if isinstance(t, Tensor)}
        texts = [f"{name} has shape {tuple(theirs[name].shape)} there, and {tuple(shape)} by the recipe"
                 for name, shape in mine.items() if name in theirs and theirs[name].shape != shape]  # fmt: skip
        texts += [f"{name} is missing there" for name in mine.keys() - theirs.keys()]
        texts += [f"{name} is there, and not in the recipe's networks" for name in theirs.keys() - mine.keys()]
        more = f", and {len(texts) - 1} more differ" if len(texts) > 1 else ""
        raise ValueError(f"{texts[0]}{more}" if texts else " ".join(str(error).split())) from None


def _today(name: str, game: Game) -> str:
    """The name of a tensor of the game's state, which earlier checkpoints may have under another: a part of the loss says so by
    an attribute `former_keys`, {key among the extras: its key in the part}."""
    above, _, rest = name.removeprefix("extras.").partition(".")
    parts: Any = game.extras["loss"] if name.startswith("extras.") and "loss" in game.extras else ()
    for i, part in enumerate(parts):
        if above in getattr(part, "former_keys", {}):
            return f"extras.loss.{i}.{part.former_keys[above]}.{rest}"
    return name


def torch_random(device: torch.device) -> Tensors:
    """The states of torch's generators: the CPU's and the device's."""
    tensors: Tensors = {"random.torch": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        tensors["random.mps"] = torch.mps.get_rng_state()
    return tensors


def load_torch_random(device: torch.device, tensors: Tensors) -> None:
    """Go on drawing where `torch_random` was called."""
    torch.set_rng_state(tensors["random.torch"])
    if "random.cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
    if "random.mps" in tensors and device.type == "mps":
        torch.mps.set_rng_state(tensors["random.mps"])


def random_state(device: torch.device) -> tuple[Tensors, dict[str, Any]]:
    """The state of every random number generator that code in a run may draw from."""
    tensors = torch_random(device)
    plain: dict[str, Any] = {"python": _as_lists(random.getstate())}
    if "numpy" in sys.modules:
        import numpy as np

        kind, words, *rest = np.random.get_state()
        plain["numpy"] = [str(kind), [int(w) for w in words], *rest]
    return tensors, plain


def load_random_state(device: torch.device, tensors: Tensors, plain: dict[str, Any]) -> None:
    """Go on drawing where `random_state` was called."""
    load_torch_random(device, tensors)
    version, words, gauss = plain["python"]
    random.setstate((version, tuple(words), gauss))
    if "numpy" in plain:
        import numpy as np

        np.random.set_state(tuple(plain["numpy"]))


def seed_random(device: torch.device, seed: int) -> None:
    """Begin the random numbers of every generator of `random_state` anew."""
    seed_generators(device, seed)
    random.seed(seed)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(seed % 2**32)


@contextmanager
def kept_random(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """Random numbers drawn inside leave all generators as they were.

    Args:
        seed: of all of them inside.
    """
    before, python = torch_random(device), random.getstate()
    arrays = sys.modules["numpy"].random.get_state() if "numpy" in sys.modules else None
    try:
        if seed is not None:
            seed_random(device, seed)
        yield
    finally:
        load_torch_random(device, before)
        random.setstate(python)
        if arrays is not None:
            sys.modules["numpy"].random.set_state(arrays)


def scoring(device: torch.device) -> AbstractContextManager[None]:
    """Random numbers that metrics, or trackers as they are built, draw inside are the same every time, and none of training's."""
    return kept_random(device, seed=0)


def copy_of_state(game: Game) -> Tensors:
    """The tensors of a game's state, as they are now."""
    return {name: t.clone() for name, t in game_state(game)[0].items()}


@contextmanager
def untouched(game: Game) -> Iterator[None]:
    """Whatever happens inside, game, optimizers and random numbers are afterwards what they were."""
    before = copy_of_state(game)
    with kept_random(game.device):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, t in game_state(game)[0].items():
                    t.copy_(before[name])


def flatten(tree: Any, name: str, tensors: Tensors) -> Any:
    """A nested state as plain values for JSON, its tensors moved into `tensors` under names that begin with `name`.

    Raises:
        GanflowError: something in it is no tensor, number, string or None, nor a list, tuple or dict of them.
    """
    if isinstance(tree, Tensor):
        tensors[name] = tree.detach()
        return {_TENSOR: name}
    if isinstance(tree, dict) and all(key is None or isinstance(key, (bool, int, float, str)) for key in tree):
        return {_PAIRS: [[key, flatten(value, f"{name}.{key}", tensors)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        values = [flatten(value, f"{name}.{i}", tensors) for i, value in enumerate(tree)]
        return {_TUPLE: values} if isinstance(tree, tuple) else values
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise GanflowError(f"{name}: a {type(tree).__name__} cannot be kept in a checkpoint; keep state in tensors and numbers")


def unflatten(plain: Any, tensors: Tensors) -> Any:
    """The nested state that `flatten` cut."""
    if isinstance(plain, list):
        return [unflatten(value, tensors) for value in plain]
    if isinstance(plain, dict):
        if _TENSOR in plain:
            return tensors[plain[_TENSOR]]
        if _TUPLE in plain:
            return tuple(unflatten(value, tensors) for value in plain[_TUPLE])
        return {key: unflatten(value, tensors) for key, value in plain[_PAIRS]}
    return plain


def _as_lists(value: Any) -> Any:
    return [_as_lists(v) for v in value] if isinstance(value, tuple) else value


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
    """Tensors of a checkpoint that are of the workers after the first, under the names there."""
    return {name: t for name, t in tensors.items() if name.startswith("rank")}


def workers_of(others: Mapping[str, Tensor]) -> int:
    """The number of workers that they and the first one were."""
    return 1 + max((int(name.partition(".")[0].removeprefix("rank")) for name in others), default=0)


@torch.no_grad()
def load_rank(game: Game, rank: int, others: Mapping[str, Tensor]) -> None:
    """Load what is there of a worker."""
    for name, t in per_rank(game).items():
        if (kept := others.get(f"rank{rank}.{name}")) is not None:
            t.copy_(kept)
