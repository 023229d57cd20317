"""Optimizers and their parameters: each trainable parameter has exactly one.

A recipe's `optimizer:` names parts: "generator", "critic", a sub-module or a parameter of theirs ("generator.mapping"), "loss"
(what the loss and the terms added to it hold) and attributes of these ("loss.weights"). The longer name wins, and the outer part
gets what is left. Parts of the loss are trained in the generator's step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ganflow.contract.loss import AddedTerms
from ganflow.engine.distributed import Group
from ganflow.engine.game import Game
from ganflow.engine.losses import losses_in
from ganflow.engine.player import Part, Player
from ganflow.engine.state import flatten, unflatten
from ganflow.errors import GanflowError, PluginError, did_you_mean
from ganflow.plugins import Composition

TRAINS = {"generator": ("generator", "loss"), "critic": ("critic",)}
"""What each player trains, by the first word of a part's name."""
_EVERY_MODULES = frozenset(vars(nn.Module()))


def make_players(
    game: Game,
    composition: Composition,
    rounds: int,
    *,
    schedule_rounds: int = 0,
    clip_norm: float | None = None,
    group: Group | None = None,
) -> dict[str, Player]:
    """The players, with an optimizer for each part that the composition names ("optimizer.generator", …). A part without a
    schedule of its own has that of the longest part above it; the loss is below the generator.

    Args:
        rounds, schedule_rounds: of the run, for the schedules: see `build_schedule`.
        clip_norm, group: see `Player`.

    Raises:
        GanflowError: a parameter has two optimizers or none, or an optimizer has no parameters; by name.
    """
    chosen = {slot.removeprefix("optimizer."): c for slot, c in composition.components.items() if slot.startswith("optimizer.")}
    slots = {name: f"optimizer.{name}" for name in chosen if game.critic is not None or _player_of(name) != "critic"}
    shares = _Shares(game)
    if "loss" not in slots and shares.has_rest("loss", slots):
        alike = [chosen.get(player) for player in TRAINS if player != "critic" or game.critic is not None]
        if all(alike) and all(one == alike[0] for one in alike):
            slots["loss"] = "optimizer.generator"
    schedules = {
        slot.removeprefix("schedule."): build_schedule(composition, slot, rounds, schedule_rounds)
        for slot in composition.components
        if slot.startswith("schedule.")
    }
    parameters = shares.among(list(slots))
    for name in schedules:
        if name.partition(".")[0] == "loss" and not any(name in upwards(part) for part in slots):
            raise GanflowError(f"schedule.{name}: the loss has no parameters to train; remove it")
    players = {}
    for player, firsts in TRAINS.items():
        modules = [m for first in firsts if (m := shares.modules[first]) is not None]
        module = nn.ModuleList(modules)
        parts = [
            Part(
                name,
                module,
                partial(make_optimizer, composition, slot, player),
                parameters=parameters[name],
                elementwise=bool(getattr(composition.components[slot].settings, "elementwise", False)),
                schedule=next((schedules[a] for a in upwards(name) if a in schedules), None),
            )
            for name, slot in slots.items()
            if _player_of(name) == player
        ]
        if parts:
            players[player] = Player(player, parts, clip_norm=clip_norm, group=group)
    return players


def build_schedule(composition: Composition, slot: str, rounds: int, over: int = 0) -> Callable[[int], float]:
    """The factor on the learning rate in each round, the first of which is 0.

    Args:
        rounds: of the run.
        over: rounds that the schedule is over, after which the factor stays what it was in the last of them; 0: those of the run.
    """
    factor: Callable[[int], float] = composition.build("schedule", slot, rounds=over or rounds)
    return (lambda round: factor(min(round, over - 1))) if over else factor


def make_optimizer(composition: Composition, slot: str, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Call the builder in a slot.

    Raises:
        PluginError: it returns something else, or what no checkpoint can keep.
    """
    made = composition.build("optimizer", slot, parameters=parameters, player=player)
    component, name = composition.components[slot].component, type(made).__name__
    if not isinstance(made, torch.optim.Optimizer):
        raise PluginError(f"{component}: its hook 'optimizer' gave {name}, not a torch.optim.Optimizer")
    try:
        tensors: dict[str, Tensor] = {}
        made.load_state_dict(unflatten(flatten(made.state_dict(), slot, tensors), tensors))
    except Exception as error:
        why = f"{type(error).__name__}: {error}" if not isinstance(error, GanflowError) else str(error)
        how = "call super().__init__(parameters, defaults) and leave state_dict and load_state_dict to torch.optim.Optimizer"
        raise PluginError(f"{component}: no checkpoint can keep {name}, whose state_dict does not work ({why}); {how}") from error
    return made


def _player_of(name: str) -> str:
    first = name.partition(".")[0]
    return next(player for player, firsts in TRAINS.items() if first in firsts)


def upwards(name: str) -> Iterator[str]:
    """A part, and those above it."""
    yield name
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
    if (player := _player_of(name)) != name:
        yield player


class _Shares:
    """The trainable parameters of a game, and what they are called.

    Attributes:
        modules: "generator", "critic", "loss": what has their parameters, None where there is nothing.
        owned: the same: the parameters, frozen ones included. What a network has is not the loss's.
    """

    def __init__(self, game: Game) -> None:
        extras = dict(game.extras.items())
        self.modules = {"generator": game.generator, "critic": game.critic, "loss": extras.get("loss")}
        self.owned = {first: list(m.parameters()) if m is not None else [] for first, m in self.modules.items()}
        networks = {id(p) for player in ("generator", "critic") for p in self.owned[player]}
        self.owned["loss"] = [p for p in self.owned["loss"] if id(p) not in networks]
        self.names: dict[str, list[Any]] = {}
        for player in ("generator", "critic"):
            network = self.modules[player]
            if network is not None:
                every = [*network.named_modules(remove_duplicate=False), *network.named_parameters(remove_duplicate=False)]
                self.names |= {f"{player}.{name}": [value] for name, value in every if name}
        for loss in losses_in(game.parts):
            for name, value in _attributes(loss, "loss", set()):
                values = self.names.setdefault(name, [])
                if not any(value is other for other in values):
                    values.append(value)
        known = networks | {id(p) for p in self.owned["loss"]}
        for name, values in self.names.items():
            if any(isinstance(v, nn.Parameter) and v.requires_grad and id(v) not in known for v in values):
                how = "derive what holds it from nn.Module"
                raise GanflowError(f"{name} is a parameter outside of every nn.Module, which no checkpoint would keep; {how}")

    def has_rest(self, first: str, names: Mapping[str, Any]) -> bool:
        """True where "generator", "critic" or "loss" has parameters that none of these parts has."""
        taken = {id(p) for name in names if name.startswith(f"{first}.") for p in self._of(name)}
        return any(p.requires_grad and id(p) not in taken for p in self.owned[first])

    def among(self, names: list[str]) -> dict[str, list[nn.Parameter]]:
        """The parameters of each part: every trainable one is in exactly one of them.

        Raises:
            GanflowError: that cannot be.
        """
        claimed = {name: self._of(name) for name in names}
        owner: dict[int, str] = {}
        for name in sorted(names, key=lambda n: n.count(".")):
            for p in claimed[name]:
                other = owner.get(id(p), name)
                if p.requires_grad and not f"{name}.".startswith(f"{other}."):
                    raise GanflowError(self._twice(p, other, name))
                owner[id(p)] = name
        shares = {name: [p for p in claimed[name] if owner[id(p)] == name] for name in names}
        for first, every in self.owned.items():
            for p in every:
                if p.requires_grad and id(p) not in owner:
                    why = "; the players' differ, so the loss needs its own" if first == "loss" else ""
                    text = f"{self._name(p, first)} is trained by no optimizer{why}"
                    raise GanflowError(f"{text}: add '{first}' to the recipe's optimizers")
        for name, share in shares.items():
            if not any(p.requires_grad for p in share):
                if name in ("generator", "critic") and not any(p.requires_grad for p in claimed[name]):
                    raise GanflowError(f"the {name} has no parameters that can be trained")
                inner = [n for n in names if n.startswith(f"{name}.")]
                left = f"{' and '.join(inner)} {'have' if len(inner) > 1 else 'has'} all of them" if inner else ""
                why = left if any(p.requires_grad for p in claimed[name]) else "it has none that can be trained"
                raise GanflowError(f"optimizer.{name}: there are no parameters for it: {why}; remove it")
        return shares

    def _of(self, name: str) -> list[nn.Parameter]:
        """The distinct parameters of a part, those of parts within it included."""
        if name in self.owned:
            return self.owned[name]
        first, _, rest = name.partition(".")
        found = self.names.get(name, [])
        if len(found) > 1:
            exact = [n for n, values in self.names.items() if len(values) == 1 and any(values[0] is v for v in found)]
            how = f"write {' or '.join(f'optimizer.{n}' for n in exact)}" if exact else "train them together, as optimizer.loss"
            raise GanflowError(f"optimizer.{name}: the loss and the terms added to it hold {len(found)} of this name; {how}")
        if not found:
            below = [n.partition(".")[2] for n in self.names if n.startswith(f"{first}.")]
            tops = sorted({n.partition(".")[0] for n in below})
            listed = f" (it has {', '.join(tops)})" if tops else ""
            raise GanflowError(f"optimizer.{name}: the {first} has no '{rest}'{did_you_mean(rest, below)}{listed}")
        inside = {id(p) for p in _parameters(found[0])}
        return [p for p in self.owned[first] if id(p) in inside]

    def _name(self, parameter: nn.Parameter, first: str) -> str:
        """The name of a parameter of the generator, critic or loss."""
        found = (n for n, values in self.names.items() if n.startswith(f"{first}.") for v in values if v is parameter)
        return next(found, f"a parameter of the {first}")

    def _twice(self, parameter: nn.Parameter, one: str, other: str) -> str:
        names = dict.fromkeys(self._name(parameter, name.partition(".")[0]) for name in (one, other))
        what = f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} one parameter"
        alike = _player_of(one) == _player_of(other)
        how = "leave one of the two out" if alike else "give one of the players a copy, or freeze it"
        return f"{what}, which both optimizer.{one} and optimizer.{other} would train; {how}"


def _attributes(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Everything with parameters that a value holds in its attributes and items, by dotted name."""
    if id(value) in seen:
        return
    seen.add(id(value))
    items: Mapping[str, Any] = {}
    if isinstance(value, nn.Module):
        plain = {name: item for name, item in vars(value).items() if name not in _EVERY_MODULES}
        items = {**plain, **value._modules, **value._parameters}
    elif isinstance(value, AddedTerms):
        items = vars(value)
    elif isinstance(value, dict):
        items = {str(key): item for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        items = {str(i): item for i, item in enumerate(value)}
    for name, item in items.items():
        if isinstance(item, (AddedTerms, nn.Module, nn.Parameter, dict, list, tuple)):
            yield f"{path}.{name}", item
            yield from _attributes(item, f"{path}.{name}", seen)


def _parameters(value: Any) -> Iterator[nn.Parameter]:
    found = [value, *(item for _, item in _attributes(value, "", set()))]
    for item in found:
        if isinstance(item, nn.Parameter):
            yield item
