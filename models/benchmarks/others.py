"""What `peers.py` starts: one of the other programs, measured as Milo's own benches measure; prints its figures as a line of JSON.

    python others.py faster-whisper --path MODEL --compute int8 --tokens 64 --batch 8 --threads 1
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy

#: Tokens of the short transcripts, seconds of sound.
FEW, SECONDS, RATE = 4, 29, 16_000
#: How long a server may take to be there.
START_S = 120


def difference(hear, tokens: int, batch: int, rounds: int) -> dict[str, float]:
    """`hear(tokens)` transcribes all: what lies between few tokens and many is the tokens', the rest the sound's."""
    windows, each = [], []
    for turn in range(rounds + 1):
        begun = time.perf_counter()
        few = hear(FEW)
        between = time.perf_counter()
        many = hear(FEW + tokens)
        ended = time.perf_counter()
        if few != FEW or many != FEW + tokens:
            raise SystemExit(f"{few} and {many} tokens in place of {FEW} and {FEW + tokens}")
        token = (ended - between - (between - begun)) / (tokens * batch)
        if turn > 0:  # the first one is to become warm
            windows.append((between - begun) / batch - token * FEW)
            each.append(token)
    return {"window_s": statistics.median(windows), "token_ms": statistics.median(each) * 1e3}


def sounds(batch: int) -> list[numpy.ndarray]:
    return [numpy.random.default_rng(seed).uniform(-0.06, 0.06, SECONDS * RATE).astype("float32") for seed in range(batch)]


def faster_whisper(given: argparse.Namespace) -> dict[str, float]:
    from faster_whisper import WhisperModel
    from faster_whisper.audio import pad_or_trim
    whisper = WhisperModel(str(given.path), device="cpu", compute_type=given.compute, cpu_threads=given.threads)
    clips, of = sounds(given.batch), whisper.hf_tokenizer.token_to_id
    prompt = [of("<|startoftranscript|>"), of("<|mg|>"), of("<|transcribe|>"), of("<|notimestamps|>")]

    def hear(tokens: int) -> int:
        features = numpy.stack([pad_or_trim(whisper.feature_extractor(clip)) for clip in clips])
        said = whisper.model.generate(whisper.encode(features), [prompt] * given.batch, beam_size=1, suppress_blank=False,
                                      suppress_tokens=None, max_length=2 * tokens)  # half of it is for what stands before
        counts = {len(one.sequences_ids[0]) for one in said}
        return counts.pop() if len(counts) == 1 else -1

    return difference(hear, given.tokens, given.batch, given.rounds)


def whisper_cpp(given: argparse.Namespace) -> dict[str, float]:
    import _pywhispercpp as cpp
    context = cpp.whisper_init_from_file_with_params(str(given.path), cpp.whisper_context_default_params())
    clips = sounds(given.batch)

    def hear(tokens: int) -> int:
        counts = set()
        for clip in clips:  # one after the other: a context has one state, and a pass one utterance
            settings = cpp.whisper_full_default_params(cpp.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
            settings.n_threads, settings.language, settings.temperature_inc = given.threads, "mg", 0.0
            settings.no_timestamps = settings.single_segment = settings.no_context = True
            settings.suppress_blank = settings.print_progress = settings.print_realtime = settings.print_timestamps = False
            settings.max_tokens = tokens - 1
            if cpp.whisper_full(context, settings, clip, len(clip)):
                raise SystemExit("whisper.cpp does not transcribe")
            counts.add(sum(cpp.whisper_full_n_tokens(context, at) for at in range(cpp.whisper_full_n_segments(context))))
        return counts.pop() if len(counts) == 1 else -1

    return difference(hear, given.tokens, given.batch, given.rounds)


def sherpa_onnx(given: argparse.Namespace) -> dict[str, float]:
    import sherpa_onnx as sherpa
    vits = sherpa.OfflineTtsVitsModelConfig(model=str(given.path / "model.onnx"), tokens=str(given.path / "tokens.txt"), noise_scale_w=0.0)
    model = sherpa.OfflineTtsModelConfig(vits=vits, num_threads=given.threads, provider="cpu")
    tts = sherpa.OfflineTts(sherpa.OfflineTtsConfig(model=model, max_num_sentences=1))
    first, whole, seconds = [], [], []
    for turn in range(given.rounds + 1):
        heard = []

        def callback(_samples, _progress) -> int:
            heard.append(time.perf_counter())
            return 1

        begun = time.perf_counter()
        sound = tts.generate(given.text, callback=callback)
        ended = time.perf_counter()
        if turn > 0:
            first.append((heard[0] - begun) * 1e3)
            whole.append(ended - begun)
            seconds.append(len(sound.samples) / sound.sample_rate)
    return {"first_ms": statistics.median(first), "whole_s": statistics.median(whole), "sound_s": statistics.median(seconds)}


def words(begin: str, letters: int) -> str:
    """So many letters that begin as nothing else does; as in Milo's bench."""
    return "".join(itertools.islice(itertools.chain(f"{begin} ", itertools.cycle("salama tompoko ")), letters))


def llama_cpp(given: argparse.Namespace) -> dict[str, float]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = given.system + given.prompt + given.tokens + 64
    command = ["taskset", "-c", given.cores, sys.executable, "-m", "llama_cpp.server", "--model", given.path, "--n_ctx", context,
               "--n_threads", given.threads, "--n_threads_batch", given.threads, "--interrupt_requests", "False", "--verbose", "False",
               "--host", "127.0.0.1", "--port", port]
    server = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # What asks is anywhere but where the server computes, if there is such a place.
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        return asked(given, server, port)
    finally:
        server.terminate()
        server.wait()


def asked(given: argparse.Namespace, server: subprocess.Popen, port: int) -> dict[str, float]:
    until = time.monotonic() + START_S
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/v1/models")
            connection.getresponse().read()
            break
        except OSError:
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit("the server of llama-cpp-python did not start") from None
            time.sleep(0.2)

    def ask(number: int, begun: float, firsts: list[float]) -> None:
        messages = [{"role": "user", "content": words(str(number), given.prompt)}]
        if given.system:
            messages.insert(0, {"role": "system", "content": words("Torolalana", given.system)})
        body = {"messages": messages, "max_tokens": given.tokens, "temperature": 0.0, "stream": True}
        line = http.client.HTTPConnection("127.0.0.1", port)
        line.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        count = 0
        for event in line.getresponse():
            if b'"content"' in event:
                if count == 0:
                    firsts.append(time.perf_counter() - begun)
                count += 1
        if count != given.tokens:
            raise SystemExit(f"{count} pieces in place of {given.tokens} tokens")

    first, rate, numbers = [], [], itertools.count(1)
    for turn in range(given.rounds + 1):
        begun, firsts = time.perf_counter(), []
        askers = [threading.Thread(target=ask, args=(next(numbers), begun, firsts)) for _ in range(given.streams)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        ended = time.perf_counter()
        if len(firsts) != given.streams:
            raise SystemExit("a reply failed")
        if turn > 0:
            first.extend(firsts)
            rate.append(given.streams * given.tokens / (ended - begun))
    return {"first_ms": statistics.median(first) * 1e3, "tokens_per_s": statistics.median(rate)}


PROGRAMS = {"faster-whisper": faster_whisper, "whisper.cpp": whisper_cpp, "sherpa-onnx": sherpa_onnx, "llama.cpp": llama_cpp}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("program", choices=PROGRAMS)
    arguments.add_argument("--path", type=Path, required=True)
    arguments.add_argument("--compute", default="float32", help="of faster-whisper")
    arguments.add_argument("--cores", default="0", help="of a server")
    arguments.add_argument("--text", default="Salama.")
    for name, usual in (("threads", 1), ("rounds", 3), ("tokens", 64), ("batch", 1), ("streams", 1), ("prompt", 128), ("system", 0)):
        arguments.add_argument(f"--{name}", type=int, default=usual)
    given = arguments.parse_args()
    print(json.dumps(PROGRAMS[given.program](given)))


if __name__ == "__main__":
    main()
