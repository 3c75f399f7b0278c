// A conversation by WebRTC: WHIP (RFC 9725), sound as RTP, all else over a data channel.
//
//   offer ─► POST ─► answer, Link (servers) ─► candidates, by PATCH ─► connected ─► told
//                                              the network has changed ─► PATCH: ICE begins anew
import { Ended, parsed, query, type Ear, type Line, type Wanted } from "./line";
import { Problem, type Server } from "./server";
import { credentials, fragment, iceServers, withCredentials } from "./whip";

/** Why WebRTC cannot be: the browser has none, the server has it switched off, or nothing gets through. */
export class NoWebRtc extends Error {
  constructor(readonly why: "unsupported" | "off" | "blocked") {
    super(why);
  }
}

/** Candidates that lead to each other have found that out by then, in milliseconds. */
const WITHIN = 6000;
/** So long a connection may be without a sign of the other side before ICE begins anew, and so long again before it is given up. */
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
  private isOver = false;
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
      answer = await this.server.ask(url, { method: "POST", headers, body: offer.sdp ?? "" });
    } catch (error) {
      throw refused(error);
    }
    this.place = new URL(answer.headers.get("location") ?? "", url);
    const tag = answer.headers.get("etag");
    const servers = iceServers(answer.headers.get("link") ?? "");
    if (servers.length) this.peer.setConfiguration({ ...this.peer.getConfiguration(), iceServers: servers });
    await this.peer.setLocalDescription(offer);
    await this.peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    this.trickle(tag);
    await this.connected();
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

  private connected(): Promise<void> {
    const { peer, channel } = this;
    return new Promise((resolve, reject) => {
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
    clearTimeout(this.ending);
    if (connectionState === "connected" || this.isOver) return;
    if (connectionState === "closed") return this.lost();
    this.ending = setTimeout(() => {
      void this.restart();
      this.ending = setTimeout(() => this.lost(), GONE);
    }, QUIET);
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

/** What a refusal means: there is no room, there is no WebRTC, or there is nothing to be done. */
function refused(error: unknown): unknown {
  if (!(error instanceof Problem)) return error;
  if (error.code === "lines_taken") return new Ended("full", error.detail, error.code);
  if (error.status === 404 || error.status === 405) return new NoWebRtc("off");
  // It takes no such offer, or has no port left for one.
  return error.status === 422 || error.status === 503 ? new NoWebRtc("blocked") : error;
}

/** What tells of another network, where the browser has it (Network Information API). */
const network = (): EventTarget | undefined => (navigator as Navigator & { connection?: EventTarget }).connection;
