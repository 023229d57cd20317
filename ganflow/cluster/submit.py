"""A sweep as a job of another cluster: recipe and plugins go there, its output comes back."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import re
import shlex
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from ganflow import child, printing
from ganflow.addresses import is_http
from ganflow.cluster import compat
from ganflow.cluster.address import TOKENS, Address
from ganflow.contract.settings import keys
from ganflow.errors import GanflowError
from ganflow.scratch import scratch_folder
from ganflow.tracking.destination import check_written, known, tracking_uri, typed

if TYPE_CHECKING:
    from ganflow.recipe import Recipe

GRACE = 120
"""Seconds that a stopped job has to keep its trials' checkpoints; Ray's default, 3, is too little."""
PATIENCE = 60
"""Seconds for which a cluster that no longer answers is asked again."""
RECIPE = "recipe.yaml"
OVERRIDING = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # in Ray they win over the address in the call
_TALKATIVE = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk", "ray._private.runtime_env.packaging")
_OLDEST = (2, 50)
_LEFT_OUT = {"__pycache__", ".git", ".DS_Store", ".gitignore", ".rayignore"}  # Ray would obey the last two
_METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def distributions(recipe: Recipe) -> list[str]:
    """ganflow, and what the components come from that the recipe names, or that its space may choose."""
    from ganflow.plugins import load_catalogue

    catalogue = load_catalogue()
    named = [c.component for c in recipe.chosen()]
    for word in _words(recipe.tune.space) if recipe.tune else []:
        named += [c for c in catalogue.components() if word in (c.qualified, catalogue.shortest(c))]
    return list(dict.fromkeys(["ganflow", *(c.distribution for c in named if c.distribution)]))


def _words(value: Any) -> Iterable[str]:
    """Every string in plain data, the keys of its mappings left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _words(item)


def copy_distributions(names: Iterable[str], folder: Path) -> None:
    """Copy the modules of installed distributions to a folder that is to be on a search path, with metadata and entry points.

    Raises:
        GanflowError: one is not installed, or its files are not found.
    """
    for name in dict.fromkeys(names):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            raise GanflowError(f"{name} cannot be sent to the cluster: it is not installed as a package here") from None
        files = dict(_from_source(found) if _source(found) is not None or found.files is None else _installed(found))
        if not any(path.endswith((".py", ".so", ".pyd")) for path in files):
            files |= _from_source(found)
        if not files:
            raise GanflowError(f"{name} cannot be sent to the cluster: none of its modules are found here")
        stem = re.sub(r"[-.]", "_", found.metadata["Name"])
        info = f"{stem}-{found.version.replace('-', '_')}.dist-info"
        files[f"{info}/METADATA"] = _METADATA.format(name=found.metadata["Name"], version=found.version).encode()
        files[f"{info}/entry_points.txt"] = (found.read_text("entry_points.txt") or "").encode()
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)


def _source(found: Distribution) -> Path | None:
    """The folder of an editable install."""
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        return None
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(unquote(urlsplit(origin["url"]).path)))


def _installed(found: Distribution) -> Iterator[tuple[str, bytes]]:
    """The files that the installer noted, those beside the packages left out (commands, headers)."""
    for path in found.files or []:
        real = Path(str(path.locate()))
        beside = ".." in path.parts or path.is_absolute()
        if not beside and not path.parts[0].endswith((".dist-info", ".egg-info", ".pth")) and _belongs(real):
            yield path.as_posix(), real.read_bytes()


def _from_source(found: Distribution) -> Iterator[tuple[str, bytes]]:
    """The top-level packages and modules that a distribution names, or that were loaded from its folder."""
    names = {point.value.partition(":")[0].partition(".")[0].strip() for point in found.entry_points}
    names |= set((found.read_text("top_level.txt") or "").split())
    source = _source(found)
    if source is not None:
        loaded = [(name, Path(getattr(module, "__file__", None) or "/")) for name, module in list(sys.modules.items())]
        local = [name for name, file in loaded if file.is_relative_to(source) and "site-packages" not in file.parts]
        names |= {name.partition(".")[0] for name in local}
    for name in sorted(names - {"__main__"}):
        spec = importlib.util.find_spec(name)
        if spec is None:
            continue
        for root in map(Path, spec.submodule_search_locations or []):
            for file in sorted(root.rglob("*")):
                if _belongs(file):
                    yield f"{name}/{file.relative_to(root).as_posix()}", file.read_bytes()
        if not spec.submodule_search_locations and spec.origin and Path(spec.origin).is_file():
            yield Path(spec.origin).name, Path(spec.origin).read_bytes()


def _belongs(file: Path) -> bool:
    return file.is_file() and file.suffix not in (".pyc", ".pyo") and not _LEFT_OUT & set(file.parts)


def submit(
    address: Address,
    recipe: Recipe | None,
    runs: str | Path,
    *,
    name: str | None = None,
    resume: str | None = None,
    more: Sequence[str] = (),
    quiet: bool = False,
    entrypoint: Sequence[str] | None = None,
    say: Callable[[str], None] = printing.say,
) -> int:
    """Run a sweep as a job and follow it. Ctrl-C ends the following, not the job.

    Args:
        address: of the cluster's dashboard.
        recipe: of a new sweep.
        runs: the folder for runs as the cluster's nodes see it, an absolute path on storage that all of them mount.
        name: of a new sweep, if it is to have one.
        resume: the name of a sweep to go on with; there is no recipe then.
        more: further arguments of `ganflow tune`.
        entrypoint: another command.
        say: prints what is said besides the job's output.

    Returns:
        The job's exit code; 130 after Ctrl-C.

    Raises:
        GanflowError: nobody answers (within 5 seconds), the token is wrong, or there is no such folder as `runs` must be.
    """
    check_job(address, recipe, runs)
    options = ["--resume", resume] if resume else [RECIPE, *(["--name", name] if name else [])]
    options += [*more, "--address", "auto", "--runs", str(runs), *(["-q"] if quiet else [])]
    command = ["python", "-P", "-m", "ganflow", "tune", *options]
    for note in _only_here(recipe) if recipe else []:
        say(note)
    with scratch_folder("job-") as scratch, child.applied(dict.fromkeys(OVERRIDING)):
        from ray.job_submission import JobSubmissionClient

        for logger in _TALKATIVE:
            logging.getLogger(logger).setLevel(logging.WARNING)
        environment = runtime_env(recipe, Path(scratch))
        client = JobSubmissionClient(address.text)
        try:
            job = client.submit_job(entrypoint=shlex.join(entrypoint or command), runtime_env=environment)
        except Exception as error:
            raise GanflowError(f"{address} does not take the job: {_gist(str(error))}") from error
    say(f"{job} runs on {address}")
    return follow(client, job, address.text, say)


def check_job(address: Address, recipe: Recipe | None, runs: str | Path) -> None:
    """Check what can be found out before a job is sent.

    Raises:
        GanflowError: as `submit`.
    """
    if not Path(runs).is_absolute():
        raise GanflowError(
            f"a job needs the folder for its runs as the cluster's nodes see it: --runs /an/absolute/path on storage that all of "
            f"them mount, not {str(runs)!r}"
        )
    if recipe and recipe.track.mlflow:
        check_written(recipe)
    check_dashboard(address.text)


def runtime_env(recipe: Recipe | None, folder: Path) -> dict[str, Any]:
    """Runtime environment of a job. Its working folder, which is on the search path of the job and of all workers, holds the
    recipe, ganflow, and the plugins of the recipe's components (all plugins, where there is no recipe).

    Args:
        folder: an empty one, to be filled.
    """
    from ganflow.plugins import load_catalogue

    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(GRACE)}
    if recipe is None:
        names = ["ganflow", *(plugin.distribution for plugin in load_catalogue().plugins if plugin.distribution)]
    else:
        names = distributions(recipe)
        (folder / RECIPE).write_text(recipe.to_yaml())
        uri = tracking_uri(recipe)
        if uri and is_http(uri) and not _is_here(uri) and (typed(recipe) or known(uri)):  # as the user's, with no other's rights
            variables["MLFLOW_TRACKING_URI"] = uri
    copy_distributions(names, folder)
    return {"working_dir": str(folder), "env_vars": variables}


def follow(client: Any, job: str, address: str, say: Callable[[str], None] = printing.say) -> int:
    """Print a job's output as it comes, until it is over. Ctrl-C ends only that.

    Returns:
        The job's exit code; 130 after Ctrl-C.
    """
    at, silent, shown = f"--address {address}", 0.0, 0
    how = f"follow it with: ray job logs -f {job} {at}; end it with: ray job stop {job} {at}"

    async def tail() -> None:
        nonlocal shown
        passed = 0
        async for text in client.tail_job_logs(job):
            new = text[max(0, shown - passed) :]  # a connection that was made again begins at the beginning
            passed += len(text)
            shown = max(shown, passed)
            printing.say_text(new)

    try:
        while True:
            with suppress(Exception):  # the connection broke: it is made again
                asyncio.run(tail())
            try:
                info = client.get_job_info(job)
                if info.status.is_terminal():
                    break
                silent = 0.0
            except (RuntimeError, OSError):
                silent = silent or time.monotonic()
                if time.monotonic() > silent + PATIENCE:
                    raise GanflowError(f"{address} no longer answers; perhaps {job} goes on: {how}") from None
            time.sleep(1)
    except KeyboardInterrupt:
        say(f"\n{job} goes on; {how}")
        return 130
    if info.status == "SUCCEEDED":
        return 0
    if info.status == "STOPPED":
        say(f"{job} was stopped")
        return info.driver_exit_code or 143
    if not shown:  # it did not begin: its own output cannot tell why
        say(f"{job} failed: {_gist(info.message or 'no reason given')}")
    return info.driver_exit_code or 1


def check_dashboard(url: str, timeout: float = 4.0) -> str:
    """The version of Ray that runs behind a dashboard.

    Raises:
        GanflowError: nobody answers, it is not Ray's, it wants another token, or it is too old.
    """
    token = compat.wants_token()
    if token and not compat.has_token():
        raise GanflowError(f"RAY_AUTH_MODE is 'token', and there is no token; set {TOKENS}")
    headers = compat.token_headers() if token else {}
    wrong = f"what answers at {url} is not Ray's dashboard"
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/api/version", headers=headers), timeout=timeout) as answer:
            version = str(json.loads(answer.read(100_000))["ray_version"])
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in (401, 403):
            raise GanflowError(f"{wrong} (HTTP {error.code}); is it the right port?") from None
        asks = "does not accept the token; set the cluster's own in" if token else "asks for a token; set RAY_AUTH_MODE=token and"
        raise GanflowError(f"{url} {asks} {TOKENS}") from None
    except (ValueError, KeyError, TypeError):
        raise GanflowError(f"{wrong}; is it the right port? (Ray's own is 8265)") from None
    except OSError as error:
        from ganflow.tracking.store import reason

        cause = error.reason if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError) else error
        raise GanflowError(f"no Ray dashboard answers at {url}: {reason(cause)}") from None
    except Exception as error:  # http.client's: what answers does not speak HTTP
        raise GanflowError(f"{wrong} ({type(error).__name__}); right port?") from None
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if found < _OLDEST:
        raise GanflowError(f"{url} runs Ray {version}; ganflow needs {'.'.join(map(str, _OLDEST))} or newer")
    return version


def _is_here(uri: str) -> bool:
    return urlsplit(uri).hostname in ("localhost", "127.0.0.1", "::1")


def _only_here(recipe: Recipe) -> Iterator[str]:
    """Notes on what in the recipe may mean something else on the cluster's nodes than on this machine."""
    for key in keys(recipe.data.component.settings):
        value = getattr(recipe.data.settings, key.name)
        if isinstance(value, str) and value and (key.name == "path" or os.sep in value):
            means = "a path of the cluster's" if Path(value).is_absolute() else "a relative path, which means nothing there"
            yield f"note: data.{key.name} is {value}: {means}; the nodes must find the data there"
    if recipe.train.start_from:
        yield f"note: train.start_from is {recipe.train.start_from}: the nodes look for that run in the job's own --runs"
    uri = tracking_uri(recipe)
    if uri and _is_here(uri):
        yield f"note: {uri} is this machine's MLflow, which the job does not reach by that address"


def _gist(text: str) -> str:
    """The lines of a long message that name the failure."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|failed|not found|no such", line, re.IGNORECASE)]
    return " … ".join(line[:300] for line in dict.fromkeys([*lines[:1], *(telling or lines)[-2:]]))
