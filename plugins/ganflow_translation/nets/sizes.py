"""The check of image sizes that the residual generators share."""

from __future__ import annotations

from ganflow.errors import GanflowError
from ganflow_translation.nets.domains import Domains


def check_size(domains: Domains, generator: str, downs: int, multiple: int, smallest: int) -> None:
    """
    Raises:
        GanflowError: the images are too small, or cannot be halved `downs` times.
    """
    if domains.height % multiple or domains.width % multiple or min(domains.height, domains.width) < smallest:
        raise GanflowError(
            f"generator '{generator}' with downs {downs} takes images of {smallest} pixels a side or more, in multiples of "
            f"{multiple}; data '{domains.data}' has {domains.size}: change the data's size, or take fewer downs"
        )
