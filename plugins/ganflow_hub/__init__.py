"""Data sets of the Hugging Face hub, and local ones in its formats: images with labels, pairs, two domains, captions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ganflow_layers.files import BUDGET
from ganflow_layers.keys import EncodedImages
from ganflow_layers.sizes import SIZE, shorter, sides

from ganflow import hookimpl, key, part, settings

if TYPE_CHECKING:
    from ganflow import Data

GANFLOW_CONTRACT = 2
FIELDS = ({"real"}, {"real", "label"}, {"real", "text"}, {"source", "target"}, {"a", "b"})


@settings
class Hub(EncodedImages):
    """An image data set of the Hugging Face hub by its name, or a local folder of images, of .parquet or of .arrow files. Needs
    `pip install 'ganflow[hub]'`; what comes from the hub is downloaded once, by the library `datasets`, into its cache.

    `columns` says which column is which field: `real` and, if there are such, `label` or `text` (captions, one of which is drawn
    each time); `source` and `target` for pairs, cropped and mirrored as one; `a` and `b` for two domains that do not belong
    together. Empty: the one column of images as `real` and, not streaming, the one of classes as `label`. Code of a data set is
    never run.
    """

    path: str = key(doc="OWNER/NAME on the hub, or a folder or file of this machine (then with a / in front, ./ or ~/)")
    columns: dict[str, str] = key({}, "field: column, such as {real: img, label: label}")
    config: str | None = key(None, "which of the data set's configurations; default: the only one")
    split: str = key("train", "what to train on")
    held_out_split: str | None = key(None, "what is held out; default: examples of `split`, as `held_out` says")
    revision: str | None = key(None, "commit, tag or branch on the hub; a commit's name for data that never change")
    streaming: bool = key(False, "read examples as they come, and keep none on the disk; their number is then unknown")
    shuffle: int = key(1000, "streaming: samples in the buffer that they are drawn from; 0: as they lie", ge=0, le=1_000_000)
    seed: int = key(0, "streaming: of the shuffle, the crops and the mirror", ge=0)
    size: int | list[int] = key(64, SIZE, ge=4)
    resize: int | None = key(None, "length of the shorter side before cropping; default: `size`", ge=4)
    crop: Literal["centre", "random", "none"] = key("centre", "which square is cut out; none: both sides are squeezed to `size`")
    flip: bool = key(False, "mirror left and right at random")
    channels: Literal[1, 3] = key(3, "3: colour, 1: grey; images are converted")
    held_out: float = key(0.1, "kept from training: below 1 a share, from 1 a number; streaming: the first 256 if below 1", ge=0)
    on_error: Literal["refuse", "skip"] = key("refuse", "what a broken image does: stop the run, or be left out")
    budget: int = key(256, BUDGET, ge=0)
    encoder: Any = part("encoder", "matched", "with captions: what turns a sentence into numbers")

    def __post_init__(self) -> None:
        sides(self.size)
        if self.columns and set(self.columns) not in FIELDS:
            known = "; ".join(" and ".join(sorted(fields)) for fields in FIELDS)
            raise ValueError(f"columns: {', '.join(self.columns)} are no fields that go together; those are {known}")
        if self.resize is not None and (self.crop == "none" or self.resize < shorter(self.size)):
            raise ValueError("resize: needs a crop, and at least the size that is cropped")
        if self.streaming and ("text" in self.columns or "a" in self.columns):
            raise ValueError("streaming: captions, and domains that do not belong together, need all examples at hand")
        if self.streaming and self.held_out_split is not None:
            raise ValueError("streaming: held_out is a number of examples; leave held_out_split out")

    @hookimpl
    def data(self) -> Data:
        from ganflow_layers.framing import Transform

        from ganflow_hub.loading import opened
        from ganflow_hub.resident import built
        from ganflow_hub.streaming import streamed

        framing = (self.size, self.resize or self.size, self.crop, self.flip)
        transform = Transform(*framing, self.channels, self.pixels.limits, self.pixels.background)
        skip = self.on_error == "skip"
        table = opened(self.path, self.config, self.split, self.revision, self.columns, self.streaming)
        if self.streaming:
            held_out = 256 if 0 < self.held_out < 1 else round(self.held_out)
            return streamed(table, transform, self.shuffle, self.seed, held_out, skip)
        other = None
        if self.held_out_split is not None:
            other = opened(self.path, self.config, self.held_out_split, self.revision, table.columns, False)
        encoder = self.encoder.encoder() if "text" in table.columns else None
        return built(table, other, transform, self.held_out, skip, self.budget * 2**20, encoder)


@hookimpl
def register(offer):
    offer("data", "hub", Hub)
