"""`ganflow theory`: the game's theory on known distributions, each part as a picture and its numbers."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from ganflow import GanflowError, check_output_path, print_lines, whole_number, write_output

HELP = "show the theory of the game: each part as a picture and numbers"
EXAMPLES = (("ganflow theory saturation", "the losses' gradients when the critic wins"),)
PARTS = {
    "disjoint": ("disjoint", "parallel lines: JSD is flat at log 2, the earth mover's distance is |θ|, and what descends them"),
    "optimal-critic": ("optimal", "a trained critic beside D* = p_data / (p_data + p_G), its value beside JSD − log 2"),
    "saturation": ("saturation", "the generator's gradient through a discriminator that has won, beside a Wasserstein critic's"),
    "duality": ("duality", "E f(x) − E f(G(z)) over the critic's largest slope, beside the earth mover's distance"),
    "elbo": ("elbo", "a linear VAE's evidence lower bound beside its exact log-likelihood"),
    "collapse": ("collapse", "a GAN that collapses to a mode or two of eight, and one number of its recipe that saves it"),
}
"""Sub-command → (module of this package, help)."""


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="part", metavar="PART", title="parts")
    for name, (_, text) in PARTS.items():
        part = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        changes = "changes to the recipes that are trained, which are theory/… in `ganflow recipes`: train.batch_size=128"
        part.add_argument("overrides", nargs="*", metavar="key=value", help=changes)
        output = f"a .png (default: theory-{name}.png)"
        part.add_argument("-o", "--output", metavar="FILE", type=Path, help=output)
        part.add_argument("--json", action="store_true", help="the numbers as JSON, and nothing else")
        part.add_argument("--seed", type=whole_number(0), metavar="N", help="of the trainings (default: 0)")
        part.add_argument("--rounds", type=whole_number(1), metavar="N", help="of each training (default: the recipe's)")
        if name == "disjoint":
            part.add_argument("--theta", type=number, default=1.0, metavar="θ", help="the lines' distance (default: 1)")


def number(text: str) -> float:
    """An argument's type: a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number")
    return value


def main(args: argparse.Namespace) -> int:
    if args.part is None:
        width = max(map(len, PARTS))
        print_lines(*(f"ganflow theory {name:{width}}  {text}" for name, (_, text) in PARTS.items()))
        return 0
    output = check_output_path(args.output or Path(f"theory-{args.part}.png"), (".png",))
    changes = list(args.overrides)
    for option, key, value in (("--seed", "train.seed", args.seed), ("--rounds", "train.rounds", args.rounds)):
        if value is None:
            continue
        if any(change.partition("=")[0] == key for change in changes):
            raise GanflowError(f"{option} and {key}=… set the same: leave one of them out")
        changes.append(f"{key}={value}")

    import json
    import math
    from importlib import import_module

    from ganflow import figure_image, save_png, shown_path

    module = import_module(f"ganflow_theory.{PARTS[args.part][0]}")
    shown = module.show(changes, args.theta) if args.part == "disjoint" else module.show(changes)
    picture = figure_image(shown.figure)
    if args.json:
        save_png(picture, output)
        numbers = {n.name: n.value if math.isfinite(n.value) else str(n.value) for n in shown.numbers}
        print_lines(json.dumps({**numbers, "picture": shown_path(output)}, ensure_ascii=False))
        return 0
    width = max(len(n.name) for n in shown.numbers)
    print_lines(*(f"{n.name:{width}}  {n.value:>11.6g}  {n.what}" for n in shown.numbers))
    write_output(output, lambda path: save_png(picture, path), shown.title)
    return 0
