"""Whether exported graphs are the model they were made of: the same input through torch and through onnxruntime.

Of what has a choice of tokens, all logits of each step of torch's own greedy line are compared, the decoder fed as Milo feeds it:
several tokens first, then one by one with its caches.  Of a voice the samples are, without noise.  The bound is a share of the
greatest logit (of the loudest sample), so that it means the same for every model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from tokenizers import Tokenizer
from transformers import AutoFeatureExtractor, AutoModelForSeq2SeqLM, VitsModel, Wav2Vec2ForCTC, WhisperForConditionalGeneration

import export_attention
from export_graphs import DECODER, ENCODER, SINGLE, SUFFIX

#: The greatest difference that a precision may have, as a share of the greatest logit.
BOUND = {"fp32": 1e-3, "fp16": 2e-2, "int8": 2e-1}
#: Tokens of the greedy line.
STEPS = 16
#: What is translated; any text would do.
TEXTS = ("Salama tompoko, aiza ny birao?", "Misokatra amin'ny firy ianareo rahampitso?")


@dataclass
class Parity:
    """How far a graph is from torch."""

    #: The greatest difference of a logit or a sample, and the greatest of torch's own.
    worst: float = 0.0
    greatest: float = 0.0
    #: Choices that are torch's, and all of them.
    same: int = 0
    choices: int = 0
    #: Choices that differ though torch preferred its own by more than the bound.
    wrong: int = 0
    #: The same of what heads attend to, where a graph tells it.
    attention: float | None = None
    most_attended: float = 0.0

    def add(self, expected: np.ndarray, got: np.ndarray, precision: str) -> None:
        """Compares rows of logits: [..., V]."""
        self.worst = max(self.worst, float(np.abs(expected - got).max()))
        self.greatest = max(self.greatest, float(np.abs(expected).max()))
        for mine, other in zip(expected.reshape(-1, expected.shape[-1]), got.reshape(-1, got.shape[-1])):
            best, chosen = int(mine.argmax()), int(other.argmax())
            self.choices += 1
            self.same += best == chosen
            self.wrong += mine[best] - mine[chosen] > BOUND[precision] * self.greatest

    def fault(self, precision: str) -> str | None:
        """Why the graph is refused, or nothing."""
        if not np.isfinite(self.worst) or self.worst > BOUND[precision] * self.greatest:
            return (f"differs from torch by {self.worst:.1e} where the greatest is {self.greatest:.1f}; "
                    f"{precision} may differ by {BOUND[precision]:g} of that")
        # In int8 it is told and not judged: a head that looks at one place looks a little beside it, and the words' times stay near.
        if self.attention is not None and precision != "int8" and not self.attention <= BOUND[precision] * self.most_attended:
            return (f"tells of an attention to the sound that differs from torch's by {self.attention:.1e} where the greatest is "
                    f"{self.most_attended:.1e}; {precision} may differ by {BOUND[precision]:g} of that")
        if self.wrong or precision == "fp32" and self.same < self.choices:
            return f"chooses other tokens than torch: {self.same} of {self.choices} are the same"
        return None

    def __str__(self) -> str:
        tokens = f", greedy tokens {self.same} of {self.choices} the same" if self.choices else ""
        attention = "" if self.attention is None else f", attention |Δ| {self.attention:.1e} (greatest {self.most_attended:.1e})"
        return f"max |Δ| {self.worst:.1e} (greatest {self.greatest:.2f}){tokens}{attention}"


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Graphs:
    """Encoder and merged decoder, as Milo runs them."""

    def __init__(self, folder: Path, precision: str):
        self._encoder, self._decoder = (session(folder / f"{stem}{SUFFIX[precision]}.onnx") for stem in (ENCODER, DECODER))

    @property
    def tells_attention(self) -> bool:
        return export_attention.OUTPUT in {one.name for one in self._decoder.get_outputs()}

    def encode(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        wanted = {one.name for one in self._encoder.get_inputs()}
        return self._encoder.run(None, {name: value for name, value in feed.items() if name in wanted})[0]

    def decode(self, tokens: list[int], encoded: np.ndarray, mask: np.ndarray | None, pasts: dict | None) -> tuple[np.ndarray, dict]:
        """(logits of the given tokens, pasts for the next step)."""
        results = self._run(tokens, encoded, mask, pasts)
        following = {name.replace("present", "past_key_values"): value for name, value in results.items() if name.startswith("present")}
        if pasts is not None:
            # The encoder's pasts are those of the first step: later ones are dummies.
            following |= {name: value for name, value in pasts.items() if ".encoder." in name}
        return results["logits"][0], following

    def attention(self, tokens: list[int], encoded: np.ndarray) -> np.ndarray:
        """What the chosen heads attend to, [heads, tokens, positions], as Milo asks: all tokens at once."""
        return self._run(tokens, encoded, None, None)[export_attention.OUTPUT][0]

    def _run(self, tokens: list[int], encoded: np.ndarray, mask: np.ndarray | None, pasts: dict | None) -> dict[str, np.ndarray]:
        given = {"input_ids": np.array([tokens]), "encoder_hidden_states": encoded, "encoder_attention_mask": mask,
                 "use_cache_branch": np.array([pasts is not None])}
        feed = {}
        for wanted in self._decoder.get_inputs():
            if wanted.name in given:
                feed[wanted.name] = given[wanted.name]
            elif pasts is not None:
                feed[wanted.name] = pasts[wanted.name]
            else:
                feed[wanted.name] = np.zeros((1, wanted.shape[1], 0, wanted.shape[3]), np.float32)
        return dict(zip((o.name for o in self._decoder.get_outputs()), self._decoder.run(None, feed)))


@torch.inference_mode()
def encoder_decoder(model, folder: Path, precision: str, feeds: list[dict[str, torch.Tensor]], begun: list[int],
                    banned: list[int], heads: export_attention.Heads | None = None) -> Parity:
    """Along torch's greedy line behind `begun`, which holds none of `banned` (what would end it); `heads` are those whose attention a
    graph may tell of."""
    graphs, parity = Graphs(folder, precision), Parity()
    for feed in feeds:
        mask = feed.get("attention_mask")
        reference = model.get_encoder()(**feed)
        encoded = graphs.encode({name: value.numpy() for name, value in feed.items()})
        line, fresh, pasts = list(begun), list(begun), None
        for _ in range(STEPS):
            whole = model(encoder_outputs=reference, attention_mask=mask, decoder_input_ids=torch.tensor([line]), use_cache=False)
            expected = whole.logits[0, -1].float().numpy()
            got, pasts = graphs.decode(fresh, encoded, mask.numpy() if mask is not None else None, pasts)
            parity.add(expected[None], got[-1:], precision)
            allowed = expected.copy()
            allowed[banned] = -np.inf
            fresh = [int(allowed.argmax())]
            line += fresh
        if graphs.tells_attention:
            whole = model(encoder_outputs=reference, decoder_input_ids=torch.tensor([line]), use_cache=False, output_attentions=True)
            expected = np.stack([whole.cross_attentions[layer][0, head].float().numpy() for layer, head in sorted(heads)])
            parity.attention = max(parity.attention or 0.0, float(np.abs(expected - graphs.attention(line, encoded)).max()))
            parity.most_attended = max(parity.most_attended, float(expected.max()))
    return parity


def sound(seconds: float, rate: int = 16_000) -> np.ndarray:
    """Something with a spectrum that changes: a gliding tone in noise."""
    at = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(4).standard_normal(len(at)) * 0.05
    return (0.3 * np.sin(2 * np.pi * (200 + 300 * at) * at) + noise).astype(np.float32)


def of_whisper(checkpoint: Path, folder: Path, precision: str) -> Parity:
    # Attention is told by the eager form alone.
    model = WhisperForConditionalGeneration.from_pretrained(checkpoint, attn_implementation="eager").eval().float()
    extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    begun = [tokenizer.token_to_id(token) for token in ("<|startoftranscript|>", "<|mg|>", "<|transcribe|>", "<|notimestamps|>")]
    if None in begun:
        raise SystemExit(f"{folder / 'tokenizer.json'} lacks Whisper's own tokens: this is no multilingual Whisper")
    feeds = [{"input_features": extractor(sound(seconds), sampling_rate=16_000, return_tensors="pt").input_features}
             for seconds in (1.0, 2.7)]
    return encoder_decoder(model, folder, precision, feeds, begun, [tokenizer.token_to_id("<|endoftext|>")],
                           export_attention.heads_of(checkpoint))


def of_translator(checkpoint: Path, folder: Path, precision: str) -> Parity:
    """NLLB and Marian; NLLB's lines are framed by its languages' tokens."""
    model = AutoModelForSeq2SeqLM.from_pretrained(checkpoint).eval().float()
    tokenizer, config = Tokenizer.from_file(str(folder / "tokenizer.json")), model.config
    source, target = tokenizer.token_to_id("plt_Latn"), tokenizer.token_to_id("fra_Latn")
    framed = [source] if source is not None else []
    feeds = []
    for text in TEXTS:
        ids = torch.tensor([[*framed, *tokenizer.encode(text, add_special_tokens=False).ids, config.eos_token_id]])
        feeds.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    begun = [config.decoder_start_token_id, *([target] if target is not None else [])]
    return encoder_decoder(model, folder, precision, feeds, begun, [config.eos_token_id])


@torch.inference_mode()
def of_vits(checkpoint: Path, folder: Path, precision: str) -> Parity:
    """Two sentences of ids without noise, at two paces."""
    model = VitsModel.from_pretrained(checkpoint).eval()
    graph, parity = session(folder / f"{SINGLE}{SUFFIX[precision]}.onnx"), Parity()
    model.noise_scale = model.noise_scale_duration = 0.0
    for length, pace in ((23, 1.0), (41, 1.25)):
        ids = torch.randint(1, model.config.vocab_size, (1, length), generator=torch.Generator().manual_seed(length))
        model.speaking_rate = pace
        expected = model(input_ids=ids, attention_mask=torch.ones_like(ids)).waveform[0].numpy()
        zero = np.array(0.0, np.float32)
        waveform, durations = graph.run(["waveform", "durations"], {
            "input_ids": ids.numpy(), "attention_mask": np.ones_like(ids.numpy()), "noise_scale": zero, "noise_scale_duration": zero,
            "speaking_rate": np.array(pace, np.float32)})
        got, frame = waveform[0], int(np.prod(model.config.upsample_rates))
        if not len(got) == len(expected) == int(durations.sum()) * frame:
            raise SystemExit(f"{precision}: {len(got)} samples in {durations.sum():.0f} frames of {frame}, torch makes {len(expected)}")
        parity.worst = max(parity.worst, float(np.abs(expected - got).max()))
        parity.greatest = max(parity.greatest, float(np.abs(expected).max()))
    return parity


@torch.inference_mode()
def of_wav2vec2(checkpoint: Path, folder: Path, precision: str) -> Parity:
    """Two sounds, and the second once more behind padding."""
    model = Wav2Vec2ForCTC.from_pretrained(checkpoint, attn_implementation="eager").eval()
    graph, parity = session(folder / f"{SINGLE}{SUFFIX[precision]}.onnx"), Parity()
    for seconds, padding in ((1.0, 0), (2.7, 0), (2.7, 4_000)):
        wave = sound(seconds)
        wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        values = torch.from_numpy(np.pad(wave, (0, padding))[None])
        mask = torch.ones(values.shape, dtype=torch.long)
        mask[:, len(wave):] = 0
        expected = model(input_values=values, attention_mask=mask).logits.numpy()
        got = graph.run(None, {"input_values": values.numpy(), "attention_mask": mask.numpy()})[0]
        # What is heard of the padding is thrown away.
        frames = int(model._get_feat_extract_output_lengths(len(wave)))
        parity.add(expected[:, :frames], got[:, :frames], precision)
    return parity
