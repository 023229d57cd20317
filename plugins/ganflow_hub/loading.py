"""Data sets opened by the library `datasets`: which columns there are, and the bytes of their images."""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import torch
from ganflow_layers.framing import Transform
from ganflow_layers.originals import original
from torch import Tensor

from ganflow import IMAGE_ENDINGS, IMAGE_ERRORS, IMAGE_RANGE, Field, GanflowError, Original, open_image, open_regular, user_path

LOCAL = ("/", "./", "../", "~", ".")
OFFLINE = "HF_HUB_OFFLINE"
PATIENCE = 5.0  # seconds for a connection
IMAGES = ("real", "source", "target", "a", "b")
"""Fields that are images."""


@dataclass(frozen=True)
class Table:
    """A data set of the library, whose images are bytes.

    Attributes:
        rows: the library's Dataset, or its IterableDataset where it streams.
        name: for messages.
        columns: by field.
        classes: names of the labels 0, 1, …, where the data set says them.
        roots: folders below which its images may be files of their own.
    """

    rows: Any
    name: str
    columns: Mapping[str, str]
    classes: Sequence[str]
    roots: Sequence[str]

    def fields(self, transform: Transform, classes: Sequence[str]) -> dict[str, Field]:
        """Those of images and labels."""
        shape = (transform.channels, *transform.sides)
        made = {field: Field(shape, *IMAGE_RANGE) for field in self.columns if field in IMAGES}
        return {**made, "label": Field((), classes=tuple(classes))} if "label" in self.columns else made

    def example(
        self, row: Mapping[str, Any], transform: Transform, classes: Sequence[str], rng: torch.Generator | None
    ) -> dict[str, Tensor]:
        """The images of a row, cut alike, and its class.

        Raises:
            one of IMAGE_ERRORS: something is broken.
        """
        contents = {field: self.content(row[column], column) for field, column in self.columns.items() if field in IMAGES}
        if len(contents) > 1:
            sizes = {_size(content) for content in contents.values()}
            if len(sizes) > 1:
                raise ValueError(f"the images of a pair differ in size: {' and '.join(f'{w} × {h}' for w, h in sorted(sizes))}")
        state = None if rng is None else rng.get_state()
        made = {}
        for field, content in contents.items():
            if rng is not None and state is not None:
                rng.set_state(state)
            made[field] = transform(content, rng, name=f"an image in column '{self.columns[field]}'")
        if "label" in self.columns:
            made["label"] = torch.tensor(self.label(row[self.columns["label"]], classes))
        return made

    def original(self, row: Mapping[str, Any], field: str, transform: Transform) -> Original | None:
        """The picture of a field as the row has it; None where it is none."""
        if field not in IMAGES:
            return None
        try:
            content = self.content(row[self.columns[field]], self.columns[field])
        except IMAGE_ERRORS:
            return None
        return original(content, transform.pixels, transform.channels)

    def content(self, value: Any, column: str) -> bytes:
        """The bytes of an image: those in the table, or of a file that belongs to the data set. No other path is followed."""
        found = value.get("bytes") if isinstance(value, Mapping) else value
        if isinstance(found, bytes):
            return found
        path = value.get("path") if isinstance(value, Mapping) else None
        if isinstance(path, str) and any(os.path.realpath(path).startswith(os.path.join(root, "")) for root in self.roots):
            with open_regular(path) as file:
                return file.read()
        raise ValueError(f"column '{column}' has no image in it")

    def label(self, value: Any, classes: Sequence[str]) -> int:
        """The number of a class."""
        number = classes.index(str(value)) if not self.classes and str(value) in classes else value
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(classes):
            raise ValueError(f"the label {value!r:.40} is none of the {len(classes)} classes")
        return number


def _size(content: bytes) -> tuple[int, int]:
    with open_image(content) as image:
        return image.size


def library(of_hub: bool = False) -> Any:
    """The library `datasets`.

    Args:
        of_hub: it is to ask the hub. Where that does not answer, the library looks into its cache alone: it would ask six times,
            for half a minute. It reads this once, when it is first imported.

    Raises:
        GanflowError: it is not installed.
    """
    if of_hub and OFFLINE not in os.environ and not answers(os.environ.get("HF_ENDPOINT") or "https://huggingface.co"):
        os.environ[OFFLINE] = "1"
    try:
        import datasets
    except ModuleNotFoundError:
        raise GanflowError("data hub needs the library datasets, which is not installed: pip install 'ganflow[hub]'") from None
    datasets.disable_progress_bars()
    return datasets


def answers(address: str) -> bool:
    """Return whether a connection to the server of an address, or to the proxy that leads there, can be made."""
    server = urlsplit(address)
    proxy = getproxies().get(server.scheme)
    if proxy and not proxy_bypass(server.hostname or ""):
        server = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = server.port or {"https": 443}.get(server.scheme, 80)
        socket.create_connection((server.hostname or "", port), PATIENCE).close()
    except (OSError, ValueError):
        return False
    return True


def opened(path: str, config: str | None, split: str, revision: str | None, columns: Mapping[str, str], streaming: bool) -> Table:
    """A split of a data set; from the hub it is downloaded, unless it is in the library's cache.

    Raises:
        GanflowError: it cannot be had, or has no such split or column.
    """
    local = user_path("data.path", path) if path.startswith(LOCAL) or os.path.exists(path) else None
    datasets = library(of_hub=local is None)
    rows = _local(datasets, local, split, streaming) if local else _of_hub(datasets, path, config, split, revision, streaming)
    features = rows.features or {}
    chosen = _columns(datasets, features, dict(columns), path, streaming)
    for field, column in chosen.items():
        if field in IMAGES:
            rows = rows.cast_column(column, datasets.Image(decode=False))
    classes = getattr(features.get(chosen.get("label")), "names", None) or ()
    caches = [datasets.config.HF_DATASETS_CACHE, getattr(datasets.config, "HF_CACHE_HOME", datasets.config.HF_DATASETS_CACHE)]
    roots = [local if local.is_dir() else local.parent] if local else caches
    rows = rows.select_columns(list(dict.fromkeys(chosen.values())))
    return Table(rows, path, chosen, tuple(classes), [os.path.realpath(root) for root in roots])


def _local(datasets: Any, path: Path, split: str, streaming: bool) -> Any:
    """A folder or file of this machine, by one of the library's readers."""
    if not path.exists():
        raise GanflowError(f"data.path: there is no {path}; a data set of the hub is called OWNER/NAME")
    below = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [file for file in below if file.is_file() and not file.name.startswith(".")]
    endings = [file.suffix.lower() for file in files]
    kind = next((k for k in ("parquet", "arrow") if f".{k}" in endings), None)
    try:
        if kind == "arrow" and (path / "state.json").exists():
            rows = datasets.load_from_disk(str(path))
            return rows.to_iterable_dataset() if streaming else rows
        if kind is None and path.is_dir() and any(ending in IMAGE_ENDINGS for ending in endings):
            arguments: dict[str, Any] = {"data_dir": str(path)}
            kind = "imagefolder"
        elif kind is None:
            raise GanflowError(f"data.path: {path} has neither .parquet nor .arrow files nor images")
        else:
            there = [file for file, ending in zip(files, endings, strict=True) if ending == f".{kind}"]
            parts = _by_split(there)
            if split not in parts and len(parts) > 1:
                raise GanflowError(f"data.split: {_unknown(split, parts)}")
            arguments = {"data_files": {split: [str(file) for file in parts.get(split, there)]}}
        return datasets.load_dataset(kind, split=split, streaming=streaming, **arguments)
    except GanflowError:
        raise
    except Exception as error:  # the library's errors have no base in common
        raise _refused(error, "data.path", f"{path} cannot be read", split) from error


def _by_split(files: Sequence[Path]) -> dict[str, list[Path]]:
    """Files by what the hub calls them: train-00000-of-00002.parquet; all as train where one is called otherwise."""
    parts: dict[str, list[Path]] = {}
    for file in files:
        name = file.stem.partition("-")[0]
        parts.setdefault(name, []).append(file)
    usual = {"train", "test", "validation", "val", "valid"}
    return parts if set(parts) <= usual else {"train": list(files)}


def _of_hub(datasets: Any, path: str, config: str | None, split: str, revision: str | None, streaming: bool) -> Any:
    try:
        return datasets.load_dataset(path, config, split=split, revision=revision, streaming=streaming)
    except Exception as error:  # the library's errors have no base in common
        away = "OfflineModeIsEnabled" in str(error)
        why = f"no connection, or {OFFLINE} is set" if away else _first_line(error)
        how = f"load_dataset('{path}'{f', {config!r}' if config else ''})"
        text = (
            f"the data set {path} is not on this machine, and the hub does not give it ({why}): where there is a "
            f'network, run python -c "from datasets import load_dataset; {how}" once; or copy its .parquet files into a folder '
            "and give that: data.path=./FOLDER"
        )
        raise _refused(error, "data.path", text, split, whole=True) from error


def _refused(error: Exception, key: str, text: str, split: str, whole: bool = False) -> GanflowError:
    if isinstance(error, ValueError) and "split" in str(error).lower():
        return GanflowError(f"data.split: {_first_line(error)}")
    if isinstance(error, ValueError) and "config" in str(error).lower():
        return GanflowError(f"data.config: {' '.join(str(error).split())[:400]}")
    return GanflowError(f"{key}: {text}" if whole else f"{key}: {text}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _columns(datasets: Any, features: Mapping[str, Any], columns: dict[str, str], path: str, streaming: bool) -> dict[str, str]:
    """Columns by field, those that are wanted or the only ones that can be meant."""
    for field, column in columns.items():
        if features and column not in features:
            raise GanflowError(f"data.columns: {field}: {_unknown(column, features)}")
    if columns:
        return columns
    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    if len(images) != 1:
        there = f"columns of images: {', '.join(images)}" if images else f"columns: {', '.join(features) or 'not known'}"
        raise GanflowError(f"data.columns: which column of {path} is the image? There are {there}; 'data.columns={{real: NAME}}'")
    labels = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    label = {"label": labels[0]} if len(labels) == 1 and len(features[labels[0]].names) > 1 else {}
    return {"real": images[0], **label}


def _unknown(name: str, there: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, there, 1)
    return f"there is no '{name}'; " + (f"did you mean '{close[0]}'?" if close else f"there are {', '.join(there)}")
