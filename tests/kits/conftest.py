"""Kits run offline: whatever asks the hub fails at once."""

import os
from collections.abc import Iterator

import pytest

from tests.support.checkpoints import ROOT

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", RAY_USAGE_STATS_ENABLED="0")


def pytest_configure(config: pytest.Config) -> None:
    """Ray leaves its processes to be waited for by nobody, which Python complains about when the tests are over."""
    config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="session")
def ray_of_two_cores() -> Iterator[None]:
    """Ray in processes of this machine, which find the package where the tests do."""
    ray = pytest.importorskip("ray", reason="ray is not installed: make test-kits")
    pytest.importorskip("ray.data", reason="ray[data] is not installed: make test-kits")
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 << 20,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT / "python")}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()
