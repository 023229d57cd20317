"""Pictures: grids of samples, densities against the truth, curves, animations.

Images need Pillow alone and take milliseconds. What needs matplotlib (a second to import) imports it when it draws.
"""

from ganflow.pictures.curves import loss_curves
from ganflow.pictures.examples import class_sheet, sentence_sheet
from ganflow.pictures.files import captioned, gif, replacing_file, save_picture, save_png
from ganflow.pictures.images import image_grid, image_sheet, latent_map, picture_of
from ganflow.pictures.samples import density, image_pairs, sample_picture, ways

__all__ = [
    "captioned",
    "class_sheet",
    "density",
    "gif",
    "image_grid",
    "image_pairs",
    "image_sheet",
    "latent_map",
    "loss_curves",
    "picture_of",
    "replacing_file",
    "sample_picture",
    "save_picture",
    "save_png",
    "sentence_sheet",
    "ways",
]
