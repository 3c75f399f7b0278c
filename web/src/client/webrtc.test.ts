import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Conversation } from "./conversation";
import { Ended, type Ear } from "./line";
import { Problem, Server } from "./server";
import { byWebRtc, NoWebRtc, refused, resource } from "./webrtc";

const SDP = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n";
const ASKED = new URL("https://milo.example/api/v1/webrtc?ticket=t");

class Peer {
  static last: Peer;
  connectionState = "new";
  localDescription = null;
  remoteDescription = { sdp: SDP };
  onconnectionstatechange: (() => void) | null = null;
  channel = { readyState: "connecting", onopen: () => undefined, onclose: null, onmessage: null, send: () => undefined };
  closed = false;
  offers: (object | undefined)[] = [];
  constructor() {
    Peer.last = this;
  }
  createDataChannel = () => this.channel;
  createOffer = async (options?: object) => (this.offers.push(options), { type: "offer", sdp: SDP });
  addTrack = () => undefined;
  getConfiguration = () => ({});
  setConfiguration = () => undefined;
  setLocalDescription = async () => undefined;
  setRemoteDescription = async () => undefined;
  close = () => void (this.closed = true);
  goes(state: string): void {
    this.connectionState = state;
    if (state === "connected") this.channel.readyState = "open";
    this.onconnectionstatechange?.();
  }
}

class Track {
  enabled = true;
  stopped = false;
  stop = () => void (this.stopped = true);
}

const node = () => ({ connect: () => undefined, disconnect: () => undefined });
class Context {
  resume = async () => undefined;
  close = async () => undefined;
  createGain = node;
  createMediaStreamSource = node;
}

const track = new Track();
const microphone = { getTracks: () => [track], getAudioTracks: () => [track] } as unknown as MediaStream;
const server = new Server("https://milo.example");
const asked: Request[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  asked.length = 0;
  track.stopped = false;
  vi.stubGlobal("RTCPeerConnection", Peer);
  vi.stubGlobal("Audio", class {});
  vi.stubGlobal("AudioContext", Context);
  vi.stubGlobal("addEventListener", () => undefined);
  vi.stubGlobal("removeEventListener", () => undefined);
  vi.stubGlobal("isSecureContext", true);
  vi.stubGlobal("navigator", { mediaDevices: { getUserMedia: async () => microphone } });
  vi.stubGlobal("fetch", async (request: Request) => {
    asked.push(request);
    const headers = { location: "/api/v1/webrtc/call", etag: '"1"' };
    return request.method === "DELETE" ? new Response() : new Response(SDP, { status: request.method === "POST" ? 201 : 200, headers });
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const settled = () => vi.advanceTimersByTimeAsync(0);

describe("a refused offer", () => {
  it("is a reason to go another way where its code says that WebRTC cannot be", () => {
    const why = (code: string) => (refused(new Problem(503, "", null, code)) as NoWebRtc).why;
    expect(["webrtc_off", "webrtc_refused", "webrtc_full", "lines_taken"].map(why)).toEqual(["off", "refused", "refused", "full"]);
  });

  it("is told as it is where a WebSocket would be refused as well", () => {
    for (const [status, code] of [[422, "unprocessable"], [503, "unavailable"], [404, "not_found"], [401, "key_wrong"]] as const) {
      const problem = new Problem(status, "no plan answers this number", null, code);
      expect(refused(problem)).toBe(problem);
    }
  });
});

it("the call's resource is on the server that was asked, or there is no call", () => {
  expect(resource("/api/v1/webrtc/x", ASKED).href).toBe("https://milo.example/api/v1/webrtc/x");
  for (const location of [null, "", "https://elsewhere.example/x", "//elsewhere.example/x", "http://milo.example/x", "https://["])
    expect(() => resource(location, ASKED), String(location)).toThrow(Ended);
});

describe("a call", () => {
  const up = async () => {
    const gone = vi.fn();
    const ear: Ear = { told: () => undefined, speaking: () => undefined, gone };
    const begun = byWebRtc(server, new Context() as unknown as AudioContext, microphone, ear, {});
    await settled();
    Peer.last.goes("connected");
    await begun;
    return { peer: Peer.last, gone };
  };

  it("lets ICE that has begun anew take its time, and is given up in the end", async () => {
    const { peer, gone } = await up();
    peer.goes("disconnected");
    await vi.advanceTimersByTimeAsync(1600);
    expect(peer.offers).toHaveLength(2);
    peer.goes("connecting");
    await vi.advanceTimersByTimeAsync(5000);
    expect(peer.offers, "it is under way").toHaveLength(2);
    peer.goes("failed");
    await vi.advanceTimersByTimeAsync(1600);
    expect(peer.offers, "it has failed").toHaveLength(3);
    expect(gone).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(6000);
    expect(gone).toHaveBeenCalledOnce();
    expect(asked.at(-1)?.method).toBe("DELETE");
  });

  it("goes on once it is connected again", async () => {
    const { peer, gone } = await up();
    peer.goes("disconnected");
    await vi.advanceTimersByTimeAsync(1600);
    peer.goes("connected");
    await vi.advanceTimersByTimeAsync(60_000);
    expect([peer.offers.length, gone.mock.calls.length]).toEqual([2, 0]);
  });
});

describe("whoever leaves while a call begins", () => {
  const open = (signal: AbortSignal) => Conversation.open(server, "worklet.js", { signal, way: "webrtc" });

  it("is not heard: the microphone is let go of as it is given", async () => {
    const leaving = new AbortController();
    const opening = expect(open(leaving.signal)).rejects.toMatchObject({ name: "AbortError" });
    leaving.abort();
    await opening;
    expect([track.stopped, asked.length]).toEqual([true, 0]);
  });

  it("is not heard either where the other side has answered: that call ends", async () => {
    const leaving = new AbortController();
    const opening = expect(open(leaving.signal)).rejects.toMatchObject({ name: "AbortError" });
    await settled();
    expect(asked.map(({ method }) => method)).toEqual(["POST"]);
    leaving.abort();
    await opening;
    expect([track.stopped, Peer.last.closed, asked.at(-1)?.method]).toEqual([true, true, "DELETE"]);
  });
});

describe("WebRTC", () => {
  const posts = () => asked.filter(({ method }) => method === "POST").length;
  const answering = (status: number, code: string) =>
    vi.stubGlobal("fetch", async (request: Request) => {
      asked.push(request);
      return new Response(JSON.stringify({ detail: "no", code }), { status });
    });
  /** Here no WebSocket can be either: this has no audio thread. */
  const open = () => Conversation.open(server, "worklet.js", {});

  it("is tried again where another offer may be answered, and is no other way's matter where the call is refused", async () => {
    answering(503, "webrtc_full");
    await expect(open()).rejects.toThrow(TypeError);
    answering(422, "unprocessable");
    await expect(open()).rejects.toMatchObject({ detail: "no", code: "unprocessable" });
    expect(posts()).toBe(2);
  });

  it("is not tried again soon where nothing got through", async () => {
    const blocked = expect(open()).rejects.toThrow(TypeError);
    await vi.advanceTimersByTimeAsync(6000);
    await blocked;
    await expect(open()).rejects.toThrow(TypeError);
    expect(posts()).toBe(1);
  });
});
