"""Scans in S3 object storage: found only under the allowed prefixes, and copied to a file while they are read.

``fsspec`` and ``s3fs`` (the extra ``s3``) are imported when the first object is fetched. Credentials, region and
endpoint come from the AWS environment (``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL``, a role). None of
them is read or kept here, and no message of the storage is repeated, because it may hold some of them.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.errors import InvalidJobError, SettingsError, StorageUnavailableError, UnreadableScanError
from worker.sources.copies import new_copy
from worker.sources.places import STORAGE_SCHEME as SCHEME
from worker.sources.places import ScanFile

if TYPE_CHECKING:
    from worker.rasterizer import RasterLimits

EXTRA_IS_MISSING = "s3:// needs the extra 's3', which is not installed: pip install '.[s3]'"

BLOCK_BYTES = 8 * 2**20
CONNECT_S, READ_S, TRIES = 3.0, 10.0, 2
"""They are short, because one try must end well within the time limit of a job."""

REST_S = 10.0
"""How long storage that does not answer is left alone; meanwhile the worker reads jobs of folders."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class BucketRoot:
    """A bucket, and the prefix under which jobs may name objects: whole folder names, or empty for all."""

    bucket: str
    prefix: str

    def holds(self, bucket: str, key: str) -> bool:
        """Tell whether an object lies under this root."""
        return bucket == self.bucket and (not self.prefix or key.startswith(f"{self.prefix}/"))

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"


def parse_roots(text: str) -> tuple[list[Path], list[BucketRoot]]:
    """Return the folders and the buckets of ``ICR_SCAN_ROOTS``, split by ``:`` (but not before ``//``).

    Raises
    ------
    SettingsError
        One is of another scheme, or malformed.
    """
    folders, buckets = [], []
    for part in filter(None, re.split(r":(?!//)", text)):
        if part.startswith(SCHEME):
            buckets.append(parse_bucket_root(part))
        elif "://" in part:
            raise SettingsError(f"ICR_SCAN_ROOTS: {part!r} is neither a folder nor s3://bucket/prefix")
        else:
            folders.append(Path(part))
    return folders, buckets


def parse_bucket_root(text: str) -> BucketRoot:
    """Return the allowed place that ``s3://bucket/prefix`` names.

    Raises
    ------
    SettingsError
        It is malformed, or the extra ``s3`` is not installed.
    """
    bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
    prefix = prefix.rstrip("/")
    if not _BUCKET.fullmatch(bucket) or (prefix and not _is_plain(prefix)):
        raise SettingsError(f"ICR_SCAN_ROOTS: {text!r} is no s3://bucket/prefix")
    if not all(importlib.util.find_spec(name) for name in ("fsspec", "s3fs")):
        raise SettingsError(f"ICR_SCAN_ROOTS: {EXTRA_IS_MISSING}")
    return BucketRoot(bucket, prefix)


def locate_object(uri: str, roots: tuple[BucketRoot, ...]) -> str:
    """Return ``bucket/key`` of the object that a job names, if it lies under one of the allowed ``roots``.

    The key is taken as it stands; nothing in it is decoded.

    Raises
    ------
    InvalidJobError
        It lies elsewhere, or its key has parts that would lead elsewhere when resolved.
    """
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or not _is_plain(key):
        raise InvalidJobError("an object is named as s3://bucket/key, with no empty part, '.', '..' or control mark")
    if not any(root.holds(bucket, key) for root in roots):
        raise InvalidJobError("the object lies under none of the allowed places (ICR_SCAN_ROOTS)")
    return f"{bucket}/{key}"


def _is_plain(key: str) -> bool:
    return key.isprintable() and not {"", ".", ".."} & set(key.split("/"))


@dataclass(frozen=True, slots=True)
class ObjectStorage:
    """The buckets in which jobs may name objects; copies lie in ``folder`` while they are read."""

    roots: tuple[BucketRoot, ...]
    folder: Path
    limits: RasterLimits

    def fetch(self, uri: str) -> ScanFile:
        """Return a copy of the object, with no more bytes than a scan may have.

        Raises
        ------
        InvalidJobError
            It is not there or may not be read, is too large, or lies elsewhere.
        StorageUnavailableError
            The storage does not answer, or there is no room for the copy.
        """
        name = locate_object(uri, self.roots)
        copy = new_copy(self.folder)
        try:
            self._download(name, copy)
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        return ScanFile(copy, is_copy=True)

    def _download(self, name: str, copy: Path) -> None:
        with _translated_errors():
            source = _file_system(os.getpid()).open(name, "rb", block_size=BLOCK_BYTES, cache_type="none")
        with source, copy.open("wb") as target:
            if source.details["type"] != "file":
                raise InvalidJobError("the job names no object")
            self._check_size(source.size)
            while block := _read_block(source):
                self._check_size(target.tell() + len(block))  # the storage may send more than it announced
                _write_block(target, block)

    def _check_size(self, size: int) -> None:
        try:
            self.limits.check_file_size(size)
        except UnreadableScanError as error:
            raise InvalidJobError(str(error)) from error


def _read_block(source: Any) -> bytes:
    with _translated_errors():
        block: bytes = source.read(BLOCK_BYTES)
        return block


def _write_block(target: BufferedWriter, block: bytes) -> None:
    try:
        target.write(block)
        target.flush()
    except OSError as error:
        raise StorageUnavailableError(f"no copy of the object can be made: {error.strerror}") from error


def prepare_storage() -> None:
    """Load ``s3fs`` before the first job; the second or two that it takes should not count for a job."""
    _file_system(os.getpid())


@functools.lru_cache(maxsize=1)
def _file_system(_pid: int) -> Any:
    """Return the S3 file system of this process; a forked child never shares the connections of its parent."""
    import fsspec

    made = fsspec.filesystem(
        "s3",
        anon=False,
        use_listings_cache=False,
        config_kwargs={"connect_timeout": CONNECT_S, "read_timeout": READ_S, "retries": {"max_attempts": 1}},
    )
    made.retries = TRIES
    return made


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate errors of the storage into one line of ours that repeats nothing of theirs."""
    import aiohttp
    from botocore.exceptions import BotoCoreError, NoCredentialsError
    from s3fs.core import S3_RETRYABLE_ERRORS

    try:
        yield
    except FileNotFoundError:
        raise InvalidJobError("the object cannot be found: there is none of that name") from None
    except PermissionError:
        raise InvalidJobError(
            "the storage refuses the object: it is not there, or the worker's AWS credentials may not read it"
        ) from None
    except NoCredentialsError:
        raise StorageUnavailableError("this machine has no AWS credentials in its environment") from None
    except (*S3_RETRYABLE_ERRORS, BotoCoreError, aiohttp.ClientError, OSError) as error:
        cause = os.strerror(error.errno) if getattr(error, "errno", None) else type(error).__name__
        raise StorageUnavailableError(f"the object storage does not answer: {cause}") from None
