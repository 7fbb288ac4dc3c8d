"""The data file written, canvas after canvas; ``store`` reads it, and has its layout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from airkit._version import __version__
from airkit.config.schema import Config
from airkit.config.settings import to_json
from airkit.data.disk import Disk
from airkit.data.format import DTYPES, ContentDigest
from airkit.data.packing import LIBVER, Packed, corner, create_arrays
from airkit.data.reader import FORMAT, FORMAT_VERSION
from airkit.data.sources import SPLITS, DigitSource
from airkit.system.files import replacing
from airkit.system.signals import held


class Writer:
    """Writes a data file, canvas after canvas; a context manager.

    Only where its body ends well does the file get its name: before that it is FILE.part,
    and an older FILE stays as it was.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, config: Config, source: DigitSource) -> None:
        self.path = path
        self.digest = ""
        """Content digest, once the body has ended."""
        self._config = config
        self._source = source
        self._written = dict.fromkeys(SPLITS, 0)
        self._content = ContentDigest(config.data)

    def __enter__(self) -> Self:
        self._session: AbstractContextManager[None] = self._open()
        self._session.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._session.__exit__(kind, error, traceback)

    @contextmanager
    def _open(self) -> Iterator[None]:
        with replacing(self.path) as partial, held() as self._stop, Disk(partial) as self._disk:
            self._file = h5py.File(self._disk, "w", libver=LIBVER)
            try:
                self._prepare()
                yield
                self._finish()
            finally:
                self._file.close()
            self._disk.check()

    def _prepare(self) -> None:
        data = self._config.data
        self._file.attrs.update(format_version=FORMAT_VERSION, seed=data.seed)
        self._say("format", FORMAT)
        self._say("airkit_version", __version__)
        self._say("config", to_json(self._config))
        self._say("source", self._source.name)
        self._say("source_digest", self._source.digest)
        self._say("licence", self._source.licence)
        self._say("attribution", self._source.attribution)
        for split in SPLITS:
            create_arrays(self._file.create_group(split), data, split)
        self._disk.check()

    def append(self, part: Packed) -> None:
        """Write the next canvases of a split.

        Raises:
            OSError: they cannot be written; an OutputError once it leaves the body.
        """
        self._stop.check()  # signals break in here alone, never into the HDF5 library
        start = self._written[part.split]
        for name, dtype in DTYPES.items():
            dataset = self._file[part.split][name]
            for place, (mask, content) in enumerate(part.chunks[name]):
                first = corner(start + place * dataset.chunks[0], dataset)
                dataset.id.write_direct_chunk(first, content, mask)
            array = np.ascontiguousarray(getattr(part.canvases, name), dtype)
            self._content.update(part.split, name, array)
        self._disk.check()
        self._written[part.split] += len(part.canvases.count)

    def _finish(self) -> None:
        wanted = {split: getattr(self._config.data, split) for split in SPLITS}
        assert self._written == wanted, f"{self._written} canvases for {wanted}"
        self.digest = self._content.digest()
        self._say("content_digest", self.digest)
        self._file.attrs["complete"] = True

    def _say(self, name: str, text: str) -> None:
        """Set an attribute to text of fixed length.

        That of variable length, h5py's default, lies where one flipped byte makes HDF5 hang.
        """
        content = text.encode()
        dtype = h5py.string_dtype("utf-8", max(1, len(content)))
        self._file.attrs.create(name, content, dtype=dtype)
