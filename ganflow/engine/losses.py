"""Losses as the engine finds them: those that one holds, and whether they keep the contract."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ganflow.contract.loss import AddedTerms, Loss
from ganflow.errors import GanflowError


def losses_in(parts: Sequence[AddedTerms]) -> list[AddedTerms]:
    """The losses and added terms, and every one that they hold, directly or within another, outermost first."""
    seen: set[int] = set()
    return [found for part in parts for found in _held(part, seen) if isinstance(found, AddedTerms)]


def modules_in(parts: Sequence[AddedTerms]) -> list[nn.Module]:
    """The modules that they are or hold; what is part of one of them is left out. Checkpoints know them by their numbers here."""
    found: list[nn.Module] = []
    seen: set[int] = set()
    walked: set[int] = set()
    for part in (held for outer in parts for held in _held(outer, walked)):
        if isinstance(part, nn.Module) and id(part) not in seen:
            found.append(part)
            seen |= set(map(id, part.modules()))
    return found


def _held(value: Any, seen: set[int]) -> Iterator[AddedTerms | nn.Module]:
    """The losses, added terms and modules among a value, its attributes and its items, and within them."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inside: Any = ()
    if isinstance(value, (AddedTerms, nn.Module)):
        yield value
        inside = vars(value).values()
    elif isinstance(value, dict):
        inside = value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        inside = value
    for part in list(inside):
        yield from _held(part, seen)


METHODS = {
    "critic_terms": "step",
    "generator_terms": "step",
    "critic_stepped": "values",
    "generator_stepped": "values",
}
"""What the engine calls in every round, and the one argument of each."""


def check_parts(parts: Sequence[Any], called: Sequence[str]) -> None:
    """Check that a loss and added terms keep the contract, as far as it shows before they are played.

    Args:
        parts: the loss first.
        called: what messages call each, "loss 'hinge'".

    Raises:
        GanflowError: one does not.
    """
    for i, (part, name) in enumerate(zip(parts, called, strict=True)):
        wanted = AddedTerms if i else Loss
        if not isinstance(part, wanted):
            form = "return AddedTerms from `terms`" if i else "derive it from ganflow.Loss or ScoreLoss"
            kind = f"{type(part).__name__}, which is no {wanted.__name__}"
            raise GanflowError(f"the {name} gave an object of type {kind}: {form} (docs/porting.md)")
        for inner in losses_in([part]):
            _check_methods(inner, name)
        if i:
            if text := wrong_span(part):
                raise GanflowError(f"the {name}: {text}")
            if not any(gives(part, method) for method in (*METHODS, "check", "estimates")):
                raise GanflowError(f"the {name} adds nothing: {type(part).__name__} has none of {', '.join(METHODS)}")


def _check_methods(part: AddedTerms, name: str) -> None:
    """Check that no method is misspelt, and that each has the one argument."""
    cls = type(part)
    missing = [method for method in METHODS if not gives(part, method)]
    for written in dir(cls):
        if written in METHODS or written.startswith("_") or hasattr(Loss, written) or not callable(getattr(cls, written)):
            continue
        if close := difflib.get_close_matches(written, missing, n=1, cutoff=0.87):
            raise GanflowError(f"the {name} has a method '{written}', which nobody calls; did you mean '{close[0]}'? "
                               f"(another method of this name may begin with _)")  # fmt: skip
    for method, argument in METHODS.items():
        try:
            inspect.signature(getattr(part, method)).bind(None)
        except TypeError:
            taken = ", ".join(inspect.signature(getattr(cls, method)).parameters)
            now = f"since contract 2 it is {method}(self, {argument}): docs/porting.md says how to port it"
            raise GanflowError(f"the {name} has {cls.__name__}.{method}({taken}); {now}") from None


def wrong_span(part: AddedTerms) -> str | None:
    """The problem with the rounds in which terms are active: that they are no numbers of rounds, or none; None if nothing."""
    whole = {"every": part.every, "begin": part.begin} | ({} if part.end is None else {"end": part.end})
    for name, number in whole.items():
        least = int(name == "every")
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            return f"`{name}` is {number!r}; it must be a whole number, {least} or more"
    if part.end is not None and part.end <= part.begin:
        return f"its terms begin with round {part.begin} and end with {part.end}; they would never take part"
    return None


def gives(part: AddedTerms, method: str) -> bool:
    """True if a part overrides this method of AddedTerms."""
    return method in vars(part) or getattr(type(part), method) is not getattr(AddedTerms, method)


def check_terms(found: Any, name: str, player: str) -> Mapping[str, Tensor]:
    """Check the result of `critic_terms` or `generator_terms`, and return it.

    Raises:
        GanflowError: it is no mapping from names to scalar tensors.
    """
    if not isinstance(found, Mapping):
        raise GanflowError(f"{player}_terms of the {name} gives a {type(found).__name__}; it must be a dict of named scalars")
    for term, value in found.items():
        if not isinstance(value, Tensor):
            raise GanflowError(f"the term '{term}' of the {name} is a {type(value).__name__}; it must be a scalar tensor")
        if value.dim():
            raise GanflowError(f"the term '{term}' of the {name} has shape {tuple(value.shape)}; a term must be a scalar")
    return found
