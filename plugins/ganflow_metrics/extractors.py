"""Extractors of features from examples: their values, the digits classifier, a run's critic or encoder."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ganflow import GanflowError, evaluating, find_run, fork_rng, load_game, user_path
from ganflow_metrics.classifier import digits_classifier

if TYPE_CHECKING:
    from ganflow import Data, Game

BATCH = 256
PIXELS = 16  # of images whose values are compared, by default


class Extractor(ABC):
    """Map from examples to the features that metrics compare them by.

    Attributes:
        label: part of the scores' names, with a line below in front: "_inception"; "" for the values of points.
        digest: of whatever the features depend on: weights, say. Scores of extractors of other digests are not compared.
        classes: how many it knows; 0 where it is no classifier.
        cheap: a thousand examples take a moment, so that a floor is the mean of many samples of them.
    """

    label: str
    digest: str
    classes: int = 0
    cheap: bool = False

    @abstractmethod
    def features(self, examples: Tensor) -> Tensor:
        """Features (n, d), float64 on the CPU, of examples (n, *shape): each follows from its example alone."""

    def features_of_real(self, examples: Tensor) -> Tensor:
        """`features` of real examples, which a slow extractor keeps for the next time."""
        return self.features(examples)

    def probabilities(self, examples: Tensor) -> Tensor:
        """Probabilities (n, classes), float64 on the CPU, of the classes of examples (n, *shape)."""
        raise NotImplementedError(f"{type(self).__name__} knows no classes")

    @property
    def about(self) -> str:
        """Label and digest, for a protocol."""
        return f"{self.label.strip('_') or 'values'} {self.digest}".strip()


class Values(Extractor):
    """The values themselves; images averaged down so that their larger side is at most `pixels`."""

    digest, cheap = "", True

    def __init__(self, data: Data, pixels: int) -> None:
        if len(data.shape) != 3 and pixels != PIXELS:
            raise GanflowError(f"pixels is for images, and data {data.name} are none: leave it out")
        self._pixels = pixels
        self.label = f"_pixels{min(pixels, max(data.shape[1:]))}" if len(data.shape) == 3 else ""

    def features(self, examples: Tensor) -> Tensor:
        return values(examples, self._pixels)


def values(examples: Tensor, pixels: int) -> Tensor:
    """(n, *shape) to (n, d) in float64; images averaged down so that their larger side is at most `pixels`."""
    if examples.dim() == 4 and max(examples.shape[2:]) > pixels:
        height, width = examples.shape[2:]
        ratio = pixels / max(height, width)
        examples = adaptive_avg_pool2d(examples, (max(1, round(height * ratio)), max(1, round(width * ratio))))
    return examples.flatten(1).double()


class DigitsFeatures(Extractor):
    """Features of the digits classifier, and its answers."""

    label, classes, cheap = "_digits", 10, True

    def __init__(self, data: Data) -> None:
        if not (data.main.is_image and data.shape[0] == 1):
            raise GanflowError(f"the digits classifier reads pictures of one channel, and data {data.name} are none: use data "
                               "digits, or other features")  # fmt: skip
        self._classifier = digits_classifier()
        self.digest = digest_of_state(self._classifier.state_dict())

    def features(self, examples: Tensor) -> Tensor:
        return self._classifier.judge(examples)[0]

    def probabilities(self, examples: Tensor) -> Tensor:
        return self._classifier.judge(examples)[1]


class CriticFeatures(Extractor):
    """Features of a run's critic: the output of one of its modules, or the input of its last layer with weights.

    Raises:
        GanflowError: there is no such module, it is used more than once or gives no tensor, or the critic takes more than an
            example.
    """

    label = "_critic"

    def __init__(self, game: Game, run: str, layer: str) -> None:
        critic = game.critic
        if critic is None:
            raise GanflowError(f"run {run} has no critic; use features: encoder, or another run")
        if game.condition or len(game.domains) > 1:
            besides = ", ".join(game.condition) or "the domain"
            raise GanflowError(f"the critic of run {run} takes {besides} besides an example; use a run without a condition")
        modules = dict(critic.named_modules())
        weighted = [module for module in modules.values() if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd))]
        if layer and layer not in modules:
            raise GanflowError(f"the critic of run {run} has no module '{layer}' (there are: {', '.join(filter(None, modules))})")
        if not layer and not weighted:
            raise GanflowError(f"the critic of run {run} has no linear layer or convolution; name a module of it: layer=…")
        self._critic, self._module, self._last = critic, modules[layer] if layer else weighted[-1], not layer
        name = next(name for name, module in modules.items() if module is self._module)
        self._named = f"module '{name}' of the critic of run {run}"
        self.digest = digest_of_state(critic.state_dict(), layer)

    @torch.no_grad()
    def features(self, examples: Tensor) -> Tensor:
        like = next(self._critic.parameters())
        seen: list[Any] = []
        if self._last:
            handle = self._module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        else:
            handle = self._module.register_forward_hook(lambda _, inputs, output: seen.append(output))
        found = []
        try:
            with evaluating(self._critic), fork_rng(like.device, 0):
                for piece in examples.split(BATCH):
                    seen.clear()
                    self._critic.forward(piece.to(like))  # without the augmentation in front of it
                    found.append(self._only(seen, len(piece)))
        finally:
            handle.remove()
        return torch.cat([t.flatten(1).double().cpu() for t in found])

    def _only(self, seen: list[Any], n: int) -> Tensor:
        """The features (n, …) that one pass has shown."""
        if len(seen) != 1:
            raise GanflowError(f"the {self._named} is used {len(seen)} times for an example; name another: layer=…")
        if not (isinstance(seen[0], Tensor) and len(seen[0]) == n):
            raise GanflowError(f"the {self._named} gives no tensor of a row per example; name another: layer=…")
        return seen[0]


class EncoderFeatures(Extractor):
    """Codes of a run's autoencoder.

    Raises:
        GanflowError: its generator encodes nothing.
    """

    label = "_encoder"

    def __init__(self, game: Game, run: str) -> None:
        if "encode" not in game.signatures:
            has = ", ".join(game.signatures)
            raise GanflowError(f"the generator of run {run} has no signature 'encode' ({has}); use an autoencoder's run")
        self._game, self.digest = game, digest_of_state(game.averaged.state_dict())

    def features(self, examples: Tensor) -> Tensor:
        return self._game.call("encode", examples).flatten(1).double()


def features_of_run(data: Data, player: str, run: str, layer: str) -> Extractor:
    """The extractor of a run's "critic" or "encoder".

    Raises:
        GanflowError: there is no such run, or it is about examples of another shape.
    """
    here = user_path(f"features: {player}: run", run)  # a name or an id would mean another run, or none, in another folder
    if not (here / "run.json").is_file():
        raise GanflowError(f"features: {player}: {run} is not the folder of a run; give its path{_path_of(run)}")
    game = load_game(find_run(str(here), Path("runs")))
    if game.data.shape != data.shape:
        sizes = [" × ".join(map(str, shape)) for shape in (game.data.shape, data.shape)]
        raise GanflowError(f"run {run} is about examples of {sizes[0]}, and those of data {data.name} are {sizes[1]}: use a run "
                           "with the same data")  # fmt: skip
    return CriticFeatures(game, run, layer) if player == "critic" else EncoderFeatures(game, run)


def _path_of(run: str) -> str:
    """": runs/…", where the run is one of the runs folder here by another name."""
    try:
        return f": run={Path('runs') / find_run(run, Path('runs')).path.relative_to(Path('runs').absolute())}"
    except (GanflowError, ValueError):
        return ", such as runs/NAME/ID (ganflow runs lists them)"


def digest_of_state(state: Mapping[str, Any], *more: str) -> str:
    """A short digest of a network's tensors."""
    digest = hashlib.sha256("\0".join(more).encode())
    for name in sorted(state):
        t = state[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(t.shape)}{t.dtype}".encode())
        digest.update(t.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
