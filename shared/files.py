"""Files that appear whole or not at all."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import BusyError


@contextmanager
def write_atomically(path: Path, *, private: bool = False, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary sibling to write; on success it is flushed to disk and renamed to `path`.

    After a crash `path` holds the old content or the new, never a part. A `private` file is there already
    when it is yielded, empty and with mode 0600: open it, do not replace it. One that is not `durable` is not
    flushed, which is faster: after a power failure it may be gone or empty. For what can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        if private:
            temporary.touch(mode=0o600, exist_ok=False)
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def folder_atomically(path: Path) -> Iterator[Path]:
    """Yield a new private folder to fill; on success it is flushed to disk and takes the place of `path`.

    After a crash `path` holds the old files or the new, never some of each; it may be missing if the crash
    came between the two renames. A crash leaves a sibling `.NAME.<8 digits>.tmp`, for the caller to sweep.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new, old = (path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp") for _ in range(2))
    new.mkdir(mode=0o700)
    try:
        yield new
        for file in new.iterdir():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())
        _sync_folder(new)
        if path.exists():
            path.rename(old)
        new.rename(path)
        _sync_folder(path.parent)
    finally:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def one_at_a_time(lock: Path, busy: str) -> Iterator[None]:
    """Hold a lock file while the block runs; BusyError with the text `busy` if another process holds it."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(busy) from error
        yield


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can open, or close an existing one to others."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def _sync_folder(folder: Path) -> None:
    # A rename is durable only once its folder is.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
