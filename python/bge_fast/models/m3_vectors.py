"""BGE-M3's outputs as the core gives them: one pass for everything asked for, one allocation a kind."""

from typing import Any

from bge_fast.models.embedder import AbsEmbedder
from bge_fast.models.inputs import flag, to_texts, whole_number
from bge_fast.models.keywords import M3Keywords
from bge_fast.models.m3_call import M3Call
from bge_fast.models.network import M3Network
from bge_fast.models.prompts import with_instruction
from bge_fast.models.results import M3Vectors
from bge_fast.models.shapes import Array, Texts
from bge_fast.opening.engine import Outputs


class M3Encoder(AbsEmbedder):
    """An opened BGE-M3: which outputs a call takes, and the pass that gives them."""

    _kind = "m3"
    _pooling_methods = ("cls", "mean", "last_token")
    _known_keywords = M3Keywords
    return_dense: bool
    return_sparse: bool
    return_colbert_vecs: bool
    colbert_dim: int

    def encode_vectors(
        self,
        texts: Texts,
        *,
        batch_size: int | None = None,
        max_length: int | None = None,
        dense: bool = True,
        sparse: bool = True,
        colbert: bool = False,
        query: bool = False,
        show_progress_bar: bool | None = None,
        out: Array | None = None,
    ) -> M3Vectors:
        """Encode texts into native batches: arrays over all texts instead of a dict and a matrix for each.

        Args:
            texts: one ``str``, or any iterable of ``str``; the result is a batch in any case.
            query: encode as ``encode_queries`` does instead of as ``encode_corpus``.
            out: an array ``(n, dim)`` of float32 or float16 that dense vectors are written to.
        """
        options = self._query_options() if query else self._passage_options()
        length = self.query_max_length if query and max_length is None else max_length
        listed = with_instruction(to_texts(texts)[0], **options)
        modes = self._modes(dense, sparse, colbert)
        return M3Vectors(*self._vectors(listed, batch_size, length, modes, show_progress_bar, True, out))

    @property
    def model(self) -> M3Network:
        """Not a torch module: what of one is read, and what moves or casts it, which does nothing."""
        width = self._open().heads.get("colbert_linear")
        return M3Network(self._read_config(), self.target_devices[0], width)

    def _modes(self, dense: bool | None, sparse: bool | None, colbert: bool | None) -> tuple[bool, bool, bool]:
        modes = (
            flag("return_dense", self.return_dense if dense is None else dense),
            flag("return_sparse", self.return_sparse if sparse is None else sparse),
            flag("return_colbert_vecs", self.return_colbert_vecs if colbert is None else colbert),
        )
        if not any(modes):
            raise AssertionError(
                "one of return_dense, return_sparse and return_colbert_vecs must be true, or there is nothing to return"
            )
        self._check_heads(sparse=modes[1], colbert=modes[2])
        return modes

    def _vectors(
        self,
        texts: list[str],
        batch_size: int | None,
        max_length: int | None,
        modes: tuple[bool, bool, bool],
        show_progress_bar: bool | None,
        joined: bool = False,
        out: Array | None = None,
    ) -> tuple[Any, Any, Any]:
        """Dense, sparse and multi-vector output; warns about texts that were cut where the model is to."""
        call = self._call(batch_size, max_length)
        if out is None:
            *vectors, truncated = call.encode(texts, modes, show_progress_bar, joined)
        else:
            *vectors, truncated = call.encode_into(out, texts, modes, show_progress_bar, joined)
        self._warn_about_truncation(truncated, len(texts), call.options["max_length"])
        return vectors[0], vectors[1], vectors[2]

    def _call(self, batch_size: int | None, max_length: int | None, **changed: Any) -> M3Call:
        return M3Call(self._open(), {**self._core_options(batch_size, max_length), **changed})

    def _check_heads(self, *, sparse: bool, colbert: bool) -> None:
        heads = self._open().heads
        for asked, layer, what in ((sparse, "sparse_linear", "sparse"), (colbert, "colbert_linear", "multi-vector")):
            if asked and layer not in heads:
                raise ValueError(
                    f"{self.model_name_or_path} has no {what} head: sparse_linear.pt and colbert_linear.pt must both "
                    "lie beside its weights (or in the graph of an exported folder). Dense vectors work"
                )

    def _check_limits(self) -> None:
        super()._check_limits()
        width = self._open().heads.get("colbert_linear")
        asked = whole_number("colbert_dim", self.colbert_dim, None)
        if asked > 0 and width is not None and asked != width:
            raise ValueError(f"colbert_dim={asked}, but the multi-vector head of {self!r} has the width {width}")

    def _outputs_at_start(self) -> Outputs:
        wanted = {
            self._pooled_output(): flag("return_dense", self.return_dense),
            "sparse": flag("return_sparse", self.return_sparse),
            "colbert": flag("return_colbert_vecs", self.return_colbert_vecs),
        }
        return tuple(output for output, on in wanted.items() if on) or ("cls",)
