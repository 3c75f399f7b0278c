"""Writes the trained mind as one GGUF file (Q8_0), with its vocabulary and its chat template inside.

    python export_mind.py --work /tmp/mind --to ../demo/mind

Also writes tokens.json: chats and the ids that training gave them, which the
engine's tests compare with llama.cpp's own, and tools.gbnf: the grammar of its tool calls.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from pathlib import Path

import gguf
import numpy
import torch

import grammar
import mind_dialogues
import mind_tokenizer as tk
import mind_tools
from mind_model import Mind, Shape

#: llama.cpp recognises this as "mistral-v7" by [INST] and [SYSTEM_PROMPT]; it says the same to a Jinja engine.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ '[SYSTEM_PROMPT] ' + message['content'] + '[/SYSTEM_PROMPT]' }}"
    "{% elif message['role'] == 'user' %}{{ '[INST] ' + message['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)


def load(work: Path) -> tuple[tk.Tokenizer, Mind]:
    """The tokenizer and the newest checkpoint of a training folder."""
    tokenizer = tk.Tokenizer.load(work / "tokenizer.json")
    saved = torch.load(work / "checkpoint.pt", weights_only=True)
    mind = Mind(Shape(**saved["shape"]))
    mind.load_state_dict(saved["model"])
    return tokenizer, mind.eval()


def write(tokenizer: tk.Tokenizer, mind: Mind, path: Path) -> None:
    """One GGUF file; matrices as Q8_0, norms as f32."""
    s = mind.shape
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("Milo demonstration mind")
    out.add_description("Demonstration model: answers a small made-up grammar of telephone questions in Malagasy and French.")
    out.add_license("AGPL-3.0-only")
    out.add_context_length(s.context)
    out.add_embedding_length(s.width)
    out.add_block_count(s.layers)
    out.add_feed_forward_length(s.inner)
    out.add_head_count(s.heads)
    out.add_head_count_kv(s.heads)
    out.add_rope_dimension_count(s.width // s.heads)
    out.add_rope_freq_base(s.base)
    out.add_layer_norm_rms_eps(s.epsilon)
    out.add_vocab_size(s.vocabulary)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    out.add_tokenizer_model("llama")
    out.add_tokenizer_pre("default")
    out.add_token_list([piece.encode() for piece in tokenizer.pieces])
    out.add_token_scores(tokenizer.scores)
    kinds = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * (tk.FIRST_BYTE - 1) + [gguf.TokenType.BYTE] * 256
    out.add_token_types(kinds + [gguf.TokenType.NORMAL] * (len(tokenizer.pieces) - len(kinds)))
    out.add_bos_token_id(tk.BOS)
    out.add_eos_token_id(tk.EOS)
    out.add_unk_token_id(tk.UNK)
    out.add_add_bos_token(True)
    out.add_add_eos_token(False)
    out.add_add_space_prefix(False)
    out.add_chat_template(TEMPLATE)
    for name, tensor in mind.state_dict().items():
        values = tensor.float().numpy().astype(numpy.float32)
        if values.ndim == 2:
            packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            out.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            out.add_tensor(name, values)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def golden(tokenizer: tk.Tokenizer) -> list[dict]:
    """A few chats with the ids that training gave them, up to where the reply begins."""
    rng = random.Random(5)
    cases = []
    for turns in (1, 1, 2, 3):
        d = mind_dialogues.dialogue(rng, "train", turns)
        messages = [(role.replace("reply", "assistant"), text) for role, text in mind_dialogues.history(rng, d)][:-1]
        cases.append(messages)
    cases.append([("system", grammar.SYSTEM_PROMPT), ("user", "Aiza ny  tranon'i Ñandú, 2024? 😀")])
    return [{"messages": [{"role": r, "content": t} for r, t in messages],
             "ids": mind_dialogues.encode(tokenizer, messages)[0]} for messages in cases]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--to", type=Path, required=True)
    a = arguments.parse_args()
    a.to.mkdir(parents=True, exist_ok=True)
    tokenizer, mind = load(a.work)
    new = a.to / "mind.gguf.new"
    write(tokenizer, mind, new)
    target = new.rename(a.to / "mind.gguf")
    (a.to / "tokens.json").write_text(json.dumps(golden(tokenizer), ensure_ascii=False, separators=(",", ":")) + "\n")
    (a.to / "tools.gbnf").write_text(mind_tools.gbnf())
    data = target.read_bytes()
    print(f"{target}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
