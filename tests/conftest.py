import os

os.environ["PRM_QUIET"] = "1"
# Before torch is imported, here and in the processes that tests start: on matrices this small, threads only wait for each
# other, and how many there are decides the last bits of a sum.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import fakes  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A small recipe (a mapping) in tmp_path whose engine, signal and trainer are fakes."""
    fakes.install(monkeypatch.setattr)
    return fakes.recipe(tmp_path)
