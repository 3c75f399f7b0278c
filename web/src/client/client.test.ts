import { describe, expect, it } from "vitest";
import { Resampler } from "./capture.worklet.js";
import { events, type ServerEvent } from "./events";

const body = (...pieces: string[]) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
      controller.close();
    },
  });

async function all(stream: ReadableStream<Uint8Array>): Promise<ServerEvent[]> {
  const found: ServerEvent[] = [];
  for await (const event of events(stream)) found.push(event);
  return found;
}

describe("server-sent events", () => {
  it("are the same however the bytes are cut", async () => {
    const text = 'event: token\ndata: {"text":"misokatra é"}\n\n: still here\n\nevent:done\ndata: 1\ndata: 2\n\n';
    const wanted = [
      { event: "token", data: '{"text":"misokatra é"}' },
      { event: "done", data: "1\n2" },
    ];
    expect(await all(body(text))).toEqual(wanted);
    expect(await all(body(...text))).toEqual(wanted);
    expect(await all(body(text.replaceAll("\n", "\r\n")))).toEqual(wanted);
  });

  it("end with what came whole, and with the last one though its empty line is missing", async () => {
    expect(await all(body("data: a\n\ndata: b"))).toEqual([
      { event: "message", data: "a" },
      { event: "message", data: "b" },
    ]);
    expect(await all(body(""))).toEqual([]);
  });
});

describe("the resampler of the microphone", () => {
  const tone = (hertz: number, rate: number, seconds: number) =>
    Float32Array.from({ length: rate * seconds }, (_, at) => Math.sin((2 * Math.PI * hertz * at) / rate));
  const through = (from: number, hertz: number): number[] => {
    const resampler = new Resampler(from, 16_000);
    const sound = tone(hertz, from, 1);
    const out: number[] = [];
    // The audio thread hands over 128 samples at a time.
    for (let at = 0; at < sound.length; at += 128) out.push(...resampler.push(sound.subarray(at, at + 128)));
    return out;
  };
  const loudness = (samples: number[]) => Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);

  it.each([44_100, 48_000, 16_000, 8_000])("keeps a voice's tone of %i Hz sound, and its length", (rate) => {
    const out = through(rate, 440);
    expect(Math.abs(out.length - 16_000)).toBeLessThan(64);
    expect(loudness(out.slice(200, -200))).toBeCloseTo(Math.SQRT1_2, 2);
    // It crosses zero as often as before: no sample was doubled or lost between pieces.
    const crossings = out.filter((sample, at) => at > 0 && (out[at - 1] ?? 0) < 0 && sample >= 0).length;
    expect(Math.abs(crossings - 440)).toBeLessThanOrEqual(1);
  });

  it("takes out what would fold back", () => {
    expect(loudness(through(48_000, 11_000).slice(200, -200))).toBeLessThan(0.01);
  });
});
