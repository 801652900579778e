"""Kits run offline: whatever asks the hub fails at once."""

import os

import pytest

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", RAY_USAGE_STATS_ENABLED="0")


def pytest_configure(config: pytest.Config) -> None:
    """Ray leaves its processes to be waited for by nobody, which Python complains about when the tests are over."""
    config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")
