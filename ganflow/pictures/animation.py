"""Pictures one after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from ganflow.errors import GanflowError
from ganflow.pictures.files import replacing_file

STRIP = 22  # height of a caption in pixels
LAST = 1500  # milliseconds that the last frame stays, so that one can look at the result


def gif(
    frames: Sequence[Path | Image.Image], out: Path, fps: float = 8.0, captions: Sequence[str] = (), hold: bool = True
) -> None:
    """An animation that repeats for ever.

    Args:
        frames: pictures, or the paths of their files; two or more, all of one size.
        out: where the GIF goes; written atomically.
        fps: frames per second, at most 50 (browsers slow down what is faster).
        captions: a line below each frame, such as "round 500".
        hold: the last frame stays for a while before it begins again.

    Raises:
        GanflowError: a picture cannot be read or has another size than the first, or `out` cannot be written.
    """
    if len(frames) < 2:
        raise GanflowError(f"an animation needs two pictures or more, not {len(frames)}")
    pictures = [frame if isinstance(frame, Image.Image) else _open(frame) for frame in frames]
    for frame, picture in zip(frames, pictures, strict=True):
        if picture.size != pictures[0].size:
            raise GanflowError(f"{frame} is {_size(picture)}, but the first picture is {_size(pictures[0])}; they must be alike")
    if captions:
        pictures = [captioned(p, text) for p, text in zip(pictures, captions, strict=True)]
    each = max(20, round(1000 / fps))
    durations = [each] * len(pictures)
    if hold:
        durations[-1] = max(each, LAST)
    first, *others = (p if p.mode == "L" else p.convert("RGB").quantize(dither=Image.Dither.NONE) for p in pictures)
    with replacing_file(out) as scratch:
        first.save(scratch, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)


def captioned(picture: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text below its left corner."""
    paper, ink = (255, 60) if picture.mode == "L" else ((255,) * 3, (60,) * 3)
    whole = Image.new(picture.mode, (picture.width, picture.height + STRIP), paper)
    whole.paste(picture)
    ImageDraw.Draw(whole).text((6, picture.height + 2), text, fill=ink, font=ImageFont.load_default(14))
    return whole


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as file:
            return file.copy() if file.mode == "L" else file.convert("RGB")
    except (OSError, UnidentifiedImageError):
        raise GanflowError(f"cannot read {path} as a picture; remove it and try again") from None


def _size(picture: Image.Image) -> str:
    return f"{picture.width}×{picture.height}"
