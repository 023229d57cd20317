"""Text-to-image: StackGAN, pictures with captions, and encoders for the captions."""

from ganflow import hookimpl
from ganflow_text import data, encoders, losses, metrics, networks

GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    for module in (data, encoders, networks, losses, metrics):
        for role, name, settings in module.OFFERS:
            offer(role, name, settings)
