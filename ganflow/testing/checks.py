"""What is tried with each kind of component."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ganflow.autoencoder import Autoencoder, VariationalAutoencoder
from ganflow.data import Data, Field, TensorData
from ganflow.data.feed import feed
from ganflow.encoder import TextEncoder
from ganflow.errors import GanflowError, innermost
from ganflow.executor import Executor
from ganflow.game import Game, Round
from ganflow.game.held import losses_in
from ganflow.game.parts import make_optimizer, make_players
from ganflow.game.state import flatten, unflatten
from ganflow.loss import Loss
from ganflow.metrics import Metric
from ganflow.plugins import Chosen, Component, Composition, load_catalogue
from ganflow.plugins.marks import hooks_of
from ganflow.prior import Prior
from ganflow.settings import keys, summary
from ganflow.testing.stand_ins import captioned, images, is_told, judged, points, stand_in, translations
from ganflow.tracker import TrackedRun, Tracker
from ganflow.translator import ways_of

BATCH = 8
SLOTS = {
    "prior": ["prior"],
    "generator": ["generator"],
    "critic": ["critic"],
    "loss": ["loss"],
    "optimizer": ["optimizer.generator", "optimizer.critic"],
    "schedule": ["schedule.generator", "schedule.critic"],
}


def check(component: Component, data: Data | None, values: dict[str, Any]) -> None:
    """See ganflow.testing.check_component."""
    documented(component)
    with in_a_sentence(component):
        parts = {name: part for name, part in default_parts(component).items() if name not in values}
        inside = {name: part.settings for name, part in parts.items()}
        chosen = Chosen(component, component.settings(**inside, **given(component, values)))
        if component.role in ALONE:
            ALONE[component.role](chosen)
            return
    refusals: list[str] = []
    for examples in [[points(), images()], translations(), [captioned()]] if data is None else [[data]]:
        if taken(chosen, list(parts.values()), examples, refusals):
            return
    raise AssertionError(f"{component} takes no data that was tried: {'; '.join(refusals)}")


def taken(chosen: Chosen, parts: list[Chosen], examples: list[Data], refusals: list[str]) -> bool:
    """Whether a component takes one kind of data at least. A clear refusal is noted: networks for images need not take points,
    nor translators either."""
    before = len(refusals)
    for example in examples:
        try:
            with in_a_sentence(chosen.component, example):
                Trial(chosen, parts, example).run()
        except GanflowError as error:
            refusals.append(f"{example.name}: {error}")
    return len(refusals) < before + len(examples)


@contextmanager
def in_a_sentence(component: Component, data: Data | None = None) -> Iterator[None]:
    """What a component's code raises, except for a GanflowError, as an AssertionError with one sentence."""
    try:
        yield
    except GanflowError:
        raise
    except Exception as error:
        who = str(component)
        if isinstance(error, AssertionError) and str(error).startswith(who):
            raise
        top = component.settings.__module__.partition(".")[0]
        found = innermost(error, lambda name: name.partition(".")[0] == top)
        where = f" ({found.module.replace('.', '/')}, line {found.line})" if found else ""
        text = " ".join(str(error).split())
        advice = "; where it is not made for such data, let its builder raise a GanflowError that says so" if data else ""
        on = f" on {data.name}" if data else ""
        raise AssertionError(f"{who}{on}: {type(error).__name__}: {text}{where}{advice}") from error


def given(component: Component, values: dict[str, Any]) -> dict[str, Any]:
    """The values, where the component has such keys and no further ones that must be given."""
    known = keys(component.settings)
    for name in values:
        names = ", ".join(key.name for key in known) or "none"
        assert any(key.name == name for key in known), f"{component} has no key '{name}' (keys: {names})"
    missing = [key.name for key in known if key.required and key.name not in values]
    call = ", ".join(f"{name}=…" for name in missing)
    assert not missing, f"{component} has no default for {', '.join(missing)}; give a value: check_component(component, {call})"
    return values


def default_parts(component: Component) -> dict[str, Chosen]:
    """The components that a component has inside where a recipe names none, by key."""
    made = {}
    for key in keys(component.settings):
        if key.notes.role is not None and isinstance(default := key.default, Mapping):
            inner = load_catalogue().find(key.notes.role, default["use"])
            here = (key.notes.within or {}).get(inner.qualified, {})
            values = {**here, **{name: value for name, value in default.items() if name != "use"}}
            made[key.name] = Chosen(inner, inner.settings(**values))
    return made


def documented(component: Component) -> None:
    """The class has a docstring, and every key a line."""
    assert summary(component.settings), f"{component} has no docstring"
    for key in keys(component.settings):
        assert key.notes.doc, f"{component}: the key '{key.name}' is not documented; write key(default, 'what it is')"


class Trial:
    """A game of stand-ins around one component and its parts."""

    def __init__(self, chosen: Chosen, parts: list[Chosen], data: Data) -> None:
        self.chosen, self.component, self.data = chosen, chosen.component, data
        self.ways = ways_of(data.fields)
        role = self.component.role
        slots = {
            slot: chosen if part == role else stand_in(part, self.ways, is_told(data))
            for part, names in SLOTS.items()
            for slot in names
        }
        self.loss: Loss
        self.composition = Composition(slots, [chosen] * (role == "modifier"), [chosen] * (role == "metric"), parts)

    def run(self) -> None:
        """Build the game, try what the component built or wrapped, then play two rounds."""
        torch.manual_seed(0)
        self.game = self._game()
        wrapped = {hook.name for hook in hooks_of(self.component.settings) if hook.wrapper}
        tries: dict[str, Callable[[], None]] = {
            "prior": self.try_prior,
            "generator": self.try_generator,
            "critic": self.try_critic,
            "loss": self.try_loss,
            "optimizer": self.try_optimizer,
            "schedule": self.try_schedule,
            "metric": self.try_metric,
        }
        for name, attempt in tries.items():
            if name == self.component.role or name in wrapped:
                attempt()
        self.play()

    def _game(self) -> Game:
        build = self.composition.build
        prior = None if self.ways else build("prior")
        generator, critic = (build(player, data=self.data, prior=prior, condition=()) for player in ("generator", "critic"))
        loss = self.loss = build("loss")
        for hook, made in {"prior": prior, "generator": generator, "critic": critic, "loss": loss}.items():
            if hook == "prior" and self.ways:
                continue
            kind = {"prior": Prior, "loss": Loss}.get(hook, nn.Module)
            self.expect(isinstance(made, kind), f"hook '{hook}' gave {type(made).__name__}, not {kind.__name__}")
        if missing := [name for name in loss.reads if name not in self.data.fields]:
            raise GanflowError(f"it reads {', '.join(missing)} of every example")
        if type(loss).critic_terms is Loss.critic_terms:  # a loss for recipes without a critic
            critic = None
        game = Game(self.data, prior, generator, critic, loss)
        loss.check(game)
        game.players = make_players(game, self.composition, rounds=10)
        return game

    def expect(self, true: bool, otherwise: str) -> None:
        if not true:
            raise AssertionError(f"{self.component} on {self.data.name}: {otherwise}")

    def real(self) -> Tensor:
        return self.data.held_out[next(iter(self.data.fields))][:BATCH]

    def batch(self) -> dict[str, Tensor]:
        batch = {name: part[:BATCH] for name, part in self.data.held_out.items()}
        return batch if self.ways else {**batch, "z": self.game.latents(BATCH)}

    def told(self) -> tuple[Tensor, ...]:
        """What generator and critic are given besides, where the data have captions."""
        return (self.batch()["text"],) if is_told(self.data) else ()

    def try_prior(self) -> None:
        prior = self.game.prior
        assert prior is not None
        draws = [prior.sample(3, 5, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
        self.expect(draws[0].shape == (3, 5, *prior.shape), f"sample(3, 5) has shape {tuple(draws[0].shape)}")
        self.expect(torch.equal(*draws), "sample differs between two generators of the same seed")
        low, high = prior.support or (-math.inf, math.inf)
        self.expect(bool(((draws[0] >= low) & (draws[0] <= high)).all()), f"draws leave the support [{low}, {high}]")
        a, b = prior.sample(2)
        way = prior.between(a, b, torch.tensor([0.0, 0.5, 1.0]))
        self.expect(way.shape == (3, *prior.shape), f"between at 3 points has shape {tuple(way.shape)}")
        ends = torch.allclose(way[0], a, atol=1e-5) and torch.allclose(way[2], b, atol=1e-5)
        self.expect(ends, "between does not start at a and end at b")

    def try_generator(self) -> None:
        if self.ways:
            self.try_translator(self.ways)
            return
        samples = self.game.generator(self.game.latents(BATCH), *self.told())
        self.expect_samples(samples, self.data.main)
        objective = samples.square().sum()
        if isinstance(self.game.generator, Autoencoder):
            objective = objective + self.try_encoder(self.game.generator)
        self.expect_gradients("generator", objective)

    def try_translator(self, ways: Mapping[str, str]) -> None:
        batch, objective = self.batch(), torch.zeros(())
        for to, origin in ways.items():
            made = self.game.generator(batch[origin], to)
            self.expect_samples(made, self.data.fields[to])
            objective = objective + made.square().sum()
        self.expect_gradients("generator", objective)

    def expect_samples(self, samples: Tensor, field: Field) -> None:
        wanted = (BATCH, *field.shape)
        self.expect(samples.shape == wanted, f"samples have shape {tuple(samples.shape)}, not {wanted}")
        low, high = (-math.inf if field.low is None else field.low), (math.inf if field.high is None else field.high)
        inside = bool(((samples >= low - 1e-6) & (samples <= high + 1e-6)).all())
        self.expect(inside, f"samples leave the data's range [{low}, {high}]")

    def try_encoder(self, network: Autoencoder) -> Tensor:
        """A scalar with a gradient for all that decoding does not use."""
        real = self.real()
        wanted, code = (BATCH, *self.game.latents(1).shape[1:]), network.encode(real)
        self.expect(code.shape == wanted, f"codes have shape {tuple(code.shape)}, not {wanted}")
        if not isinstance(network, VariationalAutoencoder):
            return code.square().sum()
        q = network.posterior(real)
        for name, numbers in (("means", q.mean), ("log-variances", q.log_variance)):
            self.expect(numbers.shape == wanted, f"the posterior's {name} have shape {tuple(numbers.shape)}, not {wanted}")
        learnt = torch.zeros(()) if network.log_sigma is None else network.log_sigma.sum()
        return q.divergence().sum() + learnt

    def try_critic(self) -> None:
        critic, batch, objective = self.game.critic, self.batch(), torch.zeros(())
        assert critic is not None
        for domain in self.ways or list(self.data.fields)[:1]:
            real = batch[domain].clone().requires_grad_()
            inputs = judged(self.ways, real, batch, domain) if self.ways else (real, *self.told())
            scores = critic(*inputs)
            self.expect(scores.shape[:1] == (BATCH,), f"scores of {BATCH} examples have shape {tuple(scores.shape)}")
            objective = objective + scores.sum()
        self.expect_gradients("critic", objective)
        (slope,) = torch.autograd.grad(critic(*inputs).flatten()[0], real, allow_unused=True)
        reached = slope is not None and bool(slope.isfinite().all() and slope.any())
        self.expect(reached, "no gradient of the scores reaches the examples")

    def expect_gradients(self, player: str, objective: Tensor) -> None:
        """Every parameter has one, and it is finite."""
        self.expect(objective.requires_grad, f"the {player}'s output carries no gradient")
        named = {name: p for name, p in self.game.get_submodule(player).named_parameters() if p.requires_grad}
        found = torch.autograd.grad(objective, list(named.values()), allow_unused=True)
        for name, gradient in zip(named, found, strict=True):
            self.expect(gradient is not None, f"the {player}'s parameter {name} has no gradient")
            self.expect(bool(gradient.isfinite().all()), f"the {player}'s parameter {name} has a gradient that is not finite")

    def try_loss(self) -> None:
        loss = self.loss
        for player in sorted(self.game.players):  # the critic first
            terms = getattr(loss, f"{player}_terms")(self.game, self.batch())
            self.expect(isinstance(terms, dict) and len(terms) > 0, f"the {player}'s terms must be a dict of named scalars")
            for name, term in terms.items():
                scalar = isinstance(term, Tensor) and term.dim() == 0 and bool(term.isfinite())
                self.expect(scalar, f"the {player}'s term '{name}' is not a finite scalar tensor")
            parameters = list(self.game.get_submodule(player).parameters())
            total = sum(terms.values(), torch.zeros(()))
            self.expect(total.requires_grad, f"the {player}'s terms carry no gradient")
            found = torch.autograd.grad(total, parameters, allow_unused=True)
            reached = any(g is not None and bool(g.any()) for g in found)
            self.expect(reached, f"no gradient of the {player}'s terms reaches its network")
        if all(part.mean_over_examples for part in losses_in(loss)):
            self.try_halves()

    def try_halves(self) -> None:
        """What `mean_over_examples = True` declares: the terms of two halves of a batch average to the whole's, in double
        precision (where nothing is drawn at random), and no state changes while they are computed."""
        players, self.game.players = self.game.players, {}
        game = copy.deepcopy(self.game, {id(self.data): self.data}).double()
        self.game.players = players
        whole = {name: t.double() for name, t in self.batch().items()}
        halves = [{name: t.chunk(2)[i] for name, t in whole.items()} for i in range(2)]
        state = {name: t.clone() for name, t in game.extras.state_dict().items()}
        aside = [name for part in losses_in(game.loss) for name in part.whole_batch]
        for player in sorted(players):
            randoms = torch.get_rng_state()
            found, *parts = [getattr(game.loss, f"{player}_terms")(game, dict(batch)) for batch in (whole, *halves)]
            for name, t in game.extras.state_dict().items():
                remedy = "change it in critic_stepped or generator_stepped, or do not declare mean_over_examples"
                self.expect(torch.equal(t, state[name]), f"{name} changes while the {player}'s terms are computed; {remedy}")
            if not torch.equal(randoms, torch.get_rng_state()):
                continue
            for name, term in found.items():
                value, mean = float(term.detach()), sum(float(part[name].detach()) for part in parts) / 2
                same = math.isclose(mean, value, rel_tol=1e-9, abs_tol=1e-12)
                known = any(name == other or name.startswith(f"{other}_") for other in aside)
                text = f"the {player}'s term '{name}' is {value:.6g}, and {mean:.6g} as the mean of two halves' terms"
                self.expect(same or known, f"{text}; name it in whole_batch, or do not declare mean_over_examples")

    def try_optimizer(self) -> None:
        """Ten steps down |p|²: the parameters change, the sum falls, and the state goes through a checkpoint."""
        parameters = [nn.Parameter(torch.linspace(-1, 1, 12))]
        make = partial(make_optimizer, self.composition, "optimizer.critic", "critic")
        optimizer = make(parameters)
        before = parameters[0].detach().clone()
        for _ in range(10):
            parameters[0].grad = 2 * parameters[0].detach()
            optimizer.step()
        after = parameters[0].detach()
        self.expect(not torch.equal(before, after), "ten steps change nothing")
        self.expect(bool(after.square().sum() < before.square().sum()), "ten steps down |p|² go up")
        make(parameters).load_state_dict(optimizer.state_dict())

    def try_schedule(self) -> None:
        schedule = self.composition.build("schedule", "schedule.critic", rounds=10)
        factors = [schedule(round) for round in range(10)]
        fit = all(isinstance(f, (int, float)) and math.isfinite(f) and f >= 0 for f in factors)
        self.expect(fit, f"factors must be finite numbers that are not negative: {factors}")

    def try_metric(self) -> None:
        (metric,) = self.composition.build_metrics(self.data)
        self.expect(isinstance(metric, Metric), f"hook 'metric' gave {type(metric).__name__}")
        scores = metric.evaluate(self.game)
        fit = bool(scores) and all(isinstance(score, float) for score in scores.values())
        self.expect(fit, f"scores must be named floats: {scores}")
        told = tuple(metric.names)
        self.expect(not told or told == tuple(scores), f"'names' says {told}, and the scores are called {tuple(scores)}")

    def play(self) -> None:
        """Two rounds with everybody listening; all terms and weights stay finite."""
        listeners = self.composition.listeners
        self.composition.begin(self.game)
        stepped = {event: listeners(event) for event in ("critic_stepped", "generator_stepped")}
        play = Round(self.game, 2, **stepped)  # type: ignore[arg-type]
        for seed in range(2):
            draws = {name: torch.stack([part[:BATCH]] * 3) for name, part in self.data.held_out.items()}
            if not self.ways:
                draws["z"] = torch.stack([self.game.latents(BATCH, 3 * seed + i) for i in range(3)])
            terms = play(draws)
            broken = [name for name, term in zip(play.names, terms, strict=True) if not bool(term.isfinite())]
            self.expect(not broken, f"terms are not finite in round {seed}: {', '.join(broken)}")
        for name, parameter in self.game.named_parameters():
            self.expect(bool(parameter.isfinite().all()), f"{name} is not finite after two rounds")


def check_data(chosen: Chosen) -> None:
    """Fields, held-out examples, fingerprint and draws keep the contract of ganflow.data.Data."""
    composition, component = Composition({"data": chosen}), chosen.component
    data = composition.build("data")
    assert isinstance(data, Data), f"{component}: hook 'data' gave {type(data).__name__}"
    assert data.fields, f"{component}: no fields"
    assert data.size is None or data.size > 0, f"{component}: no training examples"
    parts = {"held_out": data.held_out} | ({"train": data.train} if isinstance(data, TensorData) else {})
    for part, tensors in parts.items():
        for name, tensor in tensors.items():
            field = data.fields[name]
            shape = tuple(tensor.shape[1:])
            assert shape == field.shape, f"{component}: {part} '{name}' has shape {shape}, its field {field.shape}"
            low, high = (-math.inf if field.low is None else field.low), (math.inf if field.high is None else field.high)
            inside = bool(((tensor >= low) & (tensor <= high)).all())
            assert inside, f"{component}: {part} '{name}' leaves its range [{low}, {high}]"
    again = composition.build("data")
    assert data.fingerprint() == again.fingerprint(), f"{component}: built twice, its fingerprints differ"
    if not isinstance(data, TensorData):
        check_draws(component, data, again)


def check_draws(component: Component, data: Data, again: Data) -> None:
    """What is loaded fits the fields, and goes on from a checkpoint with the same examples: in this process, and in another one,
    for which `again` stands."""
    sources = [feed(each, BATCH, 0) for each in (data, again)]
    try:
        first, second = (source.draw(2) for source in sources)
        assert _equal(first, second), f"{component}: built twice, it draws other examples"
        tensors: dict[str, Tensor] = {}
        kept = json.dumps(flatten(sources[0].state(), "feed", tensors))
        tensors = {name: t.clone() for name, t in tensors.items()}
        wanted = sources[0].draw(3)
        for source, where in zip(sources, ("in the same process", "in another process"), strict=True):
            source.load_state(unflatten(json.loads(kept), tensors))
            assert _equal(source.draw(3), wanted), f"{component}: gone on with {where}, it draws other examples"
    except GanflowError as error:
        raise AssertionError(f"{component}: {error}") from error
    finally:
        for source in sources:
            source.close()


def _equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(t, b[name]) for name, t in a.items())


def check_encoder(chosen: Chosen) -> None:
    """What it learns is the same each time and goes through its state; a sentence's vector does not depend on the others."""
    component, said = chosen.component, [["a red bird", "red, with a grey back"], ["a blue bird"], ["this bird is green"]]
    pictures = torch.rand(len(said), 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def learnt() -> TextEncoder:
        encoder = Composition({"encoder": chosen}).build("encoder")
        assert isinstance(encoder, TextEncoder), f"{component}: hook 'encoder' gave {type(encoder).__name__}"
        encoder.learn(said, lambda side: torch.nn.functional.adaptive_avg_pool2d(pictures, side))
        return encoder

    encoder, again = learnt(), Composition({"encoder": chosen}).build("encoder")
    sentences = [sentence for several in said for sentence in several]
    vectors = encoder.encode(sentences)
    shape, wanted = tuple(vectors.shape), (len(sentences), encoder.dim)
    assert shape == wanted, f"{component}: {len(sentences)} sentences have shape {shape}, not {wanted}"
    assert torch.allclose(vectors[1:2], encoder.encode(sentences[1:2]), atol=1e-4), f"{component}: sentences depend on each other"
    assert torch.equal(vectors, learnt().encode(sentences)), f"{component}: it learns something else each time"
    again.load_state(encoder.state())
    assert torch.equal(vectors, again.encode(sentences)), f"{component}: its state does not say all that it has learnt"
    assert not encoder.unknown(sentences[0]), f"{component}: it does not know the words that it has learnt from"
    assert encoder.about(), f"{component}: it does not say what it is"


def check_tracker(chosen: Chosen) -> None:
    """It takes a run's numbers, those that are none too, and its pictures, and begins again where the run goes on."""
    component = chosen.component
    with TemporaryDirectory() as folder:
        run = TrackedRun("trial", "20260101-000000-0000", Path(folder), {"name": "trial", "train": {"rounds": 2}})
        picture = Path(folder) / "round-00000002.png"
        Image.new("RGB", (4, 4)).save(picture)
        for status in ("interrupted", "finished"):
            (tracker,) = Composition({}, trackers=[chosen]).build_trackers()
            assert isinstance(tracker, Tracker), f"{component}: hook 'tracker' gave {type(tracker).__name__}"
            tracker.begin(run)
            for round, value in enumerate((0.5, math.nan, math.inf, -math.inf), 1):
                tracker.values(round, 1e9 + round, {"critic/wasserstein": value})
            tracker.picture(2, picture)
            tracker.end(status)


def check_executor(chosen: Chosen) -> None:
    """It is an executor; what it does with trials is seen in a sweep alone."""
    executor, component = Composition({"executor": chosen}).build("executor"), chosen.component
    assert isinstance(executor, Executor), f"{component}: hook 'executor' gave {type(executor).__name__}"
    together = executor.together
    assert isinstance(together, int), f"{component}: 'together' is a number of trials, not {together!r}"
    assert together >= 1, f"{component}: 'together' is a number of trials, not {together!r}"


ALONE: dict[str, Callable[[Chosen], None]] = {
    "data": check_data,
    "encoder": check_encoder,
    "tracker": check_tracker,
    "executor": check_executor,
}
"""Roles whose components are tried without a game."""
