"""Which release this is."""

import os
from importlib.metadata import version
from typing import Annotated

from litestar import get
from msgspec import Meta, Struct

DISTRIBUTION = "globeco-order-generation-service"


class VersionDTO(Struct, frozen=True, rename="camel"):
    """The release that is running."""

    name: Annotated[str, Meta(description="Name of the distribution.")]
    version: Annotated[str, Meta(description="Version of the release.")]
    revision: Annotated[str | None, Meta(description="Revision of the source; null if the build did not record it.")]


@get("/version", operation_id="getVersion", summary="Get the version of the service", tags=["Service"])
async def get_version() -> VersionDTO:
    """Return name, version and revision of the running release."""
    return VersionDTO(DISTRIBUTION, version(DISTRIBUTION), os.environ.get("REVISION") or None)
