"""``/metrics``: counters in the form that Prometheus reads."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Requests by route and status, how long they took, how many are under way, and the process's own figures."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "bge_fast_requests",
            "Requests; 499 are clients that went away",
            ("route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "bge_fast_request_seconds",
            "From the first byte of a request to its answer",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.under_way = Gauge("bge_fast_requests_under_way", "Requests running or waiting", registry=self._registry)
        ProcessCollector(registry=self._registry)
        self._children: dict[tuple[str, int], tuple[Any, Any]] = {}

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (route, status)
        if key not in self._children:
            self._children[key] = (self._requests.labels(route, str(status)), self._seconds.labels(route))
        requests, duration = self._children[key]
        requests.inc()
        duration.observe(seconds)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)
