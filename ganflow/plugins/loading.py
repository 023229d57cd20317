"""From entry points to the catalogue. Every plugin is loaded on its own: one that is broken is reported, and hurts no other."""

from __future__ import annotations

import functools
import importlib
import re
from importlib.metadata import Distribution, entry_points
from types import ModuleType
from typing import NamedTuple

from ganflow.errors import innermost
from ganflow.hookspecs import CONTRACT
from ganflow.plugins.catalogue import BUILT_IN, Catalogue, Plugin
from ganflow.plugins.marks import Hook, marked
from ganflow.plugins.offers import Offers
from ganflow.plugins.wording import did_you_mean, origin

GROUP = "ganflow"
_FAILURES = (Exception, SystemExit)  # what a plugin's code may raise; Ctrl-C is not its fault
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class Claim(NamedTuple):
    """A distribution says that `name` is its plugin in the module `value`."""

    name: str
    distribution: str
    version: str
    value: str


@functools.cache
def load_catalogue() -> Catalogue:
    """Every plugin of the entry-point group "ganflow", by name. Loaded once per process; `load_catalogue.cache_clear()`."""
    claims: dict[str, list[Claim]] = {}
    for claim in _claims():
        claims.setdefault(claim.name, []).append(claim)
    return Catalogue([plugin for name in sorted(claims) for plugin in _claimed(claims[name])])


def _claimed(claims: list[Claim]) -> list[Plugin]:
    """The plugin of a name, or what keeps it from being loaded; a built-in one is loaded whoever claims its name besides."""
    ours = [claim for claim in claims if claim.distribution.lower() == BUILT_IN]
    if not ours or len(claims) == len(ours):
        return [_load(claims)]
    why = "the name is that of a plugin that comes with ganflow; another name is needed"
    others = [claim for claim in claims if claim not in ours]
    texts = [f"plugin '{c.name}' ({origin(c.distribution, c.version)}) is not loaded: {why}" for c in others]
    broken = [Plugin(c.name, "", c.distribution, c.version, text) for c, text in zip(others, texts, strict=True)]
    return [_load(ours), *broken]


def _claims() -> list[Claim]:
    """What the installed distributions claim, each once: an editable install can be seen twice."""
    about = functools.cache(_about)
    found = [Claim(point.name, *about(point.dist), point.value) for point in entry_points(group=GROUP)]
    same = {(c.name, re.sub(r"[-_.]+", "-", c.distribution).lower(), c.value): c for c in reversed(found)}
    return sorted(same.values())


def _about(distribution: Distribution | None) -> tuple[str, str]:
    """Name and version. Slow: it parses the whole description."""
    told = dict(distribution.metadata.items()) if distribution else {}  # type: ignore[attr-defined]
    return told.get("Name", "?"), told.get("Version", "?")


def _load(claims: list[Claim]) -> Plugin:
    name, distribution, version, value = claims[0]
    who = f"plugin '{name}' ({origin(distribution, version)})"
    if len(claims) > 1:
        claimants = " and ".join(f"{origin(c.distribution, c.version)} (module {c.value})" for c in claims)
        error = f"plugin '{name}' is loaded from neither, for both claim the name: {claimants}; uninstall one of them"
        return Plugin(name, "", "", "", error)
    if not _NAME.fullmatch(name):
        return Plugin(name, value, distribution, version, f"{who}: a plugin's name is lower-case letters, digits, _ and -")
    if not _MODULE.fullmatch(value):
        return Plugin(name, "", distribution, version, f"{who}: its entry point must name a module, not '{value}'")
    try:
        module = importlib.import_module(value)
    except _FAILURES as error:
        return Plugin(name, value, distribution, version, f"{who} cannot be imported: {_told(error, value)}")
    return load_module(module, name, distribution, version)


def load_module(module: ModuleType, name: str, distribution: str = "", version: str = "") -> Plugin:
    """Ask an imported module what it offers. Never raises for the module's faults: they are the plugin's `error`."""
    offers = Offers(name, distribution, version)
    try:
        trouble = _form(module)
        if not trouble:
            module.register(offers)
            trouble = str(offers.error) if offers.error else None
    except _FAILURES as error:
        trouble = str(error) if error is offers.error else f"register failed: {_told(error, module.__name__)}"
    if trouble and not offers.error:
        trouble = f"plugin '{name}' ({origin(distribution, version)}): {trouble}"
    doc = (module.__doc__ or "").strip().partition("\n")[0]
    return Plugin(name, module.__name__, distribution, version, trouble, () if trouble else tuple(offers.components), doc)


def _form(module: ModuleType) -> str | None:
    """What keeps a module from being a plugin."""
    contract = getattr(module, "GANFLOW_CONTRACT", 1)
    if contract != CONTRACT:
        if not isinstance(contract, int):
            return f"its GANFLOW_CONTRACT is {contract!r}; it must be a number: GANFLOW_CONTRACT = {CONTRACT}"
        older = contract < CONTRACT
        fit = "docs/porting.md says how to port it" if older else "install versions of the two that fit"
        return f"it was written for version {contract} of the plugin contract, and this ganflow has version {CONTRACT}; {fit}"
    for name, value in vars(module).items():
        if name != "register" and callable(value) and marked(value) is not None:
            return f"a module's only hook is 'register', not '{name}'{did_you_mean(name, ['register'])}"
    register = getattr(module, "register", None)
    options = marked(register)
    if options is None:
        there = "is not marked with @hookimpl" if callable(register) else "is missing"
        return f"the function 'register(offer)' {there} in the module {module.__name__}"
    if [p.name for p in Hook("register", "register", register, options).parameters] != ["offer"]:  # type: ignore[arg-type]
        return "'register' takes one argument, 'offer'"
    return None


def _told(error: BaseException, module: str) -> str:
    """An exception in one line, with the plugin's own line that led to it."""
    top = module.partition(".")[0]
    place = innermost(error, lambda name: name.partition(".")[0] == top)
    where = f" ({place.frame.f_code.co_filename}:{place.line})" if place else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
