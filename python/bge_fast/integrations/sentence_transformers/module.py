"""`BGEModule`: an embedder as a module of the real ``SentenceTransformer``, for libraries that look at the type."""

from pathlib import Path
from typing import Any, Self

from bge_fast import AbsEmbedder
from bge_fast.integrations.opening import described, open_embedder
from bge_fast.integrations.sentence_transformers.calls import vectors
from bge_fast.integrations.sentence_transformers.opened import model_with_settings

try:
    import torch
    from sentence_transformers.base.modules import InputModule
except ImportError as error:
    raise ImportError("BGEModule needs sentence-transformers 6: pip install 'sentence-transformers>=6'") from error


class BGEModule(InputModule):
    """Texts → sentence embeddings, by bge-fast.

    ``SentenceTransformer(modules=[BGEModule(model)], device="cpu")`` is a SentenceTransformer like any other, but for
    training. It hands over ``batch_size`` texts at a time, so pass ``batch_size=1024`` or more.

    Args:
        model_name_or_path: a hub id or a folder, opened as its files say, or an embedder of bge_fast as it is.
        **arguments: of the model class, such as ``precision=`` or ``devices=``, and ``model_class=``.
    """

    save_in_root = False

    def __init__(self, model_name_or_path: Any, **arguments: Any) -> None:
        super().__init__()
        self.model, settings = model_with_settings(model_name_or_path, arguments)
        named = not isinstance(model_name_or_path, AbsEmbedder)
        limit = self.model.info()["max_length"]
        self.max_seq_length: int | None = min(settings.max_seq_length or limit, limit) if named else None

    def preprocess(self, inputs: Any, prompt: str | None = None, task: str | None = None, **_: Any) -> dict[str, Any]:
        """Keep the texts: they are tokenized where they are encoded."""
        return {"texts": list(inputs), "prompt": prompt, "task": task}

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Add ``sentence_embedding``, float32 ``(n, dim)``."""
        options = {"max_length": self.max_seq_length, "show_progress_bar": False}
        rows = vectors(self.model, features["texts"], features["prompt"], features["task"], **options)
        return {**features, "sentence_embedding": torch.from_numpy(rows)}

    def get_embedding_dimension(self) -> int:
        """Numbers of a vector."""
        whole: int = self.model.info()["dimension"]
        return min(whole, self.model.truncate_dim or whole)

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.model.tokenizer

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write what opens the model again; its own files stay where they are."""
        Path(output_path).mkdir(parents=True, exist_ok=True)
        self.save_config(output_path)

    def get_config_dict(self) -> dict[str, Any]:
        """What `save` writes."""
        found = described(self.model)
        place = Path(found["model"])
        model = str(place.resolve()) if place.is_dir() else found["model"]
        return {**found, "model": model, "max_seq_length": self.max_seq_length}

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> Self:
        """Make the module that was saved."""
        place = {name: kwargs.get(name) for name in ("token", "cache_folder", "revision")}
        saved = cls.load_config(model_name_or_path, subfolder=subfolder, **place)
        module = cls(open_embedder(saved["model"], saved["model_class"], **saved["arguments"]))
        module.max_seq_length = saved["max_seq_length"]
        return module
