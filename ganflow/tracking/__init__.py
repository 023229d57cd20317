"""Tracking: from a run's journal to MLflow, by another process.

Training appends to the journal and never talks to MLflow; a follower process (`ganflow sync --follow`) reads the folder
and sends. Whatever happens to the server, the network or the follower, the folder has everything, and
`ganflow sync RUN` sends what is missing. Nothing here imports mlflow before it is used.
"""
