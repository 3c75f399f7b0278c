"""Writes the trained ears as the shipped model: ONNX in optimum's form, int8, with tokenizer and configuration.

    python export_ears.py --checkpoint /tmp/ears/run/checkpoint.pt --out ../demo/ears

The weights are the average that training kept; the CTC head stays behind.  The
encoder and the merged decoder are quantised to int8 (dynamic, matrix products
only, subgraphs too) and compared with torch before anything is written.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from optimum.exporters.onnx import main_export
from optimum.utils import input_generators
from tokenizers import Tokenizer
from transformers import GenerationConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from ears_model import (FFT, HOP, LANGUAGES, MAX_TOKENS, MELS, POSITIONS, WINDOW, Ids, LogMel, configuration, decode, encode,
                        load_checkpoint)

#: What these ears make of a line without speech is less likely than this (of 2,000 such lines, seeds 91 and 92, the likeliest has -0.30),
#: and what people say there is not: the means of right and wrong sentences are -0.01 and -0.17.
NO_SPEECH, POOR_LOGPROB = 0.0, -0.28
GRAPHS = ("encoder_model.onnx", "decoder_model_merged.onnx")
#: Greatest difference of a logit that a float export may have.
TOLERANCE = 1e-3


def decoder_feed(session: onnxruntime.InferenceSession, tokens: np.ndarray, encoded: np.ndarray,
                 pasts: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """What the merged decoder's own inputs ask for; without pasts: the first step."""
    feed = {}
    for wanted in session.get_inputs():
        if wanted.name == "input_ids":
            feed[wanted.name] = tokens
        elif wanted.name == "encoder_hidden_states":
            feed[wanted.name] = encoded
        elif wanted.name == "use_cache_branch":
            feed[wanted.name] = np.array([pasts is not None])
        elif pasts is not None:
            feed[wanted.name] = pasts[wanted.name]
        else:
            feed[wanted.name] = np.zeros((1, wanted.shape[1], 0, wanted.shape[3]), np.float32)
    return feed


def run_decoder(session: onnxruntime.InferenceSession, tokens: list[int], encoded: np.ndarray,
                pasts: dict[str, np.ndarray] | None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(logits of the given tokens, pasts for the next step).  The encoder's pasts are those of the first step:
    later ones are dummies."""
    names = [output.name for output in session.get_outputs()]
    results = dict(zip(names, session.run(None, decoder_feed(session, np.array([tokens]), encoded, pasts))))
    following = {name.replace("present", "past_key_values"): value for name, value in results.items() if name != "logits"}
    if pasts is not None:
        following |= {name: value for name, value in pasts.items() if ".encoder." in name}
    return results["logits"][0], following


def parity(folder: Path, model: WhisperForConditionalGeneration, ids: Ids) -> float:
    """Greatest difference to torch of the logits over a prompt and ten cached steps."""
    encoder = onnxruntime.InferenceSession(folder / GRAPHS[0])
    decoder = onnxruntime.InferenceSession(folder / GRAPHS[1])
    torch.manual_seed(4)
    features = LogMel()(torch.randn(1, WINDOW) * 0.05)
    with torch.inference_mode():
        reference = encode(model, features)
        encoded = encoder.run(None, {"input_features": features.numpy()})[0]
        line = [ids.start, ids.language["mg"], ids.transcribe, ids.no_timestamps]
        logits, pasts = run_decoder(decoder, line, encoded, None)
        worst = 0.0
        for _ in range(10):
            expected = decode(model, torch.tensor([line]), reference)[0, -1].numpy()
            worst = max(worst, float(np.abs(expected - logits[-1]).max()))
            line.append(int(expected[: ids.end].argmax()))
            logits, pasts = run_decoder(decoder, line[-1:], encoded, pasts)
    return worst


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--checkpoint", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--float", action="store_true", help="without quantisation")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    state = load_checkpoint(given.checkpoint)
    tokenizer = Tokenizer.from_str(state["tokenizer"])
    ids = Ids(tokenizer)
    model = WhisperForConditionalGeneration(configuration(tokenizer, state["shape"])).eval()
    model.load_state_dict(state["average"])
    model.generation_config = GenerationConfig(
        decoder_start_token_id=ids.start, eos_token_id=ids.end, pad_token_id=ids.end, bos_token_id=ids.end,
        no_timestamps_token_id=ids.no_timestamps, is_multilingual=True, max_length=MAX_TOKENS, max_initial_timestamp_index=60,
        lang_to_id={f"<|{language}|>": ids.language[language] for language in LANGUAGES},
        task_to_id={"transcribe": ids.transcribe, "translate": tokenizer.token_to_id("<|translate|>")}, suppress_tokens=[],
        begin_suppress_tokens=[], no_speech_threshold=NO_SPEECH, logprob_threshold=POOR_LOGPROB)
    extractor = WhisperFeatureExtractor(feature_size=MELS, hop_length=HOP, n_fft=FFT, chunk_length=POSITIONS // 50)
    with tempfile.TemporaryDirectory() as folder:
        source, exported, small = Path(folder) / "torch", Path(folder) / "onnx", Path(folder) / "int8"
        model.save_pretrained(source)
        extractor.save_pretrained(source)
        # Optimum traces with a made-up input of this many frames; Whisper's encoder accepts its own window alone.
        input_generators.DEFAULT_DUMMY_SHAPES["nb_max_frames"] = 2 * POSITIONS
        main_export(source, exported, task="automatic-speech-recognition-with-past", do_validation=False, dtype="fp32",
                    library_name="transformers")
        difference = parity(exported, model, ids)
        print(f"float graphs: greatest difference of a logit to torch {difference:.1e}")
        if difference > TOLERANCE:
            raise SystemExit("the exported graphs are not the trained model")
        small.mkdir()
        for graph in GRAPHS:
            if given.float:
                shutil.copy(exported / graph, small / graph)
            else:
                quantize_dynamic(exported / graph, small / graph, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8,
                                 extra_options={"EnableSubgraph": True})
        print(f"shipped graphs: greatest difference of a logit to torch {parity(small, model, ids):.1e}")
        given.out.mkdir(parents=True, exist_ok=True)
        for graph in GRAPHS:
            shutil.copy(small / graph, given.out / graph)
        for name in ("config.json", "generation_config.json", "preprocessor_config.json"):
            shutil.copy(source / name, given.out / name)
        tokenizer.save(str(given.out / "tokenizer.json"), pretty=False)
    print(f"after {state['spent'] / 60:.0f} CPU-minutes of training, step {state['steps']}")
    for path in sorted(given.out.iterdir()):
        print(f"{path.stat().st_size:9,} {path.name}")


if __name__ == "__main__":
    main()
