"""Priors, optimizers, schedules and metrics."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from ganflow.contract.game import Metric
from ganflow.testing.trial import Trial


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


def try_metric(trial: Trial) -> None:
    """Named floats, by the names that it says; the game and training's random numbers are as they were."""
    (metric,) = trial.composition.build_metrics(trial.data)
    trial.expect(isinstance(metric, Metric), f"hook 'metric' gave {type(metric).__name__}, not Metric")
    trial.expect(metric.goal in ("min", "max"), f"'goal' is {metric.goal!r}; it must be 'min' or 'max'")
    random, weights = torch.get_rng_state(), {name: t.clone() for name, t in trial.game.state_dict().items()}
    scores = metric.evaluate(trial.game)
    fit = isinstance(scores, dict) and bool(scores) and all(isinstance(score, float) for score in scores.values())
    trial.expect(fit, f"scores must be named floats: {scores}")
    names = tuple(metric.names)
    trial.expect(not names or names == tuple(scores), f"'names' says {names}, and the scores are called {tuple(scores)}")
    untouched = torch.equal(random, torch.get_rng_state())
    trial.expect(untouched, "evaluate draws from torch's random numbers, so that scores would change training; use fork_rng")
    changed = [name for name, t in trial.game.state_dict().items() if not torch.equal(t, weights[name])]
    trial.expect(not changed, f"evaluate changes the game ({', '.join(changed[:2])}); copy what it changes, or use evaluating")
    trial.expect(trial.game.training, "evaluate leaves the game in evaluation mode; use evaluating")
