"""Generators by their signatures, and critics."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganflow.contract.data import Field
from ganflow.contract.signature import Signature, Z
from ganflow.engine.game import fork_rng
from ganflow.testing.trial import BATCH, Trial


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
        sized = {argument: resized(t, height, width) for argument, t in inputs.items()}
        try:
            made = trial.game.call(name, **sized) if call else signature(trial.game.generator, sized)
        except Exception as error:
            text = " ".join(str(error).split())
            who = f"{trial.component} on {trial.data.name}"
            raise AssertionError(f"{who}: {says}, and refuses {height} × {width}: {text}") from error
        trial.expect(made.shape[2:] == (height, width), f"{says}, and makes {tuple(made.shape[2:])} of {height} × {width}")


def resized(t: Any, height: int, width: int) -> Any:
    return nn.functional.interpolate(t, (height, width)) if isinstance(t, Tensor) and t.dim() == 4 else t


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
