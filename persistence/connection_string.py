"""Whether a text can be a MongoDB connection string; asks no name server and no database."""

from pymongo.errors import ConfigurationError
from pymongo.uri_parser import parse_uri

_SEED_LIST = "mongodb+srv://"


def is_connection_string(text: str) -> bool:
    """Check the form: scheme, hosts, escaped credentials, and no option that the driver does not know."""
    try:
        # The records behind a seed list are looked up when connecting; apart from them the forms are the same.
        parse_uri(text.replace(_SEED_LIST, "mongodb://", 1) if text.startswith(_SEED_LIST) else text)
    except (ConfigurationError, ValueError):
        return False
    return True
