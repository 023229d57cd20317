"""Rows of pictures that show a game on a sheet, by the generator's signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganflow.contract.signature import Signature, Z
from ganflow.engine.game import Game

SHOWN = 7
"""Pictures made for a condition, beside the real one."""
EACH = 8
"""Pictures of a class."""


def rows_of(game: Game, held_out: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rows of pictures, (n, channels, height, width) each, by name, that show held-out examples and what becomes of them. None
    where samples from the prior are what there is to see.

    Args:
        held_out: some held-out examples of every field.
    """
    if not all(game.data.fields[domain].is_image for domain in game.domains):
        return {}
    ways = {game.makers[domain]: game.signatures[game.makers[domain]] for domain in game.domains}
    inputs = {source for signature in ways.values() for source in signature.inputs.values()}
    translates = Z not in inputs and len(inputs) == len(ways) and all(game.data.fields[source].is_image for source in inputs)
    if translates and "reconstruct" not in ways:
        return _translations(game, ways, held_out) if all(map(len, held_out.values())) else {}
    classes = [name for name in inputs - {Z} if game.data.fields[name].classes]
    if len(classes) == len(inputs - {Z}) == 1:
        return _by_class(game, classes[0])
    if not all(map(len, held_out.values())) or (inputs - {Z} | {game.domains[0]}) - held_out.keys():
        return {}
    if inputs - {Z}:
        return _conditioned(game, held_out)
    return _reconstructions(game, held_out) if "reconstruct" in game.signatures else {}


def _translations(game: Game, ways: Mapping[str, Signature], held_out: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each way held-out examples, their translations, what comes back of these, and the truth where it is known."""
    rows: dict[str, Tensor] = {}
    for name, signature in ways.items():
        (origin,), to = signature.inputs.values(), signature.output
        rows[origin] = held_out[origin]
        made = rows[f"{origin} to {to}"] = game.call(name, held_out[origin], batch=32)
        if origin in game.makers:
            rows[f"{origin} to {to} to {origin}"] = game.call(game.makers[origin], made, batch=32)
        if game.data.aligned:
            rows[f"true {to}"] = held_out[to]
    return rows


def _by_class(game: Game, field: str) -> dict[str, Tensor]:
    """For each class the same few z."""
    names = game.data.fields[field].classes
    z, (argument,) = game.drawn(EACH), [a for a, source in game.signatures[game.maker].inputs.items() if source == field]
    labels: list[dict[str, Any]] = [{argument: torch.full((EACH,), i)} for i in range(len(names))]
    return {name: game.call(game.maker, **z, **label) for name, label in zip(names, labels, strict=True)}


def _conditioned(game: Game, held_out: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For every held-out example the real picture, then what is made from the same few z under its condition."""
    domain, inputs = game.domains[0], game.signatures[game.maker].inputs
    real = held_out[domain]
    sentences = getattr(game.data, "held_out_sentences", ()) or [str(i) for i in range(len(real))]
    z, rows = game.drawn(SHOWN), {}
    for i, sentence in zip(range(len(real)), sentences, strict=False):
        same: dict[str, Any] = {
            a: held_out[source][i].expand(SHOWN, *held_out[source].shape[1:]) for a, source in inputs.items() if source != Z
        }
        rows[sentence] = torch.cat((real[i : i + 1], game.call(game.maker, **z, **same)))
    return rows


def _reconstructions(game: Game, held_out: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Held-out images, their reconstructions and, where there is a prior, samples."""
    x = held_out[game.domains[0]]
    rows = {"held-out": x, "reconstructed": game.call("reconstruct", x)}
    return {**rows, "drawn from the prior": game.samples(len(x))} if game.prior is not None else rows
