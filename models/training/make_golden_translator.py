"""A translator of random weights, exported as optimum exports real ones, with what it answers.

    python make_golden_translator.py --out ../tests/translator_tiny

`split/` holds encoder, decoder and decoder with past; `merged/` encoder and the merged decoder.  `golden.json` says what the
greedy decoding of a sentence must be, by torch and transformers: the Rust translator is measured against it.  The weights are random
on purpose: nothing to understand, everything to compare.
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
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig

import translator_model as form

TEXT, SOURCE, TARGET = "Misokatra ny varavarana fotsy.", "mg", "fr"
STEPS = 30
SHAPE = {"d_model": 16, "heads": 2, "layers": 1, "inner": 32}


def tokens() -> Tokenizer:
    """Letters, a few merges, and NLLB's special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=form.SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(["salama tompoko aiza ny birao", "bonjour où est le bureau, fax? zwj vgk", TEXT], trainer)
    return tokenizer


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True)
    out = arguments.parse_args().out
    tokenizer = tokens()
    ids = form.Ids(tokenizer)
    source = form.source_ids(tokenizer, ids, TEXT, SOURCE)
    prompt = [ids.end, ids.language[TARGET]]
    torch.set_num_threads(1)  # the matrices are too small for more
    for seed in range(5000):
        torch.manual_seed(seed)
        model = form.model_of(tokenizer, SHAPE).eval()
        with torch.inference_mode():
            # Fresh weights say their last token again: larger layers between smaller words do not.
            for name, parameter in model.named_parameters():
                parameter.mul_(0.3 if "shared" in name else 8.0 if parameter.ndim == 2 else 1.0)
            line, rows, margin = list(prompt), [], math.inf
            for _ in range(STEPS):
                logits = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([line]), use_cache=False).logits[0, -1]
                rows.append(logits.log_softmax(-1))
                best = logits.topk(2).values
                margin = min(margin, float(best[0] - best[1]))
                line.append(int(logits.argmax()))
                if line[-1] == ids.end:
                    break
        said = line[len(prompt):]
        # A sequence worth comparing: it varies, ends by itself, and no step is a near tie.
        if said[-1] == ids.end and len(set(said)) >= 4 and margin > 0.005:
            break
    else:
        raise SystemExit("no seed gives a sequence worth comparing")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        model.generation_config = GenerationConfig(decoder_start_token_id=ids.end, eos_token_id=ids.end, pad_token_id=ids.pad)
        model.save_pretrained(made)
        for kind, merged in (("merged", True), ("split", False)):
            exported = made / kind
            main_export(made, exported, task="text2text-generation-with-past", no_post_process=not merged, do_validation=False,
                        dtype="fp32", library_name="transformers")
            (out / kind).mkdir()
            wanted = ["encoder_model.onnx"] + (["decoder_model_merged.onnx"] if merged else
                                               ["decoder_model.onnx", "decoder_with_past_model.onnx"])
            for name in wanted:
                shutil.copy(exported / name, out / kind / name)
            for name in ("config.json", "generation_config.json"):
                shutil.copy(made / name, out / kind / name)
            tokenizer.save(str(out / kind / "tokenizer.json"))
    golden = {
        "about": "made by models/training/make_golden_translator.py with torch and transformers", "seed": seed, "text": TEXT,
        "translation": tokenizer.decode(said[:-1], skip_special_tokens=True).strip(),
        "confidence": math.exp(sum(float(row[token]) for row, token in zip(rows, said)) / len(said)),
    }
    (out / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(golden, ensure_ascii=False), sum(p.stat().st_size for p in out.rglob("*") if p.is_file()), "bytes")


if __name__ == "__main__":
    main()
