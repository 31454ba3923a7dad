"""What all tests share: real recordings where they are there, and how hypothesis runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).parent.parent

# No variable of whoever runs the tests may change how Python runs what they start: PYTHONUNBUFFERED hides
# what happens to output that waits in a buffer.
for variable in [name for name in os.environ if name.startswith("PYTHON")]:
    del os.environ[variable]

# How long an example takes says nothing on a machine that does other things as well.
settings.register_profile("esc-listen", deadline=None)
settings.load_profile("esc-listen")

# Tests that are started in the background or under nohup are born deaf to these signals, and so would be
# every program that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def skip_or_fail(reason: str) -> None:
    """Skip the test, or fail it where ESC_REQUIRE_ALL=1 asks that all of them run."""
    if os.environ.get("ESC_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def esc_data() -> Path:
    """Folder of the real recordings: the environment variable ESC_DATA, or ../shared/data."""
    folder = Path(os.environ.get("ESC_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        skip_or_fail(f"there are no recordings in {folder}; set ESC_DATA to the folder that holds them")
    return folder
