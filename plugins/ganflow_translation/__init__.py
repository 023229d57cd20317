"""Image-to-image translation: paired (pix2pix), unpaired by cycle consistency (CycleGAN), unpaired by a shared latent
space (UNIT). Scenes to try them on, folders, networks, losses."""

from ganflow import hookimpl
from ganflow_translation import data, losses, metrics, networks

GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    for module in (data, networks, losses, metrics):
        for role, name, settings in module.OFFERS:
            offer(role, name, settings)
