"""Data for text-to-image: birds that are drawn on the spot, and folders of pictures with captions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ganflow_layers.files import BUDGET
from ganflow_layers.keys import ImageFiles
from ganflow_layers.sizes import SIZE, shorter, sides

from ganflow import hookimpl, key, part, settings

if TYPE_CHECKING:
    from ganflow import Data


@settings
class Birds:
    """Birds in eight colours, drawn when asked for, with sentences like "this bird has a yellow belly and tarsus, grey back,
    wings, and brown throat, nape with a black face". Nothing is downloaded.

    Belly, back, wings, throat and face have a colour each. One combination in eight is never trained on; held-out birds are of
    those. A fifth of the sentences leave a region or two out.
    """

    gives = ("images", "captions")
    tried_with: ClassVar = {"train": 64, "held_out": 32}

    size: int = key(32, "height and width in pixels", ge=16, le=256)
    train: int = key(4000, "birds to train on; more of them are these and further ones", ge=1, le=1_000_000)
    held_out: int = key(200, "further birds, of combinations never trained on", ge=0, le=1_000_000)
    captions: int = key(5, "sentences about every bird", ge=1, le=100)
    seed: int = key(0, "of the birds; a run's own seed fixes the order in which they are drawn", ge=0)
    encoder: Any = part("encoder", "matched", "what turns a sentence into numbers")

    @hookimpl
    def data(self) -> Data:
        from ganflow_text.birds.data import Birds as Drawn

        return Drawn(self.size, self.train, self.held_out, self.captions, self.seed, self.encoder.encoder())


@settings
class CaptionedFolder(ImageFiles):
    """Pictures with captions from a folder: a .txt file of the same name beside every picture, a caption in each line; or CUB's
    images/CLASS/x.jpg and text/CLASS/x.txt; or one table: .csv (a caption with a comma in quotes), .tsv (tabs for commas) or
    .jsonl, with the columns image and caption, Flickr8k's captions.txt, old or new, Flickr30k's results.csv or .token, COCO's
    captions_*.json, or dataset_coco.json of Karpathy's splits, whose val and test are held out and never trained on. A line break
    in a caption is white space.

    A picture may have several captions, and one of them is drawn each time. Held-out pictures are resized so that the shorter
    side is `size`, cropped at the centre and never mirrored. The defaults are StackGAN's jitter: `size` out of 76/64 of it,
    mirrored.
    """

    gives = ("images", "captions")

    captions: str | None = key(None, "the table, or the folder of .txt files, seen from path; default: looked for there")
    size: int | list[int] = key(64, SIZE, ge=16)
    resize: int | None = key(
        None, "length of the shorter side before a random crop; default: size × 76 / 64. Otherwise: size", ge=16
    )
    crop: Literal["random", "centre", "none"] = key(
        "random", "which piece is cut out, for training; none: both sides are squeezed to `size`"
    )
    flip: bool = key(True, "mirror left and right at random, for training")
    held_out: float = key(
        0.1, "pictures kept from training: below 1 a share, or all that a table's split keeps; from 1 on a number", ge=0
    )
    budget: int = key(256, BUDGET, ge=0)
    encoder: Any = part("encoder", "matched", "what turns a sentence into numbers")

    def __post_init__(self) -> None:
        sides(self.size)
        if self.resize is not None and (self.crop == "none" or self.resize < shorter(self.size)):
            raise ValueError("resize: needs a crop, and at least the size that is cropped")

    @hookimpl
    def data(self) -> Data:
        from ganflow_layers.framing import Transform

        from ganflow_text.folder.data import Folder

        resize = self.resize or (round(shorter(self.size) * 76 / 64) if self.crop == "random" else self.size)
        transform = Transform(self.size, resize, self.crop, self.flip, 3, self.pixels.limits, self.pixels.background)
        encoder, every, budget = self.encoder.encoder(), self.frames == "all", self.budget * 2**20
        return Folder(self.path, self.captions, self.extensions, transform, self.held_out, encoder, every, budget)


OFFERS = [("data", "birds", Birds), ("data", "captioned_folder", CaptionedFolder)]
