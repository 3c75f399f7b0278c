"""Writes the trained translator as the shipped model: ONNX in optimum's form, int8, with tokenizer and configuration.

    python export_translator.py --work /tmp/translator --to ../demo/translator
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
from tokenizers import Tokenizer
from transformers import GenerationConfig

from translator_model import MAX_TOKENS, Ids, model_of, source_ids

GRAPHS = ("encoder_model.onnx", "decoder_model_merged.onnx")
TOLERANCE = 1e-3


class Translator:
    """The exported graphs, run as Milo will: greedy, cached."""

    def __init__(self, folder: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._encoder, self._decoder = (onnxruntime.InferenceSession(folder / graph, options) for graph in GRAPHS)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.ids = Ids(self.tokenizer)

    def _run(self, tokens: list[int], encoded, mask, pasts: dict | None) -> tuple[np.ndarray, dict]:
        feed = {}
        for wanted in self._decoder.get_inputs():
            if wanted.name == "input_ids":
                feed[wanted.name] = np.array([tokens])
            elif wanted.name == "encoder_hidden_states":
                feed[wanted.name] = encoded
            elif wanted.name == "encoder_attention_mask":
                feed[wanted.name] = mask
            elif wanted.name == "use_cache_branch":
                feed[wanted.name] = np.array([pasts is not None])
            else:
                feed[wanted.name] = pasts[wanted.name] if pasts else np.zeros((1, wanted.shape[1], 0, wanted.shape[3]), np.float32)
        results = dict(zip((o.name for o in self._decoder.get_outputs()), self._decoder.run(None, feed)))
        following = {name.replace("present", "past_key_values"): value for name, value in results.items() if name != "logits"}
        if pasts:
            # The encoder's pasts are those of the first step: later ones are dummies.
            following |= {name: value for name, value in pasts.items() if ".encoder." in name}
        return results["logits"][0], following

    def logits(self, source: list[int], line: list[int]) -> np.ndarray:
        """Of the last place of `line`, fed token by token behind the first two."""
        mask = np.ones((1, len(source)), np.int64)
        encoded = self._encoder.run(None, {"input_ids": np.array([source]), "attention_mask": mask})[0]
        row, pasts = self._run(line[:2], encoded, mask, None)
        for token in line[2:]:
            row, pasts = self._run([token], encoded, mask, pasts)
        return row[-1]

    def translate(self, text: str, source: str, target: str) -> tuple[str, float]:
        """(translation, mean log-probability of its tokens, the end included)."""
        begun = source_ids(self.tokenizer, self.ids, text, source)
        mask = np.ones((1, len(begun)), np.int64)
        encoded = self._encoder.run(None, {"input_ids": np.array([begun]), "attention_mask": mask})[0]
        row, pasts = self._run([self.ids.end, self.ids.language[target]], encoded, mask, None)
        said, total = [], 0.0
        while len(said) < MAX_TOKENS:
            last = row[-1].astype(np.float64)
            token = int(last.argmax())
            total += last[token] - last.max() - np.log(np.exp(last - last.max()).sum())
            if token == self.ids.end:
                break
            said.append(token)
            row, pasts = self._run([token], encoded, mask, pasts)
        return self.tokenizer.decode(said).strip(), total / (len(said) + 1)


def parity(folder: Path, model, text: str) -> float:
    """Greatest difference to torch of the logits over some cached steps."""
    shipped = Translator(folder)
    source = source_ids(shipped.tokenizer, shipped.ids, text, "mg")
    line, worst = [shipped.ids.end, shipped.ids.language["fr"]], 0.0
    with torch.inference_mode():
        for _ in range(8):
            whole = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([line]), use_cache=False)
            expected = whole.logits[0, -1].numpy()
            worst = max(worst, float(np.abs(expected - shipped.logits(source, line)).max()))
            line.append(int(expected[6:].argmax()) + 6)
    return worst


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--to", type=Path, required=True)
    a = arguments.parse_args()
    torch.set_num_threads(1)
    state = torch.load(a.work / "checkpoint.pt", weights_only=True)
    tokenizer = Tokenizer.from_str(state["tokenizer"])
    ids, model = Ids(tokenizer), model_of(tokenizer, state["shape"]).eval()
    model.load_state_dict(state["model"])
    model.generation_config = GenerationConfig(decoder_start_token_id=ids.end, eos_token_id=ids.end, pad_token_id=ids.pad,
                                               max_length=MAX_TOKENS)
    with tempfile.TemporaryDirectory() as folder:
        source, exported, small = Path(folder) / "torch", Path(folder) / "onnx", Path(folder) / "int8"
        model.save_pretrained(source)
        main_export(source, exported, task="text2text-generation-with-past", do_validation=False, dtype="fp32", library_name="transformers")
        small.mkdir()
        for place in (exported, small):
            tokenizer.save(str(place / "tokenizer.json"), pretty=False)
        difference = parity(exported, model, "Firy ariary ny boky?")
        print(f"float graphs: greatest difference of a logit to torch {difference:.1e}")
        if difference > TOLERANCE:
            raise SystemExit("the exported graphs are not the trained model")
        for graph in GRAPHS:
            quantize_dynamic(exported / graph, small / graph, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8,
                             extra_options={"EnableSubgraph": True})
        print(f"shipped graphs: greatest difference of a logit to torch {parity(small, model, 'Firy ariary ny boky?'):.1e}")
        a.to.mkdir(parents=True, exist_ok=True)
        for name in (*GRAPHS, "tokenizer.json"):
            shutil.copy(small / name, a.to / name)
        for name in ("config.json", "generation_config.json"):
            shutil.copy(source / name, a.to / name)
    print(f"after {state['spent'] / 60:.0f} CPU-minutes of training, step {state['step']}")
    for path in sorted(a.to.iterdir()):
        print(f"{path.stat().st_size:9,} {path.name}")


if __name__ == "__main__":
    main()
