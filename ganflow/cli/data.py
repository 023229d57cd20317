"""`ganflow data`: what a recipe's data, or the images of a folder, are, before anyone trains."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.cli.drawing import check_output_path, whole_number, write_output
from ganflow.cli.listing import columns, row
from ganflow.cli.own_data import found_data
from ganflow.errors import GanflowError
from ganflow.printing import plural, say, say_json

if TYPE_CHECKING:
    from PIL.Image import Image

    from ganflow.contract.data import Data
    from ganflow.contract.preview import Original
    from ganflow.evaluation.survey import Seen
    from ganflow.recipe import Recipe

SHOWN = 64
ROW, CLASSES, SENTENCES = 8, 16, 24  # images in a row of several, rows of classes, images with sentences
NAMED = 20  # classes in the table
SIZES = 8
"""Sizes of files in JSON; the table has them all where there are four at most."""


def data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="RECIPE|FOLDER|FILE", help="a recipe, a folder of images or shards, or a file of arrays"
    )
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="changes to it: data.size=128")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the picture (default: NAME-data.png)")
    parser.add_argument("--examine", type=whole_number(1), default=1000, metavar="N", help="examples to look at (default: 1000)")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table; no picture unless -o asks for it")


def data_command(args: argparse.Namespace) -> int:
    from ganflow.evaluation.survey import doubts, survey

    recipe, trained = _recipe(args.source, args.overrides)
    output = check_output_path(args.output or Path(f"{recipe.name}-data.png"), (".png",))
    data: Data = recipe.composition().build("data")
    seen = survey(data, args.examine, iterate=True)
    if not seen:
        raise GanflowError("data: none of the examples can be read")
    doubtful = doubts(data, seen, vars(recipe.data.settings).keys())
    fields = [_about(name, part) for name, part in seen.items()]
    about = {
        "name": data.name, "source": data.source, "size": data.size, "held_out": _held_out(data), "fields": fields,
        "left_out": sorted(data.skipped), "doubts": [{"text": d.text, "certain": d.certain} for d in doubtful],
    }  # fmt: skip
    if args.json:
        say_json(about)
    else:
        say(f"{data.name} ({data.source})" if data.source else data.name)
        say(row("to train on", "unknown" if data.size is None else data.size), row("held out", about["held_out"]))
        say(row("looked at", _most(seen)))
        for field in fields:
            if field["files"]:
                of = "" if _alone(fields) else f"{field['field']}: "
                say(row("files", f"{of}{_files_line(field['files'])}"))
        for file in sorted(data.skipped):
            say(row("left out", file))
        say("", *columns([_cells(field) for field in fields]))
        for doubt in doubtful:
            say("", doubt.text)
    if args.output or not args.json:
        _draw(data, seen, output, recipe.name)
    if trained and data.main.is_image and not args.json and not any(doubt.certain for doubt in doubtful):
        say(f"to train on them: {trained}")
    return 0


def _recipe(source: str, overrides: list[str]) -> tuple[Recipe, str]:
    """The recipe of that name, or one of a folder's or a file's examples alone; and the command that trains on those."""
    from ganflow.recipe import read_recipe
    from ganflow.recipe.yaml import to_flow

    section, recipe = found_data(source)
    if section is None:
        return read_recipe(source, overrides), ""
    name = re.sub("[^A-Za-z0-9._-]+", "_", Path(source).expanduser().resolve().stem).lstrip("._-")[:100] or "data"
    kept = {key: value for key, value in section.items() if key != "encoder"}  # which is for the picture alone
    path = f"data.path={section['path']}" if section["use"] in _READY else f"data={to_flow(kept)}"
    trained = f"ganflow run {recipe} {shlex.join([path, *overrides])}"
    return read_recipe("wgan", [f"name={json.dumps(name)}", f"data={json.dumps(section)}", *overrides]), trained


_READY = ("image_folder", "paired_folder", "unpaired_folder")
"""Data of recipes that need no more than a path."""


def _held_out(data: Data) -> int:
    return max(map(len, data.held_out.values()), default=0)


def _most(seen: dict[str, Seen]) -> int:
    return max(len(part.examples) for part in seen.values())


def _alone(fields: Sequence[dict[str, Any]]) -> bool:
    return sum(bool(field["files"]) for field in fields) < 2


def _about(name: str, part: Seen) -> dict[str, Any]:
    """Facts as JSON has them: numbers as numbers, None for what a field of this kind does not have."""
    field = part.field
    about: dict[str, Any] = {"field": name, "kind": field.kind, "shape": list(field.shape)}
    about |= dict.fromkeys(("low", "high", "levels", "flat", "repeated", "clipped"))
    about |= {"classes": {}, "files": {}}
    if field.kind == "class":
        counts = part.examples.bincount(minlength=len(field.classes)).tolist()
        return about | {"classes": dict(zip(field.classes, counts, strict=True))}
    about |= {"low": part.low, "high": part.high, "repeated": part.repeated}
    if field.is_image:
        about |= {"levels": part.levels, "flat": part.flat}
    if part.originals:
        about |= {"files": _files(part.originals), "clipped": part.clipped}
    return about


def _files(originals: Sequence[Original]) -> dict[str, Any]:
    sizes = Counter(original.size for original in originals)
    pixels = Counter((original.channels, original.mode) for original in originals)
    widths, heights = ([size[axis] for size in sizes] for axis in (0, 1))
    return {
        "count": len(originals), "width": [min(widths), max(widths)], "height": [min(heights), max(heights)],
        "different_sizes": len(sizes),
        "sizes": [{"width": w, "height": h, "count": count} for (w, h), count in sizes.most_common(SIZES)],
        "pixels": [{"channels": n, "mode": mode, "count": count} for (n, mode), count in pixels.most_common(SIZES)],
    }  # fmt: skip


def _files_line(files: dict[str, Any]) -> str:
    """Sizes before the cut, width first, and channels."""
    sizes, pixels = files["sizes"], files["pixels"]
    if files["different_sizes"] <= 4:
        shown = _counted([(f"{size['width']}×{size['height']}", size["count"]) for size in sizes])
    else:
        (left, right), (low, high) = files["width"], files["height"]
        often = f"{sizes[0]['width']}×{sizes[0]['height']}"
        most = f", most often {often} ({sizes[0]['count']})" if sizes[0]["count"] > 1 else ""
        shown = f"{left} to {right} pixels wide, {low} to {high} high{most}"
    channels = [
        (f"{plural(each['channels'], 'channel')} ({_MODES.get(each['mode'], each['mode'])})", each["count"]) for each in pixels
    ]
    return f"{shown}; {_counted(channels)}"


_MODES = {
    "1": "1 bit", "L": "grey", "LA": "grey and alpha", "P": "a palette", "RGB": "colour", "RGBA": "colour and alpha",
    "I": "32 bits", "I;16": "16 bits", "I;16B": "16 bits", "F": "floating-point",
}  # fmt: skip
"""Words for some of Pillow's modes."""


def _counted(named: Sequence[tuple[str, int]]) -> str:
    return named[0][0] if len(named) == 1 else ", ".join(f"{count} of {name}" for name, count in named)


def _cells(field: dict[str, Any]) -> dict[str, str]:
    """A line of the table."""
    classes = [f"{name} {count}" for name, count in field["classes"].items()]
    cells = {name: "" if (value := field[name]) is None else str(value) for name in ("levels", "flat", "repeated")}
    return {
        "field": field["field"], "kind": field["kind"], "shape": "×".join(map(str, field["shape"])),
        "range": "" if field["low"] is None else f"{field['low']:.3g} … {field['high']:.3g}", **cells,
        "clipped": "" if field["clipped"] is None else f"{100 * field['clipped']:.1f} %",
        "classes": ", ".join(classes[:NAMED]) + (" …" if len(classes) > NAMED else ""),
    }  # fmt: skip


def _draw(data: Data, seen: dict[str, Seen], output: Path, name: str) -> None:
    """The first field's examples, as networks see them: a row for each class, each beside its sentence, or, of several image
    fields, a row of each."""
    from ganflow.pictures import save_png

    picture, shown = _picture(data, seen)
    if picture is not None:
        looked_at = _most(seen)
        of = f"{shown} of {plural(looked_at, 'example')}" if shown < looked_at else plural(shown, "example")
        of += " of each field" if sum(part.field.is_image for part in seen.values()) > 1 else ""
        write_output(output, lambda path: save_png(picture, path), f"{of} of {name}")


def _picture(data: Data, seen: dict[str, Seen]) -> tuple[Image | None, int]:
    """A picture, and how many examples it shows."""
    from ganflow.pictures import class_sheet, image_sheet, sample_picture, sentence_sheet

    images = {field: part.examples for field, part in seen.items() if part.field.is_image}
    first = next(iter(seen.values()))
    if len(images) > 1:
        return image_sheet({field: examples[:ROW] for field, examples in images.items()}), min(
            ROW, max(map(len, images.values()))
        )
    if images and (texts := _texts(seen)):
        count = min(SENTENCES, len(first.examples))
        return sentence_sheet(first.examples[:count], texts[:count]), count
    classes = next((part for part in seen.values() if part.field.kind == "class"), None)
    if images and classes and len(classes.examples) == len(first.examples):
        return class_sheet(first.examples, classes.examples, classes.field.classes, ROW, CLASSES)
    return sample_picture(None, first.examples[:SHOWN]), min(SHOWN, len(first.examples))


def _texts(seen: dict[str, Seen]) -> Sequence[str]:
    return next((part.texts for part in seen.values() if part.texts), ())
