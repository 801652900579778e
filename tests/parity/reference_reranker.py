"""FlagEmbedding's FlagReranker: its torch model, fed with pairs that are assembled on ids (contract 3.6).

FlagEmbedding itself, with transformers 5, decodes the cut ids and tokenizes the text again (contract 6.3).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from FlagEmbedding import FlagReranker
from FlagEmbedding.utils.tokenizer_compat import prepare_for_model_compat

from tests.parity.golden import Ids
from tests.parity.stored import StoredTokenizer

OPTIONS: dict[str, Any] = {"use_fp16": False, "devices": "cpu", "batch_size": 16}
Pairs = list[tuple[str, str]]


class Assembled(NamedTuple):
    """What goes into the model for one pair."""

    ids: Ids
    types: Ids


class ReferenceReranker:
    """Logits of pairs; `model` is FlagEmbedding's own object."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.model = FlagReranker(str(folder), **{**OPTIONS, **options})
        self.model.model.float().eval()
        self.stored = StoredTokenizer(folder)
        self.typed = "token_type_ids" in self.model.tokenizer.model_input_names
        self.known: dict[str, Ids | None] = {}

    def compute_score(
        self,
        pairs: Pairs,
        *,
        query_max_length: int | None = None,
        max_length: int | None = None,
        normalize: bool | None = None,
    ) -> list[float | None]:
        """A score each; None where FlagEmbedding's ids are no reference."""
        assembled = self.assemble_all(pairs, query_max_length, max_length)
        logits = [None if pair is None else self.logit(pair) for pair in assembled]
        if self.model.normalize if normalize is None else normalize:
            return [None if logit is None else float(torch.tensor(logit).double().sigmoid()) for logit in logits]
        return logits

    def assemble_all(
        self, pairs: Pairs, query_max_length: int | None = None, max_length: int | None = None
    ) -> list[Assembled | None]:
        """The pairs with their instructions, on ids; None where FlagEmbedding's ids are no reference."""
        length = self.model.max_length if max_length is None else max_length
        query_length = self.model.query_max_length if query_max_length is None else query_max_length
        query_length = length * 3 // 4 if query_length is None else query_length
        read = ((self.ids(query), self.ids(passage)) for query, passage in self.model.get_detailed_inputs(pairs))
        return [
            None if query is None or passage is None else self.assemble(query, passage, query_length, length)
            for query, passage in read
        ]

    def ids(self, text: str) -> Ids | None:
        """Ids without specials: FlagEmbedding's, or the stored tokenizer's where transformers 5 rebuilds it."""
        if text not in self.known:
            ids = list(self.model.tokenizer(text, verbose=False)["input_ids"])
            reason = self.stored.reason_to_exempt(text, ids)
            read = ids if reason is None else self.stored.ids(text)
            self.known[text] = None if reason == "newer-punctuation" else read[1:-1]
        return self.known[text]

    def assemble(self, query: Ids, passage: Ids, query_length: int, length: int) -> Assembled:
        """`<s> q </s> </s> p </s>`, or `[CLS] q [SEP] p [SEP]`; with token types where the tokenizer gives them."""
        tokenizer = self.model.tokenizer
        first, end = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        between = end * (tokenizer.num_special_tokens_to_add(pair=True) - 2)
        room = max(0, length - len(first + between + end))
        query = query[:query_length][:room]
        passage = passage[: room - len(query)]
        ids = first + query + between + passage + end
        second = len(passage) + 1 if self.typed else 0
        return Assembled(ids, [0] * (len(ids) - second) + [1] * second)

    @torch.no_grad()
    def logit(self, pair: Assembled) -> float:
        """The model's only output, in fp32; without neighbours and thus without padding."""
        inputs = {
            "input_ids": torch.tensor([pair.ids]),
            "attention_mask": torch.ones(1, len(pair.ids), dtype=torch.long),
        }
        if self.typed:
            inputs["token_type_ids"] = torch.tensor([pair.types])
        return float(self.model.model(**inputs, return_dict=True).logits.float().view(-1)[0])

    def as_flagembedding_reads(self, pair: tuple[str, str], query_length: int, length: int) -> Ids:
        """The ids that FlagEmbedding itself makes of a pair with the installed transformers."""
        cut = [
            self.model.tokenizer(text, add_special_tokens=False, max_length=limit, truncation=True)["input_ids"]
            for text, limit in zip(pair, (query_length, length), strict=True)
        ]
        read = prepare_for_model_compat(
            self.model.tokenizer, *cut, truncation="only_second", max_length=length, padding=False
        )
        return list(read["input_ids"])
