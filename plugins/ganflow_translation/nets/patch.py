"""Critics of patches: every score of a map sees a patch of the image (Isola et al. 2016, arXiv:1611.07004, section 6.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ganflow_layers.blocks import initialize
from torch import Tensor, nn

from ganflow import GanflowError
from ganflow_translation.nets.blocks import normalization
from ganflow_translation.nets.domains import beside, critic_of

if TYPE_CHECKING:
    from ganflow import Data

SMALLEST_WHOLE = 8  # pixels a side


def receptive_field(layers: Iterable[nn.Module]) -> int:
    """Receptive field of a chain of layers: the pixels a side that one result depends on, beyond the image's border too.

    Each convolution or pooling of kernel k adds k − 1 steps; a step is as many pixels as the strides before it multiply to.
    """
    field, step = 1, 1
    for layer in layers:
        if isinstance(layer, (nn.Conv2d, nn.AvgPool2d)):
            kernel, stride = _side(layer.kernel_size), _side(layer.stride)
            field, step = field + (kernel - 1) * step, step * stride
    return field


def _side(n: int | tuple[int, ...]) -> int:
    return n if isinstance(n, int) else max(n)


class Patch(nn.Sequential):
    """Images, shape (n, channels, height, width), to maps of scores, shape (n, 1, h, w).

    Attributes:
        receptive_field: how many pixels a side each score depends on, worked out from the layers.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.receptive_field = receptive_field(self)
        initialize(self)

    def forward(self, x: Tensor, **condition: Tensor) -> Tensor:  # type: ignore[override]  # torch calls it input
        """Maps of scores of images x, judged together with those of the condition."""
        scores: Tensor = super().forward(beside(x, condition))
        return scores

    def extra_repr(self) -> str:
        return f"receptive_field={self.receptive_field}"


def chain(channels: int, widths: list[int], kernels: list[tuple[int, int]], norm: str) -> list[nn.Module]:
    """Convolutions with LeakyReLU between them, and a norm before each of these but the first.

    Args:
        channels: of the image.
        widths: output channels of all but the last convolution, which has 1.
        kernels: (size, stride) of every convolution; size 4 is padded by 1, size 1 not.
        norm: batch, instance or none.
    """
    made: list[nn.Module] = []
    for i, (out, (kernel, stride)) in enumerate(zip([*widths, 1], kernels, strict=True)):
        normed = 0 < i < len(widths) and norm != "none"  # a norm takes away what a bias adds
        made.append(nn.Conv2d(channels, out, kernel, stride, padding=int(kernel > 1), bias=not normed))
        if i < len(widths):
            made += [*(normalization(norm, out) if normed else []), nn.LeakyReLU(0.2)]
        channels = out
    return made


def pixels(channels: int, width: int, norm: str) -> Patch:
    """PixelGAN: every pixel is scored by itself."""
    return Patch(*chain(channels, [width, 2 * width], [(1, 1)] * 3, norm))


def patches(channels: int, width: int, norm: str, layers: int) -> Patch:
    """`layers` convolutions of stride 2 and two of stride 1, kernel 4: a receptive field of 9 · 2^layers − 2 pixels."""
    widths = [width * min(2**i, 8) for i in range(layers + 1)]
    return Patch(*chain(channels, widths, [(4, 2)] * layers + [(4, 1)] * 2, norm))


def whole(channels: int, height: int, width_px: int, width: int, norm: str) -> Patch:
    """Convolutions of stride 2 until the shorter side is 4 to 7 pixels, and one that spans what is left: a single score."""
    layers = 1
    while min(height, width_px) >> layers > 7:
        layers += 1
    widths = [width * min(2**i, 8) for i in range(layers)]
    *halving, last = chain(channels, widths, [(4, 2)] * layers + [(1, 1)], norm)
    assert isinstance(last, nn.Conv2d)
    return Patch(*halving, nn.Conv2d(last.in_channels, 1, (height >> layers, width_px >> layers)))


def layers_of(field: int) -> int | None:
    """The number of layers of stride 2 that give this receptive field; None where no number does."""
    layers = ((field + 2) // 9).bit_length() - 1
    return layers if layers >= 0 and 9 * 2**layers - 2 == field else None


def critic(data: Data, condition: Sequence[str], width: int, norm: str, field: int | str, layers: int) -> nn.Module:
    """Critics of patches for the data: see `critic_of`.

    Args:
        data: images.
        condition: fields that it is judged with.
        width: channels of the first layer.
        norm: batch, instance or none.
        field: the receptive field in pixels: 1, or what a number of layers gives; or "full".
        layers: layers of stride 2, in place of what the field asks for; 0 for those.

    Raises:
        GanflowError: the data are no images, or too small for the receptive field.
    """

    def refuse(shown: int | str, smallest: int, height: int, width_px: int, remedy: str) -> None:
        if min(height, width_px) < smallest:
            raise GanflowError(
                f"critic 'patch' with a receptive field of {shown} scores images of {smallest} pixels a side or more; "
                f"data '{data.name}' has {height} × {width_px}: take receptive_field {remedy}, or larger images"
            )

    def build(channels: int, height: int, width_px: int) -> Patch:
        if not layers and field == "full":
            refuse(field, SMALLEST_WHOLE, height, width_px, "1")
            return whole(channels, height, width_px, width, norm)
        if not layers and field == 1:
            return pixels(channels, width, norm)
        strided = layers or layers_of(int(field)) or 0
        # Each of the two convolutions of stride 1 takes a pixel away, and one has to be left.
        refuse(9 * 2**strided - 2, 3 * 2**strided, height, width_px, "full, or a smaller one")
        return patches(channels, width, norm, strided)

    return critic_of(data, condition, "patch", build)
