"""An end-of-turn model of random weights, and what torch makes of a recording with it.

    python make_golden_turn.py --out ../tests/turn_tiny

`turn.onnx` has Smart Turn's form; `golden.json` says what the features (of a few frames) and the probability must be for
`../tests/speech/salama.wav`, said once (zeros stand in front) and three times (the oldest is left out).  The Rust engine is
measured against it.  The weights are random on purpose: nothing to understand, everything to compare.
"""

from __future__ import annotations

import argparse
import json
import wave
from pathlib import Path

import numpy as np
import torch

from ears_model import MELS, LogMel
from turn_model import FRAMES, SHAPE, WINDOW, Turn, features

SPEECH = Path(__file__).resolve().parent.parent / "tests/speech/salama.wav"
#: In zeros, at their end, in speech, and the last ones, where the padding is mirrored.
COMPARED = (0, 1, 400, 470, 500, 640, 700, 798, 799)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True)
    out = arguments.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with wave.open(str(SPEECH)) as file:
        speech = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    torch.manual_seed(7)
    model, mel, cases = Turn(**{**SHAPE, "width": 8}).eval(), LogMel(), []
    for said in (1, 3):
        heard = np.tile(speech, said)[-WINDOW:].astype(np.float32) / 32768
        window = torch.zeros(1, WINDOW)
        window[0, WINDOW - len(heard):] = torch.from_numpy(heard)
        with torch.inference_mode():
            made = features(mel, window)
            probability = float(model(made))
        cases.append({"said": said, "probability": round(probability, 6),
                      "features": [[round(float(v), 4) for v in made[0, :, frame]] for frame in COMPARED]})
    torch.onnx.export(model, (torch.randn(1, MELS, FRAMES),), str(out / "turn.onnx"), input_names=["input_features"],
                      output_names=["logits"], opset_version=17,
                      dynamic_axes={"input_features": {0: "batch"}, "logits": {0: "batch"}}, dynamo=False)
    (out / "golden.json").write_text(json.dumps({
        "about": "made by models/training/make_golden_turn.py with torch", "frames": COMPARED, "cases": cases}) + "\n")
    print([case["probability"] for case in cases], sum(f.stat().st_size for f in out.iterdir()), "bytes")


if __name__ == "__main__":
    main()
