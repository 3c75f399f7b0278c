"""The mind's tokenizer: learned as BPE, applied the way llama.cpp applies an SPM vocabulary.

Training and llama.cpp must cut text into the same ids, so the encoder here is
llama.cpp's own procedure (join the neighbouring pair whose union has the best
score, bytes for what is left), not the trainer's.  No piece has a space inside,
only in front, so every word can be cut alone and remembered.
"""

from __future__ import annotations

import heapq
import json
import re
from pathlib import Path

SPACE = "\u2581"
#: Control tokens, in the order of their ids.
CONTROL = ["<unk>", "<s>", "</s>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]"]
UNK, BOS, EOS, SYSTEM, SYSTEM_END, USER, USER_END = range(7)
BYTES = [f"<0x{b:02X}>" for b in range(256)]
FIRST_BYTE = len(CONTROL)
#: Marks that stay pieces of their own.
MARKS = ".,?!:;\u2014()\"\n"
_WORD = re.compile(f"{SPACE}?[^{SPACE}]*")


class Tokenizer:
    """Pieces with scores; the id is the place in the list."""

    def __init__(self, pieces: list[str], scores: list[float]):
        self.pieces, self.scores = pieces, scores
        self.ids = {piece: i for i, piece in enumerate(pieces)}
        self._known: dict[str, list[int]] = {}

    @classmethod
    def learn(cls, texts, size: int) -> "Tokenizer":
        """Learns `size` pieces (control tokens and bytes counted) from an iterator of texts."""
        from tokenizers import Regex, Tokenizer as Fast, models, normalizers, pre_tokenizers, trainers

        fast = Fast(models.BPE())
        fast.normalizer = normalizers.Replace(" ", SPACE)
        fast.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(SPACE, "merged_with_next"),
            pre_tokenizers.Split(Regex("[" + re.escape(MARKS) + "]"), "isolated")])
        trainer = trainers.BpeTrainer(vocab_size=size - FIRST_BYTE - 256, show_progress=False, special_tokens=[],
                                      initial_alphabet=list("abcdefghijklmnopqrstuvwxyz" + SPACE))
        fast.train_from_iterator(texts, trainer)
        learned = sorted(fast.get_vocab().items(), key=lambda item: item[1])
        pieces = CONTROL + BYTES + [piece for piece, _ in learned]
        scores = [0.0] * (FIRST_BYTE + 256) + [-float(rank) for _, rank in learned]
        return cls(pieces, scores)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        saved = json.loads(path.read_text())
        return cls(saved["pieces"], saved["scores"])

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"pieces": self.pieces, "scores": self.scores}, ensure_ascii=False))

    def encode(self, text: str) -> list[int]:
        """The ids of plain text (no control tokens, no space put in front)."""
        ids: list[int] = []
        for word in _WORD.findall(text.replace(" ", SPACE)):
            if word:
                if word not in self._known:
                    self._known[word] = self._cut(word)
                ids += self._known[word]
        return ids

    def _cut(self, word: str) -> list[int]:
        symbols = list(word)
        before, after = list(range(-1, len(symbols) - 1)), list(range(1, len(symbols))) + [-1]
        queue: list = []

        def offer(left: int, right: int) -> None:
            if left != -1 and right != -1:
                piece = self.ids.get(symbols[left] + symbols[right])
                if piece is not None:
                    heapq.heappush(queue, (-self.scores[piece], left, right, len(symbols[left]) + len(symbols[right])))

        for i in range(1, len(symbols)):
            offer(i - 1, i)
        while queue:
            _, left, right, size = heapq.heappop(queue)
            if not symbols[left] or not symbols[right] or len(symbols[left]) + len(symbols[right]) != size:
                continue
            symbols[left] += symbols[right]
            symbols[right] = ""
            after[left] = after[right]
            if after[right] != -1:
                before[after[right]] = left
            offer(before[left], left)
            offer(left, after[left])
        ids, i = [], 0
        while i != -1 and i < len(symbols):
            if symbols[i] in self.ids:
                ids.append(self.ids[symbols[i]])
            else:
                ids += [FIRST_BYTE + byte for byte in symbols[i].encode()]
            i = after[i]
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text of ids; control tokens vanish."""
        out = bytearray()
        for i in ids:
            if i < FIRST_BYTE:
                continue
            out += bytes([i - FIRST_BYTE]) if i < FIRST_BYTE + 256 else self.pieces[i].replace(SPACE, " ").encode()
        return out.decode(errors="replace")
