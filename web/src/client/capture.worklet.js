// Runs in the browser's audio thread: what the microphone hears, at 16 kHz, in pieces of 20 ms.
// Loaded by its address, as it stands here: therefore JavaScript, and nothing imported.

const RATE = 16000;
const PIECE = 320;
/** Zero crossings of the filter to each side. */
const REACH = 8;

/** Band-limited resampling (Smith, "Digital Audio Resampling"): a windowed sinc at each output sample's place. */
export class Resampler {
  constructor(from, to) {
    this.step = from / to;
    // What lies above half of the lower rate is taken out, or it would fold back.
    this.cutoff = Math.min(1, to / from) * 0.95;
    this.half = Math.ceil(REACH / this.cutoff);
    this.kept = new Float32Array(this.half);
    this.at = this.half;
  }

  /** The samples that `input` completes. */
  push(input) {
    const all = new Float32Array(this.kept.length + input.length);
    all.set(this.kept);
    all.set(input, this.kept.length);
    const out = [];
    while (this.at + this.half < all.length) {
      out.push(this.sample(all, this.at));
      this.at += this.step;
    }
    const from = Math.max(0, Math.floor(this.at) - this.half);
    this.kept = all.slice(from);
    this.at -= from;
    return out;
  }

  sample(all, at) {
    const centre = Math.floor(at);
    let sum = 0;
    let weight = 0;
    for (let index = centre - this.half + 1; index <= centre + this.half; index++) {
      const x = (index - at) * this.cutoff;
      if (Math.abs(x) >= REACH) continue;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
      const tap = sinc * (0.5 + 0.5 * Math.cos((Math.PI * x) / REACH));
      sum += tap * (all[index] ?? 0);
      weight += tap;
    }
    return weight ? sum / weight : 0;
  }
}

if (globalThis.registerProcessor) {
  registerProcessor(
    "capture",
    class extends AudioWorkletProcessor {
      constructor() {
        super();
        this.resampler = new Resampler(sampleRate, RATE);
        this.piece = new Int16Array(PIECE);
        this.filled = 0;
      }

      process([input]) {
        const channel = input?.[0];
        if (!channel) return true;
        for (const sample of this.resampler.push(channel)) {
          this.piece[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32767)));
          if (this.filled < PIECE) continue;
          this.port.postMessage(this.piece.buffer, [this.piece.buffer]);
          this.piece = new Int16Array(PIECE);
          this.filled = 0;
        }
        return true;
      }
    },
  );
}
