"""The browser that the playground is tried out and photographed with: a Chromium that is installed here.

Developers only: the page itself needs nothing of this.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

# Nothing goes to the network, whoever asks for it, and pictures look alike on every machine.
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-first-run",
)

# Waits until a page stands still: letters are there, colours have passed from one to the other, lists have slid in.
SETTLED = """async () => {
  await document.fonts.ready;
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
  await Promise.allSettled(document.getAnimations().map((each) => each.finished));
}"""


class NoBrowser(Exception):
    pass


def executable() -> str:
    """Where Chromium is: CHROMIUM, or `chromium` or its relatives on the path."""
    for name in (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"):
        if name and (found := shutil.which(name)):
            return found
    raise NoBrowser("There is no Chromium here. Debian: apt-get install chromium; else set CHROMIUM to its path.")


@contextlib.contextmanager
def opened() -> Iterator[Browser]:
    """A browser without a window."""
    arguments = list(ARGUMENTS)
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's own sandbox refuses to run as root
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
