"""Data: digits, one or three to a picture, points in the plane, folders and shards of images, and tensors in files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ganflow_layers.files import BUDGET
from ganflow_layers.keys import CHANNELS, EncodedImages, ImageFiles
from ganflow_layers.sizes import SIZE, shorter, sides

from ganflow import hookimpl, key, settings

if TYPE_CHECKING:
    from ganflow import Data

GANFLOW_CONTRACT = 2

HELD_OUT = "examples kept from training, for metrics: below 1 a share, from 1 on a number"


@settings
class Digits:
    """1,797 handwritten digits, one channel, white on black: scikit-learn's 8 × 8 images (UCI, Alpaydin & Kaynak 1998),
    smoothly enlarged, each with its label. Nothing is downloaded."""

    gives = ("images",)

    size: int = key(32, "height and width in pixels", ge=8, le=128)
    classes: list[int] = key([], "take only these digits; empty: all ten", ge=0, le=9)
    held_out: float = key(0.1, HELD_OUT, ge=0)

    @hookimpl
    def data(self) -> Data:
        from ganflow_data.digits import digits

        return digits(self.size, self.classes, self.held_out)


@settings
class StackedDigits:
    """Three handwritten digits as the red, green and blue channel of one picture, 1,000 classes: a test for dropped modes, known
    as stacked MNIST (Metz et al. 2017, VEEGAN, PacGAN), here with scikit-learn's digits. Metric `stacked_modes` counts them.

    The three are independent, each of a class drawn evenly and then any training digit of it. They are stacked as training draws
    them, without end, so that memory holds the digits alone. Held-out pictures have held-out digits.
    """

    gives = ("images",)

    size: int = key(32, "height and width in pixels", ge=8, le=128)
    held_out: float = key(0.1, "digits kept from training, for held-out pictures: below 1 a share, from 1 on a number", gt=0)
    held_out_pictures: int = key(2000, "pictures of held-out digits, for metrics", ge=1, le=100_000)
    seed: int = key(0, "of the triples", ge=0)

    @hookimpl
    def data(self) -> Data:
        from ganflow_data.stacked import StackedDigits as Built

        return Built(self.size, self.held_out, self.held_out_pictures, self.seed)


@settings
class Gaussians:
    """Points in the plane from a mixture of Gaussians with equal, round covariances; its density is known.

    The defaults are the protocol of PacGAN (Lin et al. 2018, section 4.1), after VEEGAN: `ring` is 8 modes on a circle of
    radius 1 with std 0.01; `grid` is 25 modes on {−4, −2, 0, 2, 4}² with std 0.05. The toy sets of WGAN-GP's code are
    {layout: ring, radius: 2, std: 0.02, scale: 1.414} and {layout: grid, scale: 2.828}.
    """

    gives = ("points",)

    layout: Literal["ring", "grid", "custom"] = key("ring", "where the modes are; custom: at `centres`")
    modes: int | None = key(None, "how many; default: 8 on a ring, 25 on a grid (which must be square)", ge=1)
    radius: float = key(1.0, "of the ring", gt=0)
    spacing: float = key(2.0, "between neighbours on the grid", gt=0)
    std: float | None = key(None, "of every mode, in either direction; default: 0.05, on a ring 0.01", gt=0)
    centres: list[list[float]] = key([], "[x, y] of every mode, for layout: custom")
    weights: list[float] = key([], "share of every mode, for any layout; empty: equal", ge=0)
    scale: float = key(1.0, "all points, and the std with them, are divided by this", gt=0)
    samples: int = key(100_000, "points in the training set", ge=1, le=100_000_000)
    held_out: int = key(10_000, "further points kept from training, for metrics", ge=0, le=100_000_000)

    def __post_init__(self) -> None:
        if (self.layout == "custom") != bool(self.centres):
            raise ValueError("layout: custom and centres: [[x, y], …] go together")
        if any(len(centre) != 2 for centre in self.centres):
            raise ValueError("each of centres has two numbers, [x, y]")
        if self.centres and self.modes not in (None, len(self.centres)):
            raise ValueError(f"modes says {self.modes}, but there are {len(self.centres)} centres")
        if self.layout == "grid" and self.modes and round(self.modes**0.5) ** 2 != self.modes:
            raise ValueError(f"modes: a grid needs a square number, not {self.modes}")
        count = len(self.centres) or self.modes or {"ring": 8, "grid": 25}[self.layout]
        if self.weights and (len(self.weights) != count or sum(self.weights) <= 0):
            raise ValueError(f"weights needs one number for each of the {count} modes, not all zero")

    @hookimpl
    def data(self) -> Data:
        from ganflow_data.points import Mixture, grid, ring

        if self.layout == "ring":
            centres, std = ring(self.modes or 8, self.radius), self.std or 0.01
        elif self.layout == "grid":
            centres, std = grid(self.modes or 25, self.spacing), self.std or 0.05
        else:
            centres, std = self.centres, self.std or 0.05
        return Mixture(f"gaussians ({self.layout})", centres, std, self.weights, self.scale, self.samples, self.held_out)


@settings
class SwissRoll:
    """Points in the plane along a spiral: scikit-learn's swiss roll without its depth, divided by 7.5 and with noise 0.25,
    as in the toy of WGAN-GP's code (Gulrajani et al. 2017)."""

    gives = ("points",)

    noise: float = key(0.25, "standard deviation of the noise, before scaling", ge=0)
    scale: float = key(7.5, "all points are divided by this", gt=0)
    samples: int = key(100_000, "points in the training set", ge=1, le=100_000_000)
    held_out: int = key(10_000, "further points kept from training, for metrics", ge=0, le=100_000_000)

    @hookimpl
    def data(self) -> Data:
        from ganflow_data.points import swiss_roll

        return swiss_roll(self.noise, self.scale, self.samples, self.held_out)


@settings
class ImageFolder(ImageFiles):
    """The images below a folder, resized, cropped and, if asked, augmented.

    Kept in memory when they are few and not augmented; otherwise decoded by background threads, each once per epoch. Held-out
    images are decoded when they are asked for.
    Camera orientation is honoured. Where all images lie in two or more folders below, these are their classes, by name: the field
    `label`. `ganflow data FOLDER` shows what is there.
    """

    gives = ("images",)

    size: int | list[int] = key(64, SIZE, ge=4)
    resize: int | None = key(None, "length of the shorter side before cropping; default: `size`. pix2pix: 286 for size 256", ge=4)
    crop: Literal["centre", "random", "none"] = key("centre", "which piece is cut out; none: both sides are squeezed to `size`")
    flip: bool = key(False, "mirror left and right at random")
    channels: Literal[1, 2, 3, 4] = key(3, CHANNELS)
    recursive: bool = key(True, "look into the folders below, too")
    on_error: Literal["refuse", "skip"] = key("refuse", "what a file that cannot be read does: stop the run, or be left out")
    labels: str = key(
        "auto", "auto: the folder below that an image lies in, if all lie in such; none; or a .csv with the columns file, label"
    )
    held_out: float = key(0.1, HELD_OUT, ge=0)
    in_memory: Literal["auto", "always", "never"] = key("auto", "auto: when not augmented and within `budget`")
    budget: int = key(256, BUDGET, ge=0)

    def __post_init__(self) -> None:
        sides(self.size)
        if self.resize is not None and (self.crop == "none" or self.resize < shorter(self.size)):
            raise ValueError("resize: needs a crop, and at least the size that is cropped")
        self.check_background(self.channels)
        if self.in_memory == "always" and self.augmented:
            raise ValueError("in_memory: images that are augmented (flip, crop: random) are loaded anew each time")

    @property
    def augmented(self) -> bool:
        return self.flip or self.crop == "random"

    @hookimpl
    def data(self) -> Data:
        from ganflow_layers.framing import Transform

        from ganflow_data.images import image_folder

        framing = (self.size, self.resize or self.size, self.crop, self.flip)
        transform = Transform(*framing, self.channels, self.pixels.limits, self.pixels.background)
        skip = self.on_error == "skip"
        return image_folder(
            self.path, self.extensions, self.recursive, transform, skip, self.labels, self.held_out, self.in_memory, self.frames,
            self.budget * 2**20,
        )


@settings
class TensorFile:
    """Tensors from a .npy, .npz or .safetensors file: images (n, C, H, W), (n, H, W, C) or (n, H, W), or points (n, d).

    uint8 images are scaled to [-1, 1], large files stay on the disk, mapped, and each example becomes float32 when it is drawn.
    Pickles (.pt, .pkl, object arrays) are never read. With `labels` each example has a class, the field `label`. Of a .npz of
    `ganflow sample` that is its samples, with their labels where it has some.
    """

    path: str = key(doc="the file")
    fields: dict[str, str] = key({}, "field: name in the file. Empty: a lone tensor is `real`, several keep their names")
    labels: str | None = key(None, "whole numbers, one per example: the name of a tensor in the file, or another .npy file")
    classes: list[str] = key([], "names of the labels 0, 1, …; empty: the numbers that there are")
    layout: Literal["auto", "nchw", "nhwc", "nhw", "nd"] = key("auto", "the dimensions; auto: told by their number and size")
    range: Literal["auto", "signed", "unit"] = key(
        "auto", "of floating-point images: signed is [-1, 1], unit is [0, 1]; auto: unit where no number is below 0"
    )
    held_out: float = key(0.1, HELD_OUT, ge=0)
    budget: int = key(256, "MiB that examples may take in memory as float32; more stay in the file, in its type", ge=0)

    def __post_init__(self) -> None:
        if self.classes and self.labels is None:
            raise ValueError("classes: these are names of labels; say where those are: labels")
        if self.classes and len(set(self.classes)) < max(2, len(self.classes)):
            raise ValueError("classes: two names or more, all different")

    @hookimpl
    def data(self) -> Data:
        from ganflow_data.tensors import tensor_file

        fields, budget = self.fields, self.budget * 2**20
        return tensor_file(self.path, fields, self.labels, self.classes, self.layout, self.range, self.held_out, budget)


@settings
class Shards(EncodedImages):
    """Images out of tar files laid out as WebDataset's (members called KEY.jpg, KEY.cls, … are a sample), or out of parquet files
    (a row is a sample), streamed: their number does not matter. Nothing is extracted, and only regular members count.

    The shards come in another sequence every epoch, and samples out of a buffer at random; a run that is resumed goes on with the
    same samples, bit for bit. `label` needs the names of the classes, which parquet files of Hugging Face's `datasets` hold.
    """

    gives = ("images",)

    path: str = key(doc="a folder of .tar or .parquet files, one of them, or a pattern: data/train-*.tar")
    image: str | None = key(None, "a member's ending (jpg), or the column; default: the first that seems an image")
    label: str | None = key(None, "a member's ending (cls), or the column; default: cls or label, where classes are known")
    classes: list[str] = key([], "names of the labels 0, 1, …; a label may be such a name, too")
    size: int | list[int] = key(64, SIZE, ge=4)
    resize: int | None = key(None, "length of the shorter side before cropping; default: `size`", ge=4)
    crop: Literal["centre", "random", "none"] = key("centre", "which square is cut out; none: both sides are squeezed to `size`")
    flip: bool = key(False, "mirror left and right at random")
    channels: Literal[1, 3] = key(3, "3: colour, 1: grey; images are converted")
    shuffle: int = key(1000, "samples in the buffer that they are drawn from; 0: as they lie", ge=0, le=1_000_000)
    seed: int = key(0, "of the shuffle, the crops and the mirror", ge=0)
    held_out: int = key(256, "the first so many samples are kept from training, for metrics", ge=0, le=100_000_000)
    on_error: Literal["refuse", "skip"] = key("skip", "what a broken sample does: stop the run, or be left out")

    def __post_init__(self) -> None:
        sides(self.size)
        if self.resize is not None and (self.crop == "none" or self.resize < shorter(self.size)):
            raise ValueError("resize: needs a crop, and at least the size that is cropped")
        if self.classes and len(set(self.classes)) < max(2, len(self.classes)):
            raise ValueError("classes: two names or more, all different")

    @hookimpl
    def data(self) -> Data:
        from ganflow_layers.framing import Transform

        from ganflow_data.shards import shards

        framing = (self.size, self.resize or self.size, self.crop, self.flip)
        transform = Transform(*framing, self.channels, self.pixels.limits, self.pixels.background)
        skip = self.on_error == "skip"
        return shards(
            self.path, self.image, self.label, self.classes, transform, self.shuffle, self.seed, self.held_out, skip
        )


@hookimpl
def register(offer):
    offer("data", "digits", Digits)
    offer("data", "stacked_digits", StackedDigits)
    offer("data", "gaussians", Gaussians)
    offer("data", "swiss_roll", SwissRoll)
    offer("data", "image_folder", ImageFolder)
    offer("data", "tensor_file", TensorFile)
    offer("data", "shards", Shards)
