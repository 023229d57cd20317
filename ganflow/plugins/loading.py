"""Installed plugins, from entry points to the catalogue, and whose code an exception came from.

Every plugin is loaded by itself: a broken one is reported and hurts no other.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple, get_type_hints

from ganflow.contract.hooks import BUILDERS, CONTRACT, EVENTS, ROLES, Hook, arguments_of, hooks_of, options_of
from ganflow.contract.settings import is_settings, keys
from ganflow.errors import Frame, GanflowError, PluginError, did_you_mean, innermost, origin
from ganflow.installed import about, entry_points, kept_off_stdout, unreadable
from ganflow.machine import broken
from ganflow.plugins.catalogue import Catalogue, Component, Plugin

NAME = re.compile(r"[a-z][a-z0-9_]*")
HOOKS = BUILDERS + EVENTS


class Offers:
    """The `offer(role, name, SettingsClass)` that a plugin's `register` is called with.

    Raises:
        PluginError: (when called) the offer is refused; the text names plugin, distribution, version, role, name, and
            the hook and argument at fault. The plugin is broken then, also if its `register` swallows the error.
    """

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.components: list[Component] = []
        self.error: PluginError | None = None

    def __call__(self, role: str, name: str, settings: type) -> None:
        problem = next(self._problems(role, name, settings), None)
        if problem is not None:
            error = PluginError(f"{self.plugin}, {role} '{name}': {problem}")
            self.error = self.error or error
            raise error
        self.components.append(Component(role, name, self.plugin.name, settings, self.plugin.distribution, self.plugin.version))

    def _problems(self, role: Any, name: Any, settings: Any) -> Iterator[str]:
        if role not in ROLES:
            yield f"unknown role '{role}'{did_you_mean(str(role), ROLES)} (roles: {', '.join(ROLES)})"
        if not isinstance(name, str) or not NAME.fullmatch(name):
            yield "a component's name is lower-case letters, digits and underscores, and starts with a letter"
        if any((c.role, c.name) == (role, name) for c in self.components):
            yield "offered twice"
        yield from settings_problems(settings)
        yield from hook_problems(role, settings)


def settings_problems(settings: Any) -> Iterator[str]:
    """Problems that keep a class from being a settings class."""
    shown = settings.__qualname__ if isinstance(settings, type) else repr(settings)
    if not is_settings(settings):
        yield f"{shown} is not a settings class; mark it with @settings"
        return
    if "__dataclass_fields__" not in vars(settings):  # inherited: the class's keys would be passed over in silence
        yield f"{shown} inherits from a settings class but is none itself; mark it with @settings too"
    for base in settings.__mro__:
        for field, annotation in inspect.get_annotations(base).items():
            alone = type(base.__name__, (), {"__annotations__": {field: annotation}, "__module__": base.__module__})
            try:
                get_type_hints(alone)
            except Exception as error:  # NameError as a rule, but evaluating a string can raise anything
                remedy = "import it at module level, outside TYPE_CHECKING"
                yield f"the type of the key '{field}' cannot be resolved ({error}); {remedy}"
    if any(key.name == "use" for key in keys(settings)):
        yield "a key cannot be called 'use': a recipe names the component by that word"


def hook_problems(role: str, settings: type) -> Iterator[str]:
    """Problems of the hooks of a settings class that is offered for `role`."""
    hooks = hooks_of(settings)
    for name, times in Counter(hook.name for hook in hooks).items():
        if times > 1:
            yield f"hook '{name}' is implemented by {times} methods; keep one"
    for hook in hooks:
        yield from _mark_problems(hook)
        yield from _argument_problems(hook)
        if hook.name in BUILDERS and not hook.wrapper and hook.name != role and (role, hook.name) != ("modifier", "terms"):
            offer = f"offer it as a {hook.name} of its own"
            remedy = "mark it @hookimpl(wrapper=True) and yield" if role == "modifier" else offer
            yield f"hook '{hook.name}' would replace the recipe's {hook.name}; {remedy}"
    if role == "modifier" and not hooks:
        yield ("a modifier adds terms (@hookimpl), wraps a builder (@hookimpl(wrapper=True)) or listens to an event (@hookimpl); "
               "this one does none of it")  # fmt: skip
    if role != "modifier" and not any(hook.name == role and not hook.wrapper for hook in hooks):
        fault = "is not marked with @hookimpl" if callable(getattr(settings, role, None)) else "is missing"
        fault = "must build, not wrap" if any(hook.name == role for hook in hooks) else fault
        yield f"the builder {fault}: a {role} needs a method '{role}', marked with @hookimpl"


def _mark_problems(hook: Hook) -> Iterator[str]:
    """Unknown hooks, and options that do not mean here what they mean elsewhere."""
    if hook.name not in HOOKS:
        yield f"there is no hook '{hook.name}'{did_you_mean(hook.name, HOOKS)} (hooks: {', '.join(HOOKS)})"
    if hook.options.get("hookwrapper"):
        yield f"hook '{hook.name}': hookwrapper=True is the old style; use wrapper=True and return what `yield` gave"
    if hook.options.get("tryfirst") or hook.options.get("trylast"):
        yield f"hook '{hook.name}': the recipe gives the order of modifiers; drop tryfirst and trylast"
    yields = inspect.isgeneratorfunction(inspect.unwrap(hook.function))
    if hook.wrapper and hook.name in EVENTS:
        yield f"hook '{hook.name}' is an event, which cannot be wrapped; drop wrapper=True"
    elif hook.wrapper and not yields:
        yield f"hook '{hook.name}' is marked wrapper=True but does not yield: `made = yield` gives what it wraps"
    elif yields and not hook.wrapper:
        yield f"hook '{hook.name}' yields but is not marked @hookimpl(wrapper=True)"


def _argument_problems(hook: Hook) -> Iterator[str]:
    """Arguments that the hook does not have, or that pluggy would leave out without a word."""
    if hook.name not in HOOKS:
        return
    known, parameters = arguments_of(hook.name), hook.parameters
    allowed = f"(it can take: {', '.join(known) or 'no argument'})"
    if hook.bound and (not parameters or parameters[0].name in known):
        yield f"hook '{hook.name}' lacks self as its first argument"
    for parameter in parameters[hook.bound :]:
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            yield f"hook '{hook.name}': argument '{parameter}' must be a plain one {allowed}"
        elif parameter.name not in known:
            yield f"hook '{hook.name}' has no argument '{parameter.name}'{did_you_mean(parameter.name, known)} {allowed}"
        elif parameter.default is not parameter.empty:
            yield f"hook '{hook.name}': argument '{parameter.name}' has a default, which could hide the real value; drop it"


GROUP = "ganflow"
_FAILURES = (Exception, SystemExit)  # what a plugin's code may raise; Ctrl-C is not its fault
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@functools.cache
def load_catalogue() -> Catalogue:
    """Every plugin of the entry-point group "ganflow", by name. Loaded once per process; `load_catalogue.cache_clear()`."""
    known = functools.cache(about)
    found = [Plugin(point.name, point.value, *known(point.dist)) for point in entry_points(GROUP)]
    # An editable install can be seen twice.
    once = {(p.name, re.sub(r"[-_.]+", "-", p.distribution).lower(), p.module): p for p in reversed(found)}
    claims: dict[str, list[Plugin]] = {}
    for plugin in sorted(once.values(), key=lambda p: (p.name, p.distribution, p.version, p.module)):
        claims.setdefault(plugin.name, []).append(plugin)
    why = "its entry points cannot be read, and whether it has plugins is not known"
    hidden = [Plugin(name, "", name, "", f"{name}: {why}: {text}; install it again") for name, text in unreadable(GROUP).items()]
    return Catalogue([*(plugin for claimed in claims.values() for plugin in _claimed(claimed)), *hidden])


def _claimed(claims: list[Plugin]) -> list[Plugin]:
    """The plugin of a name, loaded or with its error; a built-in one is loaded whichever others claim its name."""
    built_in = [p for p in claims if p.built_in]
    why = "is not loaded: the name is that of a plugin that comes with ganflow; another name is needed"
    others = [p for p in claims if p not in built_in] if built_in else []
    return [_load(built_in or claims), *(replace(p, module="", error=f"{p} {why}") for p in others)]


def _load(claims: list[Plugin]) -> Plugin:
    plugin, *others = claims
    if others:
        claimants = " and ".join(f"{origin(p.distribution, p.version)} (module {p.module})" for p in claims)
        error = f"plugin '{plugin.name}' is loaded from neither, for both claim the name: {claimants}; uninstall one of them"
        return Plugin(plugin.name, "", "", "", error)
    if not _NAME.fullmatch(plugin.name):
        return replace(plugin, error=f"{plugin}: a plugin's name is lower-case letters, digits, _ and -")
    if not _MODULE.fullmatch(plugin.module):
        return replace(plugin, module="", error=f"{plugin}: its entry point must name a module, not '{plugin.module}'")
    try:
        with kept_off_stdout():
            module = importlib.import_module(plugin.module)
    except _FAILURES as error:
        return replace(plugin, error=f"{plugin} cannot be imported: {_sentence(error, plugin.module)}")
    return load_module(module, plugin.name, plugin.distribution, plugin.version)


def load_module(module: ModuleType, name: str, distribution: str = "", version: str = "") -> Plugin:
    """Ask an imported module what it offers. Never raises for the module's faults: they are the plugin's `error`."""
    doc = (module.__doc__ or "").strip().partition("\n")[0]
    plugin = Plugin(name, module.__name__, distribution, version, doc=doc)
    offers = Offers(plugin)
    try:
        if trouble := _form(module):
            return replace(plugin, error=f"{plugin}: {trouble}")
        with kept_off_stdout():
            module.register(offers)
    except _FAILURES as error:
        if not offers.error:
            return replace(plugin, error=f"{plugin}: register failed: {_sentence(error, module.__name__)}")
    return replace(plugin, error=str(offers.error)) if offers.error else replace(plugin, offers=tuple(offers.components))


def _form(module: ModuleType) -> str | None:
    """The problem that keeps a module from being a plugin."""
    contract = getattr(module, "GANFLOW_CONTRACT", 1)
    if contract != CONTRACT:
        if not isinstance(contract, int):
            return f"its GANFLOW_CONTRACT is {contract!r}; it must be a number: GANFLOW_CONTRACT = {CONTRACT}"
        older = contract < CONTRACT
        fit = "docs/porting.md says how to port it" if older else "install versions of the two that fit"
        return f"it was written for version {contract} of the plugin contract, and this ganflow has version {CONTRACT}; {fit}"
    for name, value in vars(module).items():
        if name != "register" and callable(value) and options_of(module, name) is not None:
            return f"a module's only hook is 'register', not '{name}'{did_you_mean(name, ['register'])}"
    register = getattr(module, "register", None)
    options = options_of(module, "register")
    if options is None:
        fault = "is not marked with @hookimpl" if callable(register) else "is missing"
        return f"the function 'register(offer)' {fault} in the module {module.__name__}"
    if [p.name for p in Hook("register", "register", register, options).parameters] != ["offer"]:  # type: ignore[arg-type]
        return "'register' takes one argument, 'offer'"
    return None


def _sentence(error: BaseException, module: str) -> str:
    """An exception in one line, with the plugin's line that led to it."""
    top = module.partition(".")[0]
    found = innermost(error, lambda name: name.partition(".")[0] == top)
    where, text = f" ({found.file}:{found.line})" if found else "", str(error)
    if isinstance(error, SyntaxError) and error.filename:  # whose text has the file's name alone, without its folder
        where, text = f" ({error.filename}:{error.lineno})", error.msg
    return f"{type(error).__name__}: {' '.join(text.split())}{where}"


class Culprit(NamedTuple):
    """The plugin whose code raised an error, and the frame of that code."""

    plugin: Plugin
    frame: Frame

    @property
    def line(self) -> str:
        """The line that it was raised from, "FILE:LINE"."""
        return f"{self.frame.file}:{self.frame.line}"


def blame(error: BaseException, catalogue: Catalogue | None = None) -> Plugin | None:
    """Find the plugin whose code raised `error`, and note it on the error (once)."""
    if (found := culprit(error, catalogue)) is None:
        return None
    _note(error, found.plugin)
    return found.plugin


def _note(error: BaseException, plugin: Plugin) -> None:
    note = f"raised in {plugin}"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def culprit(error: BaseException, catalogue: Catalogue | None = None) -> Culprit | None:
    """The plugin whose code raised `error`, and where.

    The innermost frame that belongs to a plugin decides; where no frame does, those of the error's cause, and so on.

    Args:
        catalogue: of the plugins to consider, all installed ones by default.
    """
    if catalogue is None:
        catalogue = load_catalogue()
    seen: list[BaseException] = []
    raised: BaseException | None = error
    while raised is not None and raised not in seen:
        frame = innermost(raised, lambda name: catalogue.by_module(name) is not None)
        if frame and (plugin := catalogue.by_module(frame.module)):
            return Culprit(plugin, frame)
        seen.append(raised)
        raised = raised.__cause__
    return None


def plugins_fault(error: Exception | SystemExit, when: str, where: str) -> PluginError | None:
    """The sentence for an exception in a plugin's code; None where it is nobody's, the machine's (too little memory, a disk
    or mount that fails) or one sentence already."""
    import torch  # in here: the catalogue is read without it

    if isinstance(error, (GanflowError, MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error):
        return None
    found = None if ended_from_outside(error) or broken(error) else culprit(error)
    if found is None:
        return None
    _note(error, found.plugin)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return PluginError(f"{found.plugin} failed {when}: {text} ({found.line}); {where}")


def ended_from_outside(error: BaseException) -> bool:
    """Return whether a process of Ray's was asked to end (SIGTERM: by a batch system, or because the node is stopped). Ray raises
    SystemExit then, wherever the code is at that moment, with a text of its own."""
    return isinstance(error, SystemExit) and hasattr(error, "ray_terminate_msg")
