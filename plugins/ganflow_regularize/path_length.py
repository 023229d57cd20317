"""Path-length regularization of the generator (Karras et al. 2019, arXiv:1912.04958, section 3.2 and appendix B)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganflow import AddedTerms, Game, GanflowError, Signature, Step, Terms, mixes_examples

TINY = 1e-12


class PathLength(nn.Module, AddedTerms):
    """weight · E(‖Jᵀy‖ − a)²: J is the derivative of an example by its codes, y normal noise in the example's shape over the root
    of its pixels, a the running mean of ‖Jᵀy‖.

    Codes are what the generator's signatures make of z and draw from: the styles of generator `style`, of whose layers the mean
    square counts. Where there are none they are z.
    """

    mean: Tensor

    def __init__(self, weight: float, decay: float, every: int) -> None:
        super().__init__()
        self.weight, self.decay, self.every = weight, decay, every
        self.register_buffer("mean", torch.zeros(()))

    def check(self, game: Game) -> None:
        inputs = game.signatures[game.maker].inputs.values()
        if len(game.domains) > 1 or not (codes_of(game.signatures, game.domains[0]) or "z" in inputs):
            raise GanflowError("modifier 'path_length' needs a generator that makes one field from a prior's draws; take it out")
        if mixes_examples(game.generator):
            raise GanflowError("modifier 'path_length' takes the slope at each example's codes, and in a generator with batch "
                               "norm that depends on the rest of the batch: set generator.norm=none, or take another generator"
                               )  # fmt: skip

    def generator_terms(self, step: Step) -> Terms:
        domain = step.domains[0]
        if found := codes_of(step.signatures, domain):
            coding, drawing = found
            codes = step.call(coding, *(step.batch[source] for source in step.signatures[coding].inputs.values()))
            made = step.call(drawing, codes)
        else:
            maker, codes = step.makers[domain], step.batch["z"].detach().requires_grad_()
            inputs = step.signatures[maker].inputs
            made = step.call(maker, **{name: codes if source == "z" else step.batch[source] for name, source in inputs.items()})
        y = torch.randn_like(made) / math.sqrt(math.prod(made.shape[2:]))
        (slopes,) = torch.autograd.grad((made * y).sum(), codes, create_graph=True)  # examples do not mix
        squares = slopes.square().sum(-1)
        lengths = (squares.flatten(1).mean(1) if squares.dim() > 1 else squares).add(TINY).sqrt()
        step.log("path", lengths.mean())
        return {"path_length": self.weight * (lengths - self.mean).square().mean()}

    def generator_stepped(self, values: Mapping[str, Tensor]) -> None:
        """The mean of the lengths until now: of the step's, too, only afterwards, so that micro-batches have the same."""
        self.mean.lerp_(values["path"].to(self.mean), self.decay)


def codes_of(signatures: Mapping[str, Signature], domain: str) -> tuple[str, str] | None:
    """Names of the signatures that make codes, and draw examples of a field from them alone; None where there are no such."""
    for drawing, draws in signatures.items():
        if draws.output == domain and len(draws.inputs) == 1:
            (source,) = draws.inputs.values()
            for coding, codes in signatures.items():
                if codes.output == source and "z" in codes.inputs.values() and source != domain:
                    return coding, drawing
    return None
