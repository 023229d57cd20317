"""One run: game, trainer, checkpoints, journal, pictures."""

from ganflow.runner.loop import Step
from ganflow.runner.run import Outcome
from ganflow.runner.session import Session, open_trial, resume, start

__all__ = ["Outcome", "Session", "Step", "open_trial", "resume", "start"]
