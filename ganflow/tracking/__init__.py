"""Tracking: what a run has to tell MLflow, kept in the run's folder and sent by a process of its own.

Training appends to the journal and never talks to MLflow; a follower process (`ganflow sync --follow`) reads the folder
and sends. Whatever happens to the server, the network or the follower, the folder has everything, and
`ganflow sync RUN` sends what is missing. Nothing here imports mlflow before it is used.
"""

from ganflow.tracking.follower import Follower
from ganflow.tracking.journal import Entry, Journal, Reader, entries, rewind
from ganflow.tracking.pending import Unsent, unsent

__all__ = ["Entry", "Follower", "Journal", "Reader", "Unsent", "entries", "rewind", "unsent"]
