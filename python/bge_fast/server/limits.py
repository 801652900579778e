"""How much clients may ask for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What is more is refused at once, with the status behind it.

    Raises:
        ValueError: a limit is no whole number of at least 1.
    """

    max_waiting: int = 512
    """Requests for a model that are under way at a time, running or waiting: 429."""
    max_batch: int = 2048
    """Texts of one request: 413."""
    max_body: int = 2_000_000
    """Bytes of one request: 413."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r:.80}")
