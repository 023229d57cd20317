"""Checks of components that play in a game: generators, critics, losses, terms, priors, optimizers, schedules and metrics."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganflow.contract.data import Field
from ganflow.contract.game import Metric
from ganflow.contract.loss import AddedTerms, Loss, mixes_examples
from ganflow.contract.signature import Signature, Z
from ganflow.engine.build import Alike, differences_of_halves
from ganflow.engine.fit import group_size
from ganflow.engine.game import Game, evaluating, fork_rng
from ganflow.engine.losses import gives, losses_in, wrong_span
from ganflow.evaluation.evaluate import score
from ganflow.testing.trial import BATCH, Trial

Player = Literal["critic", "generator"]


def try_generator(trial: Trial) -> None:
    """Every signature: shapes, ranges, inputs that matter, sizes. Every parameter gets a gradient, by some signature or by the
    generator's step."""
    game, condition = trial.game, trial.example.condition
    sources = {source for domain in game.domains for source in game.signatures[game.makers[domain]].inputs.values()}
    for name in condition:
        what = f"its hook accepts the condition, and no signature that makes {' or '.join(game.domains)} has '{name}' as an input"
        trial.expect(name in sources, f"{what}; add it")
    batch, outputs = trial.batch(), list[Tensor]()
    there: dict[str, Any] = dict(batch)
    torch.manual_seed(0)
    for name, signature in game.signatures.items():
        if not there.keys() >= set(signature.inputs.values()):
            continue
        inputs = {argument: there[source] for argument, source in signature.inputs.items()}
        output = signature(game.generator, inputs)
        there.setdefault(signature.output, output)
        outputs += [t for t in tensors_in(output) if t.requires_grad]
        if signature.output in (*trial.data.fields, Z):
            try_output(trial, name, signature, inputs, output)
            try_sizes(trial, name, signature, inputs)
    step = game.step("generator", batch)
    objective = torch.stack([*(t.square().sum() for t in outputs), *game.terms_of(step).values()]).sum()
    advice = "by no signature and not by the loss; remove it, or say which loss trains it: partners={'loss': …}"
    expect_gradients(trial, "generator", objective, advice)


def try_output(trial: Trial, name: str, signature: Signature, inputs: Mapping[str, Any], output: Any) -> None:
    """Shape and range are the field's, and every input matters."""
    game, prior = trial.game, trial.game.prior
    field = Field(prior.shape) if signature.output == Z and prior is not None else trial.data.fields[signature.output]
    trial.expect(isinstance(output, Tensor), f"its signature '{name}' gives a {type(output).__name__}, not a tensor")
    wanted = (BATCH, *field.shape)
    trial.expect(output.shape == wanted, f"its signature '{name}' gives shape {tuple(output.shape)}, not {wanted}")
    low, high = (-math.inf if field.low is None else field.low), (math.inf if field.high is None else field.high)
    inside = bool(((output >= low - 1e-6) & (output <= high + 1e-6)).all())
    trial.expect(inside, f"its signature '{name}' leaves the data's range [{low}, {high}]; end with tanh, say")
    for argument in ignored(game.generator, signature, inputs):
        trial.expect(False, f"what its signature '{name}' gives does not depend on '{argument}'; use it, or leave it out")


def try_sizes(trial: Trial, name: str, signature: Signature, inputs: Mapping[str, Any]) -> None:
    """Images of the sizes that a signature allows, and by `game.call` any above the smallest."""
    if signature.multiple == signature.smallest == 1 or signature.output == Z:
        return
    multiple, smallest = signature.multiple, signature.smallest
    least = math.ceil(smallest / multiple) * multiple
    says = f"its signature '{name}' says multiple={multiple} and smallest={smallest}"
    for height, width, call in ((least, least + multiple, False), (least + multiple, least, False), (least, least + 1, True)):
        sized: dict[str, Any] = {
            argument: nn.functional.interpolate(t, (height, width)) if isinstance(t, Tensor) and t.dim() == 4 else t
            for argument, t in inputs.items()
        }
        try:
            made = trial.game.call(name, **sized) if call else signature(trial.game.generator, sized)
        except Exception as error:
            text = " ".join(str(error).split())
            who = f"{trial.component} on {trial.data.name}"
            raise AssertionError(f"{who}: {says}, and refuses {height} × {width}: {text}") from error
        trial.expect(made.shape[2:] == (height, width), f"{says}, and makes {tuple(made.shape[2:])} of {height} × {width}")


def try_critic(trial: Trial) -> None:
    """Scores and auxiliary outputs, in every domain: shapes, gradients, a condition that matters."""
    game, batch = trial.game, trial.batch()
    critic: nn.Module = game.critic  # type: ignore[assignment]
    objective = torch.zeros(())
    auxiliary, weights = tuple(getattr(critic, "auxiliary", ())), dict(getattr(critic, "score_weights", {}))
    for domain in game.domains:
        besides: dict[str, Any] = {name: batch[name] for name in game.condition if name != domain}
        last = {"domain": domain} if len(game.domains) > 1 else {}
        x = batch[domain].clone().requires_grad_()
        outputs = named(trial, critic(x, **besides, **last))
        for name in auxiliary:
            trial.expect(name in outputs, f"its attribute `auxiliary` names '{name}', and it gives {', '.join(outputs)}")
        scores = {name: t for name, t in outputs.items() if name not in auxiliary}
        trial.expect(bool(scores), "all that it gives is auxiliary; it must give a score, too")
        for name in weights:
            trial.expect(name in scores, f"its attribute `score_weights` names '{name}', and its scores are {', '.join(scores)}")
        for name, t in outputs.items():
            shape = tuple(t.shape)
            trial.expect(shape[:1] == (BATCH,), f"{name} of {BATCH} examples have shape {shape}, which must begin with {BATCH}")
            objective = objective + t.sum()
        for name, t in scores.items():
            slope = torch.autograd.grad(t.sum(), x, allow_unused=True, retain_graph=True)[0] if t.requires_grad else None
            arrives = slope is not None and bool(slope.isfinite().all() and slope.any())
            trial.expect(arrives, f"no gradient of the {name} arrives at the examples")

        def play(module: nn.Module, arguments: Mapping[str, Any], x: Tensor = x, last: Mapping[str, Any] = last) -> Tensor:
            return torch.cat([t.flatten() for t in named(trial, module(x, **arguments, **last)).values()])

        if not auxiliary:  # a critic that says itself which class it sees depends on no condition
            for name in ignored(critic, play, besides):
                trial.expect(False, f"its scores do not depend on '{name}', which it is conditioned on; use it")
    expect_gradients(trial, "critic", objective, "by none of its outputs; remove it")


def named(trial: Trial, output: Any) -> dict[str, Tensor]:
    """A critic's outputs by name."""
    outputs = dict(output) if isinstance(output, Mapping) else {"scores": output}
    for t in outputs.values():
        kind = type(t).__name__
        trial.expect(isinstance(t, Tensor), f"it gives a {kind}; it must give a tensor, or a mapping from names to tensors")
    return outputs


def ignored(module: nn.Module, play: Callable[[Any, Mapping[str, Any]], Any], inputs: Mapping[str, Any]) -> Iterator[str]:
    """The inputs on which nothing depends, whatever the weights: a copy in evaluation mode with others than those that it begins
    with, which may be zeros, is tried."""
    with torch.no_grad(), fork_rng(torch.device("cpu")):
        moved = copy.deepcopy(module).eval()
        for p in moved.parameters():
            p.add_(0.1 * torch.randn_like(p))
        for argument, t in inputs.items():
            if not isinstance(t, Tensor) or torch.equal(t, t.roll(1, 0)):
                continue
            found = []
            for value in (t, t.roll(1, 0)):
                torch.manual_seed(0)
                found.append(play(moved, {**inputs, argument: value}))
            if torch.equal(*found):
                yield argument


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of an output: itself, or those that a mapping, a sequence or a dataclass holds."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_in(item)


def expect_gradients(trial: Trial, player: str, objective: Any, otherwise: str) -> None:
    """Every parameter that is trained has one, and it is finite."""
    trial.expect(objective.requires_grad, f"the {player}'s output carries no gradient")
    trained = {name: p for name, p in trial.game.get_submodule(player).named_parameters() if p.requires_grad}
    found = torch.autograd.grad(objective, list(trained.values()), allow_unused=True)
    for name, gradient in zip(trained, found, strict=True):
        trial.expect(gradient is not None, f"the {player}'s parameter {name} has no gradient: it is used {otherwise}")
        trial.expect(bool(gradient.isfinite().all()), f"the {player}'s parameter {name} has a gradient that is not finite")


def try_scalars(trial: Trial) -> None:
    """Compute all that the component adds to the sums that the players descend, before anybody else does."""
    for part in trial.game.terms or trial.game.parts:
        for player in trial.players:
            terms_of(trial, part, player)


def try_loss(trial: Trial) -> None:
    """The loss's terms, which train both players."""
    try_parts(trial, (trial.game.loss,))
    for player in trial.players:
        total = sum_of_terms(trial, player)
        trial.expect(total.requires_grad, f"the {player}'s terms carry no gradient")
        arrived = any(bool(g.any()) for g in gradients(total, trial.game.get_submodule(player).parameters()))
        trial.expect(arrived, f"no gradient of the {player}'s terms arrives at its network")


def sum_of_terms(trial: Trial, player: Player) -> Tensor:
    """The sum that a player descends."""
    return sum(trial.game.terms_of(trial.game.step(player, trial.batch())).values(), torch.zeros(()))


def gradients(total: Tensor, parameters: Iterable[Tensor]) -> list[Tensor]:
    """The gradients of a scalar that are there."""
    trained = [p for p in parameters if p.requires_grad]
    found = torch.autograd.grad(total, trained, allow_unused=True, retain_graph=True) if total.requires_grad else ()
    return [g for g in found if g is not None]


def try_terms(trial: Trial) -> None:
    """The terms that a modifier adds: their span, and that they change something."""
    for part in trial.game.terms:
        text = wrong_span(part)
        trial.expect(text is None, text or "")
    try_parts(trial, trial.game.terms)


def try_parts(trial: Trial, parts: tuple[AddedTerms, ...]) -> None:
    """Finite scalars by name, the same each time, with gradients; means over examples, but for those in `whole_batch`; the same
    in one pass. No state changes before the step."""
    game, names, arrived = trial.game, set[str](), False
    for part in parts:
        mine = set[str]()
        for player in trial.players:
            terms, again = (terms_of(trial, part, player) for _ in range(2))
            listed = [", ".join(found) or "none" for found in (terms, again)]
            advice = "say by begin, end and every when they take part"
            trial.expect(terms.keys() == again.keys(), f"the {player}'s terms are {listed[0]}, then {listed[1]}; {advice}")
            mine |= terms.keys()
            for term in terms.values():
                found = gradients(term, (*game.get_submodule(player).parameters(), *game.extras.parameters()))
                arrived = arrived or any(bool(g.any()) for g in found)
                finite = all(bool(g.isfinite().all()) for g in found)
                trial.expect(finite, f"a gradient of the {player}'s terms is not finite; keep roots and logarithms away from 0")
        names |= mine
        watches = any(gives(inner, event) for inner in losses_in([part]) for event in ("critic_stepped", "generator_stepped"))
        if watches and not mine and not isinstance(part, Loss):
            continue  # it keeps state, from numbers that it logs, and nobody descends anything of it
        trial.expect(bool(names), "it gives no terms at all; name some in critic_terms or generator_terms")
        trial.expect(arrived, "no gradient of its terms arrives at a network; compute them without detach")
    learnt = {name: p for name, p in game.extras.named_parameters() if p.requires_grad}
    if learnt:
        slopes = torch.autograd.grad(sum_of_terms(trial, "generator"), list(learnt.values()), allow_unused=True)
        for name, gradient in zip(learnt, slopes, strict=True):
            what = f"its parameter {name} has no gradient in the generator's step, in which it is trained"
            trial.expect(gradient is not None, f"{what}; use it there, or make it a buffer")
    try_cut(trial, names, parts)
    try_one_pass(trial)


def terms_of(trial: Trial, part: AddedTerms, player: Player) -> dict[str, Tensor]:
    """A player's terms of one part."""
    terms = getattr(part, f"{player}_terms")(trial.game.step(player, trial.batch()))
    kind = type(terms).__name__
    trial.expect(isinstance(terms, dict), f"the {player}'s terms are a {kind}; they must be a dict of named scalars")
    for name, term in terms.items():
        scalar = isinstance(term, Tensor) and term.dim() == 0 and bool(term.isfinite())
        trial.expect(scalar, f"the {player}'s term '{name}' is not a finite scalar tensor")
    return dict(terms)


def try_cut(trial: Trial, names: set[str], parts: tuple[AddedTerms, ...]) -> None:
    """Terms of halves of a batch average to the whole's, but for those in `whole_batch`."""
    aside = {name: why for part in losses_in(parts) for name, why in part.whole_batch.items()}
    for name, why in aside.items():
        trial.expect(isinstance(why, str) and bool(why), f"whole_batch says no reason for '{name}'; write half a sentence")
        known = any(term == name or term.startswith(f"{name}_") for term in names)
        trial.expect(known, f"whole_batch names '{name}', and its terms are {', '.join(sorted(names))}")
    for what in differences_of_halves(trial.game):
        if not any(f"term '{name}" in what for name in aside):
            advice = "change it by step.change, critic_stepped or generator_stepped" if "state" in what else "name it there"
            trial.expect(False, f"{what}; {advice}")


def try_one_pass(trial: Trial) -> None:
    """Real and generated examples may go through the critic together: the terms are the same. Tried on a copy in double
    precision, all random numbers alike."""
    game = trial.game
    if game.critic is None or mixes_examples(game.critic) or group_size(game.critic) > 1:
        return
    shared = [part for part in (game.data, game.prior) if part is not None]
    tried: Game = copy.deepcopy(game, {**{id(part): part for part in shared}, id(game.players): {}}).double()
    batch = {name: t.double() if t.is_floating_point() else t for name, t in trial.batch().items()}
    with fork_rng(torch.device("cpu")), evaluating(tried), torch.enable_grad(), Alike():  # type: ignore[no-untyped-call]
        for player in trial.players:
            found: list[Mapping[str, Tensor]] = []
            for together in (False, True):
                tried.one_pass, tried.together = together, together and not mixes_examples(tried.generator)
                found.append(tried.terms_of(tried.step(player, batch)))
            for name, term in found[0].items():
                apart, once = float(term.detach()), float(found[1][name].detach())
                what = f"with train.one_pass the {player}'s term '{name}' is {once:.6g}, without {apart:.6g}"
                same = math.isclose(apart, once, rel_tol=1e-9, abs_tol=1e-12)
                trial.expect(same, f"{what}; score examples by step.scores and step.score, and do not ask for step.together")


def try_prior(trial: Trial) -> None:
    """Draws follow from the generator and stay in the support; ways between two of them begin and end there."""
    prior = trial.game.prior
    assert prior is not None
    draws = [prior.sample(3, 5, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    shape, wanted = tuple(draws[0].shape), (3, 5, *prior.shape)
    trial.expect(shape == wanted, f"sample(3, 5) has shape {shape}, not {wanted}")
    trial.expect(torch.equal(*draws), "sample differs between two generators of the same seed; draw with `generator`")
    low, high = prior.support or (-math.inf, math.inf)
    trial.expect(bool(((draws[0] >= low) & (draws[0] <= high)).all()), f"draws leave the support [{low}, {high}]")
    a, b = prior.sample(2)
    way = prior.between(a, b, torch.tensor([0.0, 0.5, 1.0]))
    trial.expect(way.shape == (3, *prior.shape), f"between at 3 points has shape {tuple(way.shape)}, not {(3, *prior.shape)}")
    ends = torch.allclose(way[0], a, atol=1e-5) and torch.allclose(way[2], b, atol=1e-5)
    trial.expect(ends, "between does not start at a and end at b")


def try_optimizer(trial: Trial) -> None:
    """Ten steps down |p|²: the parameters change, and the sum falls. Gone on with from its state, it makes the same steps. One
    that says `elementwise` treats two parts as it treats the whole."""

    def descend(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], steps: int) -> torch.Tensor:
        for _ in range(steps):
            for p in parameters:
                p.grad = 2 * p.detach()
            optimizer.step()
        return torch.cat([p.detach().clone() for p in parameters])

    def begun(*sizes: int) -> list[nn.Parameter]:
        return [nn.Parameter(part.clone()) for part in torch.linspace(-1, 1, 12).split(sizes)]

    parameters = begun(12)
    optimizer, before = trial.optimizer(parameters), parameters[0].detach().clone()
    after = descend(optimizer, parameters, 10)
    trial.expect(not torch.equal(before, after), "ten steps change nothing")
    trial.expect(bool(after.square().sum() < before.square().sum()), "ten steps down |p|² go up")
    resumed = [nn.Parameter(after.clone())]
    other = trial.optimizer(resumed)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch's own would share their tensors
    same = torch.equal(descend(optimizer, parameters, 2), descend(other, resumed, 2))
    trial.expect(same, "gone on with from its state_dict, it makes other steps; put all that changes into `self.state`")
    if getattr(trial.composition.components["optimizer.critic"].settings, "elementwise", False):
        split = begun(7, 5)
        alike = torch.equal(after, descend(trial.optimizer(split), split, 10))
        trial.expect(alike, "it says `elementwise`, and a number's step depends on the others; remove `elementwise`")


def try_schedule(trial: Trial) -> None:
    """Factors are finite and not negative, in a run of one round too, and follow from the round alone."""
    for rounds in (10, 1):
        schedule = trial.composition.build("schedule", "schedule.critic", rounds=rounds)
        factors = [schedule(round) for round in range(rounds)]
        fit = all(isinstance(f, (int, float)) and math.isfinite(f) and f >= 0 for f in factors)
        trial.expect(fit, f"factors must be finite numbers that are not negative: {factors} for {rounds} rounds")
        again = [schedule(round) for round in reversed(range(rounds))][::-1]
        trial.expect(factors == again, "asked again for a round, it gives another factor; let it follow from the round alone")


def is_plain(protocol: Any) -> bool:
    """Tell whether JSON can hold a mapping."""
    try:
        return bool(json.dumps(dict(protocol)))
    except (TypeError, ValueError):
        return False


def try_metric(trial: Trial) -> None:
    """Named floats, by the names that it says; the game is as it was."""
    (metric,) = trial.composition.build_metrics(trial.data)
    trial.expect(isinstance(metric, Metric), f"hook 'metric' gave {type(metric).__name__}, not Metric")
    trial.expect(metric.goal in ("min", "max"), f"'goal' is {metric.goal!r}; it must be 'min' or 'max'")
    trial.expect(is_plain(metric.protocol), f"'protocol' is {metric.protocol!r}; it must be plain data, which JSON can hold")
    weights = {name: t.clone() for name, t in trial.game.state_dict().items()}
    metric.check(trial.game)
    scores = score(metric, trial.game)
    fit = isinstance(scores, dict) and bool(scores) and all(isinstance(score, float) for score in scores.values())
    trial.expect(fit, f"scores must be named floats: {scores}")
    names = tuple(metric.names)
    trial.expect(not names or names == tuple(scores), f"'names' says {names}, and the scores are called {tuple(scores)}")
    changed = [name for name, t in trial.game.state_dict().items() if not torch.equal(t, weights[name])]
    trial.expect(not changed, f"evaluate changes the game ({', '.join(changed[:2])}); copy what it changes, or use evaluating")
    trial.expect(trial.game.training, "evaluate leaves the game in evaluation mode; use evaluating")


TRIES = {
    "prior": try_prior,
    "generator": try_generator,
    "critic": try_critic,
    "loss": try_loss,
    "terms": try_terms,
    "optimizer": try_optimizer,
    "schedule": try_schedule,
    "metric": try_metric,
}
"""What is tried, by the hook that made or wrapped it."""
