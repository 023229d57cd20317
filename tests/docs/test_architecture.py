"""docs/architecture.md and its picture of the layers: they are import-linter's, which holds the imports to them.

GANFLOW_WRITE_DOCS=1 draws the picture in place of comparing it."""

import os
import re
import tomllib

from docs_helpers import DOCS, ROOT, pages

PICTURE = DOCS / "images" / "layers.svg"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
CORE, AROUND = ([re.split(r"\s*[|:]\s*", layer) for layer in c["layers"]] for c in CONTRACTS if c["type"] == "layers")
"""Layers from the top, the modules of each: of the core, and of the plugins around it."""
LEFT, WIDTH, HEIGHT, GAP = 16, 440, 40, 12


def box(x, y, width, height, lines, fill):
    middle = y + height / 2 + 5 - 9 * (len(lines) - 1)
    texts = [f'<text x="{x + width / 2:g}" y="{middle + 18 * i:g}">{line}</text>' for i, line in enumerate(lines)]
    return [f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}"/>', *texts]


def arrow(x, y, to_x, to_y):
    return [f'<path d="M{x:g} {y:g} L{to_x:g} {to_y:g}" marker-end="url(#head)"/>']


def drawn():
    """The picture: a row for each layer, arrows for what may import."""
    step = HEIGHT + GAP
    marks = []
    for row, layer in enumerate(CORE):
        y, width = LEFT + row * step, (WIDTH - 8 * (len(layer) - 1)) / len(layer)
        for i, name in enumerate(layer):
            marks += box(LEFT + i * (width + 8), y, width, HEIGHT, [name], "#cfe3f5" if len(layer) == 1 else "#e4eef7")
        if row:
            marks += arrow(LEFT + WIDTH / 2, y - GAP, LEFT + WIDTH / 2, y - 3)
    (plugins, [shared], [core]) = AROUND
    x, width, bottom = LEFT + WIDTH + 60, 210, LEFT + len(CORE) * step - GAP
    tall = 24 + 18 * len(plugins)
    marks += box(x, LEFT, width, tall, plugins, "#f7e6c9")
    marks += box(x, LEFT + tall + GAP, width, HEIGHT, [shared], "#f3d9ab")
    marks += box(x, bottom - HEIGHT, width, HEIGHT, [f"{core}: public names"], "#dcefd5")
    marks += arrow(x + width / 2, LEFT + tall, x + width / 2, LEFT + tall + GAP - 3)
    marks += arrow(x + width / 2, LEFT + tall + GAP + HEIGHT, x + width / 2, bottom - HEIGHT - 3)
    body = "\n".join(marks)
    wide, high = x + width + LEFT, bottom + LEFT
    size = f'width="{wide:g}" height="{high:g}" viewBox="0 0 {wide:g} {high:g}"'
    tip = '<path d="M0 0 L6 3 L0 6 Z"/>'
    head = f'<marker id="head" markerWidth="8" markerHeight="8" refX="4" refY="3" orient="auto">{tip}</marker>'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="14" text-anchor="middle">
<rect width="100%" height="100%" fill="#ffffff"/>
<defs>{head}</defs>
<style>rect {{ stroke: #35516b }} text {{ fill: #10202e; stroke: none }} path {{ stroke: #35516b; fill: #35516b }}</style>
{body}
</svg>
"""


def test_the_picture_has_the_layers_of_import_linter():
    picture = drawn()
    if os.environ.get("GANFLOW_WRITE_DOCS"):
        PICTURE.write_text(picture, encoding="utf-8")
    assert PICTURE.read_text(encoding="utf-8") == picture, "GANFLOW_WRITE_DOCS=1 draws the layers anew"


def test_every_room_has_a_row_and_stands_where_its_layer_does():
    table = re.findall(r"^\| `(\w+)/?` \|", pages()["architecture.md"], re.MULTILINE)
    names = [name for layer in CORE for name in layer]
    assert sorted(table) == sorted([*names, "testing"])
    level = {name: row for row, layer in enumerate(CORE) for name in layer}
    rows = [level[name] for name in table if name != "testing"]
    assert rows == sorted(rows)


def test_every_room_is_there():
    for name in {name for layer in CORE for name in layer}:
        assert (ROOT / "ganflow" / name).is_dir() or (ROOT / "ganflow" / f"{name}.py").is_file()
