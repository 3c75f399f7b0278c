"""Two wav2vec2 of random weights with a CTC head, exported, with what they answer.

    python make_golden_ctc.py --speech ../tests/whisper_tiny/speech.wav --out ../tests/ctc_tiny

`plain/` is as optimum exports one today: `input_values` alone, the vocabulary flat, the first layer normed over the whole
utterance.  `masked/` has an `attention_mask` besides, layers that norm each frame for itself, and a vocabulary by language, as MMS
has.  `golden.json` says what `speech.wav` and its first part must be, by torch and transformers.  The weights are random on purpose:
nothing to understand, everything to compare.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
import wave
from pathlib import Path

import numpy as np
import torch
from optimum.exporters.onnx import main_export
from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

RATE = 16_000
PART = 11_000  # samples of the shorter utterance
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "|"]
LETTERS = "aeionmstrlky"


def vocabulary(letters: str) -> dict[str, int]:
    return {token: at for at, token in enumerate(SPECIAL + list(letters))}


def model_of(form: str, size: int) -> Wav2Vec2ForCTC:
    by_frame = form == "masked"
    return Wav2Vec2ForCTC(Wav2Vec2Config(
        vocab_size=size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        feat_extract_norm="layer" if by_frame else "group", do_stable_layer_norm=by_frame, conv_bias=by_frame,
        attn_implementation="eager")).eval()


def stir(model: Wav2Vec2ForCTC) -> None:
    """Fresh weights say one letter for ever: larger ones do not.  Special tokens are never said."""
    with torch.inference_mode():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.mul_(12.0 if "lm_head" in name else 6.0)
        model.lm_head.weight.mul_(4.0)
        model.lm_head.bias[1:4] = -400.0
        model.lm_head.bias[0] = 6.0


class Masked(torch.nn.Module):
    def __init__(self, model: Wav2Vec2ForCTC) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_values: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_values, attention_mask=attention_mask).logits


def frames(model: Wav2Vec2ForCTC, samples: int) -> int:
    return int(model._get_feat_extract_output_lengths(samples))


def said(tokenizer: Wav2Vec2CTCTokenizer, logits: torch.Tensor) -> dict:
    """What transformers reads out of logits, and the means over the frames that are not blank."""
    best = logits.log_softmax(-1).max(-1)
    decoded = tokenizer.decode(best.indices, output_word_offsets=True, clean_up_tokenization_spaces=False)
    sure = best.values[best.indices != tokenizer.pad_token_id]
    words = [word for word in decoded.word_offsets if word["word"]]
    return {
        "frames": len(logits), "text": " ".join(decoded.text.split()),
        "words": [[word["word"], int(word["start_offset"]), int(word["end_offset"])] for word in words],
        "avg_logprob": float(sure.mean()), "confidence": float(sure.exp().mean()),
        "logits": [[round(float(value), 5) for value in row] for row in logits],
    }


def made(form: str, samples: np.ndarray, out: Path) -> dict:
    letters = vocabulary(LETTERS)
    folder = out / form
    folder.mkdir(parents=True)
    nested = {"mlg": letters, "fra": vocabulary(LETTERS[::-1])}
    (folder / "vocab.json").write_text(json.dumps(nested if form == "masked" else letters, ensure_ascii=False))
    tokenizer = Wav2Vec2CTCTokenizer(folder / "vocab.json", target_lang="mlg" if form == "masked" else None)
    tokenizer.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(nested if form == "masked" else letters, ensure_ascii=False))
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=form == "masked")
    extractor.save_pretrained(folder)
    torch.set_num_threads(1)  # the matrices are too small for more
    parts = [samples, samples[:PART]]
    for seed in range(2000):
        torch.manual_seed(seed)
        model = model_of(form, len(letters))
        stir(model)
        with torch.inference_mode():
            if form == "masked":
                fed = extractor(parts, sampling_rate=RATE, padding=True, return_tensors="pt")
                both = model(fed.input_values, attention_mask=fed.attention_mask).logits
            else:
                both = [model(extractor(part, sampling_rate=RATE, return_tensors="pt").input_values).logits[0] for part in parts]
            both = [logits[:frames(model, len(part))] for logits, part in zip(both, parts)]
        best = both[0].topk(2, -1)
        margin = min(float((logits.topk(2, -1).values @ torch.tensor([1.0, -1.0])).min()) for logits in both)
        path = best.indices[:, 0].tolist()
        words = said(tokenizer, both[0])["words"]
        # An answer worth comparing: several words, a letter that lasts, one that comes again behind a blank, and no near tie.
        again = any(a == c and b == 0 and a > 4 for a, b, c in zip(path, path[1:], path[2:]))
        lasts = any(a == b and a > 4 for a, b in zip(path, path[1:]))
        if len(words) >= 3 and again and lasts and len(set(path)) >= 6 and margin > 0.004 and said(tokenizer, both[1])["words"]:
            break
    else:
        raise SystemExit(f"{form}: no seed gives an answer worth comparing")
    model.config.save_pretrained(folder)
    with tempfile.TemporaryDirectory() as work:
        if form == "masked":
            example = (torch.zeros(2, 4_000), torch.ones(2, 4_000, dtype=torch.int64))
            axes = {name: {0: "batch_size", 1: "length"} for name in ("input_values", "attention_mask")}
            torch.onnx.export(Masked(model), example, f"{work}/model.onnx", dynamo=False, opset_version=17,
                              input_names=list(axes), output_names=["logits"],
                              dynamic_axes=axes | {"logits": {0: "batch_size", 1: "frames"}})
        else:
            model.save_pretrained(f"{work}/model")
            extractor.save_pretrained(f"{work}/model")
            tokenizer.save_pretrained(f"{work}/model")
            main_export(f"{work}/model", work, task="automatic-speech-recognition", do_validation=False, dtype="fp32",
                        library_name="transformers")
        shutil.copy(f"{work}/model.onnx", folder / "model.onnx")
    for name in ("added_tokens.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    print(form, seed, margin, [said(tokenizer, logits)["text"] for logits in both])
    return {"seed": seed, "utterances": [said(tokenizer, logits) for logits in both]}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--speech", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments = arguments.parse_args()
    with wave.open(str(arguments.speech)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    shutil.rmtree(arguments.out, ignore_errors=True)
    golden = {"about": "made by models/training/make_golden_ctc.py with torch and transformers; utterances: all of "
                       "whisper_tiny/speech.wav, and so many samples of its beginning", "part_samples": PART}
    golden |= {form: made(form, samples, arguments.out) for form in ("plain", "masked")}
    (arguments.out / "golden.json").write_text(json.dumps(golden, ensure_ascii=False))
    print(sum(file.stat().st_size for file in arguments.out.rglob("*") if file.is_file()), "bytes")


if __name__ == "__main__":
    main()
