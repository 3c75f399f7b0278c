"""A tiny Marian (Opus-MT) that has learned one sentence, exported as optimum exports real ones, with what it answers.

    python make_golden_marian.py --out ../tests/marian_tiny

The folder holds encoder, merged decoder, configuration and a Unigram tokenizer.json as `marian_tokenizer.py` writes it.
`golden.json` says what transformers generates for a sentence: the Rust translator is measured against it.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path

import torch
from optimum.exporters.onnx import main_export
from transformers import GenerationConfig, MarianConfig, MarianMTModel

from marian_tokenizer import tokenizer_of

TEXT = "Misokatra ny varavarana fotsy."
STEPS = 30
SAID = ["▁la", "por", "te", "▁", "b", "l", "a", "n", "c", "h", "e", "▁ny", "ou", "ver", "te"]
PIECES = ["▁mi", "▁ny", "▁le", "▁la", "so", "ka", "tra", "va", "ra", "na", "fot", "sy", "por", "te", "ou", "ver"]


def vocabulary() -> dict[str, int]:
    """As in vocab.json of a real one: the end first, what fills up last, pieces of both languages between."""
    letters = ["▁"] + [chr(code) for code in range(ord("a"), ord("z") + 1)] + list("Mé.,'")
    tokens = ["</s>", "<unk>"] + PIECES + letters + ["<pad>"]
    return {token: at for at, token in enumerate(tokens)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True)
    out = arguments.parse_args().out
    known = vocabulary()
    end, pad = known["</s>"], known["<pad>"]
    scores = {token: -float(6 - len(token)) if token in PIECES else -8.0 for token in known if token not in ("</s>", "<unk>", "<pad>")}
    tokenizer = tokenizer_of(known, scores, charsmap=b"")
    source = tokenizer.encode(TEXT, add_special_tokens=False).ids + [end]
    torch.set_num_threads(1)  # the matrices are too small for more
    configuration = MarianConfig(
        vocab_size=len(known), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64, dropout=0.0, eos_token_id=end, pad_token_id=pad,
        decoder_start_token_id=pad, forced_eos_token_id=end, scale_embedding=True, activation_function="swish",
        attn_implementation="eager")
    wanted = GenerationConfig(num_beams=1, do_sample=False, max_new_tokens=STEPS, bad_words_ids=[[pad]], eos_token_id=end,
                              pad_token_id=pad, decoder_start_token_id=pad)
    # Random weights repeat themselves: a moment's training makes it say a sentence, no step of which is a near tie.
    seed = 0
    torch.manual_seed(seed)
    model = MarianMTModel(configuration)
    # Real ones would say what fills up before everything else, and are kept from it.
    model.final_logits_bias[0, pad] = 50.0
    given, wished = torch.tensor([source]), torch.tensor([[known[piece] for piece in SAID] + [end]])
    shifted = torch.cat([torch.full((1, 1), pad), wished[:, :-1]], 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(90):
        logits = model(input_ids=given, decoder_input_ids=shifted).logits[0].clone()
        logits[:, pad] = -math.inf
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, wished[0]).backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        said = model.generate(given, generation_config=wanted)[0, 1:].tolist()
        logits = model(input_ids=given, decoder_input_ids=torch.tensor([[pad] + said[:-1]])).logits[0].clone()
        logits[:, pad] = -math.inf
    best = logits.topk(2, -1).values
    margin = float((best[:, 0] - best[:, 1]).min())
    if said[-1] != end or len(said) < 5 or margin < 0.5:
        raise SystemExit(f"it says {said}, with a margin of {margin}")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        model.generation_config = wanted
        model.save_pretrained(made)
        main_export(made, made / "onnx", task="text2text-generation-with-past", do_validation=False, dtype="fp32",
                    library_name="transformers")
        for name in ("encoder_model.onnx", "decoder_model_merged.onnx"):
            shutil.copy(made / "onnx" / name, out / name)
        for name in ("config.json", "generation_config.json"):
            shutil.copy(made / name, out / name)
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps({"source_lang": "mg", "target_lang": "fr"}))
    rows = logits.log_softmax(-1)
    golden = {
        "about": "made by models/training/make_golden_marian.py with torch and transformers", "seed": seed, "text": TEXT,
        "source": source, "translation": tokenizer.decode(said[:-1]).strip(),
        "confidence": math.exp(sum(float(row[token]) for row, token in zip(rows, said)) / len(said)),
    }
    (out / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(golden, ensure_ascii=False), margin, sum(p.stat().st_size for p in out.rglob("*") if p.is_file()), "bytes")


if __name__ == "__main__":
    main()
