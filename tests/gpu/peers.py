"""What others do with the same checkpoints and texts: sentence-transformers, and torch with sorted and padded batches."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import mixed_lengths, path_of, text_of, texts_of
from results import Results, parse
from speed import timed

_TOKENS = {"small": 1_500_000, "base": 800_000, "large": 300_000, "tiny": 10_000}
_BUDGETS = (16_384, 65_536)
_MIXED = 4096


def main() -> None:
    options = parse(__doc__)
    results = Results(options, "peers")
    for size in [options.only] if options.only else ["tiny"] if options.dry else ["base", "small", "large"]:
        folder = path_of(options.models, size)
        for name, opened in _PEERS.items():
            try:
                measure(results, size, name, opened(options, folder))
            except (ImportError, RuntimeError, TypeError, AttributeError) as error:
                results.add(model=size, peer=name, tokens=f"not: {error}", **{"texts/s": 0.0, "query_p50_ms": 0.0})
    results.end()


def measure(results: Results, size: str, name: str, encode: Callable[[list[str]], Any]) -> None:
    """Texts a second of equal and mixed lengths, and one query."""
    cases = {str(length): [length] * max(_TOKENS[size] // length, 8) for length in (32, 128, 512)}
    cases["10–500"] = mixed_lengths(min(max(_TOKENS[size] // 256, 8), _MIXED))
    query = sorted(timed(lambda n=n: encode([text_of(16, n)])) for n in range(40))
    for tokens, lengths in cases.items():
        passes = [texts_of(lengths, seed=1000 * number) for number in range(2)]
        seconds = min(timed(lambda texts=texts: encode(texts)) for texts in passes)
        results.add(
            model=size, peer=name, tokens=tokens, **{"texts/s": len(lengths) / seconds, "query_p50_ms": 1e3 * query[20]}
        )


def sentence_transformers(options: argparse.Namespace, folder: Path) -> Callable[[list[str]], Any]:
    """As its users have it."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device=options.device)
    model = model if options.dry else model.half()
    return lambda texts: model.encode(texts, batch_size=256, normalize_embeddings=True, show_progress_bar=False)


def torch_loop(options: argparse.Namespace, folder: Path) -> Callable[[list[str]], Any]:
    """The best plain loop: sorted, padded, under a budget of tokens, the first rows back."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    dtype = torch.float32 if options.dry else torch.float16
    model = AutoModel.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval().to(options.device)

    def encode(texts: list[str]) -> list[Any]:
        ids = tokenizer(texts, truncation=True, max_length=512)["input_ids"]
        order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
        rows, start = [], 0
        with torch.inference_mode():
            while start < len(order):
                many = max(_BUDGETS[1] // len(ids[order[start]]), 1)
                batch = [{"input_ids": ids[place]} for place in order[start : start + many]]
                padded = tokenizer.pad(batch, return_tensors="pt").to(options.device)
                states = model(**padded).last_hidden_state[:, 0].float()
                rows.append(torch.nn.functional.normalize(states, dim=-1).cpu())
                start += many
        return rows

    return encode


def torch_packed(options: argparse.Namespace, folder: Path) -> Callable[[list[str]], Any]:
    """The best loop without padding: texts one behind the other, attention by torch's own flash kernel for lengths that vary."""
    import torch
    from torch.nn.attention.varlen import varlen_attn
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float16).eval().to(options.device)
    tables, heads = model.embeddings, model.config.num_attention_heads

    def layer(part: Any, states: Any, starts: Any, longest: int) -> Any:
        own = part.attention.self
        asked = [each(states).view(len(states), heads, -1) for each in (own.query, own.key, own.value)]
        taken = varlen_attn(*asked, starts, starts, longest, longest).reshape(states.shape)
        attended = part.attention.output(taken, states)
        return part.output(part.intermediate(attended), attended)

    def run(ids: list[list[int]]) -> Any:
        lengths = torch.tensor([0, *map(len, ids)])
        starts = lengths.cumsum(0).to(torch.int32).to(options.device)
        flat = torch.tensor([one for text in ids for one in text], device=options.device)
        places = torch.cat([torch.arange(len(text)) for text in ids]).to(options.device)
        states = (
            tables.word_embeddings(flat) + tables.position_embeddings(places) + tables.token_type_embeddings.weight[0]
        )
        states = tables.LayerNorm(states)
        for part in model.encoder.layer:
            states = layer(part, states, starts, int(lengths.max()))
        return torch.nn.functional.normalize(states[starts[:-1].long()].float(), dim=-1).cpu()

    def encode(texts: list[str]) -> list[Any]:
        ids = tokenizer(texts, truncation=True, max_length=512)["input_ids"]
        rows, batch, tokens = [], [], 0
        with torch.inference_mode():
            for text in ids:
                batch.append(text)
                tokens += len(text)
                if tokens > _BUDGETS[1] - 512 or text is ids[-1]:
                    rows.append(run(batch))
                    batch, tokens = [], 0
        return rows

    return encode


_PEERS = {
    "sentence-transformers fp16": sentence_transformers,
    "torch fp16 SDPA": torch_loop,
    "torch fp16 packed": torch_packed,
}

if __name__ == "__main__":
    main()
