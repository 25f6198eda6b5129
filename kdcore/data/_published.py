"""Published data sets through torchvision: found below a folder, or fetched with progress, checked byte for byte.

What is fetched is unpacked beside its place and moved there when it is whole, so nothing half-written stays.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from abc import abstractmethod
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from kdcore.contracts.data import Report
from kdcore.data._splits import Prepared, Raw
from kdcore.errors import BadInput

TIMEOUT_S = 20
PIECE_BYTES = 1 << 18


class Archive(NamedTuple):
    """A packed file: where it may be had, and its md5."""

    urls: tuple[str, ...]
    md5: str


class Published(Prepared):
    """A data set with a published test split, which stays the test split."""

    family: ClassVar[Literal["2-D toy", "image"]] = "image"
    torchvision_name: ClassVar[str]

    @abstractmethod
    def files(self) -> Mapping[str, str]:
        """Return the unpacked files: path below the data folder -> md5."""

    @abstractmethod
    def archives(self) -> Mapping[str, Archive]:
        """Return the packed files: path below the data folder -> archive, unpacked where it lies."""

    @abstractmethod
    def read(self, folder: Path, train: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Images (N, K, H, W) uint8, labels (N,) int64 and class names of one published split."""

    def raw(self, folder: Path, report: Report) -> Raw:
        """Both published splits; the network is asked only when a file is absent."""
        if not all((folder / place).is_file() for place in self.files()):
            self._obtain(folder, report)
        for place, md5 in self.files().items():
            _check(folder / place, md5)
        report(f"reading {self.title}", 0.0)
        x, y, classes = self.read(folder, train=True)
        test_x, test_y, _ = self.read(folder, train=False)
        return Raw(x, y, test_x, test_y, classes)

    def torchvision(self) -> Any:
        """Return the set's class in torchvision."""
        import torchvision

        return getattr(torchvision.datasets, self.torchvision_name)

    def _obtain(self, folder: Path, report: Report) -> None:
        """Unpack the archives, fetching those that are not there."""
        from torchvision.datasets.utils import extract_archive

        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unpack-") as draft:
            for place, archive in self.archives().items():
                packed, fresh = folder / place, Path(draft) / place
                fresh.parent.mkdir(parents=True, exist_ok=True)
                if packed.is_file():
                    _check(packed, archive.md5)
                else:
                    packed = fresh
                    self._fetch(archive, packed, folder, report)
                extract_archive(str(packed), str(fresh.parent))
            for place in self.files():
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(draft) / place, folder / place)

    def _fetch(self, archive: Archive, target: Path, folder: Path, report: Report) -> None:
        """Download from the first address that has the published file.

        Raises:
            BadInput: none has.
        """
        for url in archive.urls:
            try:
                return _download(url, target, archive.md5, report)
            except (OSError, HTTPException) as error:
                reason = getattr(error, "reason", None) or error
        wanted = ", ".join(str(folder / place) for place in self.archives())
        raise BadInput(
            f"{self.title} is not below {folder} and could not be downloaded ({reason}); "
            f"connect to the network, or put the published files there: {wanted}."
        )


def _download(url: str, target: Path, md5: str, report: Report) -> None:
    """Write what `url` holds to `target`, telling the share of bytes that has come.

    Raises:
        OSError: the connection fails, or what came is not the published file.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, target.open("wb") as out:
        total = int(answer.headers.get("Content-Length") or 0)
        while piece := answer.read(PIECE_BYTES):
            out.write(piece)
            share = out.tell() / total if total else 0.0
            report(f"downloading {target.name}, {out.tell() / 1e6:.1f} of {total / 1e6:.1f} MB", share)
        if total and out.tell() != total:
            raise OSError(f"the connection ended after {out.tell():,} of {total:,} bytes")
    if _md5(target) != md5:
        raise OSError(f"{target.name} came with a wrong checksum")


def _md5(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check(path: Path, md5: str) -> None:
    """Refuse a file that is not the published one.

    Raises:
        BadInput: names the file.
    """
    found = _md5(path)
    if found != md5:
        raise BadInput(
            f"{path} is damaged: its md5 should be {md5}, but is {found}; "
            "delete the file, so that it is downloaded again, or put a whole copy there."
        )
