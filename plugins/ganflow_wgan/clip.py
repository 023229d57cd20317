"""Weight clipping."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def clip(parameters: list[Tensor], c: float) -> None:
    """Clamp every number to [−c, c], in place."""
    if len(parameters) == 1:  # the usual case: the player's one flat tensor, in one kernel
        parameters[0].clamp_(-c, c)
    else:
        torch._foreach_clamp_max_(parameters, c)
        torch._foreach_clamp_min_(parameters, -c)
