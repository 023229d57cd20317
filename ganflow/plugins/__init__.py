"""Plugins: what is installed (the catalogue), what a recipe chose of it (a composition), and whose code failed (blame).

Phase 1: `load_catalogue` asks every installed plugin once what a recipe can name. Phase 2: a `Composition` is made for
one run and holds nothing but the components that its recipe chose, so installing a package cannot change a run.
"""

from ganflow.plugins.catalogue import Catalogue, Chosen, Component, Plugin, UnknownComponent, versions
from ganflow.plugins.composition import Composition
from ganflow.plugins.loading import blame, culprit, load_catalogue, load_module

__all__ = [
    "Catalogue",
    "Chosen",
    "Component",
    "Composition",
    "Plugin",
    "UnknownComponent",
    "blame",
    "culprit",
    "load_catalogue",
    "load_module",
    "versions",
]
