"""The search space of a sweep: what its trials can differ in, checked value by value before any of them begins."""

from ganflow.tune.space.reading import read_space
from ganflow.tune.space.space import Config, Space

__all__ = ["Config", "Space", "read_space"]
