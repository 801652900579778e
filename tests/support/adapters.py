"""LoRA adapters as peft stores them."""

import json
from pathlib import Path

import numpy as np

from tests.support.malformed import pickled, safetensors

RANK = 4


def factors(shape: tuple[int, int], rank: int = RANK) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    return (
        (random.normal(size=(rank, shape[1])) / 10).astype(np.float32),
        (random.normal(size=(shape[0], rank)) / 10).astype(np.float32),
    )


def adapter(
    folder: Path, base: str, tensors: dict[str, np.ndarray], file: str = "adapter_model.safetensors", **config: object
) -> str:
    folder.mkdir(exist_ok=True)
    named = {f"base_model.model.{name}": tensor for name, tensor in tensors.items()}
    (folder / file).write_bytes(safetensors(named) if file.endswith("safetensors") else pickled(named))
    written = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": RANK,
        "lora_alpha": 8,
        "target_modules": ["query"],
        **config,
    }
    (folder / "adapter_config.json").write_text(json.dumps(written))
    return str(folder)


def lora(name: str, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    a, b = factors(shape)
    module = name.removesuffix(".weight")
    return {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}
