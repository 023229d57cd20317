"""Scenes that are drawn on the spot, in one view or several."""
