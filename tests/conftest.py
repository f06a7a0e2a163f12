import os

import fakes
import pytest

os.environ["PRM_QUIET"] = "1"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A small recipe (a mapping) in tmp_path whose engine, signal and trainer are fakes."""
    fakes.install(monkeypatch.setattr)
    return fakes.recipe(tmp_path)
