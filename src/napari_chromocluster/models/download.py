"""Download backbone weights: licence accepted once, resumable, checked by hash."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pooch

from napari_chromocluster.imaging.io import write_text_atomic
from napari_chromocluster.models.classifier import Cancelled
from napari_chromocluster.models.home import home_dir
from napari_chromocluster.models.network import BACKBONES, BackboneSpec
from napari_chromocluster.models.registry import RegistryError, backbone_path

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]

#: Bytes that come at once; as much may have to come again after a cut.
_CHUNK = 1 << 17
_TIMEOUT = 30.0
#: What the system says when a folder cannot take a file.
_NOT_WRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EEXIST, errno.ENOTDIR,
)  # fmt: skip


class DownloadError(RegistryError):
    """A download that did not give the file that was asked for."""


def licence_accepted(name: str) -> bool:
    """Whether the user has accepted the licence of a backbone's weights."""
    return name in _accepted()


def accept_licence(name: str) -> None:
    """Remember that the user accepts the licence of a backbone's weights."""
    write_text_atomic(_licence_file(), json.dumps(sorted({*_accepted(), name})))


def _licence_file() -> Path:
    return home_dir() / "accepted_licences.json"


def _accepted() -> set[str]:
    try:
        return {str(name) for name in json.loads(_licence_file().read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError):
        return set()


def download_backbone(
    name: str,
    *,
    accept: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
    url: str | None = None,
) -> Path:
    """Return the weights of a backbone, downloading them if need be.

    A connection that breaks leaves what has come; the next call goes on from
    there.  A file with the wrong hash is deleted.

    Parameters
    ----------
    name : str
        A name in ``BACKBONES`` that has weights.
    accept : bool
        Accept the licence of the weights, once and for all.
    progress : callable, optional
        Called with the bytes that have come and those that will.
    stop : callable, optional
        Asked between pieces; True ends the download and keeps what has come.
    url : str, optional
        Another place of the same file, such as a mirror.

    Returns
    -------
    Path
        The file, for ``load_backbone_weights``.

    Raises
    ------
    DownloadError
        If there are no such weights, the licence is not accepted, the
        connection breaks, the disk is full, or the file is not the one asked
        for.
    Cancelled
        If ``stop`` said so.
    """
    spec = BACKBONES.get(name)
    if spec is None or spec.url is None:
        raise DownloadError(f"There are no weights to download for {name!r}: see the model list.")
    target = backbone_path(name)
    if target.is_file():
        return target
    if accept:
        accept_licence(name)
    if not licence_accepted(name):
        raise DownloadError(
            f"The weights of {name} ({spec.megabytes} MB) have the licence {spec.licence}: "
            f"accept it first (--accept-licence)."
        )
    part = target.with_name(target.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as stream:
            _Transfer(stream, progress, stop).run(url or spec.url)
    except OSError as error:
        raise _explained(error, spec, part) from error
    _check(part, spec)
    part.replace(target)
    return target


class _Transfer:
    """One connection, through pooch, that goes on where the last one ended.

    It is pooch's progress bar as well: pooch calls ``update`` after each piece.
    """

    def __init__(self, stream: BinaryIO, progress: Progress | None, stop: Stop | None) -> None:
        self.stream = stream
        self.before = stream.tell()
        self.total = 0
        self._answers: list[Any] = []
        self._progress = progress
        self._stop = stop

    def run(self, url: str) -> None:
        """Fetch what is missing; OSError if the connection breaks."""
        # The sizes of a compressed answer would not be those of the file.
        headers = {"Accept-Encoding": "identity"}
        if self.before:
            headers["Range"] = f"bytes={self.before}-"
        downloader = pooch.HTTPDownloader(
            progressbar=self,
            chunk_size=_CHUNK,
            timeout=_TIMEOUT,
            headers=headers,
            hooks={"response": self._answered},
        )
        try:
            downloader(url, self.stream, None)
        except OSError as error:
            # 416: nothing is missing, everything had come before.
            if getattr(getattr(error, "response", None), "status_code", None) != 416:
                raise
            return
        finally:
            for answer in self._answers:
                answer.close()
        if self.stream.tell() < self.before + self.total:
            raise ConnectionError("the connection ended early")

    def _answered(self, answer: Any, *_: Any, **__: Any) -> None:
        self._answers.append(answer)
        if answer.status_code == 200 and self.before:
            # This server starts over instead of going on.
            self.stream.seek(0)
            self.stream.truncate()
            self.before = 0

    def update(self, _: int) -> None:
        """Tell how far it is, and stop if that is wished."""
        if self._progress is not None:
            self._progress(self.stream.tell(), self.before + self.total)
        if self._stop is not None and self._stop():
            raise Cancelled("The download was stopped; it goes on from there next time.")

    def reset(self) -> None:
        """Do nothing; pooch asks for it."""

    def close(self) -> None:
        """Do nothing; pooch asks for it."""


def _explained(error: OSError, spec: BackboneSpec, part: Path) -> DownloadError:
    answer = getattr(error, "response", None)
    if answer is not None:
        return DownloadError(
            f"The server refused {spec.name} ({answer.status_code}): "
            f"try again later or use a local file."
        )
    if error.errno in _NOT_WRITABLE:
        return DownloadError(
            f"{part.parent} cannot take {spec.name} ({error.strerror}): "
            f"make room there or choose another folder."
        )
    return DownloadError(
        f"The connection broke while {spec.name} was downloaded: "
        f"start again to go on from there, or use a local file."
    )


def _check(part: Path, spec: BackboneSpec) -> None:
    if not str(pooch.file_hash(str(part), alg="sha256")).startswith(spec.hash_prefix):
        part.unlink()
        raise DownloadError(
            f"The file of {spec.name} has the wrong hash and was deleted: download it again."
        )
