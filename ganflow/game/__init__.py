"""The game that a recipe describes: players, loss, optimizers; and the round they play."""

from ganflow.game.build import build_game, build_round
from ganflow.game.game import Game
from ganflow.game.player import Part, Player
from ganflow.game.round import Round

__all__ = ["Game", "Part", "Player", "Round", "build_game", "build_round"]
