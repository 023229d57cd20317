"""ganflow: adversarial-training experiments from recipes and plugins.

A plugin needs three names from here: `hookimpl`, `settings` and, to document and bound its keys, `key` (and `part` for
a key that holds another component); `Elementwise` to write an optimizer. See ganflow.hookspecs for the contract.
"""

import os
import sys

_started = sys.argv[:1] == ["-m"] and "ganflow" in sys.orig_argv  # by `python -m ganflow`, which imports this file first
if _started and not sys.flags.safe_path and os.path.join(sys.path[0], "ganflow") != __path__[0]:
    del sys.path[0]  # the working folder, whose modules are not ganflow's

from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from pluggy import HookimplMarker  # noqa: E402

from ganflow.hookspecs import CONTRACT  # noqa: E402
from ganflow.settings import key, part, settings  # noqa: E402

if TYPE_CHECKING:
    from ganflow.optim import Elementwise

__version__ = "0.1.0"
__all__ = ["CONTRACT", "Elementwise", "hookimpl", "key", "part", "settings"]

hookimpl = HookimplMarker("ganflow")


def __getattr__(name: str) -> Any:  # imported when it is first asked for: it needs torch
    if name != "Elementwise":
        raise AttributeError(f"module 'ganflow' has no attribute '{name}'")
    return import_module("ganflow.optim").Elementwise
