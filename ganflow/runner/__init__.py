"""One run: game, trainer, checkpoints, journal, pictures."""

from ganflow.runner.run import Outcome, resume, start

__all__ = ["Outcome", "resume", "start"]
