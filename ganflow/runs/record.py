"""The record of a run, or of a sweep: run.json in its folder, which is read and written here and nowhere else."""

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

from ganflow.addresses import map_texts, without_secrets
from ganflow.errors import GanflowError
from ganflow.files import read_bytes, write_text
from ganflow.lock import locked
from ganflow.runs.ids import is_time
from ganflow.version import __version__

FILE = "run.json"
SCHEMA = "1.4"
"""Major and minor version of run.json; those before had none. Keys of newer minor versions are kept."""
HERE = "<runs>"
"""In run.json and tracking.json: the runs folder, wherever it is now."""
_VERBATIM = ("data", "then")  # what the user wrote, in which no path is replaced
_LOCK = ".run.json.lock"


class DamagedRecord(GanflowError):
    """run.json is missing, or not what was written: says which file, what is wrong, and what helps."""

    def __init__(self, path: Path, how: str) -> None:
        sweep = (path.parent / "trials.jsonl").exists()
        left = "its trials are whole runs" if sweep else "a new run can start from a checkpoint (train.start_from=FILE)"
        super().__init__(f"{path} {how}; restore it from a backup; without one, {left}")


class NewerRecord(DamagedRecord):
    """run.json of a schema that this version does not read: says which version has written it."""

    def __init__(self, path: Path, schema: str, versions: Any) -> None:
        wrote = versions.get("ganflow") if isinstance(versions, dict) else None
        who = f"ganflow {wrote[:20]}" if isinstance(wrote, str) and is_newer(wrote) else "a newer ganflow"
        why = f"in a form (schema {schema}) that this one, {__version__}, does not know"
        GanflowError.__init__(self, f"{path} was written by {who}, {why}; to read it: pip install --upgrade ganflow")


class Plugin(TypedDict):
    distribution: str
    version: str


class DataRecord(TypedDict):
    """The data of a run, without the data."""

    name: str
    size: int | None
    fingerprint: str
    fields: dict[str, list[int]]
    source: NotRequired[str | None]
    ranges: NotRequired[dict[str, list[float | None]]]
    kinds: NotRequired[dict[str, str]]
    classes: NotRequired[dict[str, list[str]]]
    frequencies: NotRequired[dict[str, list[float]]]


class Best(TypedDict):
    """The best score so far: of a run with its metric and round, of a sweep with the trial, the number of its
    run (of the first of several), and its configuration; `packed` is the score that it had before it was trained by itself."""

    score: float
    metric: NotRequired[str | None]
    error: NotRequired[float | None]
    round: NotRequired[int]
    trial: NotRequired[int]
    run: NotRequired[int]
    config: NotRequired[dict[str, Any]]
    trained: NotRequired[Literal["packed", "confirmed", "alone"]]
    packed: NotRequired[float]
    mean: NotRequired[float]
    sd: NotRequired[float]
    n: NotRequired[int]


class FrontTrial(TypedDict):
    """A trial of a Pareto front, with the number of its run (of the first of several) and what it is judged by."""

    trial: int
    run: int
    scores: dict[str, float]


class Values(TypedDict):
    """The searched values of a trial from a round on; `trial`: the one that it became a copy of there."""

    round: int
    time: float
    config: dict[str, Any]
    trial: NotRequired[int]


class OverSeeds(TypedDict):
    """Scores of a trial of several seeds, as metrics: mean, standard deviation ("…_sd") and number of runs ("n")."""

    time: float
    scores: dict[str, float]


class Compiled(TypedDict):
    mode: Literal["never", "step", "round"]
    why: str


class StartFrom(TypedDict):
    run: str
    checkpoint: str
    round: NotRequired[int]


class PassedOver(TypedDict):
    """A damaged checkpoint that a resumed run has put aside."""

    checkpoint: str
    why: str
    gone_on_from: int


class AlarmRecord(TypedDict):
    """A sign of ill health that lasted; `value` is missing where it is no finite number."""

    sign: str
    round: int
    text: str
    value: NotRequired[float]


class Amendment(TypedDict):
    """A change of a recipe after its run, or its sweep, was begun: lines as "tune.trials: 16 → 20"; of a run after `round`."""

    time: str
    changed: list[str]
    round: NotRequired[int]


class Ended(TypedDict):
    """End of a sweep before its last trial: "the sweep's budget of 8 hours is used up", and "tune.budget.hours=12"."""

    why: str
    more: str


class Git(TypedDict):
    commit: str
    dirty: NotRequired[bool | None]


class Tracking(TypedDict, total=False):
    """A folder's destination; `files` in it are sent, too, `parent` is the sweep's id, `changed` keys not at their default."""
    mlflow: bool | None
    asked: str | None
    uri: str | None
    experiment: str | None
    run_name: str | None
    images: bool | None
    log_model: bool | None
    register: str | None
    system_metrics: bool | None
    files: list[str] | None
    changed: list[str] | None
    parent: str | None


@dataclass(frozen=True)
class RunRecord:
    """The values of run.json with their types; those that are missing or null there have the default.

    Attributes:
        raw: everything as it is in the file, keys of newer versions included; paths are those of today.
        kind: "run", or "sweep" for a folder whose folders are trials.
        threads_to_build: of CPU computations while data and networks were built.
        then: recipes that are to follow, resolved.
        next: the folder of the run that follows.
        untracked: why trackers are fed no more.
        protocols: of the scores, by their names: see `ganflow.Metric.protocol`.
        goals: of the scores for which one is known, by their names: the first of each metric.
        seeds: of a sweep whose trials differ in `train.seed` alone.
        searched: of a sweep's trial: keys of the recipe in which the trials differ.
        copies, copied_at: pbt: how many times the trial became a copy, and of which round.
        values: pbt: the trial's searched values, from its beginning on and from each copy on.
        config: of a sweep's trial: the values of these keys with which it began.
        over_seeds: of a run of a trial of several seeds: the trial's scores, once all its runs are over.
        confirms: of a sweep's run: the packed trial that it trains again by itself.
        metric, mode, trials, over, address: a sweep's.
        objectives, front: of a sweep that is judged by several metrics: these with their modes, `metric` first; and the trials
            of its Pareto front so far, which has them in place of `best`.
        trial_seeds, trial_quantile: of a sweep whose trials are several runs each: their seeds, and the quantile of their scores
            by which a trial is judged, or None for their mean.
        ended: of a sweep whose budget ended it: why, and the change with which it goes on.
        amended: changes of the recipe after the run, or the sweep, was begun.
        seconds, gpu_seconds: that a sweep has used, over all its sessions.
    """

    raw: Mapping[str, Any] = field(default_factory=dict)
    schema: str = "1.0"
    kind: Literal["run", "sweep"] = "run"
    id: str = ""
    name: str = ""
    status: str = "unknown"
    created: str = ""
    round: int = 0
    rounds: int = 0
    error: str = ""
    seed: int | None = None
    recipe_version: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    plugins: dict[str, Plugin] = field(default_factory=dict)
    git: Git | None = None
    device: str = ""
    threads: int = 0
    threads_to_build: int = 0
    workers: int = 1
    precision: Literal["", "fp32", "bf16", "fp64"] = ""
    compile: Compiled | None = None
    data: DataRecord | None = None
    pid: int | None = None
    host: str = ""
    tracking: Tracking = field(default_factory=Tracking)
    best: Best | None = None
    start_from: StartFrom | None = None
    then: list[dict[str, Any]] = field(default_factory=list)
    next: str = ""
    damaged: list[PassedOver] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)
    alarms: list[AlarmRecord] = field(default_factory=list)
    protocols: dict[str, dict[str, Any]] = field(default_factory=dict)
    goals: dict[str, Literal["min", "max"]] = field(default_factory=dict)
    sweep: str = ""
    searched: list[str] = field(default_factory=list)
    copies: int = 0
    copied_at: int | None = None
    values: list[Values] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    over_seeds: OverSeeds | None = None
    confirms: int | None = None
    recipe: str = ""
    metric: str = ""
    mode: Literal["", "min", "max"] = ""
    objectives: dict[str, Literal["min", "max"]] = field(default_factory=dict)
    front: list[FrontTrial] = field(default_factory=list)
    trials: int | None = None
    over: int = 0
    address: str = ""
    ended: Ended | None = None
    amended: list[Amendment] = field(default_factory=list)
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    seeds: list[int] = field(default_factory=list)
    trial_seeds: list[int] = field(default_factory=list)
    trial_quantile: float | None = None

    @property
    def packed(self) -> bool:
        """The run's rounds were played together with other trials'."""
        return self.compile is not None and self.compile["why"].startswith("packed")


def read(folder: Path) -> RunRecord:
    """Read the record of a run's or a sweep's folder. Passwords in addresses, which earlier versions kept, are hidden.

    Raises:
        DamagedRecord: (a GanflowError) there is none, or it cannot be read, or is not what was written.
    """
    return _checked(folder / FILE, _load(folder))


def update(folder: Path, values: Mapping[str, Any]) -> None:
    """Change values of the record, which is made where there is none: one process at a time, so that nobody's are lost. Paths
    below the runs folder are kept as such, so that it can be moved.

    Raises:
        DamagedRecord: (a GanflowError) it is damaged, or a value does not have its type.
        OSError: it cannot be written.
    """
    with locked(folder / _LOCK, timeout=60):
        _write(folder, {**(_load(folder) if os.path.lexists(folder / FILE) else {}), **values})


def write_new(folder: Path, values: Mapping[str, Any]) -> None:
    """Write the record of a folder that nobody else knows yet; it needs no lock. Raises as `update`."""
    _write(folder, values)


def _write(folder: Path, values: Mapping[str, Any]) -> None:
    raw = {"schema": SCHEMA, **json.loads(json.dumps(values))}
    _checked(folder / FILE, raw)
    write_text(folder / FILE, json.dumps(_moved(folder, raw, portable), indent=2) + "\n")


def _load(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    try:
        raw = without_secrets(json.loads(read_bytes(path)))
    except FileNotFoundError:
        raise DamagedRecord(path, "is missing") from None
    except OSError as error:
        raise DamagedRecord(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not JSON
        raise DamagedRecord(path, f"is damaged ({str(error)[:200]})") from None
    if not isinstance(raw, dict):
        raise DamagedRecord(path, "is damaged (it is not a mapping)")
    return _moved(folder, raw, expanded)


def _moved(folder: Path, raw: dict[str, Any], change: Callable[[Any, Path], Any]) -> dict[str, Any]:
    runs = folder.parent if raw.get("kind") == "sweep" else folder.parent.parent
    return {key: value if key in _VERBATIM else change(value, runs) for key, value in raw.items()}


def is_newer(version: str) -> bool:
    """Return true if a version of ganflow's is later than this one's, by its numbers."""
    theirs, ours = ([int(n) for n in re.findall(r"\d{1,9}", text)[:3]] for text in (version, __version__))
    return theirs > ours


def _checked(path: Path, raw: dict[str, Any]) -> RunRecord:
    """Raises DamagedRecord: a value does not have its type, or a newer ganflow has written it."""
    version = raw.get("schema", "1.0")
    if isinstance(version, str) and version.partition(".")[0].isdecimal() and int(version.partition(".")[0]) > 1:
        raise NewerRecord(path, version[:10], raw.get("versions"))
    known = {key: value for key, value in raw.items() if key in _hints() and value is not None and value != {}}
    problem = next(filter(None, (mistyped(key, value, _hints()[key]) for key, value in known.items())), None)
    if problem:
        raise DamagedRecord(path, f"is damaged ({problem})")
    return RunRecord(raw=raw, **known)


@cache
def _hints() -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(RunRecord).items() if name != "raw"}


_MOST = {"threads": 1024, "threads_to_build": 1024, "workers": 2**16, "time": 2**37, "seconds": 2**37, "gpu_seconds": 2**37}
_MOST_OF_ALL = 2**63 - 1  # of a tensor's numbers, and of MLflow's
_hints_of = cache(get_type_hints)  # of nested mappings
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}


def mistyped(key: str, value: Any, hint: Any) -> str | None:
    """Say in which way a value, read from JSON, does not have its type; None where it has."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return None
    if origin is UnionType:
        found = [mistyped(key, value, each) for each in arguments]
        return None if None in found else found[0]
    if origin is Literal:
        return None if value in arguments else f"{key} is {_shown(value)}, not {' or '.join(map(repr, arguments))}"
    if origin in (list, tuple):
        if not isinstance(value, list):
            return f"{key} is {_shown(value)}, not a list"
        return next(filter(None, (mistyped(f"{key}[{i}]", item, arguments[0]) for i, item in enumerate(value))), None)
    if origin is dict or is_typeddict(hint):
        if not isinstance(value, dict):
            return f"{key} is {_shown(value)}, not a mapping"
        missing = sorted(getattr(hint, "__required_keys__", frozenset()) - value.keys())
        if missing:
            return f"{key}.{missing[0]} is missing"
        types = _hints_of(hint) if is_typeddict(hint) else dict.fromkeys(value, arguments[1])
        return next(filter(None, (mistyped(f"{key}.{n}", value[n], types[n]) for n in value if n in types)), None)
    if not isinstance(value, (int, float) if hint is float else hint) or (isinstance(value, bool) and hint is not bool):
        return f"{key} is {_shown(value)}, not {_WORDS[hint]}"
    if hint is int and key != "seed" and value < (key == "workers"):
        return f"{key} is {_shown(value)}, which is too small"
    if hint in (int, float) and abs(value) > _MOST.get(key.rpartition(".")[2], _MOST_OF_ALL if hint is int else math.inf):
        return f"{key} is {_shown(value)}, which is too large"
    if key == "created" and not is_time(str(value)):
        return f"{key} is {_shown(value)}, not a time"
    return None


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def portable(value: Any, runs: Path) -> Any:
    """Plain data in which every path below the runs folder begins with HERE."""
    if len(runs.parts) < 2:  # the root of all
        return value
    below = re.compile(rf"(?<![\w.-]){re.escape(str(runs))}(?=$|[{re.escape(os.sep)}\s;,:)'\"])")
    return map_texts(value, lambda text: below.sub(lambda _: HERE, text))


def expanded(value: Any, runs: Path) -> Any:
    """Inverse of `portable`, for the runs folder where it is now."""
    return map_texts(value, lambda text: text.replace(HERE, str(runs)))
