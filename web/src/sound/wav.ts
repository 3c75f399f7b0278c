// WAV files of 16-bit mono, made here where Milo does not read what the browser has.

export const RATE = 16_000;

/** A WAV file of samples between -1 and 1. */
export function wav(samples: Float32Array, rate = RATE): Blob {
  const bytes = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const text = (at: number, words: string) =>
    [...words].forEach((letter, index) => bytes.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  bytes.setUint32(4, 36 + samples.length * 2, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true);
  bytes.setUint16(22, 1, true);
  bytes.setUint32(24, rate, true);
  bytes.setUint32(28, rate * 2, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data");
  bytes.setUint32(40, samples.length * 2, true);
  samples.forEach((sample, index) => bytes.setInt16(44 + index * 2, Math.max(-1, Math.min(1, sample)) * 32767, true));
  return new Blob([bytes.buffer as ArrayBuffer], { type: "audio/wav" });
}

/** The same of pieces of 16-bit samples. */
export function wavOf(pieces: Int16Array[]): Blob {
  const samples = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) for (const sample of piece) samples[at++] = sample / 32767;
  return wav(samples);
}

/** Whatever the browser can decode, as such a file: M4A and WebM, which Milo does not read itself. */
export async function asWav(file: Blob): Promise<Blob> {
  const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  const offline = new OfflineAudioContext(1, Math.max(1, Math.ceil(sound.duration * RATE)), RATE);
  const source = offline.createBufferSource();
  source.buffer = sound;
  source.connect(offline.destination);
  source.start();
  return wav((await offline.startRendering()).getChannelData(0));
}

/** Where the samples of a WAV file begin in its first bytes, and their rate; none while the header is not whole. */
export function header(bytes: Uint8Array): { from: number; rate: number } | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let rate = RATE;
  let at = 12;
  while (at + 8 <= bytes.length) {
    const name = String.fromCharCode(...bytes.subarray(at, at + 4));
    if (name === "data") return { from: at + 8, rate };
    if (name === "fmt " && at + 16 <= bytes.length) rate = view.getUint32(at + 12, true);
    at += 8 + view.getUint32(at + 4, true);
  }
  return null;
}
