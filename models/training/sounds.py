"""What a line carries that is not speech: noise, hum, tones, music.  For training, and (other kinds) for the published figure.

`thousand(seed)` gives the 1,000 clips of the card: none of them may become words.
"""

from __future__ import annotations

import numpy as np

RATE = 16_000
_DTMF = (697, 770, 852, 941), (1209, 1336, 1477, 1633)


def _time(n: int) -> np.ndarray:
    return np.arange(n) / RATE


def coloured(rng: np.random.Generator, n: int, slope: float) -> np.ndarray:
    """Noise whose amplitude falls with frequency to the power of `slope`."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequencies = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 40.0)
    return np.fft.irfft(spectrum * (frequencies / 1000.0) ** -slope, n)


def _hiss(rng, n):
    return coloured(rng, n, rng.uniform(0.0, 1.4))


def _hum(rng, n):
    base = rng.choice([50, 60, 100])
    tones = sum(rng.uniform(0, 1) / k * np.sin(2 * np.pi * base * k * _time(n) + rng.uniform(0, 6)) for k in range(1, 9))
    return tones + 0.1 * coloured(rng, n, 0.7)


def _beeps(rng, n):
    """Ringing, engaged and dial tones, and the like."""
    frequency, on, off = rng.choice([350, 400, 425, 440, 480, 950, 1400, 2100]), rng.uniform(0.05, 1.5), rng.uniform(0.05, 3.0)
    gate = (_time(n) + rng.uniform(0, 2)) % (on + off) < on
    tone = np.sin(2 * np.pi * frequency * _time(n)) + (rng.random() < 0.4) * np.sin(2 * np.pi * (frequency + 40) * _time(n))
    return tone * gate


def _keys(rng, n):
    """Key presses."""
    out, at = np.zeros(n), int(rng.uniform(0, 0.5) * RATE)
    while at < n:
        length = min(int(rng.uniform(0.05, 0.3) * RATE), n - at)
        out[at:at + length] = sum(np.sin(2 * np.pi * rng.choice(row) * _time(length)) for row in _DTMF)
        at += length + int(rng.uniform(0.05, 0.8) * RATE)
    return out


def _note(rng, length, frequency, sharp):
    t = _time(length)
    wave = sum(sharp ** k / k * np.sin(2 * np.pi * frequency * k * t) for k in range(1, 8) if frequency * k < 7000)
    return wave * np.exp(-t * rng.uniform(0.5, 8)) * np.minimum(t * 80, 1)


def _music(rng, n, scale=(0, 2, 4, 5, 7, 9, 11)):
    """A tune with chords and a drum."""
    out, beat, at = np.zeros(n), rng.uniform(0.15, 0.6), 0.0
    root, sharp = 110 * 2 ** rng.uniform(0, 2), rng.uniform(0.3, 0.95)
    while at * RATE < n:
        begin = int(at * RATE)
        for voice in range(rng.integers(1, 4)):
            frequency = root * 2 ** ((rng.choice(scale) + 12 * rng.integers(0, 2)) / 12)
            length = min(int(RATE * beat * rng.choice([1, 2, 4])), n - begin)
            out[begin:begin + length] += _note(rng, length, frequency, sharp) / (voice + 1)
        if rng.random() < 0.4:
            length = min(RATE // 12, n - begin)
            out[begin:begin + length] += rng.standard_normal(length) * np.exp(-_time(length) * 60) * 0.7
        at += beat * rng.choice([0.5, 1, 1, 2])
    return out


def _knocks(rng, n):
    """Clicks, knocks, keys of a keyboard."""
    out = np.zeros(n)
    for at in rng.integers(0, n, rng.integers(2, 30)):
        length = min(rng.integers(40, 1500), n - at)
        out[at:at + length] += rng.standard_normal(length) * np.exp(-_time(length) * rng.uniform(40, 900)) * rng.uniform(0.2, 1)
    return out + 0.01 * rng.standard_normal(n)


def _wind(rng, n):
    """Noise that swells and fades, as breath, wind and traffic do."""
    swell = np.interp(np.arange(n), np.linspace(0, n, 12), rng.uniform(0, 1, 12) ** 2)
    return coloured(rng, n, rng.uniform(0.3, 1.6)) * (swell + 0.02)


def _sweep(rng, n):
    """A siren: no such thing is trained on."""
    centre, depth, rate = rng.uniform(500, 1500), rng.uniform(50, 500), rng.uniform(0.2, 4)
    return np.sin(2 * np.pi * np.cumsum(centre + depth * np.sin(2 * np.pi * rate * _time(n))) / RATE)


def _bells(rng, n):
    """Partials that are no multiples, struck now and then: no such thing is trained on."""
    out, at = np.zeros(n), 0
    while at < n:
        length = min(RATE * 2, n - at)
        base = rng.uniform(200, 900)
        out[at:at + length] += sum(np.sin(2 * np.pi * base * k * _time(length)) * np.exp(-_time(length) * 3 * k)
                                   for k in (0.56, 0.92, 1.19, 1.71, 2.0, 2.74, 3.76))
        at += int(rng.uniform(0.2, 1.5) * RATE)
    return out


def _pentatonic(rng, n):
    """Music in a scale that is not trained on."""
    return _music(rng, n, (0, 3, 5, 7, 10))


TRAINED = (_hiss, _hiss, _hum, _beeps, _keys, _music, _music, _knocks, _wind)
#: The published figure is half on kinds that training knows (by other draws) and half on kinds that it does not.
UNTRAINED = (_sweep, _bells, _pentatonic)


def clip(rng: np.random.Generator, kinds=TRAINED, seconds: tuple[float, float] = (0.4, 8.0)) -> np.ndarray:
    """float32 of any loudness from a breath to full scale, sometimes with hiss over it, sometimes nothing at all."""
    n = int(rng.uniform(*seconds) * RATE)
    if rng.random() < 0.03:
        return np.zeros(n, np.float32)
    wave = kinds[rng.integers(len(kinds))](rng, n)
    wave = wave / (np.abs(wave).max() + 1e-9)
    if rng.random() < 0.5:
        wave = wave + rng.standard_normal(n) * 10 ** rng.uniform(-3, -1)
    return (wave / (np.abs(wave).max() + 1e-9) * 10 ** rng.uniform(-2.5, -0.05)).astype(np.float32)


def thousand(seed: int, count: int = 1000) -> list[np.ndarray]:
    """int16 clips, half of them of kinds that training never heard."""
    rng = np.random.default_rng(seed)
    return [(clip(rng, UNTRAINED if i % 2 else TRAINED) * 32767).astype(np.int16) for i in range(count)]
