"""System locks (flock) on open files. A lock ends with its process, however the process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from uae.errors import InputError

# The errors of a file system without locks
UNSUPPORTED = {errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
# Links are not followed, and child processes do not inherit the lock
FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def lock(descriptor: int, wait: bool = False) -> bool | None:
    """Lock an open file. False: another process has locked it. None: the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return None
    return True


def there(descriptor: int, path: Path) -> bool:
    """Whether `path` still is the open file. The previous holder may have deleted it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def open_lock(path: Path) -> int:
    """Open or create a lock file. Raises InputError if something else is in its place."""
    try:
        descriptor = os.open(path, FLAGS, 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InputError(f"{path}: a link in place of a lock file; delete it") from None
    found = os.fstat(descriptor)
    own = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink < 2
    if not own or os.pread(descriptor, 32, 0).strip(b"0123456789"):
        os.close(descriptor)
        raise InputError(f"{path}: not a lock file of a run of this user; delete it or move it")
    return descriptor
