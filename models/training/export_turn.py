"""Writes the trained end-of-turn model as one int8 ONNX file in Smart Turn's form, compared with torch.

    python export_turn.py --work /tmp/turn/run --to ../demo/turn
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from ears_model import MELS
from turn_model import FRAMES, Turn

NAME = "turn.onnx"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--to", type=Path, required=True)
    a = arguments.parse_args()
    torch.set_num_threads(1)
    state = torch.load(a.work / "checkpoint.pt", weights_only=True)
    model = Turn(**state["shape"]).eval()
    model.load_state_dict(state["model"])
    a.to.mkdir(parents=True, exist_ok=True)
    example = torch.randn(1, MELS, FRAMES)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / NAME
        torch.onnx.export(model, (example,), str(whole), input_names=["input_features"], output_names=["logits"], opset_version=17,
                          dynamic_axes={"input_features": {0: "batch"}, "logits": {0: "batch"}}, dynamo=False)
        quantize_dynamic(whole, a.to / NAME, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
        for path, name, most in ((whole, "float", 1e-4), (a.to / NAME, "shipped", 0.1)):
            said = onnxruntime.InferenceSession(path).run(None, {"input_features": example.numpy()})[0]
            with torch.inference_mode():
                difference = float(np.abs(said - model(example).numpy()).max())
            print(f"{name} graph: difference of the probability to torch {difference:.1e}")
            if difference > most:
                raise SystemExit("the exported graph is not the trained model")
    print(f"after {state['spent'] / 60:.0f} CPU-minutes of training, step {state['step']}; {(a.to / NAME).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
