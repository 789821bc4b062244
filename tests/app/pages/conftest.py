"""A browser, and a service that may send orders."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.app.conftest import Environment, running_service
from tests.harness.api import Api

OTHER_HOST = "pages.test"
"""A name of this machine that browsers do not trust without HTTPS, as they trust 127.0.0.1."""
_HARMLESS = ("404", "The Cross-Origin-Opener-Policy header has been ignored")
"""What browsers report of pages that do not exist, and of every page without HTTPS."""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {OTHER_HOST} 127.0.0.1",
]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium as the system provides it; without it the tests are skipped, but never in CI."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        assert not os.environ.get("CI"), "the tests of the pages need Chromium: apt-get install chromium"
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new page in a context of its own, which fails the test if a script or the policy reports an error."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: (
            faults.append(message.text)
            if message.type == "error" and not any(text in message.text for text in _HARMLESS)
            else None
        ),
    )
    yield page
    context.close()
    assert faults == []


@pytest.fixture(scope="session")
def desk(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service that may send orders."""
    with running_service(environment, tmp_path_factory.mktemp("desk") / "log", ORDERS_ENABLED="true") as api:
        yield api


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: `PICTURES`, if it is set."""
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
