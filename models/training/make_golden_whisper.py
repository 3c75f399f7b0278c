"""A Whisper of random weights, exported as optimum exports real ones, with what it answers.

    python make_golden_whisper.py --out ../tests/whisper_tiny

`split/` holds encoder, decoder and decoder with past; `merged/` encoder and the
merged decoder, `int8/` the same in int8 as export.py writes it.  `golden.json` says what the features and the greedy decoding of
`speech.wav` must be, by torch and transformers: the Rust feature extractor and
decoder are measured against it.  `timed/` is `merged/` with the attention of its
heads as one more output, and its own `golden.json` says when each word was said,
by transformers.  The weights are random on purpose: nothing to understand,
everything to compare.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import shutil
import tempfile
import wave
from pathlib import Path

import numpy as np
import onnx
import torch
from optimum.exporters.onnx import main_export
from optimum.onnx import merge_decoders
from optimum.utils import input_generators
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.generation.utils import GenerationMixin
from transformers.models.whisper import generation_whisper

import export_attention
import export_graphs

RATE = 16_000
BEAM, PROMPT = 3, "salama tompoko"
#: The words whose times are told, in an order that is worth it, and the heads of attention that tell them.
TIMED, HEADS = "salama tompoko manao ahoana bonjour quelle heure fax zwj vgk", [[0, 0], [0, 1]]
SECONDS = 2
POSITIONS = SECONDS * 50
STEPS = 16


def tokens() -> Tokenizer:
    """Letters, a few merges, and Whisper's special tokens in its order."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator([" salama tompoko manao ahoana", " bonjour quelle heure fax zwj vgk"], trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|startoftranscript|>", "<|mg|>", "<|fr|>", "<|translate|>",
                                  "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"])
    tokenizer.add_tokens([AddedToken(f"<|{i * 0.02:.2f}|>", normalized=False, special=False) for i in range(POSITIONS + 1)])
    return tokenizer


def in_int8(merged: Path, to: Path) -> None:
    """An encoder that is quantized as it runs, and a decoder by blocks."""
    encoder, decoder = export_graphs.ENCODER, export_graphs.DECODER
    export_graphs.quantized(merged / f"{encoder}.onnx", to / f"{encoder}_int8.onnx")
    export_graphs.save(export_graphs.in_blocks(onnx.load(merged / f"{decoder}.onnx")), to / f"{decoder}_int8.onnx")


def searched(model: WhisperForConditionalGeneration, features: torch.Tensor, prompt: list[int], beams: int, end: int,
             never: list[int]) -> dict:
    """What transformers generates behind a prompt, and its score: the mean log-probability of all it said."""
    configuration = GenerationConfig(
        num_beams=beams, max_new_tokens=STEPS, do_sample=False, length_penalty=1.0, early_stopping=False, eos_token_id=end,
        pad_token_id=end, bos_token_id=end, decoder_start_token_id=prompt[0], suppress_tokens=never, return_dict_in_generate=True,
        output_scores=True)
    # Whisper's own generate adds heuristics for long sound: the search itself is what is compared.
    made = GenerationMixin.generate(model, features, generation_config=configuration, decoder_input_ids=torch.tensor([prompt]),
                                    use_model_defaults=False)
    said = made.sequences[0, len(prompt):].tolist()
    # What is shorter than the longest of the beams is filled up.
    if end in said:
        said = said[:said.index(end) + 1]
    return {"end": end, "tokens": said} | ({"score": float(made.sequences_scores[0])} if beams > 1 else {})


def moments(weights: torch.Tensor, frames: int) -> list[int]:
    """The frame where each row of [heads, rows, frames] begins, of so many frames, by the parts of transformers' own timing."""
    weights = weights[..., :frames]
    weights = weights / weights.sum(-1, keepdim=True)
    weights = (weights - weights.mean(-2, keepdim=True)) / weights.std(-2, keepdim=True, unbiased=False)
    matrix = generation_whisper._median_filter(weights, 7).mean(0)
    rows, columns = generation_whisper._dynamic_time_warping(-matrix.double().numpy())
    return [int(columns[rows == row].min()) for row in range(len(matrix))]


@torch.inference_mode()
def timed(model: WhisperForConditionalGeneration, tokenizer: Tokenizer, features: torch.Tensor, prompt: list[int], frames: int) -> dict:
    """When each word of a text that is forced on the model was said, and when each token of its own was, as transformers has it."""
    for seed in range(1000):
        said = random.Random(seed).sample(TIMED.split(), 6)
        text = tokenizer.encode(f" {' '.join(said)}", add_special_tokens=False).ids
        attention = model(features, decoder_input_ids=torch.tensor([prompt + text]), output_attentions=True).cross_attentions
        # A token is said from where the row before it, which foretells it, begins to where the next one does.
        weights = torch.stack([attention[layer][0, head] for layer, head in HEADS])[:, len(prompt) - 1:]
        starts = moments(weights, frames)
        noise = torch.rand(weights.shape, generator=torch.Generator().manual_seed(1))
        # Times worth comparing: they differ, and none is a near tie.
        if len(set(starts)) >= 7 and moments(weights * (1 + 1e-4 * noise), frames) == starts:
            break
    else:
        raise SystemExit("no text has times worth comparing")
    words, first = [], 0
    for place, token in enumerate([*text, None]):
        if token is None or place > first and tokenizer.decode([token]).startswith(" "):
            words.append({"word": tokenizer.decode(text[first:place]).strip(), "start": starts[first], "end": starts[place]})
            first = place
    generation = copy.copy(model.generation_config)
    generation.alignment_heads = HEADS
    made = model.generate(features, generation_config=generation, language="mg", task="transcribe", return_token_timestamps=True,
                          max_new_tokens=STEPS, num_frames=2 * POSITIONS)
    own = made["sequences"][0].tolist()
    return {"about": "made by models/training/make_golden_whisper.py: frames of 20 ms", "text": " ".join(said), "tokens": text,
            "frames": frames, "starts": starts, "words": words, "own": own,
            "own_starts": [round(50 * float(time)) for time in made["token_timestamps"][0]]}


def recording() -> np.ndarray:
    """1.3 s: a sweep, a hum and noise, so that every mel band has something; then Whisper's padding follows."""
    t = np.arange(int(1.3 * RATE)) / RATE
    generator = np.random.default_rng(7)
    sweep = 0.3 * np.sin(2 * math.pi * (150 * t + 2600 * t**2)) * np.sin(math.pi * t / 1.3)
    return ((sweep + 0.1 * np.sin(2 * math.pi * 220 * t) + 0.01 * generator.standard_normal(len(t))) * 32767).astype(np.int16)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True)
    out = arguments.parse_args().out
    tokenizer = tokens()
    ids = {name: tokenizer.token_to_id(f"<|{name}|>") for name in
           ("endoftext", "startoftranscript", "mg", "fr", "translate", "transcribe", "startofprev", "nospeech", "notimestamps")}
    configuration = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(), num_mel_bins=80, d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        max_source_positions=POSITIONS, max_target_positions=40, dropout=0.0, init_std=0.35, pad_token_id=ids["endoftext"],
        bos_token_id=ids["endoftext"], eos_token_id=ids["endoftext"], decoder_start_token_id=ids["startoftranscript"],
        suppress_tokens=[], begin_suppress_tokens=[], attn_implementation="eager")
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=SECONDS)
    samples = recording()
    features = torch.from_numpy(
        extractor(samples.astype(np.float32) / 32768, sampling_rate=RATE, return_tensors="np").input_features)
    prompt = [ids["startoftranscript"], ids["mg"], ids["transcribe"], ids["notimestamps"]]
    torch.set_num_threads(1)  # the matrices are too small for more
    for seed in range(500):
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(configuration).eval()
        line, rows, margin = list(prompt), None, math.inf
        with torch.inference_mode():
            encoded = model.model.encoder(features).last_hidden_state
            for _ in range(STEPS):
                logits = model.proj_out(model.model.decoder(torch.tensor([line]), encoder_hidden_states=encoded)[0])[0]
                rows = logits if rows is None else rows
                best = logits[-1].topk(2).values
                margin = min(margin, float(best[0] - best[1]))
                line.append(int(logits[-1].argmax()))
                if line[-1] == ids["endoftext"]:
                    break
        said = line[len(prompt):]
        # A sequence worth comparing: it varies, holds text alone, and no step is a near tie.
        if len(set(said)) >= 3 and margin > 0.005 and max(said) <= ids["endoftext"]:
            break
    else:
        raise SystemExit("no seed gives a sequence worth comparing")
    with torch.inference_mode():
        whole = torch.log_softmax(model.proj_out(model.model.decoder(torch.tensor([line[:-1]]),
                                                                     encoder_hidden_states=encoded)[0])[0], -1)
    log_probability = sum(float(whole[len(prompt) - 1 + i, token]) for i, token in enumerate(said))

    never = [id for id in tokenizer.get_added_tokens_decoder() if id != ids["endoftext"]]
    before = [ids["startofprev"]] + tokenizer.encode(f" {PROMPT}", add_special_tokens=False).ids
    beam = {"width": BEAM, "prompt_text": PROMPT, "before": before,
            # The same words with another token for the end: one that is soon said, as the real one is after training.
            "searches": [searched(model, features, prompt, BEAM, end, never) for end in (ids["endoftext"], said[5], said[0])],
            "prompted": [searched(model, features, before + prompt, beams, ids["endoftext"], never) for beams in (1, BEAM)]}

    model.generation_config = GenerationConfig(
        decoder_start_token_id=ids["startoftranscript"], eos_token_id=ids["endoftext"], pad_token_id=ids["endoftext"],
        bos_token_id=ids["endoftext"], no_timestamps_token_id=ids["notimestamps"], is_multilingual=True,
        lang_to_id={"<|mg|>": ids["mg"], "<|fr|>": ids["fr"]},
        task_to_id={"transcribe": ids["transcribe"], "translate": ids["translate"]}, max_length=40, suppress_tokens=[],
        begin_suppress_tokens=[])
    times = timed(model, tokenizer, features, prompt, math.ceil(len(samples) / (RATE // 50)))

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        model.save_pretrained(source)
        extractor.save_pretrained(source)
        # Optimum traces with a made-up input of this many frames; Whisper's encoder accepts its own window alone.
        input_generators.DEFAULT_DUMMY_SHAPES["nb_max_frames"] = 2 * POSITIONS
        for form, merged in (("merged", True), ("split", False)):
            exported = source / form
            main_export(source, exported, task="automatic-speech-recognition-with-past", no_post_process=not merged,
                        do_validation=False, dtype="fp32", library_name="transformers")
            (out / form).mkdir()
            wanted = ["encoder_model.onnx"] + (["decoder_model_merged.onnx"] if merged else
                                               ["decoder_model.onnx", "decoder_with_past_model.onnx"])
            for name in wanted:
                shutil.copy(exported / name, out / form / name)
            for name in ("config.json", "generation_config.json", "preprocessor_config.json"):
                shutil.copy(source / name, out / form / name)
            tokenizer.save(str(out / form / "tokenizer.json"))
        shutil.copytree(out / "merged", out / "timed")
        export_attention.write_heads(out / "timed", HEADS)
        (out / "timed" / "golden.json").write_text(json.dumps(times, indent=1))
        steps = [source / "split" / f"{name}.onnx" for name in ("decoder_model", "decoder_with_past_model")]
        for step in steps:
            export_graphs.save(export_attention.told(onnx.load(step), HEADS), step)
        merge_decoders(*steps, save_path=out / "timed" / "decoder_model_merged.onnx", strict=False)
    shutil.copytree(out / "merged", out / "int8", ignore=shutil.ignore_patterns("*.onnx"))
    in_int8(out / "merged", out / "int8")
    with wave.open(str(out / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    features.numpy().astype("<f4").tofile(out / "features.f32")
    golden = {
        "about": "made by models/training/make_golden_whisper.py with torch and transformers; features.f32: little-endian "
                 "f32 [mels, frames] of speech.wav padded to the window",
        "seed": seed, "mels": 80, "frames": int(features.shape[-1]), "window_samples": SECONDS * RATE, "ids": ids,
        "prompt": prompt, "encoder_first_position": [round(float(v), 6) for v in encoded[0, 0]],
        "prompt_logits": [[round(float(v), 5) for v in row] for row in rows],
        "beam": beam, "greedy": said, "text": tokenizer.decode(said), "avg_logprob": log_probability / len(said),
        "no_speech_prob": float(rows[0].softmax(-1)[ids["nospeech"]]),
        "language_probabilities": dict(zip(("mg", "fr"), rows[0][[ids["mg"], ids["fr"]]].softmax(-1).tolist())),
    }
    (out / "golden.json").write_text(json.dumps(golden, indent=1))
    print(seed, margin, said, golden["text"], sum(f.stat().st_size for f in out.rglob("*") if f.is_file()), "bytes")


if __name__ == "__main__":
    main()
