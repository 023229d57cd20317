"""From the tree of a recipe to the recipe: components found, defaults filled in, references replaced, values checked."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ganflow.advised import Advised
from ganflow.contract.settings import Key, check, keys
from ganflow.errors import PluginError, SettingsError, origin
from ganflow.plugins import Catalogue, Chosen, Component, UnknownComponent
from ganflow.recipe.overrides import is_part, list_advice, per_part
from ganflow.recipe.recipe import Recipe
from ganflow.recipe.renamed import renamed_component, renamed_keys
from ganflow.recipe.sections import EXTENDS, MANY, ONE, PARTS, PER_PART, PLAYERS, REQUIRED, SECTIONS, Head, Track, Train, Tune
from ganflow.recipe.together import check_together, making_room, there_already
from ganflow.recipe.values import References, can_unset, convert, longest_key, no_yaml, refers
from ganflow.recipe.yaml import COMMAND_LINE, Node, Problems, Refused, join, lines, node_of, shown
from ganflow.synonyms import WORDS, component_of, hint, normal

_PLAIN: dict[str, type] = {"train": Train, "track": Track, "tune": Tune}
_DEEPEST_PART = 10
_NONE: Mapping[str, Any] = MappingProxyType({})


class RecipeBuilder:
    """Builds the recipe of a tree; all problems are collected.

    Args:
        version: the meaning of the recipe if it does not state one.
    """

    def __init__(self, root: Node, catalogue: Catalogue, problems: Problems, version: int) -> None:
        self.root, self.catalogue, self.problems, self.version = root, catalogue, problems, version
        self.references = References(root, problems)
        self.parts: dict[str, Chosen] = {}
        self.notes: list[str] = []

    def build(self, name: str, together: bool = True) -> Recipe | None:
        """The recipe, called `name` if it has no name; None if there are problems. `together`: see `Draft.build`."""
        sections: dict[str, Node] = self.root.value
        written = dict(lines(self.root))
        if (head := self._head(sections, name)) is not None:
            self.version = head.recipe_version
        self._lay_out(sections)
        self.references.resolve(self.root)
        one: dict[str, Any] = {s: self._choose(sections[s], s, s) if s in sections else None for s in ONE}
        optimizers, schedules = (self._per_part(sections, s) for s in PER_PART)
        many: dict[str, Any] = {s: self._list(sections[s], s) for s in MANY}
        plain: dict[str, Any] = {s: self._settings(sections[s], cls, s, s, s) for s, cls in _PLAIN.items() if s in sections}
        self.references.settle()
        if together and not self.problems:
            chosen = [(c, sections[s].line, s) for s, c in one.items() if c is not None]
            listed = zip(many["modifiers"], sections["modifiers"].children(), strict=True)
            chosen += [(c, child.line, join("modifiers", index)) for c, (index, child) in listed]
            check_together(sections, chosen, self.problems, self.notes)
        if self.problems or head is None:
            return None
        return Recipe(
            head.name,
            self.problems.file,
            **one,
            optimizers=optimizers,
            schedules=schedules,
            **many,
            **plain,
            version=self.version,
            condition=None if head.condition is None else list(head.condition),
            lines=written,
            parts=self.parts,
            notes=list(dict.fromkeys(self.notes)),
        )

    # First pass: every section a mapping, every component found, every default filled in.

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
            self.problems.add(node.line, f"unknown section {shown(section)}" + self._section_hint(section, node))
        for section in [s for s, node in sections.items() if node.value is None and not node.bad]:
            node = sections.pop(section)
            if section in REQUIRED:
                self.problems.add(node.line, f"{section}: the section is empty; every recipe needs {section}")
                sections[section] = Node(None, node.line, bad=True)
        for section in [s for s in REQUIRED if s not in sections]:
            self.problems.add(self.root.line, f"missing section '{section}'; every recipe needs {', '.join(REQUIRED)}")
        for section in [s for s in ONE if s in sections]:
            self._find(sections[section], section, section)
        for section in [s for s in PER_PART if s in sections]:
            self._lay_out_parts(sections, section)
        self._check_schedules(sections)
        for section, role in MANY.items():
            node = sections.setdefault(section, Node([], 1, default=True))
            advice = list_advice(node, section, role, self.catalogue, self.problems.file)
            if self._is(list, node, f"{section}: {node} is not a list; " + advice):
                for index, child in node.children():
                    self._find(child, role, join(section, index))
        for section, cls in _PLAIN.items():
            node = sections.get(section) or Node({}, 1, default=True)
            if section in sections or section != "tune":
                sections[section] = node
                text = f"{section}: {node} is not a section; write its keys, one per line, below '{section}:'"
                if self._is(dict, node, text):
                    self._fill_in(node, cls, section, 0)

    def _is(self, form: type, node: Node, problem: str) -> bool:
        """Check that a sound node is a list or a mapping."""
        if not node.bad and not isinstance(node.value, form):
            self._report(node, *(node.trouble or [problem]))
            node.bad = True
        return not node.bad

    def _report(self, node: Node, *texts: str) -> None:
        for text in texts:
            self.problems.add(node.line, text)

    def _section_hint(self, section: str, node: Node) -> str:
        if section == "stages":
            return "; a recipe with stages is for " + Advised("ganflow.run", "`ganflow run`") + ", and here one of them is needed"
        first, _, rest = section.partition(".")
        if rest and first in SECTIONS:
            return f"; write '{rest}' below '{first}:'"
        if section == EXTENDS:
            return "; it goes into a file, and " + Advised("is no change", "not on the command line")
        for listed in (word for word in WORDS.get(normal(section), ()) if word in MANY and not node.line):  # eval=fid
            if isinstance(node.value, str):
                name = component_of(node.value, MANY[listed], self.catalogue.names(MANY[listed]))
                append = f"; that is '+{listed}={name}' here"
                if name and (there := there_already(append, self.root.value, self.catalogue)) != append:
                    return there
                advice = list_advice(node, listed, MANY[listed], self.catalogue, self.problems.file)
                return f"; that is {listed} here: " + advice
        meant = hint(first, [*SECTIONS, EXTENDS], elsewhere=elsewhere(section))
        return f"{there_already(meant, self.root.value, self.catalogue)} (sections: {', '.join(SECTIONS)})"

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
                whole = [f"{p}{part.removeprefix(first)}" for p in PARTS]
                meant = "" if first in PARTS else hint(part, whole) or hint(first, PARTS)
                rule = f"{', '.join(PARTS)}, or what is inside of one: generator.mapping"
                self.problems.add(child.line, f"unknown key {shown(part)} in {section}{meant} (keys: {rule})")
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
        """Check that no part is called like a key of the component above it: a path would mean both."""
        for part, child in node.value.items():
            above, _ = longest_key(node.value, part.split(".")[:-1])
            name, component = part.removeprefix(f"{above}.").partition(".")[0], node.value[above].component if above else None
            if component is not None and name in {key.name for key in keys(component.settings)}:
                text = f"'{name}' is a key of {component.role} '{component.name}', so this cannot be a part"
                self.problems.add(child.line, f"{join(section, part)}: {text}; train all of {above} alike")

    def _check_schedules(self, sections: dict[str, Node]) -> None:
        """Check that an optimizer trains each schedule's part (the loss may have none), or something inside of it."""
        trained, schedule = (_parts(sections.get(section)) for section in PER_PART)
        for part, child in schedule.items():
            if trained and is_part(part) and part not in PARTS and not any(f"{name}.".startswith(f"{part}.") for name in trained):
                text = f"no optimizer trains this part alone; add optimizer.{part}, or remove this"
                self.problems.add(child.line, f"schedule.{part}: {text}")

    def _find(self, node: Node, role: str, path: str, depth: int = 0, within: Mapping[str, Mapping[str, Any]] = _NONE) -> None:
        """Find the component that a section names, and fill in its defaults; `within`: see `settings.part`."""
        if refers(node) and not node.bad:
            self.references.resolve(node, path)
        if node.bad:
            return
        if problem := self._name_component(node, role, path):
            self.problems.add(*problem)
        if node.component is None:
            node.bad = True
        else:
            self._fill_in(node, node.component.settings, path, depth, within.get(node.component.qualified, _NONE))

    def _name_component(self, node: Node, role: str, path: str) -> tuple[int, str] | None:
        """Set `node.component`. Returns the (line, text) of the problem that keeps it from being found."""
        section = node.section()
        installed = ", ".join(self.catalogue.names(role)) or "none"
        if section is None:
            return node.line, f"{path}: {node} is not a section; write {{use: name}} (installed: {installed})"
        if "use" not in section:
            return node.line, f"missing key 'use' in {path}: which {role}? (installed: {installed})"
        use = section["use"]
        self.references.resolve(use, join(path, "use"))
        if use.bad:
            return None
        if not isinstance(use.value, str):
            quotes = f"; if that is its name, put it in quotes: '{use.text}'" if use.text else ""
            return use.line, f"{path}.use: {use} is not the name of a {role}{quotes} (installed: {installed})"
        try:
            node.component = self._component(role, use, path)
        except UnknownComponent as error:
            self._report(use, *use.trouble[1:])
            text = making_room(" ".join(str(error).split()), self.root.value, self.catalogue)
            return use.line, use.trouble[0] if use.trouble else text
        if "/" not in use.value and (rivals := self.catalogue.rivals(node.component)):
            others = " or ".join(f"{c.qualified} ({origin(c.distribution, c.version)})" for c in rivals)
            meant = f"{role} '{use.value}' means the built-in {node.component.qualified}"
            self.notes.append(f"{meant}; to have the other, write {others}")
        return None

    def _component(self, role: str, use: Node, path: str) -> Component:
        """The component that is named, by a former name, too; raises UnknownComponent."""
        try:
            return self.catalogue.find(role, use.value)
        except UnknownComponent:
            if (entry := renamed_component(role, use.value)) is None:
                raise
            component = self.catalogue.find(role, f"{use.value[: use.value.rfind('/') + 1]}{entry.name}")
            self._warn(use, f"{path}: {role} '{use.value}' {entry.why}")
            use.value = use.text = entry.name
            return component

    def _warn(self, node: Node, text: str) -> None:
        """Note what is read, and will not be for ever, with its line."""
        self.notes.append(self.problems.problem(node.line, f"warning: {text}").located)

    def _rename(self, node: Node, path: str) -> None:
        """Give keys their names of today."""
        component = node.component
        if component is not None and not component.built_in:
            return
        for former, entry in renamed_keys(component.role if component else path, component.name if component else "").items():
            if former not in node.value:
                continue
            old, new = node.value[former], node.value.get(entry.name)
            self.references.former[join(path, former)] = entry.name
            if new is not None and (new.line == COMMAND_LINE) == (old.line == COMMAND_LINE):
                text = f"'{former}' {entry.why}; the recipe has both, remove one"
                self.problems.add(old.line, f"{join(path, former)}: {text}")
            else:
                self._warn(old, f"{join(path, former)}: '{former}' {entry.why}")
            kept = old if new is None or old.line == COMMAND_LINE else new
            node.value = {entry.name if key == former else key: kept if key == former else child
                          for key, child in node.value.items() if key != entry.name}  # fmt: skip

    def _fill_in(self, node: Node, settings: type, path: str, depth: int, within: Mapping[str, Any] = _NONE) -> None:
        """Fill in the defaults of absent keys, where `within` the component's, and find the components that go into keys."""
        self._rename(node, path)
        for key in keys(settings):
            role, there = key.notes.role, node.value.get(key.name)
            if there is not None and there.typed and there.typed.says_null and there.line == COMMAND_LINE and can_unset(key):
                there.typed.unset = True
                del node.value[key.name]
            if key.name not in node.value and not key.required:
                default = key.default_in(self.version, within)
                from_class = default is key.default  # which the settings class fills in by itself
                node.value[key.name] = node_of(default, node.line, default=role is None and from_class)
            child = node.value.get(key.name)
            if role is None or child is None or child.value is None:
                continue
            if depth == _DEEPEST_PART:
                text = f"components in components, more than {_DEEPEST_PART} deep; does one contain itself by default?"
                raise PluginError(f"{path}: {text}")
            self._find(child, role, join(path, key.name), depth + 1, key.notes.within or _NONE)

    # Second pass: values checked, settings made.

    def _choose(self, node: Node, path: str, slot: str) -> Chosen | None:
        """The component of a section with its settings; None if there is a problem.

        Args:
            path: of the section, for messages.
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
            each = {p: (node.value[p], f"{section}.{p}") for first in PARTS for p in node.value
                    if is_part(p) and p.partition(".")[0] == first}  # fmt: skip
        else:
            each = {p: (node, section) for p in PLAYERS if p != "critic" or "critic" in sections}
        chosen = {p: self._choose(child, path, f"{section}.{p}") for p, (child, path) in each.items()}
        return {p: c for p, c in chosen.items() if c is not None}

    def _list(self, node: Node, section: str) -> list[Chosen]:
        items = [(child, join(section, index)) for index, child in node.children()]
        return [chosen for child, path in items if (chosen := self._choose(child, path, path)) is not None]

    def _settings(self, node: Node, settings: type, path: str, slot: str, owner: str) -> Any:
        """An instance of a settings class with the values of a section; None if there is a problem."""
        if node.bad:
            return None
        known = {key.name: key for key in keys(settings)}
        values, sound = dict[str, Any](), True
        for name, child in node.value.items():
            if name == "use" and node.component is not None:
                continue
            if name not in known:
                of = node.component.role if node.component is not None else path
                close = hint(name, known, path=of or "the top", elsewhere=elsewhere(name))
                close = there_already(close, self.root.value, self.catalogue)
                listed = f" (keys: {', '.join(known) or 'none'})" if node.component is not None or not close else ""
                self.problems.add(child.line, f"unknown key {shown(name)} in {owner}{close}{listed}")
                sound = False
            elif not child.default:
                try:
                    values[name] = self._value(known[name], child, settings, join(path, name), join(slot, name))
                except Refused as refused:
                    sound = False
                    self.references.blame(child, *(f"{join(path, name)}: {text}" for text in refused.args))
        for key in known.values():
            if key.required and key.name not in node.value:
                doc = f" ({key.notes.doc})" if key.notes.doc else ""
                self.problems.add(node.line, f"missing key '{key.name}' in {owner}{doc}")
                sound = False
        if sound:
            try:
                return settings(**values)
            except SettingsError as error:
                for name, text in error.problems:
                    there = node.value.get(name)
                    at = node if there is None or there.default else there
                    self.references.blame(at, f"{join(path, name) if name else path}: {text}")
            except ValueError as error:
                self.problems.add(node.line, f"{path}: {error}")
            except Exception as error:
                raise PluginError(f"{node.component or owner} failed on its keys: {type(error).__name__}: {error}") from error
        return None

    def _value(self, key: Key, node: Node, settings: type, path: str, slot: str) -> Any:
        """The value of `node` for a key.

        Raises:
            Refused: with the problems that are not yet reported.
        """
        if node.bad:
            raise Refused
        role = key.notes.role
        if role is not None and node.value is None:
            if key.default is None:
                return None
            raise Refused(f"a {role} is needed here; to have the default one, leave the key out")
        if role is not None:
            if (chosen := self._choose(node, path, slot)) is None:
                raise Refused
            self.parts[slot] = chosen
            return chosen.settings
        if node.spoilt():
            raise Refused
        if troubles := no_yaml(node, key.type):
            self._report(node, *troubles)
            node.bad = True
            raise Refused
        value = convert(settings, key, node)
        if troubles := list(check(key, value)):
            raise Refused(*troubles)
        return value


def elsewhere(name: str) -> list[str]:
    """The keys of this name in the sections train, track and tune."""
    return [join(section, name) for section, cls in _PLAIN.items() if name in {key.name for key in keys(cls)}][:1]


def _parts(section: Node | None) -> dict[str, Node]:
    """The parts of an optimizer or schedule section, the players where one is for everything."""
    if section is None or not isinstance(section.value, dict):
        return {}
    return section.value if per_part(section.value) else dict.fromkeys(PLAYERS, section)
