"""Download backbone weights: licence accepted once, resumable, checked by hash."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from napari_chromocluster.imaging.io import write_text_atomic
from napari_chromocluster.models.network import BACKBONES, BackboneSpec
from napari_chromocluster.models.registry import RegistryError, backbone_path, home_dir

_CHUNK = 1 << 20
_TIMEOUT = 30.0


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
        return set(json.loads(_licence_file().read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return set()


def download_backbone(
    name: str,
    *,
    accept: bool = False,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
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

    Raises
    ------
    DownloadError
        If there are no such weights, the licence is not accepted, the
        connection breaks, or the file is not the one asked for.
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
    part.parent.mkdir(parents=True, exist_ok=True)
    if not _fetch(url or spec.url, part, spec, progress, stop):
        raise DownloadError(f"The download of {name} was stopped; it goes on from there next time.")
    _check(part, spec)
    part.replace(target)
    return target


def _fetch(
    url: str,
    part: Path,
    spec: BackboneSpec,
    progress: Callable[[int, int], None] | None,
    stop: Callable[[], bool] | None,
) -> bool:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            if have and answer.status != 206:
                have = 0  # this server starts over
            total = have + int(answer.headers.get("Content-Length", 0))
            with part.open("ab" if have else "wb") as stream:
                while piece := answer.read(_CHUNK):
                    stream.write(piece)
                    have += len(piece)
                    if progress is not None:
                        progress(have, total)
                    if stop is not None and stop():
                        return False
    except urllib.error.HTTPError as error:
        if error.code == 416:  # everything had come already
            return True
        raise DownloadError(
            f"The server refused {spec.name} ({error.code}): try again later or use a local file."
        ) from error
    except (urllib.error.URLError, OSError) as error:
        raise DownloadError(
            f"The connection broke while {spec.name} was downloaded: call again to go on."
        ) from error
    if have < total:
        raise DownloadError(
            f"The connection broke while {spec.name} was downloaded: call again to go on."
        )
    return True


def _check(part: Path, spec: BackboneSpec) -> None:
    digest = hashlib.sha256()
    with part.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    if not digest.hexdigest().startswith(spec.hash_prefix):
        part.unlink()
        raise DownloadError(
            f"The file of {spec.name} has the wrong hash and was deleted: download it again."
        )
