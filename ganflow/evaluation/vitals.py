"""Vital signs of a game in training: numbers by which its health is judged, of the last round's batch, in one read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ganflow.contract.loss import ScoreLoss
from ganflow.contract.signature import Z
from ganflow.engine.game import Game, evaluating, fork_rng
from ganflow.engine.losses import losses_in
from ganflow.engine.player import Part, parts_of
from ganflow.engine.step import PlayedStep

EXAMPLES = 64
"""Rows of the batch that are looked at: the mean distance of so many pairs is known to a few per cent."""
LEAST, MANY, WEIGHTS = 8, 32, 100
"""Examples, examples of which `nearest` is known, and weights of a critic: fewer are not judged."""
CONDITIONS = 8
"""Conditions that are held fixed, each under EXAMPLES / CONDITIONS different z."""
MEANS, SQUARES, SUMS = ("mean", "exp_avg"), ("square", "exp_avg_sq", "square_avg"), ("momentum", "momentum_buffer")
"""Names that optimizers give to the mean of the latest gradients, to that of their squares, and, in SGD, to their sum."""


@dataclass(frozen=True)
class Vitals:
    """Numbers of one moment; what there is none of in a game is left out.

    Attributes:
        round: rounds played.
        fields: by field that is generated: `spread` and `spread_real`, √(total variance) of generated and real examples;
            `picture` and `picture_real`, the largest standard deviation within a generated picture and the mean one within a real
            one; `energy`, the energy distance of the two batches as a share of its largest value; `nearest`, as of the function.
        scores: by named score and field: `real` and `fake`, means; `size`, the largest absolute score; `order`, the share of
            pairs in which the real example has the higher one; `slope`, as of the function.
        over_z: `fixed`, the spread over z at a fixed condition, and `fixed_real`, that of real examples of all conditions.
        gradients: the root mean square of a part's gradient, by part.
        at_limit: the share of the critic's weights that have the largest absolute value among them, which is `limit`.
    """

    round: int
    fields: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    over_z: Mapping[str, float] = field(default_factory=dict)
    gradients: Mapping[str, float] = field(default_factory=dict)
    at_limit: float | None = None
    limit: float | None = None


def measure(game: Game, draws: Mapping[str, Tensor], round: int) -> Vitals:
    """Vital signs of a game, by the draws of the round that was played last (`Trainer.drawn`).

    Networks are called in evaluation mode, and nothing is drawn that training would miss, nor is anything changed.
    """
    batch = {name: t[-1][:EXAMPLES] for name, t in draws.items()}
    found: dict[tuple[str, ...], Tensor] = {}
    with evaluating(game), fork_rng(game.device), torch.no_grad():
        step = game.step("critic" if game.critic is not None else "generator", batch)
        for domain in game.domains:
            _fields(found, domain, step.generated(domain), batch.get(domain))
            if game.critic is not None and domain in batch:
                _scores(found, game, step, domain)
        _over_z(found, game, batch)
        for name, part in parts_of(game.players).items():
            if (size := gradient_size(part)) is not None:
                found["gradients", name] = size
        if "critic" in game.players:
            _limit(found, game.players["critic"].updated)
        if not found:
            return Vitals(round)
        line = torch.stack([t.detach().float() for t in found.values()])
    nested: dict[str, dict[str, dict[str, float]]] = {"fields": {}, "scores": {}}
    flat: dict[str, dict[str, float]] = {"over_z": {}, "gradients": {}, "critic": {}}
    for key, value in zip(found, line.tolist(), strict=True):  # the only read
        if len(key) == 3:
            nested[key[0]].setdefault(key[1], {})[key[2]] = value
        else:
            flat[key[0]][key[1]] = value
    critic = flat.pop("critic")
    return Vitals(round, **nested, **flat, at_limit=critic.get("at_limit"), limit=critic.get("limit"))  # type: ignore[arg-type]


def _fields(found: dict[tuple[str, ...], Tensor], domain: str, fake: Tensor, real: Tensor | None) -> None:
    fake = fake.float()
    if len(fake) < LEAST:
        return
    found["fields", domain, "spread"] = spread(fake)
    if fake.dim() == 4:
        found["fields", domain, "picture"] = fake.flatten(2).std(2).mean(1).max()
    if real is None or not real.is_floating_point() or real.shape[1:] != fake.shape[1:]:
        return
    real = real.float()
    found["fields", domain, "spread_real"] = spread(real)
    if fake.dim() == 4:
        found["fields", domain, "picture_real"] = real.flatten(2).std(2).mean(1).mean()
    between = distances(real.flatten(1), fake.flatten(1))
    found["fields", domain, "energy"] = energy(between, len(real))
    if len(real) >= MANY and len(fake) >= MANY:
        found["fields", domain, "nearest"] = nearest(between, len(real))


def spread(x: Tensor) -> Tensor:
    """√(total variance) of examples (n, …)."""
    return x.flatten(1).var(0).sum().sqrt()


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances between all rows of two batches: first those of x, then those of y."""
    both = torch.cat((x, y)) - x.mean(0)
    return torch.cdist(both, both)


def energy(between: Tensor, n: int) -> Tensor:
    """The energy distance of two batches (Székely & Rizzo 2013) as a share of its largest value, in [0, 1]: its coefficient of
    inhomogeneity H = (2 E|X − Y| − E|X − X'| − E|Y − Y'|) / 2 E|X − Y|. Of one distribution's batches it is about 1 / n.

    Args:
        between: their distances; the first n rows are x.
    """
    m = len(between) - n
    across = between[:n, n:].mean()
    inside = (between[:n, :n].sum() / (n * (n - 1)) + between[n:, n:].sum() / (m * (m - 1))) / 2
    return (1 - inside / across).clamp(0, 1)


def nearest(between: Tensor, n: int) -> Tensor:
    """The share of real examples that are the nearest one of a generated example: of one distribution's batches about a half, and
    at most the share of the modes that have generated examples, however narrow or wide the modes are.

    Args:
        between: distances of both batches; the first n rows are real examples.
    """
    found = torch.zeros(n, device=between.device)
    return found.index_fill_(0, between[:n, n:].argmin(0), 1.0).mean()


def _scores(found: dict[tuple[str, ...], Tensor], game: Game, step: PlayedStep, domain: str) -> None:
    real, fake = (step.score(x, domain) for x in (step.real(domain), step.generated(domain)))
    loss = next((part for part in losses_in([game.loss]) if isinstance(part, ScoreLoss)), None)
    for name, r in real.items() if isinstance(real, Mapping) else (("", real),):
        f = fake[name] if isinstance(fake, Mapping) else fake
        key = step.named(name, domain) if name else domain
        a, b = (t.reshape(len(t), -1).mean(1).float() for t in (r, f))
        found["scores", key, "real"], found["scores", key, "fake"] = a.mean(), b.mean()
        found["scores", key, "size"] = torch.maximum(r.abs().max(), f.abs().max())
        found["scores", key, "order"] = ((a[:, None] > b).float() + 0.5 * (a[:, None] == b).float()).mean()
        if loss is not None and (steep := slope(loss, r, f)) is not None:
            found["scores", key, "slope"] = steep


@torch.enable_grad()
def slope(loss: ScoreLoss, real: Tensor, fake: Tensor) -> Tensor | None:
    """Σ |∂L/∂score| of the critic's loss L, over the scores of both batches: 2 of Wasserstein's loss, of the logistic ones
    1 at chance, where all scores are 0, and less and less the surer the critic is. None where it does not depend on them."""
    r, f = (t.detach().float().requires_grad_() for t in (real, fake))
    value = loss.critic_loss(r, f)
    found = torch.autograd.grad(value, (r, f), allow_unused=True) if value.requires_grad else ()
    sizes = [g.abs().sum() for g in found if g is not None]
    return torch.stack(sizes).sum() if sizes else None


def _over_z(found: dict[tuple[str, ...], Tensor], game: Game, batch: Mapping[str, Tensor]) -> None:
    """Spread under a few fixed conditions, each with several z, of a generator whose inputs are both."""
    signature = game.signatures[game.maker]
    sources = list(signature.inputs.values())
    if Z not in sources or len(sources) < 2 or not all(source in batch for source in sources):
        return
    each, real = len(batch[Z]) // CONDITIONS, batch.get(signature.output)
    if each < 2 or real is None:
        return
    rows = torch.arange(CONDITIONS, device=game.device).repeat_interleave(each)
    z = batch[Z][: CONDITIONS * each]
    inputs = {name: z if source == Z else batch[source][rows] for name, source in signature.inputs.items()}
    made = signature(game.generator, inputs).float().flatten(1).view(CONDITIONS, each, -1)
    found["over_z", "fixed"] = made.var(1).mean(0).sum().sqrt()
    found["over_z", "fixed_real"] = spread(real.float())


def gradient_size(part: Part) -> Tensor | None:
    """The root mean square of the latest gradients of a part, as far as its optimizer remembers: that of their mean, or the root
    of the mean of their squares; None where it keeps neither."""
    sums: list[Tensor] = []
    for p in part.updated:
        state = part.optimizer.state.get(p, {})
        kept = next((name for name in (*MEANS, *SQUARES, *SUMS) if isinstance(state.get(name), Tensor)), None)
        if kept is not None:
            sums.append(state[kept].float().sum() if kept in SQUARES else state[kept].float().norm().square())
    count = sum(p.numel() for p in part.updated)
    return (torch.stack(sums).sum() / count).sqrt() if sums else None


def _limit(found: dict[tuple[str, ...], Tensor], parameters: list[torch.nn.Parameter]) -> None:
    count = sum(p.numel() for p in parameters)
    if count < WEIGHTS:
        return
    limit = torch.stack([p.abs().max() for p in parameters]).max()
    found["critic", "limit"] = limit
    found["critic", "at_limit"] = torch.stack([(p.abs() >= limit).sum() for p in parameters]).sum() / count
