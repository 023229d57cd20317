"""`ganflow data`: what a recipe's data, or the images of a folder, are, before anyone trains."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.cli.drawing import whole_number, write_output
from ganflow.cli.listing import columns, row
from ganflow.cli.own_data import found_data
from ganflow.errors import GanflowError, NothingLeft
from ganflow.files import check_output_path
from ganflow.printing import plural, say, say_json

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ganflow.contract.data import Data
    from ganflow.contract.preview import Original
    from ganflow.evaluation.survey import Doubt, Seen
    from ganflow.recipe import Recipe

SHOWN = 64
ROW, CLASSES, SENTENCES = 8, 16, 24  # images in a row of several, rows of classes, images with sentences
NAMED = 20  # classes in the table
FIRST = 5  # names of pictures of one colour, and of duplicates
HELD_OUT = "(held out)"
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

    asked = _recipe(args.source, args.overrides)
    if args.output:
        check_output_path(args.output, (".png",))
    data, helps = _built(asked.recipe, args.overrides)
    output = _output(args.output, data, asked)
    seen = survey(data, args.examine, iterate=True)
    if not seen:
        raise GanflowError("data: none of the examples can be read")
    kept, kept_names = _kept(data, seen, args.examine)
    settings = vars(asked.recipe.data.settings)
    doubtful = doubts(data, seen, settings)
    fields = [_about(name, part, data.source, kept.get(name), kept_names) for name, part in seen.items()]
    doubtful += _in_both(fields)
    known = _most(seen) if data.size is None and _most(seen) < args.examine else data.size
    about = {
        "name": data.name, "source": data.source, "size": known, "held_out": _held_out(data), "fields": fields,
        "left_out": sorted(data.skipped), "doubts": [{"text": d.text, "certain": d.certain} for d in doubtful],
    }  # fmt: skip
    if args.json:
        say_json(about)
    else:
        _print_table(data, about, doubtful)
    if args.output or not args.json:
        _draw(data, seen, output, asked.label)
    if asked.trained and data.main.is_image and not args.json:
        if data.skipped and "on_error" in settings:
            helps.append("data.on_error=skip")
        say(_next(asked, [*helps, *(d.override for d in doubtful if d.override)], any(d.certain for d in doubtful)))
    return 0


@dataclass(frozen=True)
class Asked:
    """A recipe whose data are to be shown.

    Attributes:
        recipe: whose data they are.
        label: its name, or that of the folder or file.
        source: as it was typed.
        trained: the command that trains on a folder's or a file's examples, without what is changed; empty for a recipe's.
        overrides: as they were typed.
    """

    recipe: Recipe
    label: str
    source: str
    trained: str
    overrides: Sequence[str]


def _recipe(source: str, overrides: Sequence[str]) -> Asked:
    """The recipe of that name, or one of a folder's or a file's examples alone."""
    from ganflow.recipe import read_recipe
    from ganflow.recipe.yaml import to_flow

    section, recipe = found_data(source, overrides)
    if section is None:
        found = read_recipe(source, overrides)
        return Asked(found, found.name, source, "", overrides)
    label = Path(source).expanduser().resolve().name
    name = re.sub("[^A-Za-z0-9._-]+", "_", label).lstrip("._-")[:100] or "data"
    kept = {key: value for key, value in section.items() if key != "encoder"}  # which is for the picture alone
    within, inside = "", Path(source).expanduser().resolve()
    if inside.is_dir() and Path.cwd().is_relative_to(inside):  # where runs would be kept among the data
        within, kept["path"] = f"cd {shlex.quote(str(inside.parent))} && ", label
    path = f"data.path={kept['path']}" if section["use"] in _READY else f"data={to_flow(kept)}"
    read = read_recipe("wgan", [f"name={json.dumps(name)}", f"data={json.dumps(section)}", *overrides])
    return Asked(read, label or "data", source, f"{within}ganflow run {recipe} {shlex.quote(path)}", overrides)


def _built(recipe: Recipe, overrides: Sequence[str]) -> tuple[Data, list[str]]:
    """The data, with fewer held out where nothing would be left for training; and the override for that."""
    try:
        return recipe.composition().build("data"), []
    except NothingLeft as error:
        if any(_key(each) == "data.held_out" for each in overrides):
            raise
        say(f"ganflow: {error.in_shell}", err=True)
        fewer = recipe.data.settings
        fewer.held_out = int(error.override.partition("=")[2])
        return recipe.composition().build("data"), [error.override]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _output(wanted: Path | None, data: Data, asked: Asked) -> Path:
    """The picture's file: in the working folder, or in the parent of the folder of data that this is in, for a picture among data
    would be one of them."""
    folder = Path(data.source) if data.source else None
    among = folder.resolve() if folder and folder.is_dir() else None
    if wanted is not None:
        if among and wanted.resolve().is_relative_to(among):
            raise GanflowError(f"{wanted} would lie among the data, and be one of them: let -o name a file elsewhere")
        return wanted
    name = asked.label.encode()[:200].decode(errors="ignore").lstrip(".") or "data"
    where = among.parent if among and Path.cwd().is_relative_to(among) else Path()
    return check_output_path(where / f"{name}-data.png", (".png",))


def _next(asked: Asked, helps: Sequence[str], certain: bool) -> str:
    """The last line: the command that trains, or, where a run would be refused, one that shows the data with a change."""
    ways = {_key(override): override for override in reversed(helps)}
    typed = [override for override in asked.overrides if _key(override) not in ways]
    changes = [*typed, *reversed(ways.values())]
    if not certain:
        return f"to train on them: {asked.trained} {shlex.join(changes)}".rstrip()
    refused = "ganflow run refuses them as they are"
    source = ["--", asked.source] if asked.source.startswith("-") else [asked.source]
    return f"{refused}; to look again: {shlex.join(['ganflow', 'data', *source, *changes])}" if ways else refused


def _kept(data: Data, seen: Mapping[str, Seen], most: int) -> tuple[dict[str, Tensor], list[str]]:
    """So many held-out examples of the image fields, and the names of their files, or their numbers."""
    fields = [name for name, part in seen.items() if part.field.is_image and name in data.held_out]
    kept = {name: data.held_out[name][:most].cpu() for name in fields}
    count = max(map(len, kept.values()), default=0)
    names = [name for name in data.held_out_names if name not in data.skipped][:most]
    return kept, names if len(names) == count else [f"#{i + 1}" for i in range(count)]


def _in_both(fields: Sequence[dict[str, Any]]) -> list[Doubt]:
    """Doubt about examples that are both trained on and held out."""
    from ganflow.evaluation.survey import Doubt

    both = sum(any(name.endswith(HELD_OUT) for name in names) for field in fields for names in field["duplicates"] or ())
    if not both:
        return []
    text = f"{plural(both, 'image')} to train on {'is' if both == 1 else 'are'} held out, too, as a copy"
    return [Doubt(f"data: {text}: scores on held-out images are too good by them; take the copies away")]


def _print_table(data: Data, about: Mapping[str, Any], doubtful: Sequence[Doubt]) -> None:
    fields, size = about["fields"], about["size"]
    looked = max(field["looked_at"] for field in fields)
    say(data.name if not data.source or data.name.endswith(f"({data.source})") else f"{data.name} ({data.source})")
    say(row("to train on", f"{looked} or more" if size is None else size), row("held out", about["held_out"]))
    say(row("looked at", looked))
    for field in fields:
        of = "" if _alone(fields) else f"{field['field']}: "
        if field["files"]:
            say(row("files", f"{of}{_files_line(field['files'])}"))
        if field["flat"]:
            say(row("one colour", f"{of}{_first(field['flat'])}"))
        if field["duplicates"]:
            say(row("duplicates", f"{of}{_first([' = '.join(names) for names in field['duplicates']])}"))
    for file in sorted(data.skipped):
        say(row("left out", file))
    say("", *columns([_cells(field) for field in fields]))
    for doubt in doubtful:
        say("", doubt.text)


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - FIRST} more" if len(names) > FIRST else ""
    return f"{', '.join(names[:FIRST])}{more}"


_READY = ("image_folder", "paired_folder", "unpaired_folder")
"""Data of recipes that need no more than a path."""


def _held_out(data: Data) -> int:
    return max(map(len, data.held_out.values()), default=0)


def _most(seen: dict[str, Seen]) -> int:
    return max(len(part.examples) for part in seen.values())


def _alone(fields: Sequence[dict[str, Any]]) -> bool:
    return sum(bool(field["files"]) for field in fields) < 2


def _about(name: str, part: Seen, source: str, kept: Tensor | None, kept_names: Sequence[str]) -> dict[str, Any]:
    """Facts as JSON has them: numbers as numbers, None for what a field of this kind does not have.

    Args:
        source: the folder that names are below.
        kept, kept_names: held-out examples and their names.
    """
    field = part.field
    about: dict[str, Any] = {"field": name, "kind": field.kind, "shape": list(field.shape), "looked_at": len(part.examples)}
    about |= dict.fromkeys(("low", "high", "levels", "flat", "repeated", "duplicates", "clipped"))
    about |= {"classes": {}, "files": {}}
    if field.kind == "class":
        counts = part.examples.bincount(minlength=len(field.classes)).tolist()
        return about | {"classes": dict(zip(field.classes, counts, strict=True))}
    about |= {"low": part.low, "high": part.high, "repeated": part.repeated}
    if field.is_image:
        duplicates = part.duplicates(kept, kept_names if kept is not None else ())
        about |= {"levels": part.levels, "flat": _below(source, part.flat)}
        about |= {"duplicates": [_below(source, names) for names in duplicates]}
    if part.originals:
        about |= {"files": _files(part.originals), "clipped": part.clipped}
    return about


def _below(source: str, names: Sequence[str]) -> list[str]:
    return [name.removeprefix(f"{source.rstrip('/')}/") if source else name for name in names]


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
    counts = {**field, "flat": None if field["flat"] is None else len(field["flat"])}
    cells = {name: "" if (value := counts[name]) is None else str(value) for name in ("levels", "flat", "repeated")}
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
