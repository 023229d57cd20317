"""From the tree of a recipe to the recipe: components found, defaults filled in, references replaced, values checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ganflow.contract.settings import Key, check, keys
from ganflow.errors import PluginError, SettingsError, did_you_mean, origin
from ganflow.plugins import Catalogue, Chosen, UnknownComponent
from ganflow.recipe.overrides import is_part, per_part
from ganflow.recipe.recipe import Recipe
from ganflow.recipe.sections import MANY, ONE, PARTS, PER_PART, PLAYERS, REQUIRED, SECTIONS, Head, Track, Train, Tune
from ganflow.recipe.values import Misfit, References, convert, longest_key, refers
from ganflow.recipe.yaml import Node, Problems, join, lines, node_of, shown

_PLAIN: dict[str, type] = {"train": Train, "track": Track, "tune": Tune}
_DEEPEST_PART = 10


def build(root: Node, catalogue: Catalogue, problems: Problems, name: str, version: int) -> Recipe | None:
    """The recipe of a tree; None if there are problems, which are all collected.

    Args:
        name: what the recipe is called if it says nothing of it.
        version: which meaning it has if it says nothing of that.
    """
    return _Builder(root, catalogue, problems, version).build(name)


class _Builder:
    def __init__(self, root: Node, catalogue: Catalogue, problems: Problems, version: int) -> None:
        self.root, self.catalogue, self.problems, self.version = root, catalogue, problems, version
        self.references = References(root, problems)
        self.parts: dict[str, Chosen] = {}
        self.notes: list[str] = []

    def build(self, name: str) -> Recipe | None:
        sections: dict[str, Node] = self.root.value
        given = dict(lines(self.root))
        if (head := self._head(sections, name)) is not None:
            self.version = head.recipe_version
        self._lay_out(sections)
        self.references.resolve(self.root)
        one = {s: self._choose(sections[s], s, s) for s in ONE if s in sections}
        per_part = {s: self._per_part(sections, s) for s in PER_PART}
        many = {s: self._list(sections, s) for s in MANY}
        plain = {s: self._settings(sections[s], cls, s, s, s) for s, cls in _PLAIN.items() if s in sections}
        if self.problems or head is None:
            return None
        return Recipe(
            name=head.name,
            file=self.problems.file,
            data=_there(one["data"]),
            prior=one.get("prior"),
            generator=_there(one["generator"]),
            critic=one.get("critic"),
            loss=_there(one["loss"]),
            optimizers=per_part["optimizer"],
            schedules=per_part["schedule"],
            modifiers=many["modifiers"],
            metrics=many["metrics"],
            trackers=many["trackers"],
            train=plain["train"],
            track=plain["track"],
            tune=plain.get("tune"),
            version=self.version,
            condition=None if head.condition is None else list(head.condition),
            lines=given,
            parts=self.parts,
            notes=list(dict.fromkeys(self.notes)),
        )

    # First pass: every section a mapping, every component found, every default in its place.

    def _head(self, sections: dict[str, Node], name: str) -> Head | None:
        """The keys outside all sections; None if there is a problem."""
        filled = {"name": name, "recipe_version": self.version, "condition": None}
        for key, value in filled.items():
            if key not in sections or (sections[key].value is None and not sections[key].bad):
                sections[key] = node_of(value, self.root.line)
            self.references.resolve(sections[key], key)
        made: Head | None = self._settings(Node({key: sections[key] for key in filled}, 1), Head, "", "", "the recipe")
        return made

    def _lay_out(self, sections: dict[str, Node]) -> None:
        for section in [s for s in sections if s not in SECTIONS]:
            node = sections.pop(section)
            self.problems.add(node.line, f"unknown section {shown(section)}{_section_hint(section)}")
        for section in [s for s, node in sections.items() if node.value is None and not node.bad]:
            node = sections.pop(section)
            if section in REQUIRED:
                self.problems.add(node.line, f"{section}: the section is empty; every recipe needs {section}")
                sections[section] = Node(None, node.line, bad=True)
        for section in [s for s in REQUIRED if s not in sections]:
            self.problems.add(self.root.line, f"missing section '{section}'; every recipe needs {', '.join(REQUIRED)}")
        for section in ONE:
            if section in sections:
                self._find(sections[section], section, section)
        for section in PER_PART:
            if section in sections:
                self._lay_out_parts(sections, section)
        self._check_schedules(sections)
        for section, role in MANY.items():
            self._lay_out_list(sections.setdefault(section, Node([], 1, default=True)), role, section)
        for section, cls in _PLAIN.items():
            if section != "tune":
                sections.setdefault(section, Node({}, 1, default=True))
            if section in sections and self._is_mapping(sections[section], section):
                self._fill_in(sections[section], cls, section, 0)

    def _is_mapping(self, node: Node, path: str) -> bool:
        if not isinstance(node.value, dict) and not node.bad:
            self.problems.add(node.line, f"{path}: {node} is not a section; write its keys, one per line, below '{path}:'")
            node.bad = True
        return not node.bad

    def _lay_out_parts(self, sections: dict[str, Node], section: str) -> None:
        node = sections[section]
        if not (isinstance(node.value, dict) and per_part(node.value)):
            beside = node.section() or {}
            for part in [key for key in beside if "." in key and is_part(key)]:
                text = f"beside 'use' there are no parts; write '{part.partition('.')[0]}: {{use: …}}' for what it leaves"
                self.problems.add(beside.pop(part).line, f"{join(section, part)}: {text}")
            self._find(node, section, section)
            return
        players = [p for p in PLAYERS if p != "critic" or "critic" in sections]
        for part, child in list(node.value.items()):
            path, first = join(section, part), part.partition(".")[0]
            if not is_part(part):
                hint = did_you_mean(part, [f"{p}{part.removeprefix(first)}" for p in PARTS if first not in PARTS])
                rule = f"{', '.join(PARTS)}, or what is inside of one: generator.mapping"
                self.problems.add(child.line, f"unknown key {shown(part)} in {section}{hint} (keys: {rule})")
            elif first == "critic" and "critic" not in players:
                self.problems.add(child.line, f"{path}: the recipe has no critic; remove this")
            elif child.value is None and not child.bad:
                del node.value[part]
            else:
                self._find(child, section, path)
        self._check_names(node, section)
        if section == "optimizer":
            for player in [p for p in players if not any(part.partition(".")[0] == p for part in node.value)]:
                text = f"missing key '{player}' in optimizer: give each player one, or write a single one for everything"
                self.problems.add(node.line, text)

    def _check_names(self, node: Node, section: str) -> None:
        """See that no part is called like a key of the component above it: a path would mean both."""
        for part, child in node.value.items():
            above, _ = longest_key(node.value, part.split(".")[:-1])
            name, component = part.removeprefix(f"{above}.").partition(".")[0], node.value[above].component if above else None
            if component is not None and name in {key.name for key in keys(component.settings)}:
                text = f"'{name}' is a key of {component.role} '{component.name}', so this cannot be a part"
                self.problems.add(child.line, f"{join(section, part)}: {text}; train all of {above} alike")

    def _check_schedules(self, sections: dict[str, Node]) -> None:
        """See that every schedule is of a part that an optimizer trains (the loss's may have none of its own), or above one."""
        trained, schedule = (_parts(sections.get(section)) for section in PER_PART)
        for part, child in schedule.items():
            if trained and is_part(part) and part not in PARTS and not any(f"{name}.".startswith(f"{part}.") for name in trained):
                text = f"no optimizer trains this part alone; add optimizer.{part}, or remove this"
                self.problems.add(child.line, f"schedule.{part}: {text}")

    def _lay_out_list(self, node: Node, role: str, path: str) -> None:
        if node.bad:
            return
        if not isinstance(node.value, list):
            self.problems.add(node.line, f"{path}: {node} is not a list; begin each {role} with '- '")
            node.bad = True
            return
        for name, child in node.children():
            self._find(child, role, join(path, name))

    def _find(
        self, node: Node, role: str, path: str, depth: int = 0, within: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Find the component that a section names, and fill in its defaults; `within`: see `settings.part`."""
        if node.bad:
            return
        if refers(node):
            self.references.resolve(node, path)
        problem = self._name_component(node, role, path)
        if problem:
            self.problems.add(*problem)
        if node.component is None:
            node.bad = True
        else:
            self._fill_in(node, node.component.settings, path, depth, (within or {}).get(node.component.qualified, {}))

    def _name_component(self, node: Node, role: str, path: str) -> tuple[int, str] | None:
        """Set `node.component`; what keeps it from being found, as (line, text)."""
        section = node.section() if not node.bad else {}
        installed = ", ".join(self.catalogue.names(role)) or "none"
        if section is None:
            return node.line, f"{path}: {node} is not a section; write {{use: name}} (installed: {installed})"
        if "use" not in section:
            return None if node.bad else (node.line, f"missing key 'use' in {path}: which {role}? (installed: {installed})")
        use = section["use"]
        self.references.resolve(use, join(path, "use"))
        if use.bad:
            return None
        if not isinstance(use.value, str):
            quotes = f"; if that is its name, put it in quotes: '{use.text}'" if use.text else ""
            return use.line, f"{path}.use: {use} is not the name of a {role}{quotes} (installed: {installed})"
        try:
            node.component = self.catalogue.find(role, use.value)
        except UnknownComponent as error:
            return use.line, " ".join(str(error).split())
        if "/" not in use.value and (rivals := self.catalogue.rivals(node.component)):
            others = " or ".join(f"{c.qualified} ({origin(c.distribution, c.version)})" for c in rivals)
            meant = f"{role} '{use.value}' means the built-in {node.component.qualified}"
            self.notes.append(f"{meant}; to have the other, write {others}")
        return None

    def _fill_in(
        self, node: Node, settings: type, path: str, depth: int, within: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Put in the defaults of the keys that are not given, and find the components that go into keys.

        Args:
            within: defaults that differ where the component is."""
        for key in keys(settings):
            role = key.notes.role
            if key.name not in node.value and not key.required:
                default = key.default_in(self.version, within)
                own = default is key.default  # what the settings class fills in by itself
                node.value[key.name] = node_of(default, node.line, default=role is None and own)
            child = node.value.get(key.name)
            if role is None or child is None or child.value is None:
                continue
            if depth == _DEEPEST_PART:
                text = f"components in components, more than {_DEEPEST_PART} deep; does one contain itself by default?"
                raise PluginError(f"{path}: {text}")
            self._find(child, role, join(path, key.name), depth + 1, key.notes.within)

    # Second pass: values checked, settings made.

    def _choose(self, node: Node, path: str, slot: str) -> Chosen | None:
        """The component of a section with its settings; None if there is a problem.

        Args:
            path: where the section stands, for messages.
            slot: what it is for, "optimizer.critic", also where one section is for all parts.
        """
        component = node.component
        if node.bad or component is None:
            return None
        settings = self._settings(node, component.settings, path, slot, f"{component.role} '{node.value['use'].value}'")
        return None if settings is None else Chosen(component, settings)

    def _per_part(self, sections: dict[str, Node], section: str) -> dict[str, Chosen]:
        node = sections.get(section)
        if node is None or node.bad:
            return {}
        if per_part(node.value):
            each = {p: (node.value[p], f"{section}.{p}") for p in sorted(node.value, key=_first) if is_part(p)}
        else:
            each = {p: (node, section) for p in PLAYERS if p != "critic" or "critic" in sections}
        chosen = {p: self._choose(child, path, f"{section}.{p}") for p, (child, path) in each.items()}
        return {p: c for p, c in chosen.items() if c is not None}

    def _list(self, sections: dict[str, Node], section: str) -> list[Chosen]:
        node = sections[section]
        if node.bad:
            return []
        paths = [join(section, index) for index in range(len(node.value))]
        return _some(self._choose(child, path, path) for child, path in zip(node.value, paths, strict=True))

    def _settings(self, node: Node, settings: type, path: str, slot: str, owner: str) -> Any:
        """An instance of a settings class with the values of a section; None if there is a problem."""
        if node.bad:
            return None
        before = len(self.problems)
        known = {key.name: key for key in keys(settings)}
        values: dict[str, Any] = {}
        sound = True
        for name, child in node.value.items():
            if name == "use" and node.component is not None:
                continue
            if name not in known:
                close = did_you_mean(name, known)
                listed = f" (keys: {', '.join(known) or 'none'})" if node.component is not None or not close else ""
                self.problems.add(child.line, f"unknown key {shown(name)} in {owner}{close}{listed}")
                sound = False
            elif not child.default:
                sound &= self._value(known[name], child, settings, join(path, name), join(slot, name), values)
        for key in known.values():
            if key.required and key.name not in node.value:
                doc = f" ({key.notes.doc})" if key.notes.doc else ""
                self.problems.add(node.line, f"missing key '{key.name}' in {owner}{doc}")
        if not sound or len(self.problems) > before:
            return None
        return self._make(node, settings, values, path, owner)

    def _value(self, key: Key, node: Node, settings: type, path: str, slot: str, values: dict[str, Any]) -> bool:
        """Put the value of `node` into `values`; whether it is sound."""
        if node.bad:
            return False
        if key.notes.role is not None:
            if node.value is None:
                if key.default is not None:
                    text = f"a {key.notes.role} is needed here; to have the default one, leave the key out"
                    self.problems.add(node.line, f"{path}: {text}")
                values[key.name] = None
            elif chosen := self._choose(node, path, slot):
                self.parts[slot] = chosen
                values[key.name] = chosen.settings
            return True
        if node.spoilt():
            return False
        try:
            values[key.name] = convert(settings, key, node)
        except Misfit as misfit:
            self.problems.add(node.line, f"{path}: {misfit}")
            return False
        troubles = list(check(key, values[key.name]))
        for trouble in troubles:
            self.problems.add(node.line, f"{path}: {trouble}")
        return not troubles

    def _make(self, node: Node, settings: type, values: dict[str, Any], path: str, owner: str) -> Any:
        try:
            return settings(**values)
        except SettingsError as error:
            for name, text in error.problems:
                child = node.value.get(name)
                line = node.line if child is None or child.default else child.line
                self.problems.add(line, f"{join(path, name) if name else path}: {text}")
        except ValueError as error:
            self.problems.add(node.line, f"{path}: {error}")
        except Exception as error:
            raise PluginError(f"{node.component or owner} failed on its keys: {type(error).__name__}: {error}") from error
        return None


def _section_hint(section: str) -> str:
    if section == "stages":
        return "; a recipe with stages is for `ganflow run`, and here one of them is needed"
    first, _, rest = section.partition(".")
    if rest and first in SECTIONS:
        return f"; write '{rest}' below '{first}:'"
    return f"{did_you_mean(section, SECTIONS)} (sections: {', '.join(SECTIONS)})"


def _first(part: str) -> int:
    """What sorts parts: the generator's, the critic's, the loss's, each as they are written."""
    return PARTS.index(first) if (first := part.partition(".")[0]) in PARTS else len(PARTS)


def _parts(section: Node | None) -> dict[str, Node]:
    """The parts of an optimizer or schedule section, the players where one is for everything."""
    if section is None or not isinstance(section.value, dict):
        return {}
    return section.value if per_part(section.value) else dict.fromkeys(PLAYERS, section)


def _some(chosen: Iterable[Chosen | None]) -> list[Chosen]:
    return [c for c in chosen if c is not None]


def _there(chosen: Chosen | None) -> Chosen:
    assert chosen is not None, "a required section is missing, and no problem was reported"
    return chosen
