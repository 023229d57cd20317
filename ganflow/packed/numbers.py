"""The numbers in which trials differ that are played as one, and a recipe in which they are tensors.

A component gets its numbers from its settings. On a copy of them the numbers by which trials differ are 0-dim tensors;
what is built from that copy computes with them, and a trace can take them in as inputs. A component that turns such a
tensor into a Python number would freeze one trial's value for all: `Watch` notices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganflow.contract.settings import keys
from ganflow.engine.compat import DispatchMode, tree_leaves
from ganflow.engine.tracing import reads
from ganflow.plugins import Chosen
from ganflow.recipe import Recipe

ALIKE = ("n_critic", "batch_size", "accumulate", "one_pass", "one_batch", "precision", "channels_last", "device", "deterministic")
"""Keys of `train` that packed trials share. Of the others every trial has its own."""
_KEYS = "_ganflow_keys"  # on tensors that hold such numbers, or follow from them: the numbers' keys


class NotPackable(Exception):
    """The reason why trials cannot be played as one."""


@dataclass
class Number:
    """A number by which trials differ.

    Attributes:
        key: as overrides name it: "modifiers[0].c".
        slot, name: the component's place in the recipe and the field: "modifiers[0]" and "c".
        values: one per trial.
        tensor: the first trial's, 0-dim: what the template's components compute with.
    """

    key: str
    slot: str
    name: str
    values: list[float]
    tensor: Tensor


def differing(recipes: Sequence[Recipe], dtype: torch.dtype, device: torch.device) -> list[Number]:
    """The numbers that the recipes give their components, where these are not all the same.

    Raises:
        NotPackable: the recipes differ in anything else that a round depends on; all of it is listed.
    """
    found: list[Number] = []
    wrong = [_shown(f"train.{name}", values) for name in ALIKE if not _same(values := [getattr(r.train, name) for r in recipes])]
    chosen = [recipe.played() for recipe in recipes]
    if not _same([list(c) for c in chosen]):
        wrong.append(_shown("the components", [", ".join(c) for c in chosen]))
    for slot in chosen[0] if not wrong else ():
        components = [c[slot].component.qualified for c in chosen]
        if not _same(components):
            wrong.append(_shown(slot, components))
            continue
        for key in keys(chosen[0][slot].component.settings):
            values = [getattr(c[slot].settings, key.name) for c in chosen]
            if key.notes.role is not None or _same(values) or _shared(chosen, slot):
                continue
            of_both = len(_alike(chosen[0], slot)) > 1
            path = f"{slot.split('.')[0] if of_both else slot}.{key.name}"
            if all(isinstance(value, float) for value in values):
                found.append(_number(path, slot, key.name, values, dtype, device))
            else:
                wrong.append(_shown(path, values))
    norms = [recipe.train.clip_grad for recipe in recipes]
    if not _same(norms):
        if all(norms):
            found.append(_number("train.clip_grad", "train", "clip_grad", norms, dtype, device))
        else:
            wrong.append(_shown("train.clip_grad", norms))
    if wrong:
        raise NotPackable(f"packed trials share everything that is not a real number, and these do not: {'; '.join(wrong)}")
    return found


def template(recipe: Recipe, numbers: Iterable[Number]) -> Recipe:
    """The recipe with tensors for these numbers, and without schedules: a packed round gets its learning rates."""
    made = recipe.copied()
    made.schedules = {}
    for number in numbers:
        settings = made.train if number.slot == "train" else made.played()[number.slot].settings
        setattr(settings, number.name, number.tensor)
    return made


def _number(key: str, slot: str, name: str, values: list[Any], dtype: torch.dtype, device: torch.device) -> Number:
    tensor = torch.tensor(values[0], dtype=dtype, device=device)
    setattr(tensor, _KEYS, frozenset({key}))
    return Number(key, slot, name, values, tensor)


def _shared(trials: list[dict[str, Chosen]], slot: str) -> bool:
    """True for settings that are those of an earlier slot, too (one `optimizer:` for both players)."""
    firsts = {_alike(chosen, slot)[0] for chosen in trials}
    if len(firsts) > 1:
        raise NotPackable(f"some trials have one component for {' and '.join(sorted(firsts))}, others have two")
    return firsts != {slot}


def _alike(chosen: dict[str, Chosen], slot: str) -> list[str]:
    """The slots that have this slot's settings."""
    return [name for name, other in chosen.items() if other.settings is chosen[slot].settings]


def _same(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)


def _shown(key: str, values: Sequence[Any]) -> str:
    return f"{key} ({', '.join(dict.fromkeys(map(str, values)))})"


def keys_in(value: Any) -> frozenset[str]:
    """The keys of the numbers that these tensors hold or follow from, as far as a `Watch` has seen."""
    return frozenset[str]().union(*(getattr(t, _KEYS, ()) for t in tree_leaves(value)))


class Watch(DispatchMode):
    """While this lasts, what Python reads out of a tensor is not packable: the numbers of trials, or anything (`all`).

    Tensors that are computed from the numbers are marked with the numbers' keys, unless `all` is watched.
    """

    def __init__(self, all: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.all = all

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = keys_in((args, kwargs))
        if (found or self.all) and reads(func, args):
            keys = ", ".join(sorted(found))
            what = f"turns {keys} into a Python number" if found else f"decides by the values of tensors ({func})"
            raise NotPackable(f"{what}, which would be one trial's for all")
        result = func(*args, **(kwargs or {}))
        if found and not self.all:
            for t in tree_leaves(result):
                if isinstance(t, Tensor):
                    setattr(t, _KEYS, found | keys_in(t))
        return result
