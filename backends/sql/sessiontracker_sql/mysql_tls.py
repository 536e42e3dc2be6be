"""MariaDB and MySQL: TLS as a URL asks for it, by the names that SQLAlchemy has for it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from sessiontracker.backend import ConfigurationError

__all__ = ["TLS", "tls_context"]

TLS = ("ssl", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_check_hostname")
_YES = {"true": True, "1": True, "false": False, "0": False}


def tls_context(where: str, query: Mapping[str, Any]) -> ssl.SSLContext | None:
    """What both drivers take; None: without TLS. Raises: ConfigurationError."""
    if not any(name in query for name in TLS) or not _is_on(where, query, "ssl"):
        return None
    try:
        context = ssl.create_default_context(
            cafile=query.get("ssl_ca"), capath=query.get("ssl_capath")
        )
        if "ssl_cert" in query:
            context.load_cert_chain(query["ssl_cert"], query.get("ssl_key"))
    except (OSError, TypeError, ValueError) as error:  # of ssl, or of what is no path
        raise ConfigurationError(
            f"{where}: a certificate or key cannot be used ({error}): correct ssl_ca, ssl_cert or "
            "ssl_key"
        ) from None
    context.check_hostname = _is_on(where, query, "ssl_check_hostname")
    return context


def _is_on(where: str, query: Mapping[str, Any], name: str) -> bool:
    """Whether it is, which it is unless set."""
    text = str(query.get(name, "true")).lower()
    if text not in _YES:
        raise ConfigurationError(f"{where}: {name}={text} is neither true nor false")
    return _YES[text]
