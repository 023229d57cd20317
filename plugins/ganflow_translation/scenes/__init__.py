"""Scenes that are drawn when they are asked for: building fronts, streets by day and by night, horses and zebras."""
