/** How far ahead of the loudspeaker the first piece is put, in seconds: a little for the network's unevenness. */
const AHEAD = 0.06;
const RATE = 16_000;

/** Plays pieces of 16-bit sound at 16 kHz, mono unless said otherwise, one behind the other, as they come, and forgets what was not played when told to. */
export class Playback {
  private readonly sounding = new Set<AudioBufferSourceNode>();
  private next = 0;
  /** Where the sound may be looked at. */
  readonly output: GainNode;

  constructor(
    private readonly context: AudioContext,
    private readonly changed: (speaking: boolean) => void = () => undefined,
    /** In a piece, a sample of each follows those of the moment before. */
    private readonly channels = 1,
  ) {
    this.output = context.createGain();
    this.output.connect(context.destination);
  }

  play(piece: ArrayBuffer): void {
    const { channels } = this;
    const count = Math.floor(piece.byteLength / 2 / channels);
    if (!count) return;
    const view = new DataView(piece);
    const buffer = this.context.createBuffer(channels, count, RATE);
    for (let channel = 0; channel < channels; channel++) {
      const samples = new Float32Array(count);
      for (let index = 0; index < count; index++) samples[index] = view.getInt16((index * channels + channel) * 2, true) / 32768;
      buffer.copyToChannel(samples, channel);
    }
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.output);
    const now = this.context.currentTime;
    if (this.next < now) this.next = now + AHEAD;
    source.start(this.next);
    this.next += buffer.duration;
    if (!this.sounding.size) this.changed(true);
    this.sounding.add(source);
    source.onended = () => {
      if (this.sounding.delete(source) && !this.sounding.size) this.changed(false);
    };
  }

  /** Seconds of sound that wait to be heard. */
  get ahead(): number {
    return Math.max(0, this.next - this.context.currentTime);
  }

  /** Falls silent at once: the caller has interrupted. */
  clear(): void {
    for (const source of this.sounding) {
      source.onended = null;
      source.stop();
    }
    if (this.sounding.size) this.changed(false);
    this.sounding.clear();
    this.next = 0;
  }
}
