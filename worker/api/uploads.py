"""A scan as it comes in: the raw body or the file of a form, written to disk and bounded while it streams."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from worker.errors import StorageUnavailableError, UnreadableScanError
from worker.file_kinds import sniff_type
from worker.inbox.posted import new_file

RECEIVE_S = 300.0
"""How long a scan may take to come in: 100 MB at 3 Mbit/s."""

MAX_FORM_BYTES = 65_536
"""What a form may hold beside its file."""

MAX_PARTS = 16
_HEAD_BYTES = 1024


@dataclass(slots=True)
class Upload:
    """What was received: the file, the SHA-256 and number of its bytes, its name, and the other fields of a form."""

    path: Path
    sha256: str = ""
    size: int = 0
    name: str = ""
    form: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def received(request: Request, inbox: Path, *, max_file_mb: float) -> AsyncIterator[Upload]:
    """Receive the scan of a request into a file that is deleted at the end of the block.

    Raises
    ------
    HTTPException
        400 for a form that is none, 408 for one that takes too long, 413 for too many bytes, 415 for what is no scan.
    StorageUnavailableError
        There is no room for it.
    """
    most = int(max_file_mb * 2**20)
    too_large = f"the limit is {max_file_mb:g} MB (ICR_MAX_FILE_MB)"
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most + MAX_FORM_BYTES:
        raise HTTPException(413, too_large)
    with no_room():
        path, opened = new_file(inbox)
    upload = Upload(path)
    try:
        with no_room(), opened as file:
            sink = _Sink(file, most, too_large)
            try:
                async with asyncio.timeout(RECEIVE_S):
                    await _receive(request, upload, sink)
            except TimeoutError:
                raise HTTPException(408, f"the scan was not received within {RECEIVE_S:g} s") from None
        if not sink.size:
            raise HTTPException(400, "no scan was sent: send its bytes as the body, or a form with the field 'file'")
        upload.sha256, upload.size = sink.digest.hexdigest(), sink.size
        yield upload
    finally:
        upload.path.unlink(missing_ok=True)


@contextmanager
def no_room() -> Iterator[None]:
    """Tell that a scan cannot be kept now, as on a full disk: the sender tries again later.

    Raises
    ------
    StorageUnavailableError
        The file system refuses something.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageUnavailableError(f"the scan cannot be kept: {error.strerror}") from error


class _Sink:
    """Takes the bytes of the file, hashes and counts them, and looks at the first ones."""

    def __init__(self, file: BinaryIO, most: int, too_large: str) -> None:
        self.digest, self.size = hashlib.sha256(), 0
        self._file, self._most, self._too_large = file, most, too_large
        self._head = b""

    def write(self, block: bytes) -> None:
        """Take a block.

        Raises
        ------
        HTTPException
            413 as soon as there are too many bytes; 415 as soon as the first ones are of no scan.
        """
        self.size += len(block)
        if self.size > self._most:
            raise HTTPException(413, self._too_large)
        if len(self._head) < _HEAD_BYTES:
            self._head += block[: _HEAD_BYTES - len(self._head)]
            if len(self._head) == _HEAD_BYTES:
                self._check_kind()
        self.digest.update(block)
        self._file.write(block)

    def end(self) -> None:
        """Look at the first bytes of a file that has fewer than are looked at."""
        if 0 < len(self._head) < _HEAD_BYTES:
            self._check_kind()

    def _check_kind(self) -> None:
        try:
            sniff_type(self._head)
        except UnreadableScanError as error:
            raise HTTPException(415, str(error)) from error


async def _receive(request: Request, upload: Upload, sink: _Sink) -> None:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind == b"multipart/form-data":
        if not options.get(b"boundary"):
            raise HTTPException(400, "a form needs a boundary in its content type")
        take = _FormReader(options[b"boundary"], upload, sink).write
    else:
        _, disposition = parse_options_header(request.headers.get("content-disposition"))
        upload.name = disposition.get(b"filename", b"").decode("utf-8", "replace")
        take = sink.write
    async for block in request.stream():
        if block:
            take(block)
    sink.end()


class _FormReader:
    """Reads a form part by part: the one with a file name goes to the sink, the others are short texts."""

    def __init__(self, boundary: bytes, upload: Upload, sink: _Sink) -> None:
        self._upload, self._sink = upload, sink
        self._header, self._value, self._options = b"", b"", dict[bytes, bytes]()
        self._parts, self._form_bytes, self._text = 0, 0, bytearray()
        self._take: Callable[[bytes], None] = self._take_text
        self._parser = self._make_parser(boundary)

    def write(self, block: bytes) -> None:
        """Read on."""
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise HTTPException(400, "the form is malformed") from error

    def _make_parser(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._add_header(data[start:end]),
                    "on_header_value": lambda data, start, end: self._add_value(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open,
                    "on_part_data": lambda data, start, end: self._take(data[start:end]),
                    "on_part_end": self._close,
                },
            )
        except FormParserError as error:
            raise HTTPException(400, "the form's boundary is malformed") from error

    def _begin(self) -> None:
        self._parts += 1
        self._options, self._text = {}, bytearray()
        if self._parts > MAX_PARTS:
            raise HTTPException(400, f"a form has at most {MAX_PARTS} parts")

    def _add_header(self, part: bytes) -> None:
        self._header += part

    def _add_value(self, part: bytes) -> None:
        self._value += part

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, self._options = parse_options_header(self._value)
        self._header = self._value = b""

    def _open(self) -> None:
        if b"filename" not in self._options:
            self._take = self._take_text
            return
        if self._sink.size:
            raise HTTPException(400, "one scan a request: the form holds two files")
        self._upload.name = self._options[b"filename"].decode("utf-8", "replace")
        self._take = self._sink.write

    def _take_text(self, part: bytes) -> None:
        self._form_bytes += len(part)
        if self._form_bytes > MAX_FORM_BYTES:
            raise HTTPException(413, f"the texts of a form have at most {MAX_FORM_BYTES} bytes")
        self._text += part

    def _close(self) -> None:
        if b"filename" not in self._options and (name := self._options.get(b"name")):
            self._upload.form[name.decode("utf-8", "replace")] = self._text.decode("utf-8", "replace")
