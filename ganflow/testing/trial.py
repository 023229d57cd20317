"""A game around one component: built, played, gone on with from a checkpoint, traced."""

from __future__ import annotations

import copy
import inspect
import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganflow.contract.data import Prior
from ganflow.contract.loss import AddedTerms, Loss, Report
from ganflow.contract.signature import played, signatures_of
from ganflow.engine.compile import first_words, verify
from ganflow.engine.game import Game
from ganflow.engine.losses import gives, losses_in
from ganflow.engine.optimizers import make_optimizer, make_players
from ganflow.engine.player import parts_of
from ganflow.engine.round import Round
from ganflow.engine.state import copy_of_state, flatten, game_state, load_game_state, unflatten
from ganflow.errors import GanflowError
from ganflow.plugins import Chosen, Composition
from ganflow.testing.partners import RunsEagerly
from ganflow.testing.stand_ins import Example, stand_in

BATCH = 8
SLOTS = {
    "prior": ["prior"],
    "generator": ["generator"],
    "critic": ["critic"],
    "loss": ["loss"],
    "optimizer": ["optimizer.generator", "optimizer.critic"],
    "schedule": ["schedule.generator", "schedule.critic"],
}
LISTENERS = ("critic_stepped", "generator_stepped")


class Trial:
    """A game of partners and stand-ins around one component.

    Args:
        chosen: the component.
        parts: those within it, and within its partners.
        partners: by role.
        example: what the game is about.
        double: in double precision.

    Attributes:
        game: as it is built; `prepare` makes it ready to be played.
    """

    def __init__(
        self, chosen: Chosen, parts: list[Chosen], partners: Mapping[str, Chosen], example: Example, double: bool = False
    ) -> None:
        self.chosen, self.component, self.example, self.data = chosen, chosen.component, example, example.data
        self._unused = copy.deepcopy((chosen, parts, dict(partners)))  # settings in which nothing can have been kept yet
        self._double = double
        role = self.component.role
        players = {**{name: stand_in(name) for name in SLOTS}, **partners, role: chosen}
        slots = {slot: players[part] for part, names in SLOTS.items() for slot in names}
        modifiers = [players[name] for name in ("modifier",) if name in players]
        self.composition = Composition(slots, modifiers, [chosen] * (role == "metric"), parts)
        self.game = self.build()

    def again(self, double: bool = False) -> Trial:
        """Build the game once more, as another process would, and call `game_built`."""
        chosen, parts, partners = copy.deepcopy(self._unused)
        other = Trial(chosen, parts, partners, self.example, double)
        other.prepare()
        other.composition.begin(other.game)
        return other

    def build(self) -> Game:
        """Networks, loss and terms; the initial weights are always the same."""
        torch.manual_seed(0)
        build, condition = self.composition.build, self.example.condition
        self.composition.check_condition(condition)
        prior = self.made("prior", Prior, build("prior"))
        about: dict[str, Any] = {"data": self.data, "prior": prior, "condition": condition}
        generator = self.made("generator", nn.Module, build("generator", **about))
        critic = self.made("critic", nn.Module, build("critic", **about))
        loss = self.made("loss", Loss, build("loss", **about))
        terms = [self.made("terms", AddedTerms, part) for _, part in self.composition.build_terms(**about)]
        domains = played(signatures_of(generator, self.data, prior, condition), self.data, prior)
        self.check_domains(critic, len(domains))
        if not gives(loss, "critic_terms"):  # a loss for recipes without a critic
            critic = None
        game = Game(self.data, prior, generator, critic, loss, terms, condition=condition)
        for part in losses_in(game.parts):
            part.check(game)
        return game

    def prepare(self) -> None:
        """Get the game ready to be played: what the steps read, and optimizers."""
        self.game.discover()
        if self._double:
            self.game.double()
        self.game.players = make_players(self.game, self.composition, rounds=10)

    def check_domains(self, critic: nn.Module, count: int) -> None:
        """Refuse data of several generated fields for a critic whose forward does not hear which of them it judges."""
        parameters = inspect.signature(critic.forward).parameters.values()
        if count > 1 and not any(p.name == "domain" or p.kind is p.VAR_KEYWORD for p in parameters):
            raise GanflowError(f"the critic {type(critic).__name__} judges one field: its forward has no argument `domain`")

    def made(self, hook: str, kind: type, part: Any) -> Any:
        """The part that a builder returned, which must be of this kind."""
        self.expect(isinstance(part, kind), f"hook '{hook}' gave {type(part).__name__}, not {kind.__name__}")
        return part

    def optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The critic's optimizer, over some parameters."""
        return make_optimizer(self.composition, "optimizer.critic", "critic", parameters)

    def expect(self, true: bool, otherwise: str) -> None:
        """Raise an AssertionError that says which component it is, unless something is true."""
        if not true:
            raise AssertionError(f"{self.component} on {self.data.name}: {otherwise}")

    def batch(self, seed: int = 0) -> dict[str, Tensor]:
        """Some held-out examples, and z."""
        first = 4 * seed
        fields = {name: t[:].roll(-first, 0)[:BATCH] for name, t in self.data.held_out.items()}
        return {**fields, "z": self.game.latents(BATCH, seed)}

    def draws(self, seed: int, count: int = 3) -> dict[str, Tensor]:
        """A round's draws: (count, BATCH, …) by name."""
        batches = [self.batch(count * seed + i) for i in range(count)]
        return {name: torch.stack([batch[name] for batch in batches]) for name in batches[0]}

    @property
    def players(self) -> list[Literal["critic", "generator"]]:
        """The critic first."""
        return self.game.stepping

    def numbers(self) -> list[int]:
        """Rounds that are played: the first two, and those in which a term begins, comes again or ends."""
        spans = [(part.begin, part.begin + part.every, part.end) for part in self.game.parts]
        return sorted({0, 1, *(number for span in spans for number in span if number is not None)})

    def round(self, **options: Any) -> Round:
        """The game's round, with everybody listening."""
        events: dict[str, Any] = {name: self.composition.listeners(name) for name in LISTENERS}
        return Round(self.game, 2, **events, **options)

    def play(self) -> None:
        """A run in short: rounds plain, on one batch, and in micro-batches; then a report, an evaluation and the end. All terms,
        logged numbers and weights stay finite."""
        self.composition.begin(self.game)
        self.tell("run_started")
        ways: list[dict[str, Any]] = [{}, {"one_batch": True}, {"accumulate": 2}]
        if any(part.whole_batch for part in losses_in(self.game.parts)):
            del ways[-1]
        values: dict[str, float] = {}
        for options in ways:
            play = self.round(**options)
            for number in self.numbers() if not options else [0]:
                play.begin(number)
                found = play(self.draws(number % 5))
                values = {name: float(t) for name, t in zip(play.names, found, strict=True)}
                broken = [name for name, value in values.items() if not math.isfinite(value)]
                self.expect(not broken, f"terms are not finite in round {number}: {', '.join(broken)}")
        for name, parameter in self.game.named_parameters():
            self.expect(bool(parameter.isfinite().all()), f"{name} is not finite after some rounds")
        report = Report(3, values, self.game.estimates(values))
        for name, value in report.estimates.items():
            self.expect(isinstance(value, float), f"the estimate '{name}' is a {type(value).__name__}; it must be a float")
        self.tell("round_reported", report=report)
        self.tell("evaluated", round=3, scores={"score": 1.0})
        self.tell("checkpointed", round=3, path=Path("round-00000003"))
        self.tell("run_ended", status="finished")

    def tell(self, event: str, **arguments: Any) -> None:
        self.composition.call(event, game=self.game, **arguments)

    def resume(self) -> None:
        """The next round ends where it does in a game that was built anew and filled from a checkpoint, to the last bit."""
        other = self.again()
        tensors, plain = game_state(self.game)
        kept = json.dumps(flatten(plain, "plain", tensors))
        load_game_state(other.game, {name: t.clone() for name, t in tensors.items()}, unflatten(json.loads(kept), tensors))
        ends = []
        for trial in (self, other):
            play = trial.round()
            play.begin(self.numbers()[-1] + 1)
            torch.manual_seed(1)
            play(trial.draws(3))
            ends.append(copy_of_state(trial.game))
        differing = [name for name, t in ends[0].items() if not torch.equal(t, ends[1][name])]
        where = ", ".join(differing[:2])
        advice = "keep all that changes in buffers, or in game.extras"
        self.expect(not differing, f"after a checkpoint the next round ends elsewhere ({where}): {advice}")

    def trace(self) -> None:
        """Warn where a graph of the round would not do what the round does, and say why."""
        other = self.again(double=True)
        parts = parts_of(other.game.players)
        why = [f"the {name}'s optimizer is not one that a trace can follow" for name, part in parts.items() if not part.traceable]
        play, draws = other.round(), [other.draws(seed) for seed in range(2)]
        try:
            if not why:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    first = {tuple(p.active(n) for p in other.game.parts): n for n in reversed(other.numbers())}
                    verify(play, draws, True, sorted(first.values()))
        except Exception as error:
            why = [first_words(error).removeprefix("NotCompilable: ").removeprefix("Read: ")]
        if why:
            warnings.warn(RunsEagerly(f"{self.component} on {self.data.name}: its rounds run eagerly: {why[0]}"), stacklevel=2)
