"""Whether a text can be a MongoDB connection string; asks no name server and no database."""

import ssl
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pymongo.errors import ConfigurationError
from pymongo.uri_parser import parse_uri

_FILE_OPTIONS = ("tlscafile", "tlscertificatekeyfile", "tlscrlfile")
_SEED_LIST = "mongodb+srv://"


def unreadable_file(text: str) -> str | None:
    """Return why a file that a connection string names cannot be read; None if each can, or none is named."""
    for name, path in parse_qsl(urlsplit(text).query):
        if name.lower() in _FILE_OPTIONS:
            try:
                with Path(path).open("rb") as file:
                    file.read(1)
                if name.lower() == "tlscafile":
                    ssl.create_default_context(cafile=path)
            except ssl.SSLError:
                return f"the file {path} of {name} is not a PEM certificate"
            except OSError as error:
                return f"the file {path} of {name} cannot be read: {error.strerror}"
    return None


def is_connection_string(text: str) -> bool:
    """Check the form: scheme, hosts, escaped credentials, and no option that the driver does not know."""
    try:
        # The records behind a seed list are looked up when connecting; apart from them the forms are the same.
        parse_uri(text.replace(_SEED_LIST, "mongodb://", 1) if text.startswith(_SEED_LIST) else text)
    except (ConfigurationError, ValueError, OSError):
        return False
    return True
