"""Data for translation: scenes drawn on the spot, and folders of paired or unpaired images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ganflow_layers.files import BUDGET
from ganflow_layers.keys import CHANNELS, ImageFiles
from ganflow_layers.sizes import SIZE as FOLDER_SIZE
from ganflow_layers.sizes import shorter, sides

from ganflow import hookimpl, key, settings

if TYPE_CHECKING:
    from ganflow import Data

SIZE = "height and width in pixels"
TRAIN = "scenes to train on; more of them are these and further ones"
HELD_OUT = "further scenes, seen in both domains and never trained on, for metrics"
SEED = "of the scenes; a run's own seed fixes the order in which they are drawn"
LAMP = "heads and posts of street lamps are so many times as wide; at 32 pixels and 1 a post is less than a pixel"
PAIRED = "both domains of the same scenes, as source and target; else a and b, from different scenes"


@settings
class Facades:
    """Building fronts to go from label map (source) to picture (target): the task of pix2pix (Isola et al. 2016,
    arXiv:1611.07004), on scenes that are drawn when asked for. Paired. Nothing is downloaded.

    The ten classes are sky, plaster, brick, window, frame, door, cornice, balcony, shop and pavement.
    """

    gives = ("images", "domains")

    size: int = key(32, SIZE, ge=16, le=256)
    train: int = key(1000, TRAIN, ge=1, le=1_000_000)
    held_out: int = key(100, HELD_OUT, ge=0, le=1_000_000)
    seed: int = key(0, SEED, ge=0)
    labels: Literal["one_hot", "rgb"] = key("one_hot", "label maps as ten channels, one per class, or in ten colours")

    @hookimpl
    def data(self) -> Data:
        from ganflow_translation.scenes.facades import facades

        return facades(self.size, self.train, self.held_out, self.seed, self.labels)


@settings
class Street:
    """A street by day (a) and by night (b), drawn when asked for. Unpaired: a scene that is trained on is seen in one of the
    two only. The pairs that are held out tell how near a translation comes to the truth. Nothing is downloaded."""

    gives = ("images", "domains")

    size: int = key(32, SIZE, ge=16, le=256)
    train: int = key(1000, TRAIN, ge=1, le=1_000_000)
    held_out: int = key(100, HELD_OUT, ge=0, le=1_000_000)
    seed: int = key(0, SEED, ge=0)
    paired: bool = key(False, PAIRED)
    to: Literal["night", "day"] = key("night", "with paired: which of them is the target")
    lamp: float = key(1.0, LAMP, ge=1, le=3)

    def __post_init__(self) -> None:
        _to_needs_paired(self.paired, self.to, "night")

    @hookimpl
    def data(self) -> Data:
        from functools import partial

        from ganflow_translation.scenes import domains, street

        draw, scenes = partial(street.draw, lamp=self.lamp), (self.size, self.train, self.held_out, self.seed)
        if not self.paired:
            return domains.unpaired("street", draw, street.day, street.night, *scenes)
        source, target = (street.day, street.night) if self.to == "night" else (street.night, street.day)
        return domains.paired("street", draw, source, target, *scenes)


@settings
class Horses:
    """Horses (a) and zebras (b) on a meadow, drawn when asked for: the task of CycleGAN (Zhu et al. 2017, arXiv:1703.10593).
    Unpaired: no animal that is trained on is seen as both. Those that are held out are. Nothing is downloaded."""

    gives = ("images", "domains")

    size: int = key(32, SIZE, ge=16, le=256)
    train: int = key(1000, TRAIN, ge=1, le=1_000_000)
    held_out: int = key(100, HELD_OUT, ge=0, le=1_000_000)
    seed: int = key(0, SEED, ge=0)
    paired: bool = key(False, PAIRED)
    to: Literal["zebra", "horse"] = key("zebra", "with paired: which of them is the target")

    def __post_init__(self) -> None:
        _to_needs_paired(self.paired, self.to, "zebra")

    @hookimpl
    def data(self) -> Data:
        from ganflow_translation.scenes import domains, horses

        scenes = (self.size, self.train, self.held_out, self.seed)
        if not self.paired:
            return domains.unpaired("horses", horses.draw, horses.horse, horses.zebra, *scenes)
        source, target = (horses.horse, horses.zebra) if self.to == "zebra" else (horses.zebra, horses.horse)
        return domains.paired("horses", horses.draw, source, target, *scenes)


def _to_needs_paired(paired: bool, to: str, usual: str) -> None:
    if to != usual and not paired:
        raise ValueError(f"to: {to} says which of a pair is the target, and needs paired: true")


RESIZE = "length of the shorter side before a random crop; default: size × 286 / 256, as in the papers. Otherwise: size"
CROP = "which square is cut out, for training; none: both sides are squeezed to `size`"
FLIP = "mirror left and right at random, for training"
ON_ERROR = "what a file that cannot be read does: stop the run, or be left out"
IN_MEMORY = "auto: when not augmented and within `budget`"


@settings
class PairedFolder(ImageFiles):
    """Pairs of images, for pix2pix (Isola et al. 2016, arXiv:1611.07004): its side-by-side files, or two folders with the same
    file names.

    Side by side: every file holds A on its left half and B on its right, in `path` or in `path`/train. Two folders: A and B
    (with train, val, test in each, or without), or trainA and trainB, below `path`; names agree up to the extension.
    What is in val (valA, valB), or else in test, is held out; where there is neither, a share of the pairs is.

    A pair is cropped and mirrored as one. Held-out images are resized so that the shorter side is `size`, cropped at the centre
    and never mirrored. The defaults are the paper's jitter: 256 out of 286, mirrored.
    """

    gives = ("images", "domains")

    layout: Literal["auto", "side_by_side", "two_folders"] = key("auto", "auto: two folders where they are there")
    a: str | None = key(None, "folder of the A images, below path; default: A or trainA")
    b: str | None = key(None, "folder of the B images, below path; default: B or trainB")
    direction: Literal["AtoB", "BtoA"] = key("AtoB", "which of the two is the source")
    source_channels: Literal[1, 2, 3, 4] = key(3, CHANNELS)
    target_channels: Literal[1, 2, 3, 4] = key(3, CHANNELS)
    source_classes: int | None = key(
        None, "sources are label maps, of one channel or a palette, whose values 0 … N − 1 become N channels", ge=2, le=256
    )
    size: int | list[int] = key(256, FOLDER_SIZE, ge=4)
    resize: int | None = key(None, RESIZE, ge=4)
    crop: Literal["random", "centre", "none"] = key("random", CROP)
    flip: bool = key(True, FLIP)
    on_error: Literal["refuse", "skip"] = key("refuse", ON_ERROR)
    held_out: float = key(0.1, "kept from training: below 1 a share, from 1 a number; of val or test: all, or that number", ge=0)
    in_memory: Literal["auto", "always", "never"] = key("auto", IN_MEMORY)
    budget: int = key(256, BUDGET, ge=0)

    def __post_init__(self) -> None:
        _check_framing(self)
        self.check_background(self.source_channels, self.target_channels)
        if (self.a is None) != (self.b is None):
            raise ValueError("a: and b: are given together, or neither")
        if self.a is not None and self.layout == "side_by_side":
            raise ValueError("a: and b: name two folders, and layout: side_by_side has one")

    @hookimpl
    def data(self) -> Data:
        from ganflow_translation.folders.augmentation import Memory, framing
        from ganflow_translation.folders.layout import root
        from ganflow_translation.folders.paired import Sides, paired_folder
        from ganflow_translation.folders.reading import Reader

        two = (self.a, self.b) if self.a is not None and self.b is not None else None
        sides = Sides(self.direction, (self.source_channels, self.target_channels), self.source_classes)
        framed = framing(self.size, self.resize, self.crop, self.flip)
        reader = Reader(root(self.path), self.on_error == "skip", self.pixels, self.frames)
        memory = Memory(self.in_memory, self.budget * 2**20)
        return paired_folder(reader, two, self.layout, self.extensions, sides, framed, self.held_out, memory)


@settings
class UnpairedFolder(ImageFiles):
    """Images of two domains that do not belong together, for CycleGAN (Zhu et al. 2017, arXiv:1703.10593), laid out as there:
    trainA and trainB below `path`; testA and testB are held out, or where there are none, a share of the others.

    In an epoch every image of the larger domain comes once, each with one of the other's drawn at random; in memory, both are
    drawn at random. Held-out images are resized so that the shorter side is `size`, cropped at the centre and never mirrored;
    both domains' are cut to the same number. The defaults are the paper's jitter: 256 out of 286, mirrored.
    """

    gives = ("images", "domains")

    a_channels: Literal[1, 2, 3, 4] = key(3, CHANNELS)
    b_channels: Literal[1, 2, 3, 4] = key(3, CHANNELS)
    size: int | list[int] = key(256, FOLDER_SIZE, ge=4)
    resize: int | None = key(None, RESIZE, ge=4)
    crop: Literal["random", "centre", "none"] = key("random", CROP)
    flip: bool = key(True, FLIP)
    on_error: Literal["refuse", "skip"] = key("refuse", ON_ERROR)
    held_out: float = key(
        0.1, "of either domain kept from training: below 1 a share, from 1 a number; of testA, testB: all, or that number", ge=0
    )
    in_memory: Literal["auto", "always", "never"] = key("auto", IN_MEMORY)
    budget: int = key(256, BUDGET, ge=0)

    def __post_init__(self) -> None:
        _check_framing(self)
        self.check_background(self.a_channels, self.b_channels)

    @hookimpl
    def data(self) -> Data:
        from ganflow_translation.folders.augmentation import Memory, framing
        from ganflow_translation.folders.layout import root
        from ganflow_translation.folders.reading import Reader
        from ganflow_translation.folders.unpaired import unpaired_folder

        channels: dict[str, int] = {"a": self.a_channels, "b": self.b_channels}
        framed = framing(self.size, self.resize, self.crop, self.flip)
        reader = Reader(root(self.path), self.on_error == "skip", self.pixels, self.frames)
        memory = Memory(self.in_memory, self.budget * 2**20)
        return unpaired_folder(reader, framed, channels, self.extensions, self.held_out, memory)


def _check_framing(chosen: PairedFolder | UnpairedFolder) -> None:
    sides(chosen.size)
    if chosen.resize is not None and (chosen.crop == "none" or chosen.resize < shorter(chosen.size)):
        raise ValueError("resize: needs a crop, and at least the size that is cropped")
    if chosen.in_memory == "always" and (chosen.flip or chosen.crop == "random"):
        raise ValueError("in_memory: images that are augmented (flip, crop: random) are loaded anew each time")


OFFERS = [
    ("data", "facades", Facades),
    ("data", "street", Street),
    ("data", "horses", Horses),
    ("data", "paired_folder", PairedFolder),
    ("data", "unpaired_folder", UnpairedFolder),
]
