"""Sweeps: many runs of a recipe with changes, scheduled by Ray Tune, remembered as runs."""
