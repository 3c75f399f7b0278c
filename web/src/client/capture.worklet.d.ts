export class Resampler {
  constructor(from: number, to: number);
  push(input: Float32Array): number[];
}
