"""Logs the norm of each player's gradient."""

import torch
from torch import nn

from ganflow import hookimpl, settings

GANFLOW_CONTRACT = 2


@settings
class GradientNorm:
    """Reports "gradient_norm/critic" and "gradient_norm/generator": of the last step before each report, averaged over
    micro-batches and workers, and clipped where the recipe clips."""

    @hookimpl
    def game_built(self, game):
        norms = nn.Module()
        for player in ("critic", "generator"):
            norms.register_buffer(player, next(game.generator.parameters()).new_zeros(()))
        game.extras["gradient_norm"] = norms

    @hookimpl
    def critic_stepped(self, game):
        self.note(game, "critic")

    @hookimpl
    def generator_stepped(self, game):
        self.note(game, "generator")

    def note(self, game, player):
        squares = [p.grad.square().sum() for p in game.parameters_of(player)]
        game.extras["gradient_norm"].get_buffer(player).copy_(torch.stack(squares).sum().sqrt())

    @hookimpl
    def round_reported(self, game, report):
        for player, norm in game.extras["gradient_norm"].named_buffers():
            if player == "generator" or game.critic is not None:
                report.log(f"gradient_norm/{player}", float(norm))


@hookimpl
def register(offer):
    offer("modifier", "gradient_norm", GradientNorm)
