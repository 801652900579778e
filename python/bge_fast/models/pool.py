"""FlagEmbedding's pools of processes, which are here one "pool": this process."""

from typing import TypedDict


class Pool(TypedDict):
    """The keys of FlagEmbedding's pools, with nothing behind them."""

    input: None
    output: None
    processes: list[object]


class OfOneProcess:
    """The methods around a pool, for programs that call them. No process is started or stopped."""

    pool: None = None
    # What programs hand to `start_multi_process_pool` of FlagEmbedding's embedders.
    _encode_multi_process_worker: None = None

    def start_multi_process_pool(self, process_target_func: object = None) -> Pool:
        """Return what ``encode_multi_process`` takes for a pool; the model's own threads and devices do the work."""
        return {"input": None, "output": None, "processes": []}

    @staticmethod
    def stop_multi_process_pool(pool: object) -> None:
        """Do nothing: there is no pool of processes. The model stays usable."""

    def stop_self_pool(self) -> None:
        """Do nothing: there is no pool of processes. The model stays usable."""
