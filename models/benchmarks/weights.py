"""Models of random weights in the shapes of the real ones, and in the form of each program that is compared.

A transcript must be as long as the bench says, and no program be told to go on behind an end.  So the decoder's table of positions says
what comes next: at each place it points to another word, nowhere to the end.  The same holds in every precision, and each program
computes all that it would of real weights.  The language model's row of the end is nothing, and something else is always likelier.
"""

from __future__ import annotations

import json
import math
import shutil
import string
import struct
import subprocess
import sys
from itertools import product
from pathlib import Path

import gguf
import numpy
import onnx
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (GenerationConfig, PreTrainedTokenizerFast, VitsConfig, VitsModel, VitsTokenizer, WhisperConfig,
                          WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizerFast)
from transformers.audio_utils import mel_filter_bank
from transformers.models.whisper.tokenization_whisper import LANGUAGES

TRAINING = Path(__file__).resolve().parent.parent / "training"
sys.path.insert(0, str(TRAINING))

from export_vits import export  # noqa: E402

#: Width, layers of the encoder and of the decoder each, heads.
WHISPERS = {"base": (512, 6, 8), "small": (768, 12, 12)}
WORDS, VOCABULARY, POSITIONS = 50_257, 51_865, 448
#: How far the table of positions outweighs what the layers add, and how far a word stands out in the logits.
OUTWEIGHS, STANDS_OUT = 4.0, 0.035
LETTERS = string.ascii_lowercase + "' -"
SYLLABLES = [consonant + vowel for consonant, vowel in product("bdfghjklmnprstvz", "aeiou")]
#: Width, layers, heads, heads of keys, inner width, words: as wide as models of a billion parameters, and a fifth as deep; and four of the
#: 32 layers of Mistral 7B.  Layers are alike: how one cost stands to another in them is as in the whole.
LLAMAS = {"llama": (2048, 4, 32, 8, 5632, 32_000), "mistral": (4096, 4, 32, 8, 14_336, 32_768)}
TEMPLATE = ("{{ bos_token }}{% for message in messages %}{{ '[' + message['role'] + '] ' + message['content'] + '\\n' }}"
            "{% endfor %}{{ '[assistant] ' }}")


def bytes_to_unicode() -> list[str]:
    """How byte-level vocabularies write each byte."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


def words(count: int) -> list[str]:
    """Bytes, then made-up words that each begin with a blank."""
    made = ("".join(syllables) for length in (2, 3, 4) for syllables in product(SYLLABLES, repeat=length))
    return bytes_to_unicode() + [f"Ġ{word}" for word, _ in zip(made, range(count - 256))]


def whisper_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocab={word: place for place, word in enumerate(words(WORDS))}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{language}|>" for language in list(LANGUAGES)[:99]), "<|translate|>",
         "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"])
    tokenizer.add_tokens([AddedToken(f"<|{i * 0.02:.2f}|>", normalized=False, special=False) for i in range(1_501)])
    if tokenizer.get_vocab_size() != VOCABULARY:
        raise SystemExit(f"{tokenizer.get_vocab_size()} tokens in place of Whisper's {VOCABULARY}")
    return tokenizer


def whisper(shape: str, to: Path) -> None:
    """A checkpoint in Whisper's shape and with its special tokens."""
    width, layers, heads = WHISPERS[shape]
    torch.manual_seed(9)
    tokens = whisper_tokenizer()
    of = tokens.token_to_id
    end, start = of("<|endoftext|>"), of("<|startoftranscript|>")
    prompt = [start, of("<|mg|>"), of("<|transcribe|>"), of("<|notimestamps|>")]
    config = WhisperConfig(
        vocab_size=VOCABULARY, num_mel_bins=80, d_model=width, encoder_layers=layers, decoder_layers=layers,
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width,
        max_target_positions=POSITIONS, pad_token_id=end, bos_token_id=end, eos_token_id=end, decoder_start_token_id=start,
        suppress_tokens=[], begin_suppress_tokens=[])
    model = WhisperForConditionalGeneration(config)
    said = prompt[1:] + (torch.randperm(WORDS - 256)[:POSITIONS - 3] + 256).tolist()
    with torch.no_grad():
        table = model.model.decoder.embed_tokens.weight
        table.normal_(std=STANDS_OUT)
        model.model.decoder.embed_positions.weight.copy_(table[said] * (OUTWEIGHS / STANDS_OUT))
    model.generation_config = GenerationConfig(
        decoder_start_token_id=start, eos_token_id=end, pad_token_id=end, bos_token_id=end, max_length=POSITIONS,
        no_timestamps_token_id=prompt[3], is_multilingual=True, suppress_tokens=[], begin_suppress_tokens=[],
        lang_to_id={f"<|{name}|>": of(f"<|{name}|>") for name in list(LANGUAGES)[:99]},
        task_to_id={"transcribe": prompt[2], "translate": of("<|translate|>")})
    close = "<|endoftext|>"
    WhisperTokenizerFast(tokenizer_object=tokens, unk_token=close, bos_token=close, eos_token=close,
                         pad_token=close).save_pretrained(to)
    WhisperFeatureExtractor().save_pretrained(to)
    model.save_pretrained(to)


def exported(checkpoint: Path, to: Path, *options: str) -> None:
    """For Milo, by the script that exports real ones, which compares it with torch."""
    subprocess.run([sys.executable, str(TRAINING / "export.py"), str(checkpoint), str(to), *options], check=True)


def ctranslate2(checkpoint: Path, to: Path) -> None:
    from ctranslate2.converters import TransformersConverter
    beside = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(checkpoint), copy_files=beside).convert(str(to), quantization="float32", force=True)


#: What whisper.cpp calls a checkpoint's tensors, part by part.
GGML = [("model.", ""), (".layers.", ".blocks."), ("self_attn.k_proj", "attn.key"), ("self_attn.q_proj", "attn.query"),
        ("self_attn.v_proj", "attn.value"), ("self_attn.out_proj", "attn.out"), ("self_attn_layer_norm", "attn_ln"),
        ("encoder_attn.k_proj", "cross_attn.key"), ("encoder_attn.q_proj", "cross_attn.query"),
        ("encoder_attn.v_proj", "cross_attn.value"), ("encoder_attn.out_proj", "cross_attn.out"),
        ("encoder_attn_layer_norm", "cross_attn_ln"), ("fc1", "mlp.0"), ("fc2", "mlp.2"), ("final_layer_norm", "mlp_ln"),
        ("encoder.layer_norm", "encoder.ln_post"), ("decoder.layer_norm", "decoder.ln"),
        ("embed_positions.weight", "positional_embedding"), ("embed_tokens", "token_embedding")]
#: The numbers of ggml for the types of tensors and of files; files of quantized ones carry the version of that.
F32, F16, Q8_0 = 0, 1, 8
FILE_F16, FILE_Q8_0 = 1, 2_007


def whisper_cpp(checkpoint: Path, to: Path, quantized: bool) -> None:
    """The file of whisper.cpp: sizes, mel filters, words, tensors.  As its own tools write it: matrices in f16 or Q8_0, convolutions in
    f16, all else in f32.  (Its convolutions take no f32, so that there is no file of it in full.)"""
    model = WhisperForConditionalGeneration.from_pretrained(checkpoint)
    config = model.config
    filters = mel_filter_bank(201, config.num_mel_bins, 0.0, 8_000.0, 16_000, norm="slaney", mel_scale="slaney").T.astype("float32")
    width, heads = config.d_model, config.encoder_attention_heads
    as_bytes = {letter: byte for byte, letter in enumerate(bytes_to_unicode())}
    with to.open("wb") as file:
        file.write(struct.pack("<12i", 0x67676D6C, config.vocab_size, config.max_source_positions, width, heads, config.encoder_layers,
                               config.max_target_positions, width, heads, config.decoder_layers, config.num_mel_bins,
                               FILE_Q8_0 if quantized else FILE_F16))
        file.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        file.write(struct.pack("<i", WORDS))
        for word in words(WORDS):
            raw = bytes(as_bytes[letter] for letter in word)
            file.write(struct.pack("<i", len(raw)) + raw)
        for name, tensor in model.state_dict().items():
            if name == "proj_out.weight":  # the table of words again
                continue
            for theirs, own in GGML:
                name = name.replace(theirs, own)
            values = tensor.float().numpy()
            if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
                values = values.reshape(-1, 1)
            kind, data = F32, values.astype("<f4")
            if name.endswith("weight") and values.ndim == 2 and quantized:
                kind, data = Q8_0, gguf.quants.quantize(values.astype("<f4"), gguf.GGMLQuantizationType.Q8_0)
            elif name.endswith("weight") and values.ndim > 1:
                kind, data = F16, values.astype("<f2")
            raw = name.encode()
            file.write(struct.pack("<3i", values.ndim, len(raw), kind) + struct.pack(f"<{values.ndim}i", *reversed(values.shape)))
            file.write(raw + data.tobytes())


def vits(to: Path) -> None:
    """A checkpoint in the shape of MMS-TTS, which speaks a letter in about a tenth of a second."""
    torch.manual_seed(9)
    to.mkdir(parents=True, exist_ok=True)
    vocabulary = {letter: place for place, letter in enumerate(["|", *LETTERS, "<unk>"])}
    (to / "vocab.json").write_text(json.dumps(vocabulary))
    VitsTokenizer(to / "vocab.json", pad_token="|", unk_token="<unk>", language="mlg", phonemize=False, is_uroman=False, add_blank=True,
                  normalize=True).save_pretrained(to)
    # Without chance in it a text is as long each time, and in each program.
    model = VitsModel(VitsConfig(vocab_size=len(vocabulary), sampling_rate=16_000, noise_scale_duration=0.0))
    with torch.no_grad():
        model.duration_predictor.flows[0].translate.fill_(math.log(2.0))
    model.save_pretrained(to)


class Plain(torch.nn.Module):
    """A VITS with sherpa-onnx's inputs."""

    def __init__(self, model: VitsModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x, x_length, noise_scale, length_scale, noise_scale_w):
        self.model.noise_scale, self.model.noise_scale_duration = noise_scale, noise_scale_w
        self.model.speaking_rate = 1.0 / length_scale
        mask = torch.arange(x.shape[1]).unsqueeze(0) < x_length.unsqueeze(1)
        return self.model(x, mask.long(), return_dict=True).waveform.unsqueeze(1)


def sherpa(checkpoint: Path, to: Path) -> None:
    """The graph and the list of letters as sherpa-onnx's script for MMS-TTS writes them."""
    to.mkdir(parents=True, exist_ok=True)
    inputs = {"x": torch.arange(12).reshape(1, 12), "x_length": torch.tensor([12]), "noise_scale": torch.tensor([0.667]),
              "length_scale": torch.tensor([1.0]), "noise_scale_w": torch.tensor([0.8])}
    export(to / "model.onnx", Plain(VitsModel.from_pretrained(checkpoint).eval()), inputs, {"y": {0: "batch", 2: "samples"}})
    graph = onnx.load(to / "model.onnx")
    notes = {"model_type": "vits", "comment": "mms", "language": "Malagasy", "frontend": "characters", "add_blank": 1, "use_eos_bos": 0,
             "n_speakers": 1, "sample_rate": 16_000}
    for key, value in notes.items():
        graph.metadata_props.add(key=key, value=str(value))
    onnx.save(graph, to / "model.onnx")
    vocabulary = json.loads((checkpoint / "vocab.json").read_text())
    (to / "tokens.txt").write_text("".join(f"{letter} {place}\n" for letter, place in vocabulary.items() if len(letter) == 1))


def llama(shape: str, to: Path) -> None:
    """A GGUF in LLaMA's shape, f16; each letter of what it is asked is a token."""
    width, layers, heads, key_heads, inner, count = LLAMAS[shape]
    random = numpy.random.default_rng(9)
    out = gguf.GGUFWriter(to, "llama")
    out.add_context_length(4_096)
    out.add_embedding_length(width)
    out.add_block_count(layers)
    out.add_feed_forward_length(inner)
    out.add_head_count(heads)
    out.add_head_count_kv(key_heads)
    out.add_rope_dimension_count(width // heads)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(count)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("default")
    pieces = words(count - 2) + ["<s>", "</s>"]
    out.add_token_list(pieces)
    out.add_token_types([gguf.TokenType.NORMAL] * (count - 2) + [gguf.TokenType.CONTROL] * 2)
    out.add_token_merges(["Ġ Ġ"])
    out.add_bos_token_id(count - 2)
    out.add_eos_token_id(count - 1)
    out.add_add_bos_token(False)
    out.add_chat_template(TEMPLATE)

    def matrix(name: str, rows: int, columns: int, silent: int | None = None) -> None:
        values = random.standard_normal((rows, columns), dtype="float32") * columns ** -0.5
        if silent is not None:
            values[silent] = 0
        out.add_tensor(f"{name}.weight", values.astype("float16"))

    def norm(name: str) -> None:
        out.add_tensor(f"{name}.weight", numpy.ones(width, "float32"))

    matrix("token_embd", count, width)
    norm("output_norm")
    matrix("output", count, width, silent=count - 1)
    for layer in range(layers):
        at = f"blk.{layer}"
        norm(f"{at}.attn_norm")
        norm(f"{at}.ffn_norm")
        for name, rows, columns in [
                ("attn_q", width, width), ("attn_k", width * key_heads // heads, width), ("attn_v", width * key_heads // heads, width),
                ("attn_output", width, width), ("ffn_gate", inner, width), ("ffn_up", inner, width), ("ffn_down", width, inner)]:
            matrix(f"{at}.{name}", rows, columns)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def quantized(shape: str, to: Path) -> None:
    """Q4_K_M, by llama.cpp's own hand, of one in f16, which nobody needs after that."""
    import llama_cpp
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    settings.nthread = 1
    whole = to.with_suffix(".f16")
    llama(shape, whole)
    if llama_cpp.llama_model_quantize(str(whole).encode(), str(to).encode(), settings):
        raise SystemExit(f"llama.cpp does not quantize {whole}")
    whole.unlink()


def make(folder: Path, shapes: list[str], what: list[str]) -> None:
    """All that is lacking in `folder`."""
    def unless_there(name: str, made) -> Path:
        to = folder / name
        if not to.exists():
            print(f"making {name}", file=sys.stderr, flush=True)
            new = folder / f"new-{name}"
            if new.is_dir():
                shutil.rmtree(new)
            made(new)
            new.rename(to)
        return to

    folder.mkdir(parents=True, exist_ok=True)
    for shape in shapes if "ears" in what else []:
        checkpoint = unless_there(f"whisper-{shape}", lambda to, shape=shape: whisper(shape, to))
        unless_there(f"whisper-{shape}-milo", lambda to, of=checkpoint: exported(of, to, "--precision", "fp32,int8"))
        unless_there(f"whisper-{shape}-ct2", lambda to, of=checkpoint: ctranslate2(of, to))
        for name, is_quantized in (("f16", False), ("q8_0", True)):
            unless_there(f"whisper-{shape}-{name}.bin", lambda to, of=checkpoint, q=is_quantized: whisper_cpp(of, to, q))
    if "voice" in what:
        checkpoint = unless_there("vits", vits)
        unless_there("vits-milo", lambda to: exported(checkpoint, to))
        unless_there("vits-sherpa", lambda to: sherpa(checkpoint, to))
    for shape in LLAMAS if "mind" in what else []:
        unless_there(f"{shape}-q4_k_m.gguf", lambda to, shape=shape: quantized(shape, to))
