"""Advice on signs of ill health, by what a recipe has: nothing that it uses already, or cannot use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ganflow.contract.loss import mixes_examples
from ganflow.contract.settings import keys
from ganflow.engine.game import Game
from ganflow.recipe import Recipe

SATURATING = ("minimax", "non_saturating", "relativistic", "hinge")
"""Losses whose slope falls to zero for a critic that is sure, and which another one can replace."""
SLOPES, BOUNDS = ("r1", "gradient_penalty"), ("r1", "gradient_penalty", "spectral_norm", "weight_clip")
"""Modifiers that make large slopes of the critic costly, and all that keep them small."""
SHORT = 0.01
"""Length to which gradients are not clipped any shorter."""
TEACHERS = ("weight", "match", "reconstruction", "cycle")
"""Keys of losses: weights of terms that have one right answer for each condition, whatever z is."""


@dataclass(frozen=True)
class Rates:
    """Learning rates of a kind of optimizers.

    Attributes:
        least: one that is no larger is far too low: no lower one is advised.
        usual: is advised in place of one that is far too low or too high.
        high: is not raised.
        most: one that is larger is far too high, and the first thing to be changed.
    """

    least: float = 1e-6
    usual: float = 1e-3
    high: float = math.inf
    most: float = math.inf


ADAPTIVE, UNKNOWN = Rates(high=2e-3, most=5e-3), Rates()
RATES = {"adam": ADAPTIVE, "adamw": ADAPTIVE, "rmsprop": ADAPTIVE, "sgd": Rates(1e-5, 0.01, 0.1, 0.5)}
"""Of optimizers by their names. Shipped recipes have 5e-5 to 5e-3 with adaptive ones, but for one player of eight numbers."""


@dataclass(frozen=True)
class Setup:
    """A recipe as advice sees it.

    Attributes:
        names: of components, by their path with dots alone, as shells leave them alone: {"modifiers.0": "weight_clip"}.
        values: of their keys, and of train's: {"modifiers.0.c": 0.01}.
        mixes: the critic mixes examples (batch norm), and so has no slope at each of them.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    mixes: bool = False

    @classmethod
    def of(cls, recipe: Recipe, game: Game | None = None) -> Setup:
        """The setup of a recipe and the game that was built from it, if one was."""
        modifiers = {f"modifiers.{i}": chosen for i, chosen in enumerate(recipe.modifiers)}
        chosen = {**recipe.slots(), **modifiers, **recipe.parts}
        sections = {path: each.settings for path, each in chosen.items()} | {"train": recipe.train}
        values = {f"{path}.{key.name}": getattr(settings, key.name) for path, settings in sections.items()
                  for key in keys(type(settings))}  # fmt: skip
        names = {path: each.component.name for path, each in chosen.items()}
        return cls(names, values, game is not None and game.critic is not None and mixes_examples(game.critic))

    @property
    def critic(self) -> bool:
        return "critic" in self.names

    def modifier(self, *names: str) -> str:
        """The path of the first modifier with one of these names, "" if there is none."""
        return next((path for path, name in self.names.items() if path.startswith("modifiers.") and name in names), "")

    def loss(self, *names: str) -> str:
        """The path of the first loss, or part of a loss, with one of these names, "" if there is none."""
        return next((path for path, name in self.names.items() if path.split(".")[0] == "loss" and name in names), "")

    def optimizer(self, part: str) -> str:
        """The path of the optimizer of a part ("critic", "generator.mapping"), or of the longest one above it."""
        while part and f"optimizer.{part}" not in self.names:
            part = part.rpartition(".")[0]
        return f"optimizer.{part}" if part else ""

    def rate(self, path: str) -> tuple[float, Rates] | None:
        """The learning rate of the optimizer at a path, with what is usual there; None if it has none."""
        rate = self.values.get(f"{path}.lr")
        return (rate, RATES.get(self.names[path], UNKNOWN)) if isinstance(rate, float) else None


Advice = Callable[[Setup, str], str]
"""A thing to do, for a setup and the part at which a sign was seen ("" for none); "" where it cannot be done, or has been."""


def larger_batches(setup: Setup, where: str) -> str:
    size = setup.values.get("train.batch_size")
    return f"larger batches (train.batch_size={2 * size})" if size else "larger batches (train.batch_size)"


def usual_rate(setup: Setup, where: str) -> str:
    """The usual learning rate wherever one is far too high."""
    found = {path: rate for path in setup.names if path.startswith("optimizer.") and (rate := setup.rate(path))}
    usual = {path: rates.usual for path, (rate, rates) in found.items() if rate > rates.most}
    changes = [f"{path}.lr={_number(rate)}" for path, rate in usual.items()]
    if usual.keys() == {path for path in setup.names if path.startswith("optimizer.")} and len({*usual.values()}) == 1:
        changes = [f"optimizer.lr={_number(*{*usual.values()})}"]
    return f"a lower learning rate ({' '.join(changes)})" if changes else ""


def slower(part: str = "") -> Advice:
    """A lower learning rate, of a part or where the sign was seen, unless it is far too low, or far too high (`usual_rate`)."""

    def advice(setup: Setup, where: str) -> str:
        path = setup.optimizer(part or where or "generator") or setup.optimizer("generator")
        rate, rates = setup.rate(path) or (0.0, UNKNOWN)
        possible = rates.least < rate <= rates.most
        return f"a lower learning rate ({path}.lr={_number(max(rate / 4, rates.least))})" if possible else ""

    return advice


def faster_critic(setup: Setup, where: str) -> str:
    path = setup.optimizer("critic")
    rate, rates = setup.rate(path) or (math.inf, UNKNOWN)
    higher = rates.usual if rate <= rates.least else min(4 * rate, rates.high)
    return f"a higher learning rate for the critic ({path}.lr={_number(higher)})" if rate < rates.high else ""


def usual_rate_of_the_critic(setup: Setup, where: str) -> str:
    """The usual learning rate for the critic, if its rate is far too low."""
    rate, rates = setup.rate(setup.optimizer("critic")) or (math.inf, UNKNOWN)
    return faster_critic(setup, where) if rate <= rates.least else ""


def more_steps(setup: Setup, where: str) -> str:
    steps = setup.values.get("train.n_critic", 1)
    return f"more critic steps (train.n_critic={5 if steps < 5 else 2 * steps})" if setup.critic else ""


def fewer_steps(setup: Setup, where: str) -> str:
    steps = setup.values.get("train.n_critic", 1)
    return f"fewer critic steps (train.n_critic={steps // 2})" if setup.critic and steps > 1 else ""


def slope_penalty(setup: Setup, where: str) -> str:
    possible = setup.critic and not setup.mixes and not setup.modifier(*SLOPES)
    return f"a penalty on the critic's slope (+modifiers={_penalty(setup)})" if possible else ""


def heavier_penalty(setup: Setup, where: str) -> str:
    path = setup.modifier(*SLOPES)
    weight = setup.values.get(f"{path}.weight")
    return f"a heavier penalty on the critic's slope ({path}.weight={_number(weight * 10)})" if weight else ""


def spectral_norm(setup: Setup, where: str) -> str:
    possible = setup.critic and not setup.modifier(*BOUNDS)
    return "a bound on the critic (+modifiers=spectral_norm)" if possible else ""


def larger_c(setup: Setup, where: str) -> str:
    path = setup.modifier("weight_clip")
    c = setup.values.get(f"{path}.c")
    return f"a larger c ({path}.c={_number(max(10 * c, 0.05) if c < 0.05 else 2 * c)})" if c else ""


def no_clip(setup: Setup, where: str) -> str:
    path = setup.modifier("weight_clip")
    instead = "spectral_norm" if setup.mixes else "gradient_penalty"
    return f"{instead} in place of weight_clip ({path}={instead})" if path and not setup.modifier(instead) else ""


def clipped_gradient(setup: Setup, where: str) -> str:
    limit = setup.values.get("train.clip_grad")
    if limit and limit <= SHORT:
        return ""
    return f"shorter gradients (train.clip_grad={_number(limit / 10 if limit else 1.0)})"


def no_momentum(setup: Setup, where: str) -> str:
    """Momentum turns the two players' game into circling (Gidel et al. 2019, arXiv:1807.04740)."""
    paths = [path for path in setup.names if path.startswith("optimizer.")]
    betas = [setup.values.get(f"{path}.beta1") for path in paths]
    possible = setup.critic and betas and None not in betas and any(betas)
    return "no momentum (optimizer.beta1=0)" if possible else ""


def steadier_loss(setup: Setup, where: str) -> str:
    """A loss whose slope does not vanish, with what it needs."""
    path = setup.loss(*SATURATING)
    possible = setup.critic and path and not setup.loss("wasserstein") and (setup.modifier(*BOUNDS) or not setup.mixes)
    bound = "" if setup.modifier(*BOUNDS) else " +modifiers=gradient_penalty"
    return f"a loss that does not saturate ({path}=wasserstein{bound})" if possible else ""


def non_saturating(setup: Setup, where: str) -> str:
    path = setup.loss("minimax")
    possible = path and not where.startswith("critic")
    return f"a loss that does not saturate for the generator ({path}=non_saturating)" if possible else ""


def smoother_labels(setup: Setup, where: str) -> str:
    possible = setup.names.get("loss") in ("minimax", "non_saturating") and setup.values.get("loss.label_smoothing") == 0
    return "labels that are not quite 1 (loss.label_smoothing=0.1)" if possible else ""


def other_norm(setup: Setup, where: str) -> str:
    norm, batch = (setup.values.get(f"generator.{key}") for key in ("norm", "batch_norm"))
    if isinstance(norm, str):
        return f"another norm in the generator (generator.norm={'instance' if norm == 'batch' else 'batch'})"
    if batch is None:
        return ""
    return f"{'no ' if batch else ''}batch norm in the generator (generator.batch_norm={'false' if batch else 'true'})"


def less_teaching(setup: Setup, where: str) -> str:
    for key in TEACHERS:
        if weight := setup.values.get(f"loss.{key}"):
            return f"less weight on the term that has one right answer (loss.{key}={_number(weight / 10)})"
    return ""


def larger_z(setup: Setup, where: str) -> str:
    dim = setup.values.get("prior.dim")
    return f"a larger z (prior.dim={4 * dim})" if dim else ""


def _penalty(setup: Setup) -> str:
    return "gradient_penalty" if setup.loss("wasserstein") else "r1"


def _number(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"


NOT_FINITE = "not finite"
"""The alarm of a run that ended because a term, or a weight, was no finite number."""
HELPS: dict[str, tuple[Advice, ...]] = {
    "scores exploded": (slope_penalty, spectral_norm, slower("critic"), clipped_gradient),
    "gradient exploded": (clipped_gradient, slower()),
    "clip saturation": (larger_c, no_clip),
    "collapse": (no_momentum, slope_penalty, slower("generator"), heavier_penalty, other_norm),
    "modes dropped": (no_momentum, slope_penalty, slower("generator"), heavier_penalty, other_norm),
    "blank pictures": (slower("generator"), other_norm),
    "z ignored": (less_teaching, larger_z, more_steps),
    "critic saturated": (slope_penalty, steadier_loss, smoother_labels, fewer_steps, slower("critic")),
    "gradient vanished": (larger_c, non_saturating, steadier_loss, slope_penalty, fewer_steps, slower(), other_norm),
    "critic under-trained": (usual_rate_of_the_critic, more_steps, faster_critic),
    NOT_FINITE: (slower(), clipped_gradient),
}
"""What helps against each sign, the best known first, after a rate that is usual."""
OTHER_CAUSE = ("clip saturation",)
"""Signs whose cause has a name, which is not the learning rate."""


def advise(sign: str, setup: Setup, where: str) -> str:
    """The first two things that help against a sign and can be done."""
    first = () if sign in OTHER_CAUSE else (usual_rate,)
    every = (*first, *HELPS[sign], usual_rate, slower(), larger_batches, clipped_gradient)
    found = dict.fromkeys(text for advice in every if (text := advice(setup, where)))
    return ", or ".join([*found][:2])


def typed(advice: str) -> str:
    """The override that an advice names first: "optimizer.lr=0.001"."""
    return advice.partition(", or ")[0].rpartition("(")[2].rstrip(")")
