"""Paths that a configuration names."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import ConfigurationError
from .wording import shown

__all__ = ["parse_path"]


def parse_path(text: str, *, path: str) -> Path:
    """The file or directory ``text``, of whose ``~`` the home directory has been made. ``path`` is
    what errors call it.

    Raises: ConfigurationError for what no file system can have.
    """
    try:
        if b"\0" in os.fsencode(text):
            raise ValueError("it holds a NUL")
        return Path(text).expanduser()
    except UnicodeEncodeError:
        reason = "it holds a lone surrogate, which no file system has"
    except (RuntimeError, ValueError) as error:  # there is no such user, or nobody is at home
        reason = str(error)
    raise ConfigurationError(f"{path}: {shown(text)} is no path: {reason}: write another")
