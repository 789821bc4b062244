"""What every test shares: the event loop it runs on and the real MongoDB it talks to."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Async tests run on the loop the service runs on."""
    return "asyncio", {"use_uvloop": True}
