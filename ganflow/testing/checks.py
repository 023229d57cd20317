"""Checks of each role, and the data on which they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ganflow.contract.data import Data
from ganflow.contract.hooks import hooks_of
from ganflow.contract.settings import keys, summary
from ganflow.errors import GanflowError, PluginError, StepError, innermost
from ganflow.plugins import Chosen, Component, load_catalogue
from ganflow.testing.alone import ALONE
from ganflow.testing.partners import Partner, RefusesAll, RunsEagerly
from ganflow.testing.roles import TRIES, try_scalars
from ganflow.testing.stand_ins import PARTS, Example, example, examples
from ganflow.testing.trial import BATCH, Trial

INDIFFERENT = ("prior", "optimizer", "schedule")
"""Roles that have nothing to do with conditions and domains."""
RESUMED = ("generator", "critic", "loss", "optimizer", "modifier")
TRACED = ("generator", "critic", "loss", "modifier")


def check(component: Component, data: Data | None, partners: Mapping[str, Partner], values: dict[str, Any]) -> None:
    """See ganflow.testing.check_component."""
    documented(component)
    with in_a_sentence(component):
        chosen, parts = choose(component, values)
        if component.role in ALONE:
            ALONE[component.role](chosen)
            return
        beside: dict[str, Chosen] = {}
        for role, partner in partners.items():
            other, theirs = partner if isinstance(partner, tuple) else (partner, {})
            possible = [name for name in (*PARTS, "modifier") if name != component.role]
            expect(role in possible, f"{component} cannot have a partner '{role}'; partners can be: {', '.join(possible)}")
            expect(role == other.role, f"{component} has as its partner '{role}' a {other}; name it under its role")
            beside[role], inside = choose(other, dict(theirs))
            parts += inside
    refusals: dict[str, list[str]] = {}  # what was said → of which data
    tried = [authors(component, data)] if data is not None else examples()[: 2 if component.role in INDIFFERENT else None]
    accepted = 0
    for here in tried:
        try:
            with in_a_sentence(component, here):
                try_on(Trial(chosen, parts, beside, here), traced=not accepted and component.role in TRACED)
            accepted += 1
        except GanflowError as error:
            refusals.setdefault(f"it {error}" if isinstance(error, StepError) else str(error), []).append(here.data.name)
    alike = "; ".join(f"{', '.join(names)}: {text}" for text, names in refusals.items())
    others = [role for role in ("generator", "critic", "loss") if role != component.role and role not in beside]
    advice = f" (beside it play small stand-ins: name others by partners={{…}}, roles {', '.join(others)})"
    if not accepted:
        raise RefusesAll(f"{component} refuses all data that were tried: {alike}{advice if data is None and others else ''}")


def try_on(trial: Trial, traced: bool) -> None:
    """Try what the component built or wrapped, networks before anybody else calls them; then play, go on as from a checkpoint,
    and trace."""
    role, hooks = trial.component.role, hooks_of(trial.component.settings)
    names = {role, *(hook.name for hook in hooks if hook.wrapper or hook.name == "terms")}
    for name, attempt in TRIES.items():
        if name == "loss":
            if names & {"loss", "terms"}:
                try_scalars(trial)
            trial.prepare()
        if name in names:
            attempt(trial)
    trial.play()
    if role in RESUMED:
        trial.resume()
    if traced:
        trial.trace()


def authors(component: Component, data: Data) -> Example:
    """The author's data, under their usual condition where a network accepts one."""
    few = [name for name in data.fields if len(data.held_out.get(name, ())) < BATCH]
    what = f"data {data.name} hold out fewer than {BATCH} examples of {', '.join(few)}"
    expect(not few, f"{component} cannot be tried: {what}")
    hooks = [h for h in hooks_of(component.settings) if h.name == component.role in ("generator", "critic")]
    accepts = all("condition" in [p.name for p in hook.parameters] for hook in hooks)
    return example(data) if accepts else Example(data)


def expect(true: bool, otherwise: str) -> None:
    if not true:
        raise AssertionError(otherwise)


@contextmanager
def in_a_sentence(component: Component, here: Example | None = None) -> Iterator[None]:
    """Raise what a component's code raises, except for a GanflowError, as an AssertionError with one sentence."""
    try:
        yield
    except PluginError as error:  # not about the data
        raise AssertionError(str(error)) from error
    except (GanflowError, RunsEagerly):
        raise
    except Exception as error:
        who = str(component)
        if isinstance(error, AssertionError) and str(error).startswith(who):
            raise
        top = component.settings.__module__.partition(".")[0]
        found = innermost(error, lambda name: name.partition(".")[0] == top)
        where = f" ({found.module.replace('.', '/')}, line {found.line})" if found else ""
        text = " ".join(str(error).split())
        advice = "; where it is not made for such data, let its builder raise a GanflowError that says so" if here else ""
        if here and len(here.domains) > 1 and component.role in ("loss", "modifier"):
            advice += " (the critic gives several scores by name there: formulas go through step.over)"
        on = f" on {here.data.name}" if here else ""
        raise AssertionError(f"{who}{on}: {type(error).__name__}: {text}{where}{advice}") from error


def choose(component: Component, values: dict[str, Any]) -> tuple[Chosen, list[Chosen]]:
    """A component with values of its keys, and the components within those that a recipe would leave out."""
    parts = {name: part for name, part in default_parts(component).items() if name not in values}
    inside = {name: part.settings for name, part in parts.items()}
    return Chosen(component, component.settings(**inside, **valid(component, values))), list(parts.values())


def valid(component: Component, values: dict[str, Any]) -> dict[str, Any]:
    """The values, and those with which the component says it is tried, where it has such keys and no further ones that are
    required."""
    known = keys(component.settings)
    values = {**getattr(component.settings, "tried_with", {}), **values}
    for name in values:
        names = ", ".join(key.name for key in known) or "none"
        expect(any(key.name == name for key in known), f"{component} has no key '{name}' (keys: {names})")
    missing = [key.name for key in known if key.required and key.name not in values]
    call = ", ".join(f"{name}=…" for name in missing)
    expect(not missing, f"{component} has no default for {', '.join(missing)}; give a value: check_component(component, {call})")
    return values


def default_parts(component: Component) -> dict[str, Chosen]:
    """The components that a component has inside where a recipe names none, by key."""
    made = {}
    for key in keys(component.settings):
        if key.notes.role is not None and isinstance(default := key.default, Mapping):
            inner = load_catalogue().find(key.notes.role, default["use"])
            here = (key.notes.within or {}).get(inner.qualified, {})
            quick = getattr(inner.settings, "tried_with", {})
            values = {**quick, **here, **{name: value for name, value in default.items() if name != "use"}}
            made[key.name] = Chosen(inner, inner.settings(**values))
    return made


def documented(component: Component) -> None:
    """The class has a docstring, and every key a line."""
    expect(bool(summary(component.settings)), f"{component} has no docstring")
    for key in keys(component.settings):
        expect(bool(key.notes.doc), f"{component}: the key '{key.name}' is not documented; write key(default, 'what it is')")
