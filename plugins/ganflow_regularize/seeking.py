"""A term for what a generator makes of z: examples of one condition that differ as their z do."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganflow import AddedTerms, Game, GanflowError, Step, Terms

Z, TERM = "z", "mode_seeking"


class ModeSeeking(AddedTerms):
    """Generator: −weight · E min(d(G(z, c), G(z′, c)) / d(z, z′), bound), d the mean absolute difference, z′ the next example's
    (Yang et al. 2019, arXiv:1901.09024, eq. 4; Mao et al. 2019, arXiv:1903.05628, eq. 3, without the bound).

    Args:
        weight: of the term.
        bound: beyond which more difference is no gain; None: there is none.
    """

    def __init__(self, weight: float, bound: float | None) -> None:
        self.weight, self.bound = weight, bound

    @property
    def whole_batch(self) -> dict[str, str]:
        return {TERM: "the other z of an example is the next one's"}

    def check(self, game: Game) -> None:
        maker = game.signatures[game.makers[game.domains[0]]]
        if Z not in maker.inputs.values():
            raise GanflowError(f"modifier '{TERM}' compares what the generator makes of two z, and this one takes none; leave it "
                               "out")  # fmt: skip

    def generator_terms(self, step: Step) -> Terms:
        name = step.makers[step.domains[0]]
        z = step.batch[Z]
        other = z.roll(1, 0)
        inputs: dict[str, Any] = {
            argument: other if source == Z else step.batch[source] for argument, source in step.signatures[name].inputs.items()
        }
        ratio = distance(step.fake(), step.call(name, **inputs)) / distance(z, other)
        step.log("z_ratio", ratio.mean())
        return {TERM: -self.weight * (ratio if self.bound is None else ratio.clamp(max=self.bound)).mean()}


def distance(a: Tensor, b: Tensor) -> Tensor:
    """The mean absolute difference of each pair, (n,)."""
    return (a - b).abs().flatten(1).mean(1)
