import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Ended } from "./line";
import { Server } from "./server";
import { supervise, type Supervision, type Way } from "./supervision";

class Socket {
  static last: Socket | undefined;
  static readonly OPEN = 1;
  binaryType = "";
  bufferedAmount = 0;
  readyState = 0;
  sent: (string | ArrayBuffer)[] = [];
  closed = false;
  onopen: (() => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onmessage: ((event: { data: string | ArrayBuffer }) => void) | null = null;
  constructor(readonly url: URL) {
    Socket.last = this;
  }
  opens(): void {
    this.readyState = Socket.OPEN;
    this.onopen?.();
  }
  says(message: object | ArrayBuffer): void {
    this.onmessage?.({ data: message instanceof ArrayBuffer ? message : JSON.stringify(message) });
  }
  send = (message: string | ArrayBuffer) => void this.sent.push(message);
  close = () => void (this.closed = true);
}

class Context {
  static last: Context;
  currentTime = 0;
  played: { channels: Float32Array[]; at: number }[] = [];
  closed = false;
  destination = {};
  audioWorklet = { addModule: async () => undefined };
  constructor() {
    Context.last = this;
  }
  resume = async () => undefined;
  close = async () => void (this.closed = true);
  createGain = () => ({ connect: () => undefined });
  createMediaStreamSource = () => ({ context: this, connect: () => undefined, disconnect: () => undefined });
  createBuffer = (channels: number, length: number, rate: number) => {
    const held: Float32Array[] = Array.from({ length: channels }, () => new Float32Array());
    return { duration: length / rate, held, copyToChannel: (from: Float32Array, channel: number) => void (held[channel] = from) };
  };
  createBufferSource = () => {
    const source = {
      buffer: null as { held: Float32Array[] } | null,
      onended: null,
      connect: () => undefined,
      start: (at: number): void => {
        this.played.push({ channels: source.buffer?.held ?? [], at });
      },
      stop: () => undefined,
    };
    return source;
  };
}

class Worklet {
  static last: Worklet;
  port: { onmessage: ((event: { data: ArrayBuffer }) => void) | null } = { onmessage: null };
  constructor() {
    Worklet.last = this;
  }
}

const track = { stopped: false, stop: () => void (track.stopped = true) };
const follower = { begun: vi.fn(), missed: vi.fn(), said: vi.fn(), ended: vi.fn() };
const server = new Server("https://milo.example");

beforeEach(() => {
  track.stopped = false;
  Socket.last = undefined;
  vi.clearAllMocks();
  vi.stubGlobal("WebSocket", Socket);
  vi.stubGlobal("AudioContext", Context);
  vi.stubGlobal("AudioWorkletNode", Worklet);
  vi.stubGlobal("isSecureContext", true);
  vi.stubGlobal("navigator", { mediaDevices: { getUserMedia: async () => ({ getTracks: () => [track] }) } });
  vi.stubGlobal("fetch", async () => Response.json({ ticket: "t" }));
});
afterEach(() => vi.unstubAllGlobals());

/** The socket, once it is there. */
const socket = (): Promise<Socket> => vi.waitFor(() => Socket.last ?? Promise.reject(new Error("no socket yet")));

async function open(way: Way): Promise<{ line: Socket; following: Supervision }> {
  Socket.last = undefined;
  const begun = supervise(server, "c1", way, "worklet.js", follower, new AbortController().signal);
  const line = await socket();
  line.opens();
  return { following: await begun, line };
}

const pieces = (...samples: number[]): ArrayBuffer => Int16Array.from(samples).buffer;

describe("whoever listens", () => {
  it("hears the caller left and what they are sent right, and is told what is missing", async () => {
    const { line } = await open("audio");
    expect(line.url.href).toBe("wss://milo.example/api/v1/calls/c1/audio?ticket=t");
    line.says({ type: "listening", call_id: "c1" });
    expect(follower.begun).toHaveBeenCalledOnce();
    line.says(pieces(16_384, -16_384, 0, 8_192));
    const [played] = Context.last.played;
    expect(played?.channels.map((channel) => [...channel])).toEqual([[0.5, 0], [-0.5, 0.25]]);
    line.says({ type: "missed", ms: 400 });
    expect(follower.missed).toHaveBeenCalledWith(400);
    line.says({ type: "transcript", text: "amin'ny ora", language: "mg", partial: true });
    line.says({ type: "reply_text", text: "Valo ora maraina." });
    expect(follower.said.mock.calls).toEqual([
      [{ by: "caller", text: "amin'ny ora", partial: true }],
      [{ by: "milo", text: "Valo ora maraina.", partial: false }],
    ]);
    expect(line.sent).toEqual([]);
  });

  it("hears what is said now, and not what a stall of the network has piled up", async () => {
    const { line } = await open("audio");
    Context.last.currentTime = 10;
    const second = new ArrayBuffer(16_000 * 4);
    line.says(second);
    line.says(second);
    line.says(second);
    const at = Context.last.played.map((piece) => piece.at);
    expect(at).toEqual([10 + 0.06, 10 + 0.06, 10 + 0.06]);
  });

  it("is told once that the call is over, and when the line was lost", async () => {
    const { line } = await open("audio");
    line.onclose?.({ code: 1000, reason: "the call is over" });
    expect(follower.ended.mock.calls).toEqual([[null]]);
    expect(Context.last.closed).toBe(true);
    const { line: other } = await open("audio");
    other.onclose?.({ code: 1006, reason: "" });
    expect((follower.ended.mock.calls[1]?.[0] as Ended).why).toBe("lost");
  });

  it("is refused where the socket does not open", async () => {
    const begun = supervise(server, "c1", "audio", "worklet.js", follower, new AbortController().signal);
    const refused = expect(begun).rejects.toMatchObject({ why: "refused" });
    (await socket()).onclose?.({ code: 1006, reason: "" });
    await refused;
    expect(Context.last.closed).toBe(true);
  });
});

describe("whoever takes a call over", () => {
  it("is heard, and gives it back as they leave", async () => {
    const { line, following } = await open("takeover");
    line.says({ type: "taken_over", call_id: "c1" });
    expect(follower.begun).toHaveBeenCalledOnce();
    const said = pieces(1, 2);
    Worklet.last.port.onmessage?.({ data: said });
    line.says(pieces(16_384));
    expect(Context.last.played[0]?.channels).toHaveLength(1);
    following.stop();
    expect(line.sent).toEqual([said, '{"type":"give_back"}']);
    expect([line.closed, track.stopped, Context.last.closed]).toEqual([true, true, true]);
    expect(follower.ended.mock.calls).toEqual([[null]]);
  });

  it("is not heard where the connection is too slow for it", async () => {
    const { line } = await open("takeover");
    line.bufferedAmount = 96_001;
    Worklet.last.port.onmessage?.({ data: pieces(1) });
    expect(line.sent).toEqual([]);
  });

  it("lets go of the microphone where the page is left before it begins", async () => {
    const leaving = new AbortController();
    const begun = supervise(server, "c1", "takeover", "worklet.js", follower, leaving.signal);
    const left = expect(begun).rejects.toBeDefined();
    await socket();
    leaving.abort();
    await left;
    expect(track.stopped).toBe(true);
  });
});
