"""The game: the players, their loss, and what is sampled from them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ganflow.contract.data import Data, Prior
from ganflow.contract.loss import AddedTerms, Batch, Loss, Terms, mixes_examples
from ganflow.contract.signature import Signature, Z, played, signatures_of
from ganflow.engine.allocation import Meter, check_call, check_room
from ganflow.engine.compat import BatchNorm
from ganflow.engine.feed import keyed_generator
from ganflow.engine.losses import check_terms, modules_in
from ganflow.engine.player import Player
from ganflow.engine.step import PlayedStep
from ganflow.errors import GanflowError, KeyTaken, StepError, did_you_mean
from ganflow.recipe.sections import RECIPE_VERSION

FEWER = "ask for fewer at a time"


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
    """Two players, what they descend, and whatever else has state.

    Attributes:
        generator, critic: the networks; `critic` is None in critic-free recipes.
        extras: modules that modifiers put here (the average of the generator), and those of losses and added terms: part of every
            checkpoint.
        data, prior: what the game is played on.
        loss, terms: the loss, and what modifiers add to it.
        condition: the data's fields that generator and critic get besides.
        signatures: of the generator, by name; `makers` are those by which a field is generated in training, `domains` these.
        players: "generator" and "critic", with their optimizers. Empty in a game that is only sampled from.
        one_pass: real and fake examples go through the critic together.
        auxiliary, score_weights: of the critic's outputs, which are no scores, and how much a named score weighs (1 by default).
        needs: player → the fields of the data that its step reads.
        layers: of the critic, whose features the terms ask for.
        made: bytes alive at the peak of a step's terms on two examples, besides the parts'.
        part_weights: of all named scores together, by the number of each part whose terms are computed over such.
        round: rounds played, a 0-dim int64 tensor; of no checkpoint.

    Args:
        version: of the recipe (see RECIPE_VERSION): before 2, latents of seed s were the first z that a run of seed s trained on,
            and these the numbers of its initial weights.
        called: what messages call the loss and each of the added terms; by default by their classes.
    """

    round: Tensor

    def __init__(
        self,
        data: Data,
        prior: Prior | None,
        generator: nn.Module,
        critic: nn.Module | None,
        loss: Loss,
        terms: Sequence[AddedTerms] = (),
        *,
        condition: Sequence[str] = (),
        one_pass: bool = False,
        version: int = RECIPE_VERSION,
        called: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.data, self.prior, self.one_pass, self.version = data, prior, one_pass, version
        self.generator, self.critic, self.condition = generator, critic, tuple(condition)
        self.signatures = signatures_of(generator, data, prior, self.condition)
        self.makers = played(self.signatures, data, prior)
        self.domains = tuple(self.makers)
        if not self.domains:
            made = ", ".join(f"'{signature.output}'" for signature in self.signatures.values())
            hints = (did_you_mean(signature.output, data.fields) for signature in self.signatures.values())
            fields, hint = ", ".join(data.fields), next(filter(None, hints), "")
            raise GanflowError(f"the generator makes no field of data {data.name} ({fields}) from what a batch holds: its "
                               f"signatures make {made or 'nothing'}{hint}")  # fmt: skip
        if both := [name for name in self.condition if name in self.domains]:
            raise GanflowError(f"condition: '{both[0]}' is what the generator makes, and cannot be its condition: 'condition=[]'")
        self.auxiliary: frozenset[str] = frozenset(attribute_of(critic, "auxiliary", ()))
        self.score_weights: dict[str, float] = dict(attribute_of(critic, "score_weights", {}))
        self.together = one_pass and not mixes_examples(generator)
        self.needs: dict[str, set[str]] = {}
        self.layers: set[str] = set()
        self.made = 0
        self.part_weights: dict[int, float] = {}
        self.extras = Extras()
        self.players: dict[str, Player] = {}
        self.register_buffer("round", torch.zeros((), dtype=torch.int64), persistent=False)
        self.__dict__["_parts"] = (loss, *terms)  # registered below, where they have state
        self.called = tuple(called) or tuple(f"{'modifier' if i else 'loss'} '{name_of(p)}'" for i, p in enumerate(self.parts))
        if stateful := modules_in(self.parts):
            self.extras["loss"] = nn.ModuleList(stateful)

    @property
    def parts(self) -> tuple[AddedTerms, ...]:
        """The loss and the added terms."""
        found: tuple[AddedTerms, ...] = self.__dict__["_parts"]
        return found

    @property
    def loss(self) -> Loss:
        assert isinstance(self.parts[0], Loss)
        return self.parts[0]

    @property
    def terms(self) -> tuple[AddedTerms, ...]:
        return self.parts[1:]

    def step(self, player: Literal["critic", "generator"], batch: Batch, **arguments: Any) -> PlayedStep:
        """A player's step on a batch; arguments as of PlayedStep."""
        return PlayedStep(self, player, batch, **arguments)

    def terms_of(self, step: PlayedStep, parts: Sequence[AddedTerms] | None = None) -> Terms:
        """The named scalars that the step's player descends.

        Args:
            parts: of the loss and the added terms; all by default.

        Raises:
            GanflowError: two of them have one name, or one is no scalar.
        """
        terms: Terms = {}
        numbers = {id(part): i for i, part in enumerate(self.parts)}
        for part in self.parts if parts is None else parts:
            step.weights.clear()
            i = numbers[id(part)]
            called = self.called[i]
            try:
                found = check_terms(getattr(part, f"{step.player}_terms")(step), called, step.player)
            except StepError as error:
                raise GanflowError(f"the {called} {error}") from error
            if step.weights:
                self.part_weights[i] = step.weights[-1]
            for name, term in found.items():
                if name in terms:
                    raise GanflowError(f"two terms are called '{name}', and the {called} gives the second: give the modifier "
                                       "only once, or let one of the two call its term something else")  # fmt: skip
                terms[name] = part.every * term if part.every > 1 else term
        return terms

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        """Estimates of the parts from the means of their terms, without `every`; of named scores, from their weighted average."""
        found: dict[str, float] = {}
        for i, part in enumerate(self.parts):
            weight = part.every * (self.part_weights.get(i) or 1.0)
            found |= part.estimates({name: mean / weight for name, mean in means.items()})
        return found

    @property
    def stepping(self) -> list[Literal["critic", "generator"]]:
        """Names of the players that step, the critic first."""
        return ["critic", "generator"] if self.critic is not None else ["generator"]

    def discover(self) -> None:
        """Find out what the players' steps read and ask for, by playing each on a blank batch, with copies of the loss and the
        added terms. Changes nothing else."""
        tried = self.tried()
        known = [*self.parameters(), *self.buffers()]
        with evaluating(self), fork_rng(self.device), torch.enable_grad():
            for player in self.stepping:
                with Meter(known) as meter:
                    step = tried.step(player, self.blank(2))
                    tried.terms_of(step)
                self.made = max(self.made, *meter.line)
                self.needs[player] = step.fields.read - {Z}
                self.layers |= step.layers

    def tried(self) -> Game:
        """The same game with copies of the loss and the added terms, whose state may change; their parameters are these."""
        shared = (self.data, self.prior, self.generator, self.critic, *self.extras.parameters())
        tried = copy.copy(self)
        tried.__dict__["_parts"] = copy.deepcopy(self.parts, {id(part): part for part in shared if part is not None})
        return tried

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
        return keyed_generator(purpose, seed, device=device) if self.version > 1 else torch.Generator(device).manual_seed(seed)

    def latents(self, n: int, seed: int = 0) -> Tensor:
        """n draws from the prior on the CPU, the same on every device: (n, *prior.shape). None of them is trained on: their
        stream is none of a run's."""
        if self.prior is None:
            raise ValueError("this game has no prior to draw from")
        check_room(4 * n * math.prod(self.prior.shape), f"{n} draws from the prior", FEWER)
        return self.prior.sample(n, generator=self.stream("latents", seed))

    def blank(self, n: int) -> dict[str, Tensor]:
        """A batch of zeros with draws from the prior, for trying what shapes and work a step has: on the generator's device, in
        its dtype."""
        like = next(self.generator.parameters())
        batch = {name: field.blank(n) for name, field in self.data.fields.items()}
        if self.prior is not None:
            batch[Z] = self.latents(n)
        return {name: t.to(like.device, like.dtype if t.is_floating_point() else None) for name, t in batch.items()}

    @property
    def maker(self) -> str:
        """The signature by which the first domain is generated."""
        return self.makers[self.domains[0]]

    def samples(self, n: int, seed: int = 0) -> Tensor:
        """n generated examples of the first domain on the CPU, float32: (n, *shape). Training's random numbers stay untouched.
        What the generator takes besides z is drawn: see `conditions`."""
        return self.call(self.maker, **self.conditions(n, seed), **self.drawn(n, seed))

    def drawn(self, n: int, seed: int = 0) -> dict[str, Any]:
        """n draws from the prior for each input of the main signature that is z, by its argument."""
        inputs = self.signatures[self.maker].inputs
        return {argument: self.latents(n, seed) for argument, source in inputs.items() if source == Z}

    def conditions(self, n: int, seed: int = 0, balanced: bool = False) -> dict[str, Any]:
        """Conditions of n samples, by argument, on the CPU: classes as often as the training examples have them,
        anything else of held-out examples, drawn with replacement.

        Args:
            balanced: every class as often as the others, in turn.

        Raises:
            GanflowError: there are no held-out examples (in a run's folder there are none: the data are not loaded).
        """
        wanted = {argument: source for argument, source in self.signatures[self.maker].inputs.items() if source != Z}
        found: dict[str, Tensor] = {}
        rows: Tensor | None = None
        for argument, source in wanted.items():
            field = self.data.fields[source]
            if field.classes:
                found[argument] = field.draw(n, torch.Generator().manual_seed(seed), balanced)
                continue
            held_out = self.data.held_out.get(source)
            if held_out is None or not len(held_out):
                what = f"the generator takes '{source}' besides z, and data {self.data.name} has no held-out examples of it"
                raise GanflowError(f"{what}; raise held_out")
            if rows is None:
                rows = torch.randint(len(held_out), (n,), generator=torch.Generator().manual_seed(seed))
            found[argument] = held_out[rows]
        return found

    def signature(self, name: str) -> Signature:
        """The generator's signature of this name; raises ValueError where there is none."""
        if name not in self.signatures:
            raise ValueError(f"this game's generator has no signature '{name}' (there are: {', '.join(self.signatures)})")
        return self.signatures[name]

    @torch.no_grad()
    def call(self, name: str, *first: Tensor, seed: int = 0, batch: int = 256, **inputs: Any) -> Tensor:
        """Call a signature of the averaged generator in evaluation mode; the result is on the CPU in float32. For looking only:
        torch's random numbers stay untouched.

        Images are padded with their last row and column to what multiple the signature wants, and what is made is cropped.

        Args:
            name: of the signature.
            seed: for a network that is random when it is evaluated, too (dropout kept on).
            batch: examples at a time.
            first, inputs: the signature's arguments, (n, …) each, by position or by name.

        Raises:
            ValueError: the generator has no such signature, or images are too small for it.
            MemoryError: images are too large for the memory that is free.
        """
        signature, network = self.signature(name), self.averaged
        inputs = signature.arguments(first, inputs)
        sizes = [t.shape[2:] for t in inputs.values() if t.dim() == 4]
        height, width = sizes[0] if sizes else (0, 0)
        if sizes and min(height, width) < signature.smallest:
            least = signature.smallest
            raise ValueError(f"images of {height} × {width} are too small: the generator takes {least} pixels or more")
        spare = [-side % signature.multiple for side in (width, height)]
        if mixes_evaluated(network):
            batch = 1
        like = next(network.parameters())

        def prepared(t: Tensor) -> Tensor:
            t = t.to(like.device, like.dtype if t.is_floating_point() else None)
            return pad(t, (0, spare[0], 0, spare[1]), mode="replicate") if t.dim() == 4 and any(spare) else t

        pieces: list[Tensor] = []
        with evaluating(network), fork_rng(like.device, seed):
            for piece in zip(*(t.split(batch) for t in inputs.values()), strict=True):
                arguments = dict(zip(inputs, map(prepared, piece), strict=True))
                if not pieces:
                    check_call(network, signature, arguments)
                made = signature(network, arguments)
                pieces.append((made[:, :, :height, :width] if any(spare) and made.dim() == 4 else made).float().cpu())
                if len(pieces) == 1 and (n := max(map(len, inputs.values()))) > batch:  # all pieces, and all together
                    check_room(8 * n * pieces[0][:1].numel(), f"{n} examples that the generator makes", FEWER)
        return torch.cat(pieces)


def name_of(part: AddedTerms) -> str:
    """A loss's `name`, or its class's."""
    return str(getattr(part, "name", type(part).__name__))


def attribute_of(network: nn.Module | None, name: str, default: Any) -> Any:
    """An attribute of a network, or of the outermost of its modules that has it: a modifier may have put a module around it."""
    return next((getattr(m, name) for m in (network.modules() if network else ()) if hasattr(m, name)), default)


def mixes_evaluated(network: nn.Module) -> bool:
    """True where an example's result depends on the rest of its batch in evaluation mode, too: batch norm keeps no running
    statistics."""
    return any(isinstance(m, BatchNorm) and m.running_mean is None for m in network.modules())


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
def fork_rng(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """Random numbers drawn inside leave torch's generators as they were.

    Args:
        device: whose generator is kept, besides the CPU's.
        seed: of both inside.
    """
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type):
        if seed is not None:
            seed_generators(device, seed)
        yield


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed the CPU's generator and the device's. (torch.manual_seed seeds every device of the machine.)"""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)
