"""The game: the players, their loss, and what is sampled from them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ganflow.autoencoder import Autoencoder
from ganflow.conditional import Conditional
from ganflow.data import Data
from ganflow.data.feed import generator as stream_of
from ganflow.errors import GanflowError, KeyTaken
from ganflow.game.held import modules_in
from ganflow.game.player import Player
from ganflow.loss import Batch, Loss
from ganflow.prior import Prior
from ganflow.recipe.sections import RECIPE_VERSION
from ganflow.translator import Translator


class Extras(nn.ModuleDict):
    """Modules by name. None is replaced by another without being removed first: of two modifiers that use one key, the second
    would silently take the first one's state.

    Raises:
        KeyTaken: (when a module is added) the key is another module's.
    """

    def add_module(self, name: str, module: nn.Module | None) -> None:
        if name in self and self[name] is not module:
            raise KeyTaken(name)
        super().add_module(name, module)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, nn.Module):
            self.add_module(name, value)
        else:
            super().__setattr__(name, value)


class Game(nn.Module):
    """Two players, their loss, and whatever else has state.

    Attributes:
        generator, critic: the networks; `critic` is None in critic-free recipes.
        extras: modules that modifiers put here (the average of the generator, a pool), part of every checkpoint.
        data, prior: what the game is played on.
        players: "generator" and "critic", with their optimizers. Empty in a game that is only sampled from.
        one_pass: real and fake examples go through the critic together.
        summed_scales: how many scales' losses are summed: 1, unless the critic has an attribute `summed_scales`. Its scores
            then lie along dimension 1, one slice a scale.

    Args:
        version: of the recipe (see RECIPE_VERSION): before 2, latents of seed s were the first z that a run of seed s trained on,
            and these the numbers of its initial weights.
    """

    def __init__(
        self,
        data: Data,
        prior: Prior | None,
        generator: nn.Module,
        critic: nn.Module | None,
        loss: Loss,
        one_pass: bool = False,
        version: int = RECIPE_VERSION,
    ) -> None:
        super().__init__()
        self.data, self.prior, self.one_pass, self.version = data, prior, one_pass, version
        self.summed_scales = int(getattr(critic, "summed_scales", 1))
        self.generator, self.critic = generator, critic
        self.extras = Extras()
        self.players: dict[str, Player] = {}
        self.__dict__["_loss"] = loss  # registered below, where it has state, under the modifiers' wrappers too
        if stateful := modules_in(loss):
            self.extras["loss"] = nn.ModuleList(stateful)

    @property
    def loss(self) -> Loss:
        """What the players descend, with the modifiers' terms."""
        loss: Loss = self.__dict__["_loss"]
        return loss

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        """What the loss derives from its terms' means; of scales that are summed, from their average."""
        return self.loss.estimates({name: mean / self.summed_scales for name, mean in means.items()})

    def played_by(self, network: nn.Module) -> Game:
        """The same game with another generator. This one is left as it is; the parts are shared."""
        other = copy.copy(self)
        other.__dict__["_modules"] = {**self._modules, "generator": network}
        return other

    def settle(self, draw: Callable[[int], list[Batch]]) -> None:
        """Call the method `settle(game, draw)` of every module among the extras that has one: they are about to be sampled from,
        scored or kept.

        Args:
            draw: gives so many batches as the generator's step gets them, from a stream of their own.
        """
        for part in self.extras.values():
            if (method := getattr(part, "settle", None)) is not None:
                method(self, draw)

    @property
    def averaged(self) -> nn.Module:
        """The generator's moving average where the recipe keeps one, else the generator."""
        return self.extras["average"] if "average" in self.extras else self.generator  # noqa: SIM401 (a ModuleDict has no get)

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """All parameters of a player, as few tensors as possible: one, where its optimizer allows."""
        return self.players[player].updated

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    def stream(self, purpose: str, seed: int, device: torch.device | str = "cpu") -> torch.Generator:
        """Random numbers for one purpose: none that another purpose has, nor those that the initial weights were made of, which a
        plain seed would give (and gave before version 2)."""
        return stream_of(purpose, seed, device=device) if self.version > 1 else torch.Generator(device).manual_seed(seed)

    def latents(self, n: int, seed: int = 0) -> Tensor:
        """n draws from the prior on the CPU, the same on every device: (n, *prior.shape). None of them is trained on: their
        stream is none of a run's."""
        if self.prior is None:
            raise ValueError("this game has no prior to draw from")
        return self.prior.sample(n, generator=self.stream("latents", seed))

    def blank(self, n: int) -> dict[str, Tensor]:
        """A batch of zeros with draws from the prior, for trying what shapes and work a step has: on the generator's device, in
        its dtype."""
        like = next(self.generator.parameters())
        batch = {name: torch.zeros(n, *field.shape) for name, field in self.data.fields.items()}
        if self.prior is not None:
            batch["z"] = self.latents(n)
        return {name: t.to(like.device, like.dtype) for name, t in batch.items()}

    def samples(self, n: int, seed: int = 0) -> Tensor:
        """n generated examples on the CPU, float32: (n, *data.shape). Training's random numbers stay untouched. A conditional
        generator is told what held-out examples are told, drawn at random: see `conditions`."""
        return self.sample(self.latents(n, seed), self.conditions(n, seed) if self.conditional else None)

    @property
    def conditional(self) -> bool:
        """Whether the generator is told what to make."""
        return isinstance(self.generator, Conditional)

    def conditions(self, n: int, seed: int = 0) -> Tensor:
        """The conditions of n held-out examples, drawn with replacement, on the CPU.

        Raises:
            GanflowError: there are no held-out examples (in a run's folder there are none: the data are not loaded).
        """
        held_out = self.data.held_out.get(str(self.generator.condition))
        if held_out is None or not len(held_out):
            what = f"the generator is told what to make, and data {self.data.name} has no held-out examples to tell it"
            raise GanflowError(f"{what}; raise held_out")
        chosen: Tensor = held_out[torch.randint(len(held_out), (n,), generator=torch.Generator().manual_seed(seed))]
        return chosen

    @torch.no_grad()
    def sample(self, z: Tensor, condition: Tensor | None = None, batch: int = 256) -> Tensor:
        """Generated examples for the latents z (n, *prior.shape), and as many conditions where the generator is conditional, by
        the averaged generator in evaluation mode, on the CPU in float32: (n, *data.shape)."""
        network = self.averaged
        like = next(network.parameters())
        given = [t.to(like.device, like.dtype).split(batch) for t in (z, condition) if t is not None]
        with evaluating(network), fork_rng(like.device):
            torch.manual_seed(0)  # for a network that is random when it is evaluated, too
            pieces = [network(*piece).float().cpu() for piece in zip(*given, strict=True)]
        return torch.cat(pieces)

    @torch.no_grad()
    def encode(self, x: Tensor, batch: int = 256) -> Tensor:
        """Codes (n, *prior.shape) of examples x (n, *data.shape), by the averaged generator in evaluation mode, on the CPU in
        float32; of a variational autoencoder the means. `sample` decodes them.

        Raises:
            ValueError: the generator is no autoencoder.
        """
        network = self.averaged
        if not isinstance(network, Autoencoder):
            raise ValueError("this game's generator has no encoder")
        like = next(network.parameters())
        with evaluating(network), fork_rng(like.device):
            torch.manual_seed(0)
            pieces = [network.encode(piece.to(like.device, like.dtype)).float().cpu() for piece in x.split(batch)]
        return torch.cat(pieces)

    def reconstruct(self, x: Tensor) -> Tensor:
        """What the averaged generator makes of the codes of examples x: same shape, on the CPU in float32.

        Raises:
            ValueError: the generator is no autoencoder.
        """
        return self.sample(self.encode(x))

    @torch.no_grad()
    def translate(self, x: Tensor, to: str, seed: int = 0) -> Tensor:
        """Images x (n, channels, height, width) of the domain that `to` is made from, as images of the domain `to`, by the
        averaged generator in evaluation mode, on the CPU in float32, with the same height and width: where the network
        wants multiples of some number, the images are padded with their last row and column, and cropped afterwards.

        Args:
            seed: for a network that is random when it translates, too (dropout kept on).

        Raises:
            ValueError: the generator does not translate, or not this way, or the images are too small for it.
        """
        network = self.averaged
        if not isinstance(network, Translator) or to not in network.ways:
            raise ValueError(f"this game's generator does not translate to '{to}'")
        height, width = x.shape[2:]
        if min(height, width) < network.smallest:
            raise ValueError(f"images of {height} × {width} are too small: the generator takes {network.smallest} pixels or more")
        spare = [-side % network.multiple for side in (width, height)]
        like = next(network.parameters())
        batch = 1 if mixes_evaluated(network) else 32
        with evaluating(network), fork_rng(like.device):
            torch.manual_seed(seed)
            pieces = []
            for piece in x.split(batch):
                padded = pad(piece.to(like.device, like.dtype), (0, spare[0], 0, spare[1]), mode="replicate")
                pieces.append(network(padded, to)[:, :, :height, :width].float().cpu())
        return torch.cat(pieces)


def mixes_evaluated(network: nn.Module) -> bool:
    """Whether an example's result depends on the rest of its batch in evaluation mode, too: where batch norm keeps no
    running statistics."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is None for m in network.modules())




@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and every part of it back in the mode it was in afterwards."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training


@contextmanager
def fork_rng(device: torch.device) -> Iterator[None]:
    """Random numbers drawn inside leave torch's generators as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
