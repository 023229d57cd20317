"""`ganflow runs`: a table of all runs, all that is known of one, or the end of some."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganflow.api.meant import found_run
from ganflow.cli.drawing import add_runs_argument, shown_path
from ganflow.cli.listing import age, all_sweeps_facts, columns, row, say_list, say_rows, trials_over
from ganflow.cli.removing import removed
from ganflow.errors import GanflowError
from ganflow.errors import origin as origin_of
from ganflow.evaluation.scores import Score, described_best, grouped
from ganflow.files import check_readable
from ganflow.printing import say_json
from ganflow.runs.damage import Left
from ganflow.runs.finding import all_runs
from ganflow.runs.folders import RunFolder, check, status
from ganflow.runs.journal import last_entries
from ganflow.runs.kept import absent, advice

BESIDES = ("rounds_per_second", "critic_loss", "generator_loss")  # reported in every run


def runs_arguments(parser: argparse.ArgumentParser) -> None:
    what = "'show RUN' tells all about one run; 'rm RUN…' deletes runs, and sweeps as a whole"
    parser.add_argument("action", nargs="?", choices=["show", "rm"], help=what)
    parser.add_argument("run", nargs="*", metavar="RUN", help="a path, an id or its beginning, a name, SWEEP/TRIAL, or 'latest'")
    parser.add_argument("--all", action="store_true", help="with every trial of every sweep (ganflow sweeps show N: of one)")
    parser.add_argument("--yes", action="store_true", help="with rm: delete without being asked")
    parser.add_argument("-v", "--verbose", action="store_true", help="with show: also what was chosen for speed, and why")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_runs_argument(parser)


def runs_command(args: argparse.Namespace) -> int:
    if not args.action:
        none = f"no runs in {args.runs}/ yet; start one with: ganflow run wgan"
        say_list(all_facts(args.runs, args.all), table, none, args.json)
        return 0
    if args.action == "rm":
        return removed(args.run, args.runs, args.yes, args.json)
    if len(args.run) > 1:
        raise GanflowError(f"show takes one run; leave out {args.run[1]}")
    if not args.run:
        raise GanflowError("show which run? e.g. ganflow runs show latest (ganflow runs lists them)")
    facts = run_facts(found_run(args.run[0], args.runs), full=True)
    if args.json:
        say_json(facts)
    else:
        say_rows(described(facts, args.verbose))
    return 0


def all_facts(root: Path, trials: bool) -> list[dict[str, Any]]:
    """Facts about every run, oldest first. A sweep is one line, which stands for its trials unless they are asked for. Folders in
    which nothing can be seen come first."""
    closed = list(_closed(root))
    if trials:
        return [*closed, *(run_facts(folder) for folder in all_runs(root))]
    sweeps = {sweep["folder"]: sweep for sweep in all_sweeps_facts(root)}
    alone = [run_facts(folder) for folder in all_runs(root) if str(folder.path.parent) not in sweeps]
    return [*closed, *sorted([*alone, *sweeps.values()], key=lambda run: str(run["id"]))]


def _closed(root: Path) -> Iterator[dict[str, Any]]:
    """Facts about the folders of runs, and of a recipe's runs, that cannot be read: their runs would seem not to be there."""
    for path in sorted((*root.glob("*"), *root.glob("*/*"))):
        try:
            check_readable(path)
        except GanflowError as error:
            within = path.parent == root
            name, id = (path.name, "") if within else (path.parent.name, path.name)
            yield {"name": name, "id": id, "status": "damaged", "folder": str(path.absolute()), "error": str(error)}


def run_facts(folder: RunFolder, full: bool = False) -> dict[str, Any]:
    """Facts about a run, from its folder; `full` adds what it was made of, and its files."""
    try:
        check(folder)
        record = folder.read()
    except GanflowError as error:
        if full:
            raise
        damaged = {"status": "damaged", "folder": str(folder.path), "error": error.in_shell}
        return {"name": folder.name, "id": folder.id, **damaged}
    left, fault = Left(), ""
    try:
        report, evaluation = last_entries(folder.journal, left)
        fault = left.text
    except GanflowError as error:  # it cannot be read
        report, evaluation, fault = None, None, error.in_shell
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
        "scored_in": evaluation.round if evaluation else None,
        "best": {"metric": next(iter(scores), None), **best} if best else {},
        "alarms": list(record.alarms),
    }
    if full:
        facts["recipe"] = str(folder.recipe)
        facts["about"] = {key: value for key, value in record.raw.items() if key not in facts}
        files = {"checkpoints": folder.checkpoints.glob("*.safetensors")}
        files |= {name: getattr(folder, name).glob("*.png") for name in ("samples", "plots")}
        facts |= {"journal": fault} if fault else {}
        facts["absent"] = absent(record)
        facts["files"] = {name: sorted(map(str, paths)) for name, paths in files.items()}
    return facts


def table(runs: list[dict[str, Any]]) -> Iterator[str]:
    """One line per run; a narrow terminal gets fewer columns."""
    return columns([cells(run) for run in runs], ("age", "last", "score", "name"))


def cells(run: dict[str, Any]) -> dict[str, str]:
    """One line of the table."""
    last, score = main_value(run.get("last", {})), next((value(*pair) for pair in run.get("scores", {}).items()), "")
    if (best := run.get("best") or {}).get("metric"):
        score = f"best {value(best['metric'], best['score'])}"
    done = f"{run.get('round', '?')}/{run.get('rounds') or '?'}"
    return {
        "name": run["name"],
        "id": run["id"],
        "status": run["status"],
        "alarms": signs(run.get("alarms", [])),
        "round": f"{trials_over(run)} trials" if "trials" in run else done,
        "age": age(run.get("created")),
        "last": value(*last) if last else "",
        "score": score,
    }


def signs(alarms: Sequence[Mapping[str, Any]]) -> str:
    """The signs of alarms, each once, with the seeds that had it where they are several seeds'."""
    of: dict[str, dict[str, None]] = {}
    for alarm in alarms:
        of.setdefault(alarm["sign"], {}).update({str(alarm["seed"]): None} if "seed" in alarm else {})
    seeds = {sign: f" (seed{'s' if len(some) > 1 else ''} {', '.join(some)})" if some else "" for sign, some in of.items()}
    return ", ".join(f"{sign}{some}" for sign, some in seeds.items())


def main_value(values: dict[str, float]) -> tuple[str, float] | None:
    """The number that tells most of how a run goes: the loss's estimate, else the generator's first term."""
    estimates = [name for name in values if "/" not in name and name not in BESIDES]
    terms = [name for name in values if name.startswith("generator/")]
    return next(((name, values[name]) for name in (*estimates, *terms)), None)


def value(name: str, number: float) -> str:
    return f"{name} {number:.4g}"


def described(run: dict[str, Any], verbose: bool) -> Iterator[str]:
    """All about one run, line by line; what was chosen for speed only where that is asked for."""
    yield f"{run['name']}  {run['id']}  {run['status']}"
    yield row("folder", shown_path(Path(run["folder"])))
    about = run["about"]
    yield row("recipe", shown_path(Path(run["recipe"])))
    yield row("round", f"{run['round']} of {run['rounds'] or '?'}")
    if run["created"]:
        yield row("created", f"{run['created']}, {age(run['created'])} ago")
    if about.get("error"):
        yield row("error", about["error"])
    if run.get("journal"):
        yield row("journal", run["journal"])
    for alarm in run["alarms"]:
        yield row("alarm", f"round {alarm['round']}: {alarm['text']}")
    for change in about.get("amended") or []:
        for line in change["changed"]:
            yield row("changed", f"after round {change.get('round', 0)}: {line}")
    if run["status"] in ("interrupted", "killed"):
        yield row("go on", f"ganflow run --resume {RunFolder(Path(run['folder'])).reference()}")
    for name in ("seed", "device", "threads", "pid", "host"):
        if about.get(name) is not None:
            yield row(name, about[name])
    if data := about.get("data"):
        classes = {name: f"of {len(names)} classes" for name, names in data.get("classes", {}).items()}
        shapes = ", ".join(f"{name} {classes.get(name, tuple(shape))}" for name, shape in data.get("fields", {}).items())
        yield row("data", f"{data.get('name')}: {data.get('size')} examples, {shapes}, fingerprint {data.get('fingerprint')}")
    if verbose and (compiled := about.get("compile")):
        yield row("compiled", f"{compiled.get('mode')}: {compiled.get('why')}")
    if versions := about.get("versions"):
        yield row("versions", ", ".join(f"{name} {version}" for name, version in versions.items()))
    origins: dict[str, list[str]] = {}
    for name, plugin in (about.get("plugins") or {}).items():
        origins.setdefault(f"{plugin.get('distribution')} {plugin.get('version')}", []).append(name)
    for origin, names in origins.items():
        yield row("plugins", f"{', '.join(names)} (from {origin})")
    if lost := run["absent"]:
        yield row("not here", f"{', '.join(origin_of(**plugin) for plugin in lost.values())}; {advice(lost)}")
    if git := about.get("git"):
        changes = {None: " (changes since are not known)", True: " with changes"}.get(git.get("dirty"), "")
        yield row("git", f"{git.get('commit')}{changes}")
    if run["last"]:
        yield row("last", "  ".join(value(*pair) for pair in run["last"].items()))
    if run["scores"]:
        yield row("metrics", "  ".join(map(str, grouped(run["scores"]))))
    if best := run["best"]:
        name, scores = best["metric"] or "score", {score.name: score for score in grouped(run["scores"])}
        last = scores.get(name) if best.get("round") != run["scored_in"] else None
        yield row("best", described_best(Score(name, best["score"], best.get("error")), best.get("round"), last))
    for name, files in run["files"].items():
        if files:
            newest = Path(files[-1])
            yield row(name, f"{len(files)} in {shown_path(newest.parent)}/, newest {newest.name}")
