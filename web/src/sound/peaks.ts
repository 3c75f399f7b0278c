/** The loudest of each of `count` equal pieces, 0 to 1: what a waveform shows. */
export function peaks(samples: Float32Array, count: number): number[] {
  const length = Math.min(count, samples.length);
  return Array.from({ length }, (_, index) => {
    const [from, to] = [Math.floor((index * samples.length) / length), Math.floor(((index + 1) * samples.length) / length)];
    let most = 0;
    for (let at = from; at < to; at++) most = Math.max(most, Math.abs(samples[at] ?? 0));
    return Math.min(most, 1);
  });
}
