"""Trains a VITS voice (MMS-TTS among them) further on one speaker, without the adversarial part.

    python finetune_vits.py --checkpoint mms-tts-mlg --train VOICE/train.jsonl --dev VOICE/dev.jsonl --out RUN --steps 20000

The lists are those of prepare_voice.py.  The loss is the paper's without its discriminators: mel spectrogram, Kullback-Leibler, durations
by monotonic alignment search (vits_training.py says why).  The decoder stays as it was; --decoder lets it learn too, which brings it
nearer to the speaker and makes it duller, since nothing here punishes what sounds dull.  RUN/best is a checkpoint for export.py.
Stopped or killed, the same command goes on where RUN/resume.pt stands.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import numpy as np
import torch
from transformers import AutoTokenizer, VitsModel

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the checkpoints of the smoke mode

from clips import RATE, Clip, load_list, made_up, run_options, samples_of, save_list, write  # noqa: E402
from vits_training import Batch, Spectra, losses, weighed  # noqa: E402


class Voice:
    """The model, what learns of it, and its clips."""

    def __init__(self, given: argparse.Namespace):
        self.device = given.device
        self.model = VitsModel.from_pretrained(given.checkpoint).to(given.device)
        self.tokenizer = AutoTokenizer.from_pretrained(given.checkpoint)
        config = self.model.config
        if config.sampling_rate != RATE or config.num_speakers > 1:
            raise SystemExit(f"{given.checkpoint} has {config.sampling_rate} Hz and {config.num_speakers} speakers; this trains voices of "
                             f"{RATE} Hz and one speaker, as MMS-TTS's are")
        self.model.decoder.requires_grad_(given.decoder)
        self.spectra = Spectra(config, given.device)
        self.learning = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.batch_size, self.seed = given.batch, given.seed

    def load(self, listed: Path) -> list[tuple[Path, Clip, list[int]]]:
        """The clips whose text fits into their time: each token wants a frame."""
        kept = []
        for clip in load_list(listed):
            ids = self.tokenizer(clip.text).input_ids
            if clip.seconds * RATE // self.spectra.hop >= len(ids):
                kept.append((listed, clip, ids))
        left = len(load_list(listed)) - len(kept)
        if left:
            print(f"{listed}: {left} clips have more tokens than frames and are left out", flush=True)
        if not kept:
            raise SystemExit(f"{listed}: no clip is long enough for its text")
        return kept

    def batch(self, clips: list[tuple[Path, Clip, list[int]]]) -> Batch:
        hop = self.spectra.hop
        waves = [torch.from_numpy(samples_of(listed, clip)) for listed, clip, _ in clips]
        waves = [wave[:len(wave) // hop * hop] for wave in waves]
        padded = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True).to(self.device)
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for _, _, ids in clips], batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(ids), dtype=torch.long) for _, _, ids in clips], batch_first=True)
        return Batch(ids.to(self.device), mask.to(self.device), padded, self.spectra.linear(padded), [len(wave) // hop for wave in waves])

    def drawn(self, clips: list, step: int) -> list:
        """Of the seed and the step alone: a resumed run goes on with what it would have seen."""
        chosen = []
        for place in range(step * self.batch_size, (step + 1) * self.batch_size):
            epoch, at = divmod(place, len(clips))
            order = list(range(len(clips)))
            Random(f"{self.seed}-{epoch}").shuffle(order)
            chosen.append(clips[order[at]])
        return chosen

    @torch.no_grad()
    def watch(self, clips: list) -> dict[str, float]:
        """The losses of the dev list, always of the same draws."""
        self.model.eval()
        generator, kept, rows = torch.Generator().manual_seed(1), torch.get_rng_state(), []
        torch.manual_seed(1)
        for at in range(0, len(clips), self.batch_size):
            parts = losses(self.model, self.spectra, self.batch(clips[at:at + self.batch_size]), generator)
            rows.append({name: value.item() for name, value in parts.items()} | {"loss": weighed(parts).item()})
        torch.set_rng_state(kept)
        self.model.train()
        return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}

    def save(self, best: Path) -> None:
        """A checkpoint for export.py."""
        new = best.with_name("best.new")
        shutil.rmtree(new, ignore_errors=True)
        self.model.save_pretrained(new)
        self.tokenizer.save_pretrained(new)
        shutil.rmtree(best, ignore_errors=True)
        new.rename(best)


def train(given: argparse.Namespace, stop_at: int | None = None) -> tuple[list[float], float]:
    """(losses of the steps, best of the dev list)."""
    given.out.mkdir(parents=True, exist_ok=True)
    voice = Voice(given)
    clips, watched = voice.load(given.train), voice.load(given.dev)
    optimizer = torch.optim.AdamW(voice.learning.values(), lr=given.rate, betas=(0.8, 0.99), eps=1e-9)
    told = {"checkpoint": str(given.checkpoint), "train": str(given.train), "steps": given.steps, "batch": given.batch, "rate": given.rate,
            "seed": given.seed, "decoder": given.decoder}
    kept, step, best = given.out / "resume.pt", 0, float("inf")
    if kept.exists():
        saved = torch.load(kept, map_location=given.device, weights_only=True)
        if saved["told"] != told:
            raise SystemExit(f"{kept} is of another run ({saved['told']}): name another --out, or the same again")
        with torch.no_grad():
            for name, value in saved["learning"].items():
                voice.learning[name].copy_(value)
        optimizer.load_state_dict(saved["optimizer"])
        step, best = saved["step"], saved["best"]

    def keep() -> None:
        new = kept.with_suffix(".new")
        torch.save({"told": told, "learning": {name: p.detach() for name, p in voice.learning.items()}, "optimizer": optimizer.state_dict(),
                    "step": step, "best": best}, new)
        os.replace(new, kept)

    stop: list[int] = []
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, _: stop.append(number))  # the step is finished and kept
    count = sum(p.numel() for p in voice.learning.values())
    print(f"{count:,} parameters learn, {len(clips)} clips, from step {step} of {given.steps}", flush=True)
    voice.model.train()
    began, first, last, seen, figures = time.monotonic(), step, min(stop_at or given.steps, given.steps), [], []
    while step < last and not stop:
        torch.manual_seed(given.seed * 1_000_003 + step)
        generator = torch.Generator().manual_seed(given.seed * 1_000_003 + step)
        optimizer.param_groups[0]["lr"] = given.rate * min(1.0, (step + 1) / 50) * (1.0 - step / given.steps)
        parts = losses(voice.model, voice.spectra, voice.batch(voice.drawn(clips, step)), generator)
        loss = weighed(parts)
        if not torch.isfinite(loss):
            raise SystemExit(f"step {step}: the loss is no number; begin again with a smaller --rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(voice.learning.values(), 5.0)
        optimizer.step()
        step += 1
        seen.append(loss.item())
        figures.append({name: value.item() for name, value in parts.items()})
        if step % 10 == 0 or step == last:
            left = (time.monotonic() - began) / (step - first) * (given.steps - step) / 60
            means = {name: round(float(np.mean([one[name] for one in figures])), 3) for name in figures[0]}
            loss = round(float(np.mean(seen[-10:])), 3)
            print(json.dumps({"step": step, "loss": loss, **means, "minutes_left": round(left, 1)}), flush=True)
            figures = []
        if step % given.watch == 0 or step == given.steps:
            dev = voice.watch(watched)
            print(json.dumps({"step": step, "dev": dev, "best": dev["loss"] < best}), flush=True)
            if dev["loss"] < best:
                best = dev["loss"]
                voice.save(given.out / "best")
        if step % given.keep == 0:
            keep()
    keep()
    return seen, best


def options() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    run_options(arguments, "look at", "voice")
    arguments.set_defaults(watch=500)
    arguments.add_argument("--train", type=Path, help="train.jsonl of prepare_voice.py")
    arguments.add_argument("--decoder", action="store_true", help="let the decoder learn too")
    arguments.add_argument("--steps", type=int, default=20_000)
    arguments.add_argument("--batch", type=int, default=8)
    arguments.add_argument("--rate", type=float, default=1e-4)
    return arguments


def smoke() -> None:
    """The loss must fall, also behind a stop in the middle; and what is saved must speak."""
    import smoke_checkpoints
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        checkpoint = smoke_checkpoints.make("vits", folder / "vits")
        clips = []
        for at in range(6):
            text = f"salama tompoko {'abcdef'[at] * 3}"
            wave = np.repeat(made_up(text, at), 2)  # an octave lower, and time enough for a token a frame
            write(folder / f"{at}.wav", wave)
            clips.append(Clip(f"{at}.wav", text, "mg", len(wave) / RATE))
        save_list(folder / "train.jsonl", clips)
        save_list(folder / "dev.jsonl", clips[:2])
        given = options().parse_args(["--checkpoint", str(checkpoint), "--train", str(folder / "train.jsonl"), "--dev",
                                      str(folder / "dev.jsonl"), "--out", str(folder / "run"), "--steps", "30", "--batch", "2", "--rate",
                                      "2e-3", "--watch", "15", "--decoder", "--device", "cpu"])
        first, _ = train(given, stop_at=10)
        second, best = train(given)
        begin, end = np.mean(first[:5]), np.mean(second[-5:])
        with torch.inference_mode():
            said = VitsModel.from_pretrained(folder / "run" / "best")(
                **AutoTokenizer.from_pretrained(folder / "run" / "best")("salama", return_tensors="pt")).waveform
        print(f"loss {begin:.1f} to {end:.1f}, {len(first)} and {len(second)} steps, best {best:.1f}; it says {said.shape[1]} samples")
        if end > 0.7 * begin or (len(first), len(second)) != (10, 20) or not torch.isfinite(said).all():
            raise SystemExit("smoke: it does not learn, or does not go on where it stopped")
    print("smoke: right")


def main() -> None:
    arguments = options()
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    if given.smoke:
        return smoke()
    if None in (given.checkpoint, given.train, given.dev, given.out):
        arguments.error("name --checkpoint, --train, --dev and --out, or --smoke")
    _, best = train(given)
    print(f"best loss of the dev list: {best:.2f}: {given.out / 'best'}")


if __name__ == "__main__":
    main()
