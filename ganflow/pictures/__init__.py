"""Looking at it: grids of samples, densities against the truth, curves, animations.

Images need Pillow alone and take milliseconds. What needs matplotlib (a second to import) imports it when it draws.
"""

from ganflow.pictures.animation import captioned, gif
from ganflow.pictures.curves import loss_curves
from ganflow.pictures.files import replacing, save_png
from ganflow.pictures.images import grid
from ganflow.pictures.latent import latent_map
from ganflow.pictures.pairs import pairs
from ganflow.pictures.points import density, ways
from ganflow.pictures.samples import sample_picture
from ganflow.pictures.sheet import sheet

__all__ = [
    "captioned",
    "density",
    "gif",
    "grid",
    "latent_map",
    "loss_curves",
    "pairs",
    "replacing",
    "sample_picture",
    "save_png",
    "sheet",
    "ways",
]
