"""ganflow: adversarial-training experiments from recipes and plugins.

A plugin needs three names from here: `hookimpl`, `settings` and, to document and bound its keys, `key` (and `part` for
a key that holds another component). See ganflow.hookspecs for the contract.
"""

from pluggy import HookimplMarker

from ganflow.hookspecs import CONTRACT
from ganflow.settings import key, part, settings

__version__ = "0.1.0"
__all__ = ["CONTRACT", "hookimpl", "key", "part", "settings"]

hookimpl = HookimplMarker("ganflow")
