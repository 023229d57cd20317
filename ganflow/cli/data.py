"""`ganflow data`: what a recipe's data, or the images of a folder, are, before anyone trains."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.cli.drawing import check_output_path, whole_number, write_output
from ganflow.cli.listing import columns, row
from ganflow.errors import GanflowError
from ganflow.printing import plural, say, say_json

if TYPE_CHECKING:
    from ganflow.contract.data import Data
    from ganflow.evaluation.survey import Seen
    from ganflow.recipe import Recipe

SHOWN = 64


def data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="RECIPE|FOLDER", help="a recipe, or a folder of images")
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="changes to it: data.size=128")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the picture (default: NAME-data.png)")
    parser.add_argument("--examine", type=whole_number(1), default=1000, metavar="N", help="examples to look at (default: 1000)")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table; no picture unless -o asks for it")


def data_command(args: argparse.Namespace) -> int:
    from ganflow.evaluation.survey import doubts, survey

    recipe = _recipe(args.source, args.overrides)
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
        say(row("looked at", len(next(iter(seen.values())).examples)))
        for file in sorted(data.skipped):
            say(row("left out", file))
        say("", *columns([{key: str(value) for key, value in field.items()} for field in fields]))
        for doubt in doubtful:
            say("", doubt.text)
    if args.output or not args.json:
        _draw(seen, output, recipe.name)
    return 0


def _recipe(source: str, overrides: list[str]) -> Recipe:
    """The recipe of that name, or one of a folder's images alone."""
    from ganflow.recipe import read_recipe

    folder = Path(source).expanduser()
    if not folder.is_dir():
        return read_recipe(source, overrides)
    name = folder.resolve().name or "data"
    section = {"use": "image_folder", "path": str(folder), "on_error": "skip"}
    return read_recipe("wgan", [f"name={json.dumps(name)}", f"data={json.dumps(section)}", *overrides])


def _held_out(data: Data) -> int:
    return max(map(len, data.held_out.values()), default=0)


def _about(name: str, part: Seen) -> dict[str, Any]:
    field = part.field
    if field.kind == "class":
        counts = part.examples.bincount(minlength=len(field.classes)).tolist()
        classes = [f"{label} {count}" for label, count in zip(field.classes, counts, strict=True)]
        return {"field": name, "kind": field.kind, "shape": "", "range": "", "levels": "", "flat": "", "repeated": "",
                "classes": ", ".join(classes[:20]) + (" …" if len(classes) > 20 else "")}  # fmt: skip
    image, shape = field.is_image, "×".join(map(str, field.shape))
    return {"field": name, "kind": field.kind, "shape": shape, "range": f"{part.low:.3g} … {part.high:.3g}",
            "levels": part.levels if image else "", "flat": part.flat if image else "", "repeated": part.repeated,
            "classes": ""}  # fmt: skip


def _draw(seen: dict[str, Seen], output: Path, name: str) -> None:
    """The first field's examples, as networks see them; of several image fields a row of each."""
    from ganflow.pictures import image_sheet, sample_picture, save_png

    images = {field: part.examples[:SHOWN] for field, part in seen.items() if part.field.is_image}
    first = next(iter(seen.values())).examples
    picture = image_sheet({k: v[:8] for k, v in images.items()}) if len(images) > 1 else sample_picture(None, first[:SHOWN])
    if picture is not None:
        write_output(output, lambda path: save_png(picture, path), f"{plural(min(SHOWN, len(first)), 'example')} of {name}")
