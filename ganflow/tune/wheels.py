"""Wheels of what is installed here, for machines that do not have it: the installed files, packed again.

Nothing is built and nothing is downloaded. An editable install is packed from its source folder. A wheel says nothing of what its
distribution depends on, because Ray installs it with pip into a folder of its own, where pip would put torch, too, a second time.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from ganflow.errors import GanflowError

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
