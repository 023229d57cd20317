"""Hook specifications: what a plugin may implement, and when it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, HookimplOpts, HookspecMarker, PluginManager

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from ganflow.contract.data import Data, Prior
    from ganflow.contract.game import Game, Metric
    from ganflow.contract.loss import AddedTerms, Loss, Report
    from ganflow.contract.roles import Executor, TextEncoder, Tracker

CONTRACT = 2
"""Version of this contract. A plugin says which one it was written for with `GANFLOW_CONTRACT = 2` in its module;
one that says nothing was written for version 1. docs/porting.md says what changed."""

ROLES = (
    "data", "prior", "generator", "critic", "loss", "optimizer", "schedule", "metric", "tracker", "executor", "encoder",
    "modifier",
)  # fmt: skip
"""The roles of components. All but `modifier` have a builder of the same name. An `encoder` is chosen within data that have
captions, `data: {encoder: {use: NAME}}`, an `executor` within `tune: {executor: {use: NAME}}`."""

hookimpl = HookimplMarker("ganflow")
hookspec = HookspecMarker("ganflow")
_READER = PluginManager("ganflow")  # of the markers' options


class Builders:
    """Made once per run, in this order: data, prior, generator, critic, loss, the modifiers' terms, then per part optimizer and
    schedule, then the metrics and the trackers."""

    @hookspec(firstresult=True)
    def data(self) -> Data:
        """The real examples: fields with shapes and ranges, a training part and a held-out part. In memory (TensorData), loaded
        one by one (StreamData), or from an iterable of unknown length (IterableData)."""

    @hookspec(firstresult=True)
    def prior(self) -> Prior:
        """The distribution that the generator's input z is drawn from."""

    @hookspec(firstresult=True)
    def generator(self, data: Data, prior: Prior | None, condition: tuple[str, ...]) -> nn.Module:
        """A network that makes examples. A plain module is called `generator(z, **condition)`: z, shape (batch, *prior.shape),
        and for each field of the condition a keyword of its name; it makes samples, shape (batch, *data.shape), within the
        data's range. Labels are int64, shape (batch,); one that takes shares of the classes in their place, float of shape
        (batch, classes), can be walked between two of them (`ganflow interpolate --label A --label B`). What else it can be
        called for it says by an attribute `signatures` (ganflow.Signature). A generator that contains an earlier run's, which
        `train.start_from` fills, has it as `earlier`."""

    @hookspec(firstresult=True)
    def critic(self, data: Data, prior: Prior | None, condition: tuple[str, ...]) -> nn.Module:
        """A network from samples to scores, shape (batch,), or (batch, …) for patches, called `critic(x, **condition)`, and with
        `domain="a"` where several fields are generated. High means real. No sigmoid at the end. Several scores are a mapping
        name → tensor; an attribute `score_weights` may weigh them (1 each), and those that an attribute `auxiliary` names are
        no scores. A module that compares so many examples in a row with each other says so by an attribute `group_size`. A
        modifier that alters what the critic sees registers a forward pre-hook on the critic, here or in `game_built`."""

    @hookspec(firstresult=True)
    def loss(self, data: Data, prior: Prior | None, condition: tuple[str, ...]) -> Loss:
        """The players' objective: see ganflow.contract.loss."""

    @hookspec(firstresult=True)
    def terms(self, data: Data, prior: Prior | None, condition: tuple[str, ...]) -> AddedTerms:
        """Terms that a modifier adds to the loss: see ganflow.contract.loss.AddedTerms."""

    @hookspec(firstresult=True)
    def optimizer(self, parameters: list[nn.Parameter], player: str) -> torch.optim.Optimizer:
        """The optimizer of some parameters, a player's or a part's of it, which no other optimizer has; `player` ("generator" or
        "critic") is whose step they are trained in. What a loss holds is trained in the generator's. Any torch.optim.Optimizer.

        Where the settings class says `elementwise = True`, the update of each number depends on its own gradient and
        state alone, and `parameters` is a single flat tensor of which the networks' parameters are views, where they have one
        dtype and none is frozen. Only rounds of `ganflow.Elementwise` optimizers can be compiled or packed."""

    @hookspec(firstresult=True)
    def schedule(self, rounds: int) -> Callable[[int], float]:
        """The factor on the learning rate in round 0 … rounds − 1."""

    @hookspec(firstresult=True)
    def metric(self, data: Data) -> Metric:
        """A score of the generator, evaluated at intervals: see ganflow.contract.game."""

    @hookspec(firstresult=True)
    def tracker(self) -> Tracker:
        """A receiver of the run's numbers and pictures: see ganflow.contract.roles. Of several workers that train together, the
        first alone has it."""

    @hookspec(firstresult=True)
    def executor(self) -> Executor:
        """A player of a sweep's trials: see ganflow.contract.roles. Called in each of the sweep's processes; it cannot be
        wrapped."""

    @hookspec(firstresult=True)
    def encoder(self) -> TextEncoder:
        """An encoder of captions as vectors: see ganflow.contract.roles. Called by the data that have it in one of their keys, so
        it cannot be wrapped."""


class Events:
    """The call list of a run: game_built, run_started, then per round n_critic × critic_stepped and one generator_stepped; at
    their intervals round_reported, evaluated, checkpointed; at the end run_ended. A run that is only sampled from has game_built
    alone.

    Where several workers train together, each of them calls game_built, run_started, critic_stepped and generator_stepped on its
    own game, and only the first the others."""

    @hookspec
    def game_built(self, game: Game) -> None:
        """The game is built, nothing is trained. A checkpoint, if there is one, is loaded after this. Things with state (an
        average) are put into `game.extras` here, as modules: they are then part of every checkpoint. One with a method
        `settle(game, draw)` is called before the game is sampled from, scored or kept; `draw(k)` gives k batches that training
        does not miss. What depends on time computes with `game.round`, a 0-dim int64 tensor."""

    @hookspec
    def run_started(self, game: Game) -> None:
        """The first round is about to be played, or where a run goes on, the next one."""

    @hookspec
    def critic_stepped(self, game: Game) -> None:
        """After each critic update (clip here). Part of the step: torch operations only, no `.item()`. The gradient that was
        descended, averaged over workers and clipped, is the `grad` of `game.parameters_of("critic")`."""

    @hookspec
    def generator_stepped(self, game: Game) -> None:
        """The same after each generator update (average here)."""

    @hookspec
    def round_reported(self, game: Game, report: Report) -> None:
        """The terms of the last rounds were read from the device. `report.log(name, value)` adds a number."""

    @hookspec
    def evaluated(self, game: Game, round: int, scores: dict[str, float]) -> None:
        """The metrics were computed after `round` rounds."""

    @hookspec
    def checkpointed(self, game: Game, round: int, path: Path) -> None:
        """A checkpoint of the state after `round` rounds was handed to the writer; `path` is where it will be."""

    @hookspec
    def run_ended(self, game: Game, status: str) -> None:
        """The run is over: "finished", "interrupted" or "failed". Not called when the process is killed."""


BUILDERS, EVENTS = (tuple(name for name in vars(spec) if not name.startswith("_")) for spec in (Builders, Events))
"""The hooks' names, in the order of the contract."""


def spec_of(name: str) -> Callable[..., Any]:
    """The specification function of a hook, whose signature is the contract."""
    found: Callable[..., Any] = getattr(Builders if name in BUILDERS else Events, name)
    return found


@dataclass(frozen=True)
class Hook:
    """One marked method.

    Attributes:
        attribute: the method's name.
        name: the hook that it implements: the method's name, unless the options have a `specname`.
        options: pluggy's, of the marker.
        bound: the first argument is the instance or the class.
    """

    attribute: str
    name: str
    function: Callable[..., Any]
    options: HookimplOpts
    bound: bool = True

    @property
    def wrapper(self) -> bool:
        return bool(self.options.get("wrapper"))

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """All of the function's, `self` included."""
        return list(inspect.signature(self.function).parameters.values())


def arguments_of(hook: str) -> list[str]:
    """The arguments that a hook is called with, as the contract has them."""
    return list(inspect.signature(spec_of(hook)).parameters)[1:]


def options_of(owner: type | ModuleType, name: str) -> HookimplOpts | None:
    """The options of `hookimpl` on a function of a class or module, or a static or class method around it; None if there are
    none. Nothing is run."""
    return _READER.parse_hookimpl_opts(owner, name)


def hooks_of(cls: type) -> list[Hook]:
    """The marked methods of a class, inherited ones included, by name. Nothing of the class is run."""
    found = []
    for attribute in dir(cls):
        if (options := options_of(cls, attribute)) is not None:
            method = inspect.getattr_static(cls, attribute)
            function = getattr(method, "__func__", method)
            name = options.get("specname") or attribute
            found.append(Hook(attribute, name, function, options, not isinstance(method, staticmethod)))
    return found


def build_part(settings: Any, role: str, **arguments: Any) -> Any:
    """Build a component within another's key: `build_part(self.adversarial, "loss", data=data)`.

    Args:
        settings: the component's, as the key holds them.
        role: of the component; its hook.
        arguments: of the hook, of which it gets those that it names.
    """
    hook = next(hook for hook in hooks_of(type(settings)) if hook.name == role and not hook.wrapper)
    named = [parameter.name for parameter in hook.parameters]
    return getattr(settings, hook.attribute)(**{name: value for name, value in arguments.items() if name in named})
