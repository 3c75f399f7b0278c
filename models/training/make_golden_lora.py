"""A LoRA of random numbers on top of the small language model that ships, for the tests of the engine (models/tests/lora_tiny.gguf):

    python make_golden_lora.py

Strong enough that the model no longer says what it was taught; scaled to nothing it must change nothing.
"""

from pathlib import Path

import gguf
import numpy as np

RANK = 2
HERE = Path(__file__).resolve().parent
MIND = HERE.parent / "demo/mind/mind.gguf"
LORA = HERE.parent / "tests/lora_tiny.gguf"


def main() -> None:
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(LORA, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(RANK))
    for tensor in gguf.GGUFReader(MIND).tensors:
        if tensor.name.endswith("ffn_down.weight"):
            taken, given = (int(size) for size in tensor.shape)
            writer.add_tensor(f"{tensor.name}.lora_a", random.standard_normal((RANK, taken), dtype=np.float32))
            writer.add_tensor(f"{tensor.name}.lora_b", random.standard_normal((given, RANK), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
