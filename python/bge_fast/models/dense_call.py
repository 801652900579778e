"""One call of a dense embedder: the core's vectors, and the linear layers behind them where they are asked for."""

from typing import Any

import numpy as np

from bge_fast.errors import NumericsError
from bge_fast.models.shapes import Matrix
from bge_fast.opening.engine import Engine
from bge_fast.opening.projection import normalized


def width(engine: Engine, options: dict[str, Any]) -> int:
    """Numbers of a vector."""
    whole = engine.projection.width if engine.projection else engine.files.dimension
    return min(whole, options["truncate_dim"] or whole)


def encoded(engine: Engine, texts: list[str], options: dict[str, Any], progress: Any) -> tuple[Matrix, int]:
    """Vectors and how many texts were cut; with linear layers behind the pooling where the model has them."""
    if engine.projection is None:
        return engine.core.encode(texts, **options, progress=progress)
    as_pooled = {**options, "normalize": False, "truncate_dim": None}
    pooled, truncated = engine.core.encode(texts, **as_pooled, progress=progress)
    vectors = engine.projection(pooled)
    if not (sound := np.isfinite(vectors).all(axis=1)).all():
        raise NumericsError(f"the vector of texts[{int(sound.argmin())}] is not finite behind the Dense module")
    vectors = vectors[:, : options["truncate_dim"]]
    return np.ascontiguousarray(normalized(vectors) if options["normalize"] else vectors), truncated
