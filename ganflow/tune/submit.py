"""A sweep as a job of another cluster: the recipe and the plugins go there, its output comes back."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shlex
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ganflow import printing
from ganflow.addresses import is_http
from ganflow.errors import GanflowError
from ganflow.settings import keys
from ganflow.tracking.destination import check_address, typed
from ganflow.tracking.known import known
from ganflow.tune.address import Address
from ganflow.tune.cluster import TOKENS
from ganflow.tune.preflight import distributions, tracking_uri
from ganflow.tune.wheels import build_wheels

if TYPE_CHECKING:
    from ganflow.recipe import Recipe

GRACE = 120
"""Seconds that a stopped job has to keep its trials' checkpoints; Ray's own 3 are too few."""
PATIENCE = 60
"""Seconds for which a cluster that no longer answers is asked again."""
RECIPE = "recipe.yaml"
_TALKATIVE = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk", "ray._private.runtime_env.packaging")
_OLDEST = (2, 50)
_OVERRIDING = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # Ray lets them win over the address that it is given


def submit(
    address: Address,
    recipe: Recipe | None,
    runs: str | Path,
    *,
    name: str | None = None,
    resume: str | None = None,
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
        entrypoint: another command.
        say: what is told besides the job's output.

    Returns:
        The job's exit code; 130 after Ctrl-C.

    Raises:
        GanflowError: nobody answers (within 5 seconds), the token is wrong, or there is no such folder as `runs` must be.
    """
    if not Path(runs).is_absolute():
        raise GanflowError(
            f"a job needs the folder for its runs as the cluster's nodes see it: --runs /an/absolute/path on storage that all of "
            f"them mount, not {str(runs)!r}"
        )
    if recipe and (uri := tracking_uri(recipe)):
        check_address(uri)
    check_dashboard(address.text)
    options = ["--resume", resume] if resume else [RECIPE, *(["--name", name] if name else [])]
    options += ["--address", "auto", "--runs", str(runs), *(["-q"] if quiet else [])]
    command = ["python", "-P", "-m", "ganflow", "tune", *options]
    for note in _only_here(recipe) if recipe else []:
        say(note)
    with tempfile.TemporaryDirectory(prefix="ganflow-job-") as scratch, _no_override():
        from ray.job_submission import JobSubmissionClient

        for logger in _TALKATIVE:
            logging.getLogger(logger).setLevel(logging.WARNING)
        environment = runtime_env(recipe, Path(scratch))
        client = JobSubmissionClient(address.text)
        try:
            job = client.submit_job(entrypoint=shlex.join(entrypoint or command), runtime_env=environment)
        except Exception as error:
            raise GanflowError(f"{address} does not take the job: {_told(str(error))}") from error
    say(f"{job} runs on {address}")
    return follow(client, job, address.text, say)


def runtime_env(recipe: Recipe | None, scratch: Path) -> dict[str, Any]:
    """What a job needs of this machine: the recipe in its working folder, and ganflow and what the recipe's components come
    from (all plugins, where there is no recipe) as wheels, which keep their entry points."""
    from ganflow.plugins import load_catalogue

    folder = scratch / "job"
    folder.mkdir()
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(GRACE)}
    if recipe is None:
        names = ["ganflow", *(plugin.distribution for plugin in load_catalogue().plugins if plugin.distribution)]
    else:
        names = distributions(recipe)
        (folder / RECIPE).write_text(recipe.to_yaml())
        uri = tracking_uri(recipe)
        if uri and is_http(uri) and not _is_here(uri) and (typed(recipe) or known(uri)):  # as the user's, with no other's rights
            variables["MLFLOW_TRACKING_URI"] = uri
    return {"working_dir": str(folder), "py_modules": list(map(str, build_wheels(names, scratch))), "env_vars": variables}


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
        say(f"{job} failed: {_told(info.message or 'no reason given')}")
    return info.driver_exit_code or 1


def check_dashboard(url: str, timeout: float = 4.0) -> str:
    """The version of Ray that runs behind a dashboard.

    Raises:
        GanflowError: nobody answers, it is not Ray's, it wants another token, or it is too old.
    """
    from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled

    token = _has_token()
    headers = get_auth_headers_if_auth_enabled({}) if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/api/version", headers=headers), timeout=timeout) as answer:
            version = str(json.loads(answer.read(100_000))["ray_version"])
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403) and token:
            raise GanflowError(f"{url} does not accept the token; set the cluster's own in {TOKENS}") from None
        if error.code in (401, 403):
            raise GanflowError(f"{url} asks for a token; set RAY_AUTH_MODE=token and {TOKENS}") from None
        raise GanflowError(f"what answers at {url} is not Ray's dashboard (HTTP {error.code}); is it the right port?") from None
    except (ValueError, KeyError, TypeError):
        raise GanflowError(f"what answers at {url} is not Ray's dashboard; is it the right port? (Ray's own is 8265)") from None
    except OSError as error:
        from ganflow.tracking.store import reason

        cause = error.reason if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError) else error
        raise GanflowError(f"no Ray dashboard answers at {url}: {reason(cause)}") from None
    except Exception as error:  # http.client's: what answers does not speak HTTP
        raise GanflowError(f"what answers at {url} is not Ray's dashboard ({type(error).__name__}); right port?") from None
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if found < _OLDEST:
        raise GanflowError(f"{url} runs Ray {version}; ganflow needs {'.'.join(map(str, _OLDEST))} or newer")
    return version


def _has_token() -> bool:
    """Whether Ray is told to send a token, and has one."""
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return False
    if not AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
        raise GanflowError(f"RAY_AUTH_MODE is 'token', and there is no token; set {TOKENS}")
    return True


def _is_here(uri: str) -> bool:
    return urlsplit(uri).hostname in ("localhost", "127.0.0.1", "::1")


def _only_here(recipe: Recipe) -> Iterator[str]:
    """A note for everything in the recipe that may mean something else on the cluster's nodes than on this machine."""
    for key in keys(recipe.data.component.settings):
        value = getattr(recipe.data.settings, key.name)
        if isinstance(value, str) and value and (key.name == "path" or os.sep in value):
            place = "a path of the cluster's" if Path(value).is_absolute() else "a relative path, which means nothing there"
            yield f"note: data.{key.name} is {value}: {place}; the nodes must find the data there"
    if recipe.train.start_from:
        yield f"note: train.start_from is {recipe.train.start_from}: the nodes look for that run in the job's own --runs"
    uri = tracking_uri(recipe)
    if uri and _is_here(uri):
        yield f"note: {uri} is this machine's MLflow, which the job does not reach by that address"


def _told(text: str) -> str:
    """The lines of a long message that say what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|failed|not found|no such", line, re.IGNORECASE)]
    return " … ".join(line[:300] for line in dict.fromkeys([*lines[:1], *(telling or lines)[-2:]]))


@contextmanager
def _no_override() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in _OVERRIDING if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
