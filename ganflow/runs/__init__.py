"""Runs: folders with records, checkpoints and journals, and the loop that fills them."""
