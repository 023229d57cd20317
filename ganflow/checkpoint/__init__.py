"""Checkpoints: complete, written atomically behind the training, verified when read."""

from ganflow.checkpoint.load import load_game
from ganflow.checkpoint.store import BEST, Checkpoint, Damaged, Writer, newest, read

__all__ = ["BEST", "Checkpoint", "Damaged", "Writer", "load_game", "newest", "read"]
