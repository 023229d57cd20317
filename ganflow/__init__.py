"""ganflow: adversarial-training experiments from recipes and plugins.

A plugin needs three names from here: `hookimpl`, `settings` and, to document and bound its keys, `key` (and `part` for
a key that holds another component). See ganflow.hookspecs for the contract.
"""

import os
import sys

_started = sys.argv[:1] == ["-m"] and "ganflow" in sys.orig_argv  # by `python -m ganflow`, which imports this file first
if _started and not sys.flags.safe_path and os.path.join(sys.path[0], "ganflow") != __path__[0]:
    del sys.path[0]  # the working folder, whose modules are not ganflow's

from pluggy import HookimplMarker  # noqa: E402

from ganflow.hookspecs import CONTRACT  # noqa: E402
from ganflow.settings import key, part, settings  # noqa: E402

__version__ = "0.1.0"
__all__ = ["CONTRACT", "hookimpl", "key", "part", "settings"]

hookimpl = HookimplMarker("ganflow")
