"""Tar files of samples as WebDataset has them: members that share a name up to its first dot are one sample."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganflow_layers.omissions import Omissions, Unusable
from ganflow_layers.streams import Sample, Source

from ganflow import open_regular

BLOCK = 512  # a header, and what contents are filled up to


def after(member: tarfile.TarInfo) -> int:
    """The byte where the next member's header is."""
    filled = (member.size + BLOCK - 1) // BLOCK * BLOCK if member.isreg() else 0
    return member.offset_data + filled


@dataclass(frozen=True)
class Extent:
    """Bytes of a member; nothing of a tar file is ever extracted."""

    file: Path
    offset: int
    size: int

    def read(self) -> bytes:
        with open_regular(self.file) as opened:
            opened.seek(self.offset)
            found = opened.read(self.size)
        if len(found) < self.size:
            raise ValueError("the file ends within it")
        return found


class Tars(Source):
    """Samples of uncompressed tar files. Of their members regular files count alone, whose names are never paths."""

    def __init__(self, files: Sequence[Path], omissions: Omissions) -> None:
        super().__init__(omissions)
        self.files, self.shards = files, len(files)

    def samples(self, shard: int, position: int) -> Iterator[Sample]:
        file, key, first = self.files[shard], "", position
        parts: dict[str, Extent] = {}
        for member in self._members(file, position):
            name, _, ending = member.name.rpartition("/")[2].partition(".")
            if name and ending and member.isreg() and not member.issparse():
                this = f"{member.name.rpartition('/')[0]}/{name}"
                if this != key and parts:
                    yield Sample(shard, first, member.offset, f"{file.name}: {key.lstrip('/')}", parts)
                if this != key:
                    parts, key, first = {}, this, member.offset
                parts[ending.lower()] = Extent(file, member.offset_data, member.size)
            end = after(member)
        if parts:
            yield Sample(shard, first, end, f"{file.name}: {key.lstrip('/')}", parts)

    def _members(self, file: Path, position: int) -> Iterator[tarfile.TarInfo]:
        """The members whose headers stand at a position or after it, one after the other; none is kept."""
        try:
            with open_regular(file) as opened:
                opened.seek(position)
                with tarfile.TarFile(fileobj=opened) as archive:
                    while (member := archive.next()) is not None:
                        archive.members = []  # type: ignore[attr-defined]  # of a million there would be a gigabyte
                        yield member
                        position = after(member)
                    opened.seek(position)
                    if opened.read(BLOCK).strip(b"\0"):  # for tarfile, a damaged header is the end
                        self.omissions.settle([Unusable(f"the rest of {file.name}", f"no header at byte {position}")])
        except (OSError, tarfile.TarError) as error:
            self.omissions.settle([Unusable(f"the rest of {file.name}", str(error))])
