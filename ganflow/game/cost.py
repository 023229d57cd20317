"""About how much work a round is, and whether compiling it pays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from ganflow.game.game import Game, evaluating
from ganflow.game.player import parts_of
from ganflow.game.state import untouched

TRIED = 2  # examples whose way through the networks is counted: one alone is too few for some norms


def worth_compiling(game: Game, n_critic: int, batch_size: int, rounds: int) -> tuple[str, str]:
    """What `compile: auto` chooses ("never", "step" or "round") for the work ahead, and why, in one sentence.

    An estimate from the networks alone, so that the choice is the same every time: a resumed run must go on exactly.
    """
    convolutional = any(isinstance(m, nn.modules.conv._ConvNd) for m in layers(game))
    if not all(part.traceable for part in parts_of(game.players).values()):
        return "never", "an optimizer is not one that a trace can follow"
    seconds = arithmetic(game, n_critic, batch_size) + operations_of(game, n_critic)
    mode, gain, cost = ("step", 0.25, 60.0) if convolutional else ("round", 0.5, 45.0)
    saved = gain * seconds * rounds
    text = f"compiling would save about {saved:.0f} s of {seconds * rounds:.0f} s and cost about {cost:.0f} s"
    return (mode, text) if saved > 1.5 * cost else ("never", text)


def layers(game: Game) -> list[nn.Module]:
    """The networks' innermost modules."""
    networks = [m for m in (game.generator, game.critic) if m is not None]
    return [m for n in networks for m in n.modules() if not any(True for _ in m.children())]


def operations_of(game: Game, n_critic: int) -> float:
    """About how many seconds a round's operations take besides their arithmetic."""
    return (n_critic + 1) * len(layers(game)) * 40e-6


def arithmetic(game: Game, n_critic: int, batch_size: int) -> float:
    """About how many seconds the multiplications and additions of a round take: an estimate from the networks alone."""
    step = counted(game, "generator")
    work = 3 * step["generator"] + 4 * step["critic"]
    if game.critic is not None:
        step = counted(game, "critic")
        work += n_critic * (step["generator"] + 3 * step["critic"])
    return batch_size * work / (25e9 * torch.get_num_threads() if game.device.type == "cpu" else 10e12)


def counted(game: Game, step: Literal["critic", "generator"]) -> dict[str, float]:
    """Floating-point operations per example that each network's forward passes take in a player's step.

    Counted by hooks while the loss plays: torch's own counter imports torch._dynamo, a second of every start."""
    networks = {"generator": game.generator, "critic": game.critic}
    playing = {name: network for name, network in networks.items() if network is not None}
    with untouched(game), evaluating(game), torch.enable_grad(), operations(playing) as counts:
        game.terms_of(game.step(step, game.blank(TRIED)))
    return {name: counts[name] / TRIED for name in networks}


@contextmanager
def operations(networks: Mapping[str, nn.Module]) -> Iterator[Counter[str]]:
    """Counts the multiplications and additions of the networks' linear and convolutional layers while it lasts, by name."""
    counts: Counter[str] = Counter()

    def add(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        turned = isinstance(layer, nn.modules.conv._ConvTransposeNd)  # there the weight is applied at every input place
        places = (inputs[0] if turned else result)[0, 0].numel() if weight.dim() > 2 else 1
        counts[name] += 2 * len(result) * weight.numel() * places

    def hook_of(name: str):  # type: ignore[no-untyped-def]
        return lambda layer, inputs, result: add(name, layer, inputs, result)

    hooks = [
        layer.register_forward_hook(hook_of(name))
        for name, network in networks.items()
        for layer in network.modules()
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd))
    ]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()
