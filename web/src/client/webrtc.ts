// A conversation by WebRTC: WHIP (RFC 9725), sound as RTP, all else over a data channel.
//
//   offer ─► POST ─► answer, Link (servers) ─► candidates, by PATCH ─► connected ─► told
//                                              the network has changed ─► PATCH: ICE begins anew
import { Ended, parsed, query, type Ear, type Line, type Wanted } from "./line";
import { Problem, type Server } from "./server";
import { credentials, fragment, iceServers, withCredentials } from "./whip";

/** Why WebRTC cannot be: the browser has none, the server has it switched off or cannot answer this offer, or nothing gets through. */
export class NoWebRtc extends Error {
  constructor(readonly why: "unsupported" | "off" | "refused" | "blocked") {
    super(why);
  }
}

/** Candidates that lead to each other have found that out by then, in milliseconds. */
const WITHIN = 6000;
/** So long a connection may be without a sign of the other side before ICE begins anew, and so long besides before it is given up. */
const QUIET = 1500;
const GONE = 12_000;

const CHANGE = "application/trickle-ice-sdpfrag";

export async function byWebRtc(
  server: Server,
  context: AudioContext,
  microphone: MediaStream,
  ear: Ear,
  wanted: Wanted,
): Promise<Line> {
  if (!globalThis.RTCPeerConnection) throw new NoWebRtc("unsupported");
  const call = new Call(server, context, microphone, ear);
  try {
    await call.begin(wanted);
    return call;
  } catch (error) {
    call.close();
    throw error;
  }
}

class Call implements Line {
  readonly output: GainNode;
  private readonly peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  private readonly channel = this.peer.createDataChannel("events");
  /** Chromium gives the sound of a peer to others only while an element plays it, which is also what its echo canceller listens to. */
  private readonly voice = new Audio();
  /** The call's resource, and the name of its ICE session. */
  private place: URL | null = null;
  private tag: string | null = null;
  private readonly waiting: (RTCIceCandidate | null)[] = [];
  private restarting = false;
  /** When ICE last began anew, as `performance.now()` has it. */
  private anew = -Infinity;
  private isOver = false;
  /** Until ICE begins anew, and until the connection is given up. */
  private quiet: ReturnType<typeof setTimeout> | undefined;
  private ending: ReturnType<typeof setTimeout> | undefined;
  private readonly changed = () => void this.restart();

  constructor(
    private readonly server: Server,
    context: AudioContext,
    microphone: MediaStream,
    private readonly ear: Ear,
  ) {
    this.output = context.createGain();
    for (const track of microphone.getAudioTracks()) this.peer.addTrack(track, microphone);
    this.peer.ontrack = ({ track }) => {
      const stream = new MediaStream([track]);
      this.voice.srcObject = stream;
      void this.voice.play().catch(() => undefined);
      context.createMediaStreamSource(stream).connect(this.output);
    };
    this.peer.onicecandidate = ({ candidate }) => this.found(candidate);
    this.channel.onmessage = ({ data }: MessageEvent<string>) => this.heard(data);
  }

  /** Connects, or throws. Gathering begins when the servers are known that help through NATs: they come with the answer. */
  async begin(wanted: Wanted): Promise<void> {
    const offer = await this.peer.createOffer();
    const url = query(await this.server.address("/api/v1/webrtc", "webrtc"), wanted);
    let answer: Response;
    try {
      const headers = { "content-type": "application/sdp", accept: "application/sdp" };
      const { signal } = wanted;
      answer = await this.server.ask(url, { method: "POST", headers, body: offer.sdp ?? "", ...(signal && { signal }) });
    } catch (error) {
      throw refused(error);
    }
    this.place = resource(answer.headers.get("location"), url);
    const tag = answer.headers.get("etag");
    const servers = iceServers(answer.headers.get("link") ?? "");
    if (servers.length) this.peer.setConfiguration({ ...this.peer.getConfiguration(), iceServers: servers });
    await this.peer.setLocalDescription(offer);
    await this.peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    this.trickle(tag);
    await this.connected(wanted.signal);
    this.peer.onconnectionstatechange = () => this.looked();
    this.channel.onclose = () => this.lost();
    addEventListener("online", this.changed);
    network()?.addEventListener("change", this.changed);
  }

  tell(message: object): void {
    if (this.channel.readyState === "open") this.channel.send(JSON.stringify(message));
  }

  close(): void {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.quiet);
    clearTimeout(this.ending);
    removeEventListener("online", this.changed);
    network()?.removeEventListener("change", this.changed);
    this.channel.onclose = this.channel.onmessage = null;
    this.peer.onconnectionstatechange = null;
    this.voice.srcObject = null;
    this.output.disconnect();
    if (this.place) void this.server.ask(this.place, { method: "DELETE", keepalive: true }).catch(() => undefined);
    this.peer.close();
  }

  private connected(signal: AbortSignal | undefined): Promise<void> {
    const { peer, channel } = this;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      signal?.addEventListener("abort", () => reject(signal.reason as Error));
      const blocked = () => reject(new NoWebRtc("blocked"));
      const timer = setTimeout(blocked, WITHIN);
      const look = () => {
        if (peer.connectionState === "failed") blocked();
        if (peer.connectionState !== "connected" || channel.readyState !== "open") return;
        clearTimeout(timer);
        resolve();
      };
      peer.onconnectionstatechange = channel.onopen = look;
      look();
    });
  }

  private heard(data: string): void {
    const message = parsed(data);
    if (!message || this.isOver) return;
    if (message.type === "state") this.ear.speaking(message.value === "speaking");
    if (message.type === "clear") this.ear.speaking(false);
    this.ear.told(message);
    if (message.type === "ended") {
      // The resource is gone with the call.
      this.place = null;
      this.close();
      this.ear.gone(null);
    }
  }

  private lost(): void {
    if (this.isOver) return;
    this.close();
    this.ear.gone(new Ended("lost", ""));
  }

  /** A candidate was found: it is sent on, or waits for the resource that it belongs to. */
  private found(candidate: RTCIceCandidate | null): void {
    this.waiting.push(candidate);
    if (this.tag !== null) this.trickle(this.tag);
  }

  private trickle(tag: string | null): void {
    this.tag = tag;
    if (!this.waiting.length || tag === null || !this.place) return;
    const body = fragment(this.waiting.splice(0), null);
    const headers = { "content-type": CHANGE, "if-match": tag };
    // The server sees most candidates by what comes from them: one that is not taken is seldom missed.
    void this.server.ask(this.place, { method: "PATCH", headers, body }).catch(() => undefined);
  }

  private looked(): void {
    const { connectionState } = this.peer;
    clearTimeout(this.quiet);
    if (connectionState === "connected" || this.isOver) {
      clearTimeout(this.ending);
      this.ending = undefined;
      return;
    }
    if (connectionState === "closed") return this.lost();
    this.ending ??= setTimeout(() => this.lost(), QUIET + GONE);
    // ICE that has begun anew is not thrown away for being slow: it has the time that the first had, unless it has failed.
    const left = connectionState === "failed" ? 0 : this.anew + WITHIN - performance.now();
    this.quiet = setTimeout(() => void this.restart(), Math.max(QUIET, left));
  }

  /** ICE begins anew (RFC 9725 section 4.3.2): over another network, with the same call. */
  private async restart(): Promise<void> {
    if (this.restarting || this.isOver || !this.place) return;
    this.restarting = true;
    const { peer } = this;
    try {
      const offer = await peer.createOffer({ iceRestart: true });
      // Candidates of the new session wait for its name.
      this.tag = null;
      const headers = { "content-type": CHANGE, "if-match": "*" };
      const body = fragment([], credentials(offer.sdp ?? ""));
      const answer = await this.server.ask(this.place, { method: "PATCH", headers, body });
      const before = peer.remoteDescription?.sdp ?? "";
      this.anew = performance.now();
      await peer.setLocalDescription(offer);
      await peer.setRemoteDescription({ type: "answer", sdp: withCredentials(before, await answer.text()) });
      this.trickle(answer.headers.get("etag"));
    } catch (error) {
      // No network: it says so when there is one. No such call: it is over.
      if (error instanceof Problem && error.status === 404) this.lost();
    } finally {
      this.restarting = false;
    }
  }
}

/** What a refusal means: there is no room, there is no WebRTC, or there is nothing to be done, which a WebSocket would not change. */
export function refused(error: unknown): unknown {
  if (!(error instanceof Problem)) return error;
  switch (error.code) {
    case "lines_taken":
      return new Ended("full", error.detail, error.code);
    case "webrtc_off":
      return new NoWebRtc("off");
    // It takes no such offer, or has no port left for one.
    case "webrtc_refused":
    case "webrtc_full":
      return new NoWebRtc("refused");
    default:
      return error;
  }
}

/** The call's resource: on the server that was asked, and no other learns the key. */
export function resource(location: string | null, asked: URL): URL {
  try {
    const place = new URL(location ?? "", asked);
    if (location && place.origin === asked.origin) return place;
  } catch {
    /* It is no address: as good as none. */
  }
  const found = location ? `is ${location}` : "is missing";
  throw new Ended("refused", `the answer's Location ${found}; it names the call's resource on ${asked.origin} (RFC 9725 section 4.2)`);
}

/** What tells of another network, where the browser has it (Network Information API). */
const network = (): EventTarget | undefined => (navigator as Navigator & { connection?: EventTarget }).connection;
