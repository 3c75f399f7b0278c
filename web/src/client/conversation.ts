// A spoken conversation: by WebRTC, and where that cannot be by a WebSocket.
import { Ended, type Ear, type Line, type Told, type Wanted } from "./line";
import { microphone, silence } from "./microphone";
import type { Server } from "./server";
import { byWebRtc, NoWebRtc } from "./webrtc";
import { byWebSocket } from "./websocket";

export type Way = "webrtc" | "websocket";

export interface Options extends Wanted {
  told?: (message: Told) => void;
  /** Whether Milo is being heard now. */
  speaking?: (is: boolean) => void;
  /** It is over: why, where it should not be. */
  ended?: (why: Ended | null) => void;
  /** Nothing is heard of the caller until `muted` is set to false. */
  muted?: boolean;
  /** The one way to go; without it, WebRTC is tried first. */
  way?: Way;
}

/** So long after nothing got through it is not tried again, in milliseconds. */
const AVOIDED = 300_000;
let blockedAt = -Infinity;

export class Conversation {
  private isOver = false;
  private isMuted = false;

  private constructor(
    private readonly options: Options,
    readonly context: AudioContext,
    private readonly microphone: MediaStream,
    private readonly source: MediaStreamAudioSourceNode,
    private line: Line,
    /** What carries it. */
    readonly way: Way,
    /** Why that is not WebRTC. */
    readonly instead: NoWebRtc["why"] | null,
  ) {}

  /** Asks for the microphone, calls, and plays what Milo says. To be called where a button was pressed, so that the browser lets it sound. */
  static async open(server: Server, worklet: string, options: Options): Promise<Conversation> {
    const { signal } = options;
    const context = new AudioContext();
    let stream: MediaStream | null = null;
    let line: Line | null = null;
    try {
      [stream] = await Promise.all([microphone(), context.resume()]);
      signal?.throwIfAborted();
      for (const track of stream.getTracks()) track.enabled = !options.muted;
      const source = context.createMediaStreamSource(stream);
      let conversation: Conversation | null = null;
      // What comes before the conversation is handed out waits until it is.
      let early: (() => void)[] | null = [];
      const then = (does: () => void) => (early ? early.push(does) : does());
      const ear: Ear = {
        told: (message) => then(() => options.told?.(message)),
        speaking: (is) => then(() => options.speaking?.(is)),
        gone: (why) => then(() => conversation?.over(why)),
      };
      let instead: NoWebRtc["why"] | null = null;
      if (options.way !== "websocket") {
        try {
          if (!options.way && performance.now() < blockedAt + AVOIDED) throw new NoWebRtc("blocked");
          line = await byWebRtc(server, context, stream, ear, options);
        } catch (error) {
          if (!(error instanceof NoWebRtc) || options.way) throw error;
          signal?.throwIfAborted();
          instead = error.why;
          // What got nowhere is not tried again soon; another offer may be answered.
          if (instead === "blocked" && blockedAt + AVOIDED <= performance.now()) blockedAt = performance.now();
          early = [];
        }
      }
      const way = line ? "webrtc" : "websocket";
      line ??= await byWebSocket(server, context, source, worklet, ear, options);
      signal?.throwIfAborted();
      conversation = new Conversation(options, context, stream, source, line, way, instead);
      conversation.muted = options.muted ?? false;
      const waited: (() => void)[] = early;
      early = null;
      // Whoever waits for the conversation has it first.
      setTimeout(() => waited.forEach((does) => does()));
      return conversation;
    } catch (error) {
      line?.close();
      if (stream) silence(stream);
      await context.close().catch(() => undefined);
      throw error;
    }
  }

  /** Whether silence is sent in place of what the microphone hears. */
  get muted(): boolean {
    return this.isMuted;
  }

  set muted(is: boolean) {
    this.isMuted = is;
    for (const track of this.microphone.getTracks()) track.enabled = !is;
  }

  /** What is heard and what is said, to be looked at. */
  get sources(): { heard: AudioNode; said: AudioNode } {
    return { heard: this.source, said: this.line.output };
  }

  /** Presses a key of the telephone. */
  digit(digit: string): void {
    this.line.tell({ type: "dtmf", digit });
  }

  /** Says this by writing it. */
  say(text: string): void {
    this.line.tell({ type: "say", text });
  }

  /** Hangs up. */
  stop(): void {
    this.line.close();
    this.over(null);
  }

  private over(why: Ended | null): void {
    if (this.isOver) return;
    this.isOver = true;
    silence(this.microphone);
    void this.context.close().catch(() => undefined);
    this.options.ended?.(why);
  }
}
