"""The Inception network of the FID (Szegedy et al. 2016, as Heusel et al. 2017 use it), and its features.

It is the TensorFlow network of 2015-12-05, in the tensors of the file that PyTorch programs share. It differs from the paper's:
average pools leave out their margin, the last block pools by maxima, and of 1,008 classes 1,000 mean something.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from ganflow_layers.cache import cache_key, cached, folder
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

from ganflow import GanflowError, open_regular, user_path
from ganflow_metrics.extractors import Extractor, digest_of_state

if TYPE_CHECKING:
    from ganflow import Data

FILE = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d"  # the first 8 hexadecimal digits, as the file's name has them
SIDE, FEATURES, CLASSES = 299, 2048, 1008
BATCH = 32

Step = tuple[str, int, tuple[int, int], int] | str | list["Step"]
"""A convolution: its name, channels, kernel and stride, with a margin that keeps the size where the stride is 1; the pool
"average" or "maximum"; or "halve", a maximum at stride 2. A list: convolutions side by side."""


class Unit(nn.Module):
    """Convolution, batch norm and ReLU."""

    def __init__(self, channels: int, out: int, kernel: tuple[int, int], stride: int, margin: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, margin, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, whose outputs are stacked.

    Attributes:
        channels: of the output.
    """

    def __init__(self, channels: int, *branches: list[Step]) -> None:
        super().__init__()
        self.branches, self.channels = branches, 0
        for branch in branches:
            width = channels
            for step in branch:
                width = self._add(step, width)
            self.channels += width

    def _add(self, step: Step, channels: int) -> int:
        """Make the modules of a step; the channels of its output."""
        if isinstance(step, str):
            return channels
        if isinstance(step, list):
            return sum(self._add(beside, channels) for beside in step)
        name, out, kernel, stride = step
        margin = (kernel[0] // 2, kernel[1] // 2) if stride == 1 else (0, 0)
        self.add_module(name, Unit(channels, out, kernel, stride, margin))
        return out

    def _play(self, step: Step, x: Tensor) -> Tensor:
        if isinstance(step, list):
            return torch.cat([self._play(beside, x) for beside in step], 1)
        if step == "average":
            return avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        if step == "maximum":
            return max_pool2d(x, 3, 1, 1)
        if step == "halve":
            return max_pool2d(x, 3, 2)
        made: Tensor = self.get_submodule(step[0])(x)
        return made

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for branch in self.branches:
            y = x
            for step in branch:
                y = self._play(step, y)
            outputs.append(y)
        return torch.cat(outputs, 1)


def conv(name: str, out: int, kernel: int | tuple[int, int], stride: int = 1) -> Step:
    return name, out, (kernel, kernel) if isinstance(kernel, int) else kernel, stride


def block35(channels: int, pooled: int) -> Mixed:
    """Of 35 × 35 (the paper's figure 5)."""
    return Mixed(
        channels,
        [conv("branch1x1", 64, 1)],
        [conv("branch5x5_1", 48, 1), conv("branch5x5_2", 64, 5)],
        [conv("branch3x3dbl_1", 64, 1), conv("branch3x3dbl_2", 96, 3), conv("branch3x3dbl_3", 96, 3)],
        ["average", conv("branch_pool", pooled, 1)],
    )


def block17(channels: int, within: int) -> Mixed:
    """Of 17 × 17, with convolutions of 1 × 7 and 7 × 1 (figure 6)."""
    wide, tall = (1, 7), (7, 1)
    return Mixed(
        channels,
        [conv("branch1x1", 192, 1)],
        [conv("branch7x7_1", within, 1), conv("branch7x7_2", within, wide), conv("branch7x7_3", 192, tall)],
        [
            conv("branch7x7dbl_1", within, 1), conv("branch7x7dbl_2", within, tall), conv("branch7x7dbl_3", within, wide),
            conv("branch7x7dbl_4", within, tall), conv("branch7x7dbl_5", 192, wide),
        ],
        ["average", conv("branch_pool", 192, 1)],
    )  # fmt: skip


def block8(channels: int, pool: str) -> Mixed:
    """Of 8 × 8, whose branches split (figure 7)."""

    def both(name: str) -> Step:
        return [conv(f"{name}a", 384, (1, 3)), conv(f"{name}b", 384, (3, 1))]

    return Mixed(
        channels,
        [conv("branch1x1", 320, 1)],
        [conv("branch3x3_1", 384, 1), both("branch3x3_2")],
        [conv("branch3x3dbl_1", 448, 1), conv("branch3x3dbl_2", 384, 3), both("branch3x3dbl_3")],
        [pool, conv("branch_pool", 192, 1)],
    )


class Inception(nn.Module):
    """Images (n, 3, height, width) of whole numbers 0 … 255 to features (n, FEATURES)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, (3, 3), 2, (0, 0))
        self.Conv2d_2a_3x3 = Unit(32, 32, (3, 3), 1, (0, 0))
        self.Conv2d_2b_3x3 = Unit(32, 64, (3, 3), 1, (1, 1))
        self.Conv2d_3b_1x1 = Unit(64, 80, (1, 1), 1, (0, 0))
        self.Conv2d_4a_3x3 = Unit(80, 192, (3, 3), 1, (0, 0))
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = block35(192, 32), block35(256, 64), block35(288, 64)
        self.Mixed_6a = Mixed(
            288,
            [conv("branch3x3", 384, 3, 2)],
            [conv("branch3x3dbl_1", 64, 1), conv("branch3x3dbl_2", 96, 3), conv("branch3x3dbl_3", 96, 3, 2)],
            ["halve"],
        )
        self.Mixed_6b, self.Mixed_6c = block17(768, 128), block17(768, 160)
        self.Mixed_6d, self.Mixed_6e = block17(768, 160), block17(768, 192)
        self.Mixed_7a = Mixed(
            768,
            [conv("branch3x3_1", 192, 1), conv("branch3x3_2", 320, 3, 2)],
            [
                conv("branch7x7x3_1", 192, 1), conv("branch7x7x3_2", 192, (1, 7)), conv("branch7x7x3_3", 192, (7, 1)),
                conv("branch7x7x3_4", 192, 3, 2),
            ],
            ["halve"],
        )  # fmt: skip
        self.Mixed_7b, self.Mixed_7c = block8(1280, "average"), block8(2048, "maximum")
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = (resized(images.to(self.fc.weight.dtype), SIDE) - 128) / 128
        for name, block in self.named_children():
            if name == "fc":
                break
            x = block(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = max_pool2d(x, 3, 2)
        return x.mean((2, 3))


def resized(images: Tensor, side: int) -> Tensor:
    """Images (n, c, height, width) to (n, c, side, side) as TensorFlow 1 does it: pixel i of the new ones is at i · height / side
    of the old, between two of whose pixels it is linear; beyond the last there is that one."""
    for dim in (2, 3):
        size = images.shape[dim]
        at = torch.arange(side, dtype=images.dtype, device=images.device) * (size / side)
        low = at.long().clamp(max=size - 1)
        high, part = (low + 1).clamp(max=size - 1), (at - low).view(-1, 1) if dim == 2 else at - low
        a, b = images.index_select(dim, low), images.index_select(dim, high)
        images = a + (b - a) * part
    return images


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] to the whole numbers 0 … 255 that a file of them has, of three channels where they have one."""
    whole = ((images + 1) * 127.5).round().clamp(0, 255)
    return whole.expand(-1, 3, -1, -1) if whole.shape[1] == 1 else whole


def load_inception(path: str | None) -> Inception:
    """The network with the tensors of a file; by default of FILE in the user's cache folder.

    Raises:
        GanflowError: there is no such file, or it is another one.
    """
    file = user_path("weights", path) if path else folder() / FILE
    advice = f"get {FILE} (of torch-fidelity's release 'weights-inception'), and put it into {folder()}, or name it: weights=FILE"
    try:
        with open_regular(file) as opened:
            content = opened.read()
    except OSError:
        raise GanflowError(f"features: inception needs the network's weights, and {file} is no file that can be read; "
                           f"{advice}") from None  # fmt: skip
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(SHA256):
        raise GanflowError(f"features: inception: {file} is not the network's weights: its sha256 begins with {found[:8]}, not "
                           f"{SHA256}; {advice}")  # fmt: skip
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, ValueError) as error:
        raise GanflowError(f"features: inception: {file} holds no tensors ({type(error).__name__})") from None
    return with_tensors(state)


def with_tensors(state: Mapping[str, Tensor]) -> Inception:
    """The network with these tensors; the counters of batch norm may be missing."""
    with torch.random.fork_rng(devices=[]):
        network = Inception()
    missing, unexpected = network.load_state_dict(state, strict=False)
    wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + unexpected
    if wrong:
        raise GanflowError(f"features: inception: the weights do not fit the network: {wrong[0]}")
    return network.requires_grad_(False).eval()


class InceptionFeatures(Extractor):
    """Features of the Inception network, of images quantised to 8 bits and enlarged to 299 pixels, and its answers: the
    probabilities are those of the published scores, without the last layer's bias. On a GPU, where there is one."""

    label, classes = "_inception", CLASSES

    def __init__(self, data: Data, weights: str | None, network: Inception | None = None) -> None:
        if not (data.main.is_image and data.shape[0] in (1, 3)):
            raise GanflowError(f"features: inception are those of pictures of one or three channels, and data {data.name} are "
                               "none: use features: values")  # fmt: skip
        self._network = load_inception(weights) if network is None else network
        self.digest = digest_of_state(self._network.state_dict())
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network.to(self._device)

    @torch.no_grad()
    def features(self, examples: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            pieces = [self._network(to_bytes(piece.to(self._device))) for piece in examples.split(BATCH)]
        return torch.cat([piece.double().cpu() for piece in pieces])

    def features_of_real(self, examples: Tensor) -> Tensor:
        key = cache_key(self.digest, digest_of_state({"examples": examples}))
        return cached("inception-features", key, lambda: {"features": self.features(examples)})["features"]

    def probabilities(self, examples: Tensor) -> Tensor:
        return (self.features(examples) @ self._network.fc.weight.double().cpu().T).softmax(1)
