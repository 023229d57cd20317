"""Building fronts: label maps and shaded pictures.

What a label map does not tell, it tells by position: the sun stands on the left, courses of brick and stripes of awnings lie
on a grid that is the same in every scene, and every class has one colour.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from ganflow_layers.drawing.canvas import FINE, Canvas, Materials, averaged, between, centres, middles, palette
from ganflow_layers.drawing.tensors import HELD_OUT, TRAIN, drawn, signed
from torch import Tensor

from ganflow import TensorData, one_hot

CLASSES = ("sky", "plaster", "brick", "window", "frame", "door", "cornice", "balcony", "shop", "pavement")
LABEL_COLOURS = (  # of the classes, where labels are shown as a picture
    (70, 130, 220), (230, 200, 120), (200, 70, 40), (0, 40, 160), (120, 200, 255),
    (120, 60, 10), (0, 200, 120), (160, 0, 200), (255, 120, 200), (90, 90, 90),
)  # fmt: skip

# Materials, each with its class, its colour in full light, and whether the sun falls on it.
(SKY, PLASTER, PLASTER_SHADE, BRICK, BRICK_SHADE, BAR, FRAME, DOOR, SEAM, TRANSOM, CORNICE, EDGE, RAILING, AWNING, SHOP,
 SHOP_PANE, PAVEMENT, KERB) = range(18)  # fmt: skip
PANE, PANES = 64, 32  # the glass of windows is a ramp: the sky is mirrored above, the street below
MATERIALS: dict[int, tuple[str, tuple[int, int, int], bool]] = {
    SKY: ("sky", (0, 0, 0), False),
    PLASTER: ("plaster", (226, 205, 160), True),
    PLASTER_SHADE: ("plaster", (150, 134, 106), True),
    BRICK: ("brick", (168, 84, 62), True),
    BRICK_SHADE: ("brick", (104, 52, 40), True),
    BAR: ("window", (232, 234, 232), False),
    FRAME: ("frame", (244, 244, 240), False),
    DOOR: ("door", (108, 64, 36), True),
    SEAM: ("door", (62, 36, 20), True),
    TRANSOM: ("door", (176, 150, 104), True),
    CORNICE: ("cornice", (238, 232, 220), True),
    EDGE: ("cornice", (172, 162, 150), True),
    RAILING: ("balcony", (58, 58, 66), False),
    AWNING: ("shop", (196, 52, 60), True),
    SHOP: ("shop", (112, 36, 48), True),
    SHOP_PANE: ("shop", (84, 104, 122), False),
    PAVEMENT: ("pavement", (130, 128, 124), False),
    KERB: ("pavement", (88, 86, 84), False),
}
GLASS = between((156, 192, 226), (42, 56, 82), np.linspace(0, 1.15, PANES))
COURSE = 2.0  # height of a course of bricks
STRIPE = 4.0  # of awnings

COLOURS = palette({material: colour for material, (_, colour, _) in MATERIALS.items()})
COLOURS[PANE : PANE + PANES] = GLASS
CLASS_OF = np.zeros(256, np.uint8)
SUNLIT = np.zeros(256, bool)
for _material, (_name, _, _lit) in MATERIALS.items():
    CLASS_OF[_material], SUNLIT[_material] = CLASSES.index(_name), _lit
CLASS_OF[PANE : PANE + PANES] = CLASSES.index("window")


def facades(size: int, train: int, held_out: int, seed: int, labels: str) -> TensorData:
    """Fields "source", the label map, (10, size, size) or (3, size, size), and "target", the picture, (3, size, size)."""

    def part(count: int, which: int) -> dict[str, Tensor]:
        classes, pictures = drawn(draw, (label_map, picture), count, size, seed, which)
        if labels == "one_hot":
            source = one_hot(classes, len(CLASSES))
        else:
            source = signed(torch.tensor(LABEL_COLOURS, dtype=torch.uint8)[classes.long()])
        return {"source": source, "target": signed(pictures)}

    return TensorData("facades", part(train, TRAIN), part(held_out, HELD_OUT), source="generated")


def label_map(materials: Materials) -> np.ndarray:
    """The class in the middle of every pixel, (size, size) uint8."""
    classes: np.ndarray = CLASS_OF[centres(materials)]
    return classes


def picture(materials: Materials) -> np.ndarray:
    """(size, size, 3) uint8."""
    sky, light, mortar, white, bars = _patterns(len(materials))
    points = np.where((materials == SKY)[..., None], sky, COLOURS[materials])
    points[(materials == BRICK) & mortar] *= 0.78
    points[(materials == AWNING) & white] = (240, 236, 228)
    points[(materials == RAILING) & bars] = (116, 116, 126)
    return averaged(points * np.where(SUNLIT[materials], light, 1)[..., None])


@cache
def _patterns(side: int) -> tuple[np.ndarray, ...]:
    """The sky's colours (side, 1, 3), sunlight (1, side), and where mortar, white stripes and bars are, (side, side) or less."""
    at = middles(side)
    x, y = at[None, :], at[:, None]
    sky = between((104, 160, 228), (216, 231, 245), y / 64)
    light = 1.10 - 0.32 * x / 64
    joints = np.abs((x / (2 * COURSE) + (y // COURSE) % 2 / 2) % 1 - 0.5) > 0.46  # over the middles of the bricks below
    mortar = (y % COURSE < 0.45) | (joints & (side >= 128 * FINE))  # joints are finer than a pixel in smaller pictures
    return sky, light, mortar, x % (2 * STRIPE) < STRIPE, x % 2 < 0.7


def draw(rng: np.random.Generator, size: int) -> Materials:
    """One front: a wall of brick or plaster under a cornice, storeys of windows, and a door or a shop on the ground floor."""
    canvas = Canvas(size)
    brick = rng.random() < 0.5
    wall, shade = (BRICK, BRICK_SHADE) if brick else (PLASTER, PLASTER_SHADE)
    top, left, right = int(rng.integers(4, 16)), int(rng.integers(1, 8)), 64 - int(rng.integers(1, 8))
    ground = 64 - int(rng.integers(4, 7))
    cornice = top + int(rng.integers(2, 5))
    canvas.box(left, top, right, ground, wall)
    canvas.box(0, ground, 64, 64, PAVEMENT)
    canvas.box(0, ground, 64, ground + 1, KERB)
    canvas.box(left, cornice, right, cornice + 1.6, shade)
    canvas.box(left - 1.5, top - 1, right + 1.5, cornice, CORNICE)
    canvas.box(left - 1.5, cornice - 0.7, right + 1.5, cornice, EDGE)

    floor = ground - int(rng.integers(13, 17))  # where the ground floor begins
    columns, storeys = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    across, down = (right - left) / columns, (floor - cornice - 2.5) / storeys
    # In whole units, edges lie on pixels at 64 × 64, and label maps tell them exactly; at 32 × 32 to half a pixel.
    width, height = (2 * round(v / 2) for v in (across * rng.uniform(0.44, 0.58), down * rng.uniform(0.55, 0.7)))
    balconies, arched, shop = rng.random() < 0.45, rng.random() < 0.35, rng.random() < 0.5
    middles = [round(left + across * (i + 0.5)) for i in range(columns)]
    for storey in range(storeys):
        y = round(cornice + 2.5 + down * (storey + 0.5))
        for x in middles:
            _window(canvas, x, y, width, height, shade, arched)
            if balconies and storey == storeys - 1:
                _balcony(canvas, x, y + height * 0.5 - 1.4, width * 1.5, shade)
    if shop:
        _shop(canvas, left + 2, floor, right - 2, ground)
    else:
        entrance = int(rng.integers(columns))
        for i, x in enumerate(middles):
            if i == entrance:
                _door(canvas, x, floor + 3, max(6, 2 * round(width * 0.4)), ground)
            else:
                _window(canvas, x, floor + 7, width, 6, shade, arched=False)
    return canvas.materials()


def _window(canvas: Canvas, x: float, y: float, width: float, height: float, shade: int, arched: bool) -> None:
    left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    frame = 1.0
    canvas.box(left, bottom + frame, right + 1.6, bottom + 2.0, shade)  # of the sill, to the right of the sun
    rise = min(width / 2, height * 0.4) if arched else 0.0
    top += rise
    if arched:
        canvas.dome(x, top + 0.4, width / 2 + frame, rise + frame, FRAME)
        canvas.box(left - frame, top, right + frame, bottom + frame, FRAME)
        canvas.dome(x, top + 0.4, width / 2, rise, PANE)
    else:
        canvas.box(left - frame, top - frame, right + frame, bottom + frame, FRAME)
    canvas.ramp(left, top, right, bottom, PANE, PANES)
    canvas.box(x - 0.35, top - rise, x + 0.35, bottom, BAR)
    if height > 1.2 * width:
        canvas.box(left, top + (bottom - top) * 0.36, right, top + (bottom - top) * 0.36 + 0.6, BAR)


def _balcony(canvas: Canvas, x: float, y: float, width: float, shade: int) -> None:
    canvas.box(x - width / 2 + 0.6, y + 3.2, x + width / 2 + 0.8, y + 4.4, shade)
    canvas.box(x - width / 2, y, x + width / 2, y + 3.2, RAILING)


def _shop(canvas: Canvas, left: float, top: float, right: float, ground: float) -> None:
    canvas.box(left, top, right, ground, SHOP)
    canvas.box(left + 1.5, top + 4, right - 1.5, ground - 2, SHOP_PANE)
    canvas.box(left, top, right, top + 4, AWNING)


def _door(canvas: Canvas, x: float, top: float, width: float, ground: float) -> None:
    canvas.box(x - width / 2, top, x + width / 2, ground, DOOR)
    canvas.box(x - width / 2, top, x + width / 2, top + 1.4, TRANSOM)
    canvas.box(x - 0.35, top + 1.4, x + 0.35, ground, SEAM)
