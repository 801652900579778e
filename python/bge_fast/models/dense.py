"""Dense embedders: ``FlagModel``."""

from typing import Unpack

from bge_fast.models.dense_embedder import DenseEmbedder
from bge_fast.models.keywords import EmbedderKeywords
from bge_fast.models.shapes import Devices


class FlagModel(DenseEmbedder):
    """Dense vectors of a BERT or XLM-R embedder, with FlagEmbedding's names, defaults and numbers.

    Args:
        model_name_or_path: a checkpoint's folder, a model folder, a folder with ``onnx/model.onnx``, or a hub id.
        normalize_embeddings: scale vectors to unit length.
        use_fp16: on CUDA, run the fp16 graph where there is one. The CPU always computes in fp32.
        use_bf16: on CUDA, run the fp32 graph: bf16 is asked for its range.
        query_instruction_for_retrieval: put before each text of ``encode_queries``.
        query_instruction_format: how; first placeholder the instruction, second the text.
        devices: ``None``, ``"cpu"``, ``"cuda"``, ``"cuda:0"``, ``0``; ``None`` takes the first CUDA device where
            ``onnxruntime-gpu`` is installed and usable, else the CPU.
        pooling_method: ``"cls"`` or ``"mean"``.
        trust_remote_code: accepted, without effect: Python from a repository is never run.
        cache_dir: the hub's cache folder.
        batch_size: most texts of one ONNX Runtime call; batches are also bounded by their tokens.
        query_max_length: most tokens of a query, special tokens included.
        passage_max_length: the same for passages.
        convert_to_numpy: return numpy arrays; ``False`` returns torch tensors and needs torch.
        truncate_dim: keep this many leading components, before normalization.
        precision: ``"fp32"`` or ``"fp16"``; wins over ``use_fp16``.
        threads: CPU threads, 1,024 at most; by default what ``OMP_NUM_THREADS`` says, else all that affinity and cgroup
                allow.
        low_memory: leave weights in the mapped file instead of repacking them for speed: opens faster, needs a third
            of the private memory, several processes share the rest; queries take 1.7 times as long.
        onnx_file: the graph to open, by its name in the folder or repository, such as ``"onnx/model_O3.onnx"``; by
            default weights or ``onnx/model.onnx``.
        on_fork: what a forked child does with a model that its parent opened: ``"reopen"`` opens it again by itself,
            once, from the same files; ``"error"`` raises ``ForkedProcessError``.
        dense: apply the linear layers that sentence-transformers has behind the pooling (``2_Dense``), which
            FlagEmbedding leaves out; normalization before them as in ``modules.json``, at the end as
            ``normalize_embeddings`` says.
        on_truncate: what happens to texts over the length limit: ``"ignore"`` cuts them, ``"warn"`` also warns once
            a call, ``"error"`` refuses them.

    Raises:
        ModelNotFoundError, ModelFormatError, UnsupportedModelError, RuntimeNotFoundError, DeviceError: see
            `bge_fast.errors`.
        NotImplementedError: a ``pooling_method`` other than cls and mean.

    Source: ``FlagEmbedding.FlagModel`` of FlagEmbedding 1.4.2.
    """

    def __init__(
        self,
        model_name_or_path: str,
        normalize_embeddings: bool = True,
        use_fp16: bool = True,
        use_bf16: bool = False,
        query_instruction_for_retrieval: str | None = None,
        query_instruction_format: str = "{}{}",
        devices: Devices = None,
        pooling_method: str = "cls",
        trust_remote_code: bool = False,
        cache_dir: str | None = None,
        batch_size: int = 256,
        query_max_length: int = 512,
        passage_max_length: int = 512,
        convert_to_numpy: bool = True,
        truncate_dim: int | None = None,
        *,
        precision: str | None = None,
        threads: int | None = None,
        low_memory: bool = False,
        onnx_file: str | None = None,
        on_fork: str = "reopen",
        dense: bool = False,
        on_truncate: str = "ignore",
        **kwargs: Unpack[EmbedderKeywords],
    ) -> None:
        self._start(locals())
