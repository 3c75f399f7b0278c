"""Writes the trained ears as the shipped model: ONNX in optimum's form, int8, with tokenizer and configuration.

    python export_ears.py --checkpoint /tmp/ears/run/checkpoint.pt --out ../demo/ears

The weights are the average that training kept; the CTC head stays behind.  The
matrix products are quantised to int8: those of the encoder as it runs, which is
the quickest, and those of the merged decoder by blocks, so that many calls may
be decoded in one run.  Both are compared with torch before anything is written,
and what is decoded beside others with what is decoded alone.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from optimum.exporters.onnx import main_export
from optimum.utils import input_generators
from tokenizers import Tokenizer
from transformers import GenerationConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

import export_graphs
from export_blocks import in_blocks
from ears_model import (FFT, HOP, LANGUAGES, MAX_TOKENS, MELS, POSITIONS, WINDOW, Ids, LogMel, configuration, decode, encode,
                        load_checkpoint)

#: What these ears make of a line without speech is less likely than this (of 2,000 such lines, seeds 91 and 92, the likeliest has -0.30),
#: and what people say there is not: the means of right and wrong sentences are -0.01 and -0.17.
NO_SPEECH, POOR_LOGPROB = 0.0, -0.28
GRAPHS = ("encoder_model.onnx", "decoder_model_merged.onnx")
#: What the encoder makes, as the decoder calls it.  Five hundred rows in place of one are multiplied with each of its matrices, once a
#: sentence: as f32 that takes 1.0 ms, by blocks 1.6.
ENCODED = "encoder_hidden_states"
#: Greatest difference of a logit that a float export may have.
TOLERANCE = 1e-3
#: With larger blocks a sum may end otherwise beside others, and a number then be rounded to the int8 next to its own.
BLOCK = 64
#: Greatest difference of a logit beside others to the same alone, as a share of the greatest; quantised as it runs, a decoder has 3e-2
#: and more.
BESIDE = 1e-3
#: Sentences that are decoded side by side to see it.
ROWS = 5


def decoder_feed(session: onnxruntime.InferenceSession, tokens: np.ndarray, encoded: np.ndarray,
                 pasts: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """What the merged decoder's own inputs ask for; without pasts: the first step."""
    feed = {}
    for wanted in session.get_inputs():
        if wanted.name == "input_ids":
            feed[wanted.name] = tokens
        elif wanted.name == ENCODED:
            feed[wanted.name] = encoded
        elif wanted.name == "use_cache_branch":
            feed[wanted.name] = np.array([pasts is not None])
        elif pasts is not None:
            feed[wanted.name] = pasts[wanted.name]
        else:
            feed[wanted.name] = np.zeros((len(tokens), wanted.shape[1], 0, wanted.shape[3]), np.float32)
    return feed


def run_rows(session: onnxruntime.InferenceSession, tokens: list[list[int]], encoded: np.ndarray,
             pasts: dict[str, np.ndarray] | None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(logits of the given tokens of each row, pasts for the next step).  The encoder's pasts are those of the first step:
    later ones are dummies."""
    names = [output.name for output in session.get_outputs()]
    results = dict(zip(names, session.run(None, decoder_feed(session, np.array(tokens), encoded, pasts))))
    following = {name.replace("present", "past_key_values"): value for name, value in results.items() if name != "logits"}
    if pasts is not None:
        following |= {name: value for name, value in pasts.items() if ".encoder." in name}
    return results["logits"], following


def run_decoder(session: onnxruntime.InferenceSession, tokens: list[int], encoded: np.ndarray,
                pasts: dict[str, np.ndarray] | None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The same of one row."""
    logits, following = run_rows(session, [tokens], encoded, pasts)
    return logits[0], following


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


def beside(folder: Path, ids: Ids) -> float:
    """Greatest difference of a logit of sentences that are decoded side by side to each of them alone, as a share of the greatest logit,
    over a prompt and ten cached steps."""
    encoder = onnxruntime.InferenceSession(folder / GRAPHS[0])
    decoder = onnxruntime.InferenceSession(folder / GRAPHS[1])
    torch.manual_seed(5)
    encoded = [encoder.run(None, {"input_features": LogMel()(torch.randn(1, WINDOW) * 0.02 * (row + 1)).numpy()})[0] for row in range(ROWS)]
    prompts = [[ids.start, ids.language[LANGUAGES[row % 2]], ids.transcribe, ids.no_timestamps] for row in range(ROWS)]
    alone, lines = [], []
    for prompt, own in zip(prompts, encoded):
        tokens, pasts, logits, line = prompt, None, [], []
        for _ in range(11):
            given, pasts = run_decoder(decoder, tokens, own, pasts)
            logits.append(given[-1])
            tokens = [int(given[-1][: ids.end].argmax())]
            line.append(tokens)
        alone.append(logits)
        lines.append(line)
    worst, tokens, pasts = 0.0, prompts, None
    for step in range(11):
        logits, pasts = run_rows(decoder, tokens, np.concatenate(encoded), pasts)
        worst = max(worst, *(float(np.abs(own[step] - row[-1]).max()) for own, row in zip(alone, logits)))
        tokens = [line[step] for line in lines]
    return worst / float(np.abs(alone).max())


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
        if given.float:
            for graph in GRAPHS:
                shutil.copy(exported / graph, small / graph)
        else:
            export_graphs.quantized(exported / GRAPHS[0], small / GRAPHS[0])
            export_graphs.save(in_blocks(onnx.load(exported / GRAPHS[1]), but=ENCODED, largest=BLOCK), small / GRAPHS[1])
        print(f"shipped graphs: greatest difference of a logit to torch {parity(small, model, ids):.1e}")
        difference = beside(small, ids)
        print(f"shipped graphs: greatest difference of a logit beside others to the same alone {difference:.1e} of the greatest")
        if difference > BESIDE:
            raise SystemExit("what is decoded beside others is not what it is alone: Milo would hear calls one after the other")
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
