"""A block in which this process has no more rights than its files' modes give it, also when the superuser runs it."""

import contextlib
import ctypes
import os
from collections.abc import Generator
from typing import Final

_VERSION_3: Final = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextlib.contextmanager
def unprivileged() -> Generator[None]:
    """Take the capabilities that pass over modes from this thread, and give them back."""
    header, before = _Header(_VERSION_3, 0), (_Sets * 2)()
    _checked(_LIBC.capget(ctypes.byref(header), before))
    less = (_Sets * 2)(*before)
    less[0].effective &= ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    _checked(_LIBC.capset(ctypes.byref(header), less))
    try:
        yield
    finally:
        _checked(_LIBC.capset(ctypes.byref(header), before))


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
