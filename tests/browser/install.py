"""A Chromium for the tests: the system's, or one that is fetched: ``python -m tests.browser.install``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """Where the system's Chromium is; None where it has none (Playwright then uses its own)."""
    return next((found for found in map(shutil.which, NAMES) if found), None)


def install() -> int:
    """Makes sure that there is one; returns the exit status."""
    if chromium() or (_from_packages() and chromium()):
        return 0
    if subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False).returncode == 0:
        return 0
    sys.stderr.write("The tests need a browser: install the package 'chromium' of your system, then try again.\n")
    return 2


def _from_packages() -> bool:
    """From the packages of Debian and its kin, where this user may install them; with a font that has Chinese."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    silent = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    wanted = [*apt, "install", "-y", "--no-install-recommends", "chromium", "fonts-noto-cjk"]
    for command in ([*apt, "update"], wanted):
        if subprocess.run(command, env=silent, stdout=subprocess.DEVNULL, check=False).returncode:
            return False
    return True


if __name__ == "__main__":
    sys.exit(install())
