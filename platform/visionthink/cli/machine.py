"""What a command needs of the machine, found out or made good before any work begins.

Rule: what the machine lacks (a UTF-8 locale, a home, a temporary folder) is made good where that needs nobody, and else
told in one line at the start; never as the failure of some library half an hour later.
"""

import contextlib
import io
import os
import pwd
import sys
import tempfile
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Final

from visionthink.errors import ConfigError
from visionthink.network import spare_own_hosts

_UTF8: Final = {"PYTHONUTF8": "1"}
_CACHES: Final = {
    "MPLCONFIGDIR": "matplotlib",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
    "HF_HOME": "huggingface",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
}
"""Where libraries keep what they could make again, with the folder's name below the temporary one."""


def settle_in(env: MutableMapping[str, str]) -> None:
    """Make this process, and those that it starts, fit for the machine."""
    _speak_utf8(sys.orig_argv, env)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # none at all where it was closed
            stream.reconfigure(errors="backslashreplace")
    spare_own_hosts(env)
    _find_a_home(env)


def check_folder(folder: Path, env: Mapping[str, str]) -> None:
    """Find out whether a run can work in `folder`, on this machine.

    Raises:
        ConfigError: it cannot; says why and what to do.
    """
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(
            f"the name of the folder {str(folder)!a} is no UTF-8, which pictures, models and MLflow need; rename "
            "it, or choose another with --run-dir"
        ) from None
    if not str(folder).isprintable():
        raise ConfigError(f"the name of the folder {str(folder)!r} holds control characters; rename it")
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{there} cannot be written, so no run can be kept in {folder}; choose a place with --run-dir"
        )
    check_temporary(env)


def check_temporary(env: Mapping[str, str]) -> None:
    """Find out whether temporary files can be written where shells and libraries will do so.

    Raises:
        ConfigError: they cannot.
    """
    place = env.get("TMPDIR") or "/tmp"
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        raise ConfigError(
            f"no temporary folder can be written: {place}: {error.strerror}; let TMPDIR name a folder that can"
        ) from error


def _speak_utf8(command: Sequence[str], env: MutableMapping[str, str]) -> None:
    """Start the program again with UTF-8 for the names and texts of files where the locale says something else."""
    if sys.getfilesystemencoding().lower().replace("_", "-") in ("utf-8", "utf8"):
        return
    env.update(_UTF8)
    if sys.executable:
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *command[1:]], dict(env))


def _find_a_home(env: MutableMapping[str, str]) -> None:
    """Give a user without a name, or without a home to write to (a read-only root), what libraries ask for."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        env.setdefault("USER", f"uid{os.getuid()}")
    if os.access(env.get("HOME") or "/nonexistent", os.W_OK | os.X_OK):
        return
    place = _own_folder(Path(env.get("TMPDIR") or "/tmp"))
    env["HOME"] = env.get("HOME") or str(place)
    for variable, name in _CACHES.items():
        env.setdefault(variable, str(place / name))


def _own_folder(temporary: Path) -> Path:
    """The folder of this user for what can be made again; nobody else can have put anything there."""
    place = temporary / f"visionthink-{os.getuid()}"
    with contextlib.suppress(OSError):  # told by `check_temporary`, where it matters
        place.mkdir(mode=0o700, exist_ok=True)
        if place.is_symlink() or place.stat().st_uid != os.getuid():
            return Path(tempfile.mkdtemp(prefix="visionthink-", dir=temporary))
    return place
