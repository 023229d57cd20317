"""A sweep as a job of another cluster: recipe and plugins go there, its output comes back."""

from __future__ import annotations

import asyncio
import base64
import csv
import hashlib
import importlib.util
import io
import json
import logging
import os
import re
import shlex
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from ganflow import printing
from ganflow.addresses import is_http
from ganflow.contract.settings import keys
from ganflow.errors import GanflowError
from ganflow.tracking.destination import check_address, known, typed
from ganflow.tune.cluster import TOKENS, Address
from ganflow.tune.preflight import distributions, tracking_uri

_LEFT_OUT = {"__pycache__", ".git", ".DS_Store"}
_WHEEL = "Wheel-Version: 1.0\nGenerator: ganflow\nRoot-Is-Purelib: {pure}\n{tags}\n"
_METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the same files make the same wheel


def build_wheels(distributions: Iterable[str], folder: Path) -> list[Path]:
    """A wheel for each distribution, with its modules and its entry points.

    A wheel's build tag is a digest of its files: Ray keeps wheels by their names, and would take an old one for a changed one.

    Args:
        distributions: names of installed ones.
        folder: where the wheels are put.

    Raises:
        GanflowError: one is not installed, or its files are not found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_build(name, folder) for name in dict.fromkeys(distributions)]


def _build(name: str, folder: Path) -> Path:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        raise GanflowError(f"{name} cannot be sent to the cluster: it is not installed as a package here") from None
    files = dict(_from_source(found) if _is_editable(found) else _installed(found))
    if not any(path.endswith((".py", ".so", ".pyd")) for path in files):
        files |= _from_source(found)
    if not files:
        raise GanflowError(f"{name} cannot be sent to the cluster: none of its modules are found here")
    stem = f"{_escaped(found.metadata['Name'])}-{found.version.replace('-', '_')}"
    info = f"{stem}.dist-info"
    tags = _tags(found, files)
    pure = str(all(tag.endswith("-none-any") for tag in tags)).lower()
    files |= {
        f"{info}/METADATA": _METADATA.format(name=found.metadata["Name"], version=found.version).encode(),
        f"{info}/WHEEL": _WHEEL.format(pure=pure, tags="".join(f"Tag: {tag}\n" for tag in tags).rstrip()).encode(),
        f"{info}/entry_points.txt": (found.read_text("entry_points.txt") or "").encode(),
    }
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path}\0{len(files[path])}\0".encode() + files[path])
    wheel = folder / f"{stem}-0{digest.hexdigest()[:16]}-{_compressed(tags)}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in (*sorted(files.items()), (f"{info}/RECORD", _record(files, info))):
            about = zipfile.ZipInfo(path, _EARLIEST)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(about, content)
    return wheel


def _is_editable(found: Distribution) -> bool:
    return _source(found) is not None or found.files is None


def _source(found: Distribution) -> Path | None:
    """The folder of an editable install."""
    try:
        told = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        return None
    if not told.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(unquote(urlsplit(told["url"]).path)))


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
        ours = [name for name, file in loaded if file.is_relative_to(source) and "site-packages" not in file.parts]
        names |= {name.partition(".")[0] for name in ours}
    for name in sorted(names - {"__main__"}):
        spec = importlib.util.find_spec(name)
        if spec is None:
            continue
        for place in spec.submodule_search_locations or []:
            root = Path(place)
            for file in sorted(root.rglob("*")):
                if _belongs(file):
                    yield f"{name}/{file.relative_to(root).as_posix()}", file.read_bytes()
        if not spec.submodule_search_locations and spec.origin and Path(spec.origin).is_file():
            yield Path(spec.origin).name, Path(spec.origin).read_bytes()


def _belongs(file: Path) -> bool:
    return file.is_file() and file.suffix not in (".pyc", ".pyo") and not _LEFT_OUT & set(file.parts)


def _tags(found: Distribution, files: dict[str, bytes]) -> list[str]:
    """What the wheel fits: what the installed one said; this Python and machine, if that is nothing and it has compiled code."""
    told = [line.partition(":")[2].strip() for line in (found.read_text("WHEEL") or "").splitlines() if line.startswith("Tag:")]
    compiled = any(path.endswith((".so", ".pyd", ".dylib")) for path in files)
    if told and not (compiled and told == ["py3-none-any"]):
        return told
    if not compiled:
        return ["py3-none-any"]
    import sysconfig

    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return [f"{python}-{python}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"]


def _compressed(tags: list[str]) -> str:
    """Tags as a file name has them: py2.py3-none-any."""
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    return "-".join(".".join(dict.fromkeys(part)) for part in parts)


def _record(files: dict[str, bytes], info: str) -> bytes:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    for path, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.writerow([path, f"sha256={digest}", len(content)])
    lines.writerow([f"{info}/RECORD", "", ""])
    return text.getvalue().encode()


def _escaped(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")


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
