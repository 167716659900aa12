"""Download backbone weights: with license consent, resumable, verified by hash."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pooch

from napari_chromocluster.imaging.files import write_text_atomic
from napari_chromocluster.models.backbones import BACKBONES, BackboneSpec
from napari_chromocluster.models.registry import RegistryError, backbone_path
from napari_chromocluster.paths import home_dir
from napari_chromocluster.progress import Cancelled

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]

#: Bytes per chunk; at most one chunk is lost when the connection breaks.
_CHUNK = 1 << 17
_TIMEOUT = 30.0
#: Error codes of a folder that cannot be written to.
_NOT_WRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EEXIST, errno.ENOTDIR,
)  # fmt: skip


class DownloadError(RegistryError):
    """A failed download."""


def licence_accepted(name: str) -> bool:
    """Return whether the user has accepted the license of a backbone's weights."""
    return name in _accepted()


def accept_licence(name: str) -> None:
    """Record that the user accepts the license of a backbone's weights."""
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
    """Return the weights of a backbone, downloading them if necessary.

    After a broken connection the next call resumes the download.  A file with
    the wrong hash is deleted.

    Parameters
    ----------
    name : str
        A name in ``BACKBONES`` that has weights.
    accept : bool
        Accept the license of the weights; this is remembered.
    progress : callable, optional
        Called with the bytes downloaded and the total.
    stop : callable, optional
        Called between chunks; True pauses the download.
    url : str, optional
        Another address of the same file, such as a mirror.

    Returns
    -------
    Path
        The file, for ``load_backbone_weights``.

    Raises
    ------
    DownloadError
        If there are no such weights, the license is not accepted, the
        connection breaks, the disk is full, or the hash is wrong.
    Cancelled
        If ``stop`` returned True.
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
        raise _download_error(error, spec, part) from error
    _check(part, spec)
    part.replace(target)
    return target


class _Transfer:
    """A resumable download through pooch, and its progress bar: pooch calls ``update``."""

    def __init__(self, stream: BinaryIO, progress: Progress | None, stop: Stop | None) -> None:
        self.stream = stream
        self.before = stream.tell()
        self.total = 0
        self._answers: list[Any] = []
        self._progress = progress
        self._stop = stop

    def run(self, url: str) -> None:
        """Download the missing bytes; raise OSError if the connection breaks."""
        # With compression, the sizes reported would not be those of the file.
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
            # 416: the file is already complete.
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
            # This server does not support resuming and sends the whole file.
            self.stream.seek(0)
            self.stream.truncate()
            self.before = 0

    def update(self, _: int) -> None:
        """Report the progress, and stop if requested."""
        if self._progress is not None:
            self._progress(self.stream.tell(), self.before + self.total)
        if self._stop is not None and self._stop():
            raise Cancelled("The download was stopped; it will be resumed next time.")

    def reset(self) -> None:
        """Do nothing; required by pooch."""

    def close(self) -> None:
        """Do nothing; required by pooch."""


def _download_error(error: OSError, spec: BackboneSpec, part: Path) -> DownloadError:
    answer = getattr(error, "response", None)
    if answer is not None:
        return DownloadError(
            f"The server refused {spec.name} ({answer.status_code}): "
            f"try again later or use a local file."
        )
    if error.errno in _NOT_WRITABLE:
        return DownloadError(
            f"{spec.name} cannot be written to {part.parent} ({error.strerror}): "
            f"free some space there or choose another folder."
        )
    return DownloadError(
        f"The connection was lost while downloading {spec.name}: "
        f"start again to resume the download, or use a local file."
    )


def _check(part: Path, spec: BackboneSpec) -> None:
    if not str(pooch.file_hash(str(part), alg="sha256")).startswith(spec.hash_prefix):
        part.unlink()
        raise DownloadError(
            f"The file of {spec.name} has the wrong hash and was deleted: download it again."
        )
