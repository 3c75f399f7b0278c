"""Trains a Whisper checkpoint further on lists of recordings: all of its weights, or LoRA's.

    python finetune_whisper.py --checkpoint openai/whisper-small --train DATA/train.jsonl --dev DATA/dev.jsonl --out RUN --lora 32
    python finetune_whisper.py --checkpoint RUN/best --train MINE/train.jsonl --dev MINE/dev.jsonl --out RUN2 --rate 5e-6    # full

Several --train lists are mixed by their clips.  Two thirds of what is heard has been through a telephone and a bad line (augment.py),
drawn anew each time; the other third is as recorded.  Every --watch steps the dev list is heard by telephone, and the best so far is
RUN/best, a checkpoint of the old shape (LoRA merged) for evaluate.py and export.py.  Stopped or killed, the same command goes on where RUN/resume.pt
stands; with the same --seed a run that was never stopped sees the same clips.
"""

from __future__ import annotations

import argparse
import copy
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

sys.path.append(str(Path(__file__).resolve().parents[1]))  # augment.py, and the checkpoints of the smoke mode

from augment import Augment  # noqa: E402
from clips import Clip, load_list, made_up, run_options, samples_of, save_list, write  # noqa: E402
from evaluate import Score, heard  # noqa: E402
from listening import Whisper  # noqa: E402
from lora import adapt, merge  # noqa: E402

#: What LoRA learns beside: the attention's matrices and the feed-forward ones.
ADAPTED = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
#: Where --rate is left out: a full training moves all that the model knows.
RATES = {"full": 1e-5, "lora": 3e-4}
#: The share that is heard as it was recorded.
CLEAN = 1 / 3
IGNORED = -100


class Clips:
    """Batches that depend on the seed and the step alone, so that a resumed run goes on with the clips that it would have seen."""

    def __init__(self, lists: list[Path], whisper: Whisper, batch: int, seed: int):
        self._clips = [(listed, clip) for listed in lists for clip in load_list(listed)]
        self._whisper, self._batch, self._seed = whisper, batch, seed
        self._augment = None
        long = sum(clip.seconds * 16_000 > whisper.window for _, clip in self._clips)
        if long:
            print(f"{long} clips are longer than the model's window and are left out", flush=True)
            self._clips = [one for one in self._clips if one[1].seconds * 16_000 <= whisper.window]
        if not self._clips:
            raise SystemExit("no clip fits the model's window")

    def __len__(self) -> int:
        return len(self._clips)

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(features, labels) of a step."""
        drawn = []
        for place in range(step * self._batch, (step + 1) * self._batch):
            epoch, at = divmod(place, len(self._clips))
            drawn.append(self._order(epoch)[at])
        waves = [samples_of(listed, clip) for listed, clip in (self._clips[at] for at in drawn)]
        waves = self._on_the_line(waves, step)
        lines = [self._whisper.labels(self._clips[at][1].text, self._clips[at][1].language) for at in drawn]
        labels = torch.full((len(lines), max(map(len, lines))), IGNORED)
        for row, line in zip(labels, lines):
            row[:len(line)] = torch.tensor(line)
        return self._whisper.features(waves), labels.to(self._whisper.device)

    def _order(self, epoch: int) -> list[int]:
        if getattr(self, "_known", (None, None))[0] != epoch:
            order = list(range(len(self._clips)))
            Random(f"{self._seed}-{epoch}").shuffle(order)
            self._known = epoch, order
        return self._known[1]

    def _on_the_line(self, waves: list[np.ndarray], step: int) -> list[np.ndarray]:
        # Its stock of noises is dear to make: it is kept, and only its draws begin anew with each step.
        if self._augment is None:
            self._generator = torch.Generator().manual_seed(self._seed)
            self._augment = Augment(self._generator)
        self._generator.manual_seed(self._seed * 1_000_003 + step)
        lengths = torch.tensor([len(wave) for wave in waves])
        if int(lengths.max()) >= 12 * 16_000:
            # Its noises last 12 s: longer clips go as they are, all of the batch.
            return waves
        whole = torch.zeros(len(waves), int(lengths.max()))
        for row, wave in zip(whole, waves):
            row[:len(wave)] = torch.from_numpy(wave)
        clean = torch.rand(len(waves), generator=self._generator) < CLEAN
        mixed = self._augment(whole, lengths, torch.zeros(len(waves), dtype=torch.bool))
        return [wave if keep else row[:len(wave)].numpy() for wave, keep, row in zip(waves, clean.tolist(), mixed)]


class Run:
    """The state of a run: what learns, its optimizer, the step, the best so far."""

    def __init__(self, whisper: Whisper, out: Path, rate: float, steps: int, told: dict):
        self.whisper, self.out, self.rate, self.steps, self.told = whisper, out, rate, steps, told
        self.learning = {name: p for name, p in whisper.model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(self.learning.values(), lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.step, self.best, self.kept = 0, float("inf"), out / "resume.pt"
        if self.kept.exists():
            saved = torch.load(self.kept, map_location=whisper.device, weights_only=True)
            before = saved["told"]
            changed = [f"{name} was {before.get(name)}, not {value}" for name, value in told.items() if before.get(name) != value]
            if changed:
                raise SystemExit(f"{self.kept} is of another run ({'; '.join(changed)}): name another --out, or the same again")
            with torch.no_grad():
                for name, value in saved["learning"].items():
                    self.learning[name].copy_(value)
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.best = saved["step"], saved["best"]

    def keep(self) -> None:
        """Writes the checkpoint whole or not at all."""
        new = self.kept.with_suffix(".new")
        torch.save({"learning": {name: p.detach() for name, p in self.learning.items()}, "optimizer": self.optimizer.state_dict(),
                    "step": self.step, "best": self.best, "told": self.told}, new)
        os.replace(new, self.kept)

    def keep_best(self) -> None:
        """RUN/best as a checkpoint of its own."""
        new, best, old = self.out / "best.new", self.out / "best", self.out / "best.old"
        shutil.rmtree(new, ignore_errors=True)
        model = self.whisper.model
        if self.told["lora"]:
            model = copy.deepcopy(model)
            merge(model)
        for part in (model, self.whisper.extractor, self.whisper.tokenizer):
            part.save_pretrained(new)
        shutil.rmtree(old, ignore_errors=True)
        if best.exists():
            best.rename(old)
        new.rename(best)
        shutil.rmtree(old, ignore_errors=True)

    def watch(self, listed: Path, clips: list[Clip], batch: int) -> None:
        """Hears the dev list by telephone; the best is kept."""
        self.whisper.model.eval()
        score = Score()
        for clip, text in heard(self.whisper, listed, clips, "8k", batch):
            score.add(clip.text, text)
        self.whisper.model.train()
        better = score.wer < self.best
        print(json.dumps({"step": self.step, "dev_wer": round(score.wer, 2), "dev_cer": round(score.cer, 2), "best": better}), flush=True)
        if better:
            self.best = score.wer
            self.keep_best()

    def scale(self) -> float:
        """The learning rate rises over a twentieth of the run and falls to nothing at its end."""
        warm = max(self.steps // 20, 1)
        return min((self.step + 1) / warm, (self.steps - self.step) / max(self.steps - warm, 1))


def train(run: Run, data: Clips, dev: Path, watch: int, keep: int, gather: int, batch: int) -> list[float]:
    """Until the last step, or until it is asked to stop; the losses of its steps."""
    whisper, stop, losses = run.whisper, [], []
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, _: stop.append(number))  # the step is finished and kept
    watched, half = load_list(dev), whisper.device.startswith("cuda") and torch.cuda.is_bf16_supported()
    count = sum(p.numel() for p in run.learning.values())
    print(f"{count:,} parameters learn, {len(data):,} clips, from step {run.step} of {run.steps}", flush=True)
    whisper.model.train()
    began, first = time.monotonic(), run.step
    if run.step == 0:
        run.watch(dev, watched, batch)
    while run.step < run.steps and not stop:
        for group in run.optimizer.param_groups:
            group["lr"] = run.rate * run.scale()
        total = 0.0
        for part in range(gather):
            features, labels = data.batch(run.step * gather + part)
            shown = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, whisper.end)
            with torch.autocast("cuda" if half else "cpu", torch.bfloat16, enabled=half):
                logits = whisper.model(input_features=features, decoder_input_ids=shown, use_cache=False).logits
            # The prompt is given, but for the language, which Milo asks the model for.
            wanted = labels[:, 1:].clone()
            wanted[:, 1:3] = IGNORED
            loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
            (loss / gather).backward()
            total += loss.item() / gather
        if not np.isfinite(total):
            raise SystemExit(f"step {run.step}: the loss is no number; begin again with a smaller --rate")
        torch.nn.utils.clip_grad_norm_(run.learning.values(), 1.0)
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        run.step += 1
        losses.append(total)
        if run.step % 10 == 0 or run.step == run.steps:
            left = (time.monotonic() - began) / (run.step - first) * (run.steps - run.step) / 60
            loss = round(float(np.mean(losses[-10:])), 4)
            print(json.dumps({"step": run.step, "loss": loss, "minutes_left": round(left, 1)}), flush=True)
        if run.step % watch == 0 or run.step == run.steps:
            run.watch(dev, watched, batch)
        if run.step % keep == 0:
            run.keep()
    run.keep()
    return losses


def build(given: argparse.Namespace) -> tuple[Run, Clips]:
    given.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(given.seed)
    whisper = Whisper(given.checkpoint, given.device)
    if given.lora:
        if adapt(whisper.model, given.lora, ADAPTED) == 0:
            raise SystemExit(f"{given.checkpoint} has none of the layers that LoRA adapts")
    else:
        # A table of sines, which no training moves.
        whisper.model.model.encoder.embed_positions.requires_grad_(False)
    rate = given.rate or RATES["lora" if given.lora else "full"]
    told = {"checkpoint": str(given.checkpoint), "lora": given.lora, "rate": rate, "steps": given.steps, "batch": given.batch,
            "gather": given.gather, "seed": given.seed, "train": [str(path) for path in given.train]}
    return Run(whisper, given.out, rate, given.steps, told), Clips(given.train, whisper, given.batch, given.seed)


def options() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    run_options(arguments, "hear", "checkpoint")
    arguments.add_argument("--train", type=Path, action="append", help="train.jsonl of a prepare script; may be told several times")
    arguments.add_argument("--lora", type=int, default=0, metavar="RANK", help="train adapters of this rank only (8 to 64); 0: all weights")
    arguments.add_argument("--steps", type=int, default=4000)
    arguments.add_argument("--batch", type=int, default=8, help="clips at once")
    arguments.add_argument("--gather", type=int, default=2, help="batches to a step")
    arguments.add_argument("--rate", type=float, help="learning rate; 1e-5 for all weights, 3e-4 for LoRA, unless told")
    return arguments


def smoke() -> None:
    """All weights and LoRA, each stopped in the middle and gone on with: the loss must fall, and the end must be the same."""
    import smoke_checkpoints
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        checkpoint = smoke_checkpoints.make("whisper", folder / "whisper")
        clips = []
        for at in range(12):
            text = ("salama tompoko", "aiza ny birao", "misaotra betsaka", "bonjour monsieur")[at % 4]
            wave = made_up(text, at)
            write(folder / f"{at}.flac", wave)
            clips.append(Clip(f"{at}.flac", text, "fr" if at % 4 == 3 else "mg", len(wave) / 16_000))
        save_list(folder / "train.jsonl", clips)
        save_list(folder / "dev.jsonl", clips[:2])

        def run(name: str, lora: int, steps: int, stop_at: int | None = None) -> tuple[list[float], Run]:
            given = options().parse_args(["--checkpoint", str(checkpoint), "--train", str(folder / "train.jsonl"), "--out",
                                          str(folder / name), "--lora", str(lora), "--steps", str(steps), "--batch", "4", "--gather", "1",
                                          "--rate", "1e-2" if lora else "3e-3", "--device", "cpu"])
            made, data = build(given)
            made.steps = stop_at or steps
            made.scale = lambda: 1.0
            return train(made, data, folder / "dev.jsonl", 1000, 10, 1, 2), made

        for lora in (0, 8):
            whole, reference = run(f"whole{lora}", lora, 30)
            first, _ = run(f"halved{lora}", lora, 30, stop_at=15)
            second, resumed = run(f"halved{lora}", lora, 30)
            begin, end = np.mean(whole[:3]), np.mean(whole[-3:])
            far = max(float((a - b).detach().abs().max()) for a, b in zip(reference.learning.values(), resumed.learning.values()))
            print(f"{'LoRA' if lora else 'all weights'}: loss {begin:.2f} to {end:.2f}; stopped and gone on with: {far:.1e} apart")
            # Adapters of a model that knows nothing cannot do much: its words stay as they were drawn.
            if end > (0.98 if lora else 0.8) * begin or len(first) + len(second) != 30 or far > 1e-4:
                raise SystemExit("smoke: it does not learn, or does not go on where it stopped")
            again = Whisper(folder / f"whole{lora}" / "best", "cpu")
            again.hear([made_up("salama")], ["mg"])
    print("smoke: right")


def main() -> None:
    arguments = options()
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    if given.smoke:
        return smoke()
    if None in (given.checkpoint, given.train, given.dev, given.out):
        arguments.error("name --checkpoint, --train, --dev and --out, or --smoke")
    run, data = build(given)
    train(run, data, given.dev, given.watch, given.keep, given.gather, given.batch)
    print(f"best word error rate of the dev list by telephone: {run.best:.1f} %: {given.out / 'best'}")


if __name__ == "__main__":
    main()
