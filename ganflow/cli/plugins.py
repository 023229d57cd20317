"""`ganflow plugins`: the installed plugins, their components and keys, and whether they keep the contract."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any

from ganflow import synonyms
from ganflow.cli.helping import wrapped
from ganflow.contract.hooks import BUILDERS, ROLES, hooks_of
from ganflow.contract.settings import Key, keys, summary
from ganflow.errors import GanflowError, escaped
from ganflow.plugins import Catalogue, Component, Plugin, load_catalogue
from ganflow.printing import say, say_json

Line = tuple[str, str]  # text and rich's style for it


def plugins_arguments(parser: argparse.ArgumentParser) -> None:
    what = "'show NAME…' tells all about some components, 'test NAME…' tries whether they keep the contract"
    parser.add_argument("action", nargs="?", choices=["show", "test"], help=what)
    parser.add_argument("names", nargs="*", metavar="NAME", help="weight_clip, wgan/weight_clip, critic/mlp, or a plugin's name")
    parser.add_argument("--brief", action="store_true", help="one line for each component, without its keys")
    parser.add_argument("--json", action="store_true", help="for programs")


def plugins_command(args: argparse.Namespace) -> int:
    if args.action and not args.names:
        example = "show wgan/weight_clip" if args.action == "show" else "test wgan"
        raise GanflowError(f"{args.action} what? e.g. ganflow plugins {example} (ganflow plugins lists all)")
    catalogue = load_catalogue()
    if args.action == "test":
        return tested([component for name in args.names for component in matching(catalogue, name)], args.json)
    if args.action:
        chosen = [component for name in args.names for component in matching(catalogue, name)]
        if args.json:
            say_json([component_facts(component) for component in chosen], default=str)
        else:
            say_lines(line for component in chosen for line in described(component, catalogue))
        return 0
    if args.json:
        say_json([plugin_facts(plugin) for plugin in catalogue.plugins], default=str)
    else:
        say_lines(line for plugin in catalogue.plugins for line in listed(plugin, args.brief))
    for text in clashes(catalogue):
        say(f"ganflow: {text}", err=True)
    if catalogue.broken:
        names = ", ".join(plugin.name for plugin in catalogue.broken)
        say(f"ganflow: {len(catalogue.broken)} of {len(catalogue.plugins)} plugins broken: {names}", err=True)
    return 0


def matching(catalogue: Catalogue, name: str) -> list[Component]:
    """The components that a name means: "mlp", "networks/mlp", "critic/mlp", "critic/networks/mlp", or all of a plugin's.

    Raises:
        GanflowError: none.
    """
    *within, plain = name.split("/")
    components = list(catalogue.components())
    found = [c for c in components if c.name == plain and set(within) <= {c.role, c.plugin}]
    found = found or [c for c in components if c.plugin == name]
    if found:
        return found
    for plugin in catalogue.broken:
        if plugin.name in (name, *within):
            raise GanflowError(f"nothing is offered: {plugin.error}")
    known = {c.qualified if within and within[0] not in ROLES else f"{c.role}/{c.name}" if within else c.name for c in components}
    hint = synonyms.component_hint(name, known | {p.name for p in catalogue.plugins})
    raise GanflowError(f"no component or plugin '{name}'{hint} (ganflow plugins lists all)")


def tested(components: list[Component], as_json: bool) -> int:
    """Try each component by the conformance suite, a line each; returns 1 where one breaks the contract."""
    width = max(len(f"{component.role} {component.qualified}") for component in components)
    found: list[dict[str, Any]] = []
    for component in components:
        name = f"{component.role} {component.qualified}"
        if sys.stderr.isatty():  # some take half a minute
            print(f"{name:{width}}  …", end="\r", file=sys.stderr, flush=True)
        result, notes = trial(component)
        found.append({**component_origin(component), "result": result, "notes": notes})
        if not as_json:
            line = f"{name:{width}}  {result}"
            style = {"ok": "green", "fails": "red"}.get(result, "yellow")
            say_lines(iter([(line, style), *((f"    {note}", "") for note in notes)]))
    if as_json:
        say_json(found)
    counts = {result: sum(each["result"] == result for each in found) for result in ("ok", "fails", "not tried")}
    say(f"ganflow: {', '.join(f'{count} {result}' for result, count in counts.items() if count)}", err=True)
    return int(bool(counts["fails"]))


def trial(component: Component) -> tuple[str, list[str]]:
    """"ok", "fails" or, where it needs what this does not know, "not tried", with sentences on it."""
    import warnings

    from ganflow.testing.partners import RefusesAll

    if needed := [key.name for key in keys(component.settings) if key.required]:
        values = ", ".join(f"{name}=…" for name in needed)
        return "not tried", [f"{', '.join(needed)} must be set: check_component(component, {values}) in a test of the package"]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            beside = _played(component)
        except RefusesAll as error:
            return "not tried", [str(error)]
        except AssertionError as error:
            return "fails", [str(error)]
        except GanflowError as error:  # what it needs is not here
            return "not tried", [str(error)]
    eager = dict.fromkeys(str(each.message) for each in seen if each.category.__name__ == "RunsEagerly")
    return "ok", [*(f"beside {other}" for other in beside), *eager]


def _played(component: Component) -> list[Component]:
    """Check a component beside stand-ins or, where it refuses those, beside others of its plugin, which are returned.

    Raises:
        AssertionError: it breaks the contract; RefusesAll, it accepts nothing of that.
        GanflowError: what it needs is not here.
    """
    from ganflow.testing import check_component
    from ganflow.testing.partners import RefusesAll

    try:
        check_component(component)
    except RefusesAll:
        for partners in _partners(component):
            try:
                check_component(component, partners=partners)
            except RefusesAll:
                continue
            return list(partners.values())
        raise
    return []


def _partners(component: Component) -> Iterator[dict[str, Component]]:
    """Generators and losses of a component's plugin that can play beside it: each alone, then each pair."""
    others: dict[str, list[Component]] = {"generator": [], "loss": []}
    for other in load_catalogue().components():
        if other.plugin == component.plugin and other.role in others and other.role != component.role:
            others[other.role] += [other] * (not any(key.required for key in keys(other.settings)))
    yield from ({role: other} for role, found in others.items() for other in found)
    yield from ({"generator": one, "loss": other} for one in others["generator"] for other in others["loss"])


def clashes(catalogue: Catalogue) -> Iterator[str]:
    """A sentence for every component whose plain name means another one, or none."""
    for component in catalogue.components():
        rivals = catalogue.rivals(component)
        if rivals and not component.built_in:
            ours = [f"the built-in {c.qualified}" for c in rivals if c.built_in]
            means = ours[0] if ours else f"neither this one nor {', '.join(c.qualified for c in rivals)}"
            yield f"{component}: '{component.name}' alone means {means}; write {component.qualified}"


def listed(plugin: Plugin, brief: bool) -> Iterator[Line]:
    """A plugin in a listing."""
    yield f"{plugin.name}  {plugin.distribution} {plugin.version}  {plugin.doc}".rstrip(), "bold"
    if plugin.error:
        yield f"  broken: {plugin.error}", "red"
    width = max((len(f"{c.role} {c.name}") for c in plugin.offers), default=0)
    for component in plugin.offers:
        headline = f"  {f'{component.role} {component.name}':{width}}  {summary(component.settings)}"
        yield headline.rstrip(), "cyan"
        if not brief:
            yield from key_lines(component.settings, indent=6)
    yield "", ""


def described(component: Component, catalogue: Catalogue) -> Iterator[Line]:
    """All about one component."""
    yield str(component), "bold"
    if summary(component.settings):
        for line in (inspect.getdoc(component.settings) or "").splitlines():
            yield f"  {line}", ""
    hooks = hooks_of(component.settings)
    for does, names in {
        "wraps": [h.name for h in hooks if h.wrapper],
        "listens to": [h.name for h in hooks if h.name not in BUILDERS],
    }.items():
        if names:
            yield f"  {does}: {', '.join(names)}", ""
    yield "  keys:", ""
    yield from list(key_lines(component.settings, indent=4)) or [("    none", "")]
    yield f"  in a recipe:  {example(component, catalogue)}", "green"
    yield "", ""


def example(component: Component, catalogue: Catalogue) -> str:
    """The line of a recipe that uses the component, its required keys left to fill in."""
    from ganflow.recipe.sections import MANY

    required = "".join(f", {key.name}: …" for key in keys(component.settings) if key.required)
    section = f"{{use: {catalogue.shortest(component)}{required}}}"
    lists = {role: section for section, role in MANY.items()}
    if component.role == "encoder":
        return f"data: {{use: …, encoder: {section}}}"
    if component.role == "executor":
        return f"tune: {{executor: {section}}}"
    return f"{lists[component.role]}: [{section}]" if component.role in lists else f"{component.role}: {section}"


def key_lines(settings: type, indent: int) -> Iterator[Line]:
    """The keys, in columns: name: type = default, what it is (its range)."""
    rows = []
    for key in keys(settings):
        bounds = f" ({limits(key)})" if limits(key) else ""
        rows.append((signature(key), f"{key.notes.doc}{bounds}"))
    width = min(max((len(left) for left, _ in rows), default=0), 32)
    for left, right in rows:
        yield f"{'':{indent}}{left:{width}}  {right.strip()}".rstrip(), ""


def signature(key: Key) -> str:
    """`width: int = 64`, as a recipe would write the default; "…" where a value is required."""
    kind = re.sub(r"Literal\[(.*?)\]", lambda found: found[1].replace(", ", " | "), key.type_name)
    kind = f"a {key.notes.role}" if key.notes.role else kind
    default = "…" if key.required else json.dumps(key.default, default=str, ensure_ascii=False)
    return f"{key.name}: {kind} = {default}"


def limits(key: Key) -> str:
    """The range in symbols: "> 0, ≤ 1"."""
    signs = {">": key.notes.gt, "≥": key.notes.ge, "<": key.notes.lt, "≤": key.notes.le}
    return ", ".join(f"{sign} {bound:g}" for sign, bound in signs.items() if bound is not None)


def plugin_facts(plugin: Plugin) -> dict[str, Any]:
    named = {name: getattr(plugin, name) for name in ("name", "module", "distribution", "version", "doc", "error")}
    return {**named, "offers": [component_facts(component) for component in plugin.offers]}


def component_origin(component: Component) -> dict[str, Any]:
    return {name: getattr(component, name) for name in ("role", "name", "qualified", "plugin", "distribution", "version")}


def component_facts(component: Component) -> dict[str, Any]:
    return {
        **component_origin(component),
        "doc": summary(component.settings),
        "hooks": [hook.name for hook in hooks_of(component.settings)],
        "keys": [key_facts(key) for key in keys(component.settings)],
    }


def key_facts(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "type": key.type_name,
        "required": key.required,
        "default": None if key.required else key.default,
        "doc": key.notes.doc,
        "range": limits(key),
        "role": key.notes.role,
    }


def say_lines(lines: Iterator[Line]) -> None:
    """Print; on a terminal in colour, with lines that break between words; elsewhere none does, so that they can be searched."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for text, style in lines:
        plain, indent = escaped(text), " " * (len(text) - len(text.lstrip()))
        shown = wrapped(plain.lstrip(), shutil.get_terminal_size().columns - 1, indent, "    ") if sys.stdout.isatty() else []
        for line in shown or [plain]:
            console.print(Text(line, style), soft_wrap=True)
