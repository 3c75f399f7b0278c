"""One language of an MMS Wav2Vec2, whose languages are adapters and heads beside one large model: a checkpoint of its own.

`adapter.mlg.safetensors` holds Malagasy's, and `vocab.json` its letters under `mlg`; what comes of it hears this language alone, and says
so (`target_lang`), as Milo wants it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from transformers import Wav2Vec2ForCTC

#: The name in [engines.stt] of what hears a language, as MMS (ISO 639-3) and others call it.
SETTINGS = {"mlg": "mg", "plt": "mg", "mg": "mg", "fra": "fr", "fre": "fr", "fr": "fr"}
BEFORE, ENDINGS = "adapter.", (".safetensors", ".bin")


def languages(checkpoint: Path) -> list[str]:
    """Those that a folder has adapters of."""
    files = (file.name for file in checkpoint.glob(f"{BEFORE}*") if file.name.endswith(ENDINGS))
    return sorted({name.removeprefix(BEFORE).rsplit(".", 1)[0] for name in files})


def of_language(checkpoint: Path, language: str, to: Path) -> Path:
    """Writes the checkpoint of one language and returns its folder."""
    there = languages(checkpoint)
    if not there:
        raise SystemExit(f"{checkpoint} holds no adapter.LANGUAGE.safetensors of any language: it hears one, leave --language out")
    if language not in there:
        raise SystemExit(f"{checkpoint} holds no adapter of {language!r}; those that it has: {', '.join(there)}")
    letters = json.loads((checkpoint / "vocab.json").read_text()).get(language)
    if not isinstance(letters, dict):
        raise SystemExit(f"{checkpoint / 'vocab.json'} has no letters under {language!r}, of which the folder has an adapter")
    model = Wav2Vec2ForCTC.from_pretrained(checkpoint)
    model.load_adapter(language)
    if (head := model.lm_head.out_features) <= max(letters.values()):
        raise SystemExit(f"the adapter of {language!r} tells {head} letters apart, and {checkpoint / 'vocab.json'} has numbers up to "
                         f"{max(letters.values())}: they belong to different models")
    model.save_pretrained(to)
    for name in ("preprocessor_config.json", "special_tokens_map.json", "README.md"):
        if (checkpoint / name).is_file():
            shutil.copy(checkpoint / name, to / name)
    told = checkpoint / "tokenizer_config.json"
    config = json.loads(told.read_text()) if told.is_file() else {}
    (to / told.name).write_text(json.dumps(config | {"target_lang": language}, indent=2) + "\n")
    (to / "vocab.json").write_text(json.dumps({language: letters}, ensure_ascii=False, indent=1) + "\n")
    return to
