"""`ganflow runs`: what was trained, what trains, and all that is known of one run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.cli.drawing import shown_path
from ganflow.cli.known import age, known_sweeps, last_entries, of_trials, say_damaged
from ganflow.contract.loss import SUMS
from ganflow.printing import say, say_json

if TYPE_CHECKING:
    from ganflow.runs.folders import RunFolder

HELP = "list the runs, or show one"
COLUMNS = ("name", "id", "status", "round", "age", "last", "score")
LEFT_OUT_FIRST = ("age", "last", "score", "name")  # on a narrow terminal


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=["show"], help="'show RUN' tells all about one run")
    parser.add_argument("run", nargs="?", metavar="RUN", help="a path, an id or its beginning, a name, or 'latest'")
    parser.add_argument("--all", action="store_true", help="with every trial of every sweep (ganflow sweeps show N: of one)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--runs", default="runs", metavar="DIR", type=Path, help="where runs are kept (default: runs)")


def main(args: argparse.Namespace) -> int:

    from ganflow.errors import GanflowError
    from ganflow.runs.folders import find_run

    if args.action:
        if not args.run:
            raise GanflowError("show which run? e.g. ganflow runs show latest (ganflow runs lists them)")
        facts = known(find_run(args.run, args.runs), everything=True)
        if args.json:
            say_json(facts)
        else:
            say(*described(facts))
        return 0
    runs = everything(args.runs, args.all)
    if args.json:
        say_json(runs)
    elif runs:
        say(*table(runs))
        say_damaged(runs)
    else:
        say(f"no runs in {args.runs}/ yet; start one with: ganflow run wgan")
    return 0


def everything(root: Path, trials: bool) -> list[dict[str, Any]]:
    """What is known of every run, oldest first. A sweep is one line, which stands for its trials unless they are asked for."""
    from ganflow.runs.folders import all_runs

    if trials:
        return [known(folder) for folder in all_runs(root)]
    sweeps = {sweep["folder"]: sweep for sweep in known_sweeps(root)}
    own = [known(folder) for folder in all_runs(root) if str(folder.path.parent) not in sweeps]
    return sorted([*own, *sweeps.values()], key=lambda run: str(run["id"]))


def known(folder: RunFolder, everything: bool = False) -> dict[str, Any]:
    """What the folder tells of its run; with `everything` also what it was made of, and its files."""
    from ganflow.errors import GanflowError
    from ganflow.runs.folders import check, status

    try:
        check(folder)
        record = folder.read()
    except GanflowError as error:
        if everything:
            raise
        damaged = {"status": "damaged", "folder": str(folder.path), "error": str(error)}
        return {"name": folder.name, "id": folder.id, **damaged}
    report, evaluation = last_entries(folder)
    best: Mapping[str, Any] = record.best or {}
    scores = evaluation.values if evaluation else {}
    facts: dict[str, Any] = {
        "name": folder.name,
        "id": folder.id,
        "status": status(folder, record),
        "round": max(record.round, report.round if report else 0),
        "rounds": record.rounds or None,
        "created": record.created or None,
        "folder": str(folder.path),
        "last": report.values if report else {},
        "scores": scores,
        "best": {"metric": next(iter(scores), None), **best} if best else {},
    }
    if everything:
        facts["recipe"] = str(folder.recipe)
        facts["about"] = {key: value for key, value in record.raw.items() if key not in facts}
        facts["files"] = {
            "checkpoints": sorted(str(p) for p in folder.checkpoints.glob("*.safetensors")),
            "samples": sorted(str(p) for p in folder.samples.glob("*.png")),
            "plots": sorted(str(p) for p in folder.plots.glob("*.png")),
        }
    return facts



def table(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Columns as wide as they need to be; on a narrow terminal with fewer of them, so that no line breaks."""
    import shutil
    import sys

    rows = [dict(zip(COLUMNS, COLUMNS, strict=True)), *map(cells, runs)]
    columns = {c: max(len(row[c]) for row in rows) for c in COLUMNS if any(row[c] for row in rows[1:])}
    if sys.stdout.isatty():
        for left_out in LEFT_OUT_FIRST:
            if sum(columns.values()) + 2 * len(columns) - 2 > shutil.get_terminal_size().columns:
                columns.pop(left_out, None)
    for row in rows:
        yield "  ".join(f"{row[column]:{width}}" for column, width in columns.items()).rstrip()


def cells(run: dict[str, Any]) -> dict[str, str]:
    """One line of the table."""
    last = main_value(run.get("last", {}))
    best, scores = run.get("best") or {}, run.get("scores") or {}
    score = ""
    if best.get("metric"):
        score = value(best["metric"], best["score"])
    elif scores:
        score = value(*next(iter(scores.items())))
    return {
        "name": run["name"],
        "id": run["id"],
        "status": run["status"],
        "round": f"{run.get('round', '?')}/{run.get('rounds') or '?'}" if "trials" not in run else f"{of_trials(run)} trials",
        "age": age(run.get("created")),
        "last": value(*last) if last else "",
        "score": score,
    }



def main_value(values: dict[str, float]) -> tuple[str, float] | None:
    """The number that tells most of how a run goes: what the loss estimates, else the generator's first term."""
    estimates = [name for name in values if "/" not in name and name not in ("rounds_per_second", *SUMS)]
    terms = [name for name in values if name.startswith("generator/")]
    return next(((name, values[name]) for name in (*estimates, *terms)), None)


def value(name: str, number: float) -> str:
    return f"{name} {number:.4g}"



def described(run: dict[str, Any]) -> Iterator[str]:
    """All about one run, line by line."""
    def row(name: str, text: object) -> str:
        return f"  {name:12}{text}"

    yield f"{run['name']}  {run['id']}  {run['status']}"
    yield row("folder", shown_path(Path(run["folder"])))
    about = run["about"]
    yield row("recipe", shown_path(Path(run["recipe"])))
    yield row("round", f"{run['round']} of {run['rounds'] or '?'}")
    if run["created"]:
        yield row("created", f"{run['created']}, {age(run['created'])} ago")
    if about.get("error"):
        yield row("error", about["error"])
    if run["status"] in ("interrupted", "killed"):
        yield row("go on", f"ganflow run --resume {run['id']}")
    for name in ("seed", "device", "threads", "pid", "host"):
        if about.get(name) is not None:
            yield row(name, about[name])
    if data := about.get("data"):
        classes = {name: f"of {len(names)} classes" for name, names in data.get("classes", {}).items()}
        shapes = ", ".join(f"{name} {classes.get(name, tuple(shape))}" for name, shape in data.get("fields", {}).items())
        yield row("data", f"{data.get('name')}: {data.get('size')} examples, {shapes}, fingerprint {data.get('fingerprint')}")
    if compiled := about.get("compile"):
        yield row("compiled", f"{compiled.get('mode')}: {compiled.get('why')}")
    if versions := about.get("versions"):
        yield row("versions", ", ".join(f"{name} {version}" for name, version in versions.items()))
    origins: dict[str, list[str]] = {}
    for name, plugin in (about.get("plugins") or {}).items():
        origins.setdefault(f"{plugin.get('distribution')} {plugin.get('version')}", []).append(name)
    for origin, names in origins.items():
        yield row("plugins", f"{', '.join(names)} (from {origin})")
    if git := about.get("git"):
        changes = {None: " (changes since are not known)", True: " with changes"}.get(git.get("dirty"), "")
        yield row("git", f"{git.get('commit')}{changes}")
    if run["last"]:
        yield row("last", "  ".join(value(*pair) for pair in run["last"].items()))
    if run["scores"]:
        yield row("metrics", "  ".join(value(*pair) for pair in run["scores"].items()))
    if best := run["best"]:
        yield row("best", f"{value(best['metric'] or 'score', best['score'])} in round {best.get('round', '?')}")
    for kind, files in run["files"].items():
        if files:
            newest = Path(files[-1]).name
            yield row(kind, f"{len(files)} in {shown_path(Path(files[-1]).parent)}/, newest {newest}")
