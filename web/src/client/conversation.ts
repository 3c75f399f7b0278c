// A spoken conversation over a WebSocket: `GET /api/v1/conversation?stream=1`. Sound goes and comes as binary messages, 16-bit little-endian
// mono at 16 kHz; all else as JSON. In any page:
//
//   const conversation = await Conversation.open({ told: (message) => console.log(message) });
//   …
//   conversation.stop();
import { ask, type Schema } from "./http";
import { listen, type Microphone } from "./microphone";
import { Playback } from "./playback";

/** What the server tells. Sound comes besides, and is played. */
export type Told =
  | { type: "session"; session_id: string; call_id: string }
  /** The caller has begun or ended to speak. */
  | { type: "vad"; speaking: boolean }
  /** What was understood; `partial` may still change. */
  | { type: "transcript"; text: string; partial: boolean; language: string }
  /** With `partial`, the next clause that is about to be heard; without, the whole reply, and how much of it was heard. */
  | { type: "reply_text"; text: string; partial?: boolean; heard?: string; interrupted?: boolean; total_ms?: number | null }
  | { type: "mode"; value: "local" | "cloud" }
  /** Sound that has not been played shall not be: the caller has interrupted. */
  | { type: "clear" }
  | { type: "dtmf"; digit: string }
  | { type: "error"; error: string };

/** Why a conversation did not begin, or ended without being told to. */
export class Ended extends Error {
  constructor(
    readonly why: "full" | "lost" | "refused",
    readonly detail: string,
  ) {
    super(detail);
  }
}

export interface Options {
  told: (message: Told) => void;
  /** Whether Milo is being heard now. */
  speaking?: (is: boolean) => void;
  ended?: (why: Ended | null) => void;
  /** The session to go on with: what was said in it is remembered. */
  session?: string;
}

/** The WebSocket close code for a server that cannot take more (RFC 6455, IANA registry: Try Again Later). */
const TRY_AGAIN_LATER = 1013;
/** Sound that waits to be sent, in bytes: beyond three seconds the connection is too slow, and what is said now is dropped. */
const MOST_WAITING = 96_000;

export class Conversation {
  private isOver = false;
  /** Whether what the microphone hears is sent; silence is sent instead. */
  muted = false;

  private constructor(
    private readonly socket: WebSocket,
    private readonly options: Options,
    readonly context: AudioContext,
    private readonly playback: Playback,
    private microphone: Microphone | null,
  ) {}

  static async open(options: Options): Promise<Conversation> {
    const context = new AudioContext();
    const playback = new Playback(context, options.speaking);
    let conversation: Conversation | null = null;
    const pieces: ArrayBuffer[] = [];
    try {
      // A press of a button began this, so the browser lets it sound.
      await context.resume();
      const microphone = await listen(context, (piece) => (conversation ? conversation.send(piece) : pieces.push(piece)));
      try {
        const socket = await connect(await address(options.session));
        conversation = new Conversation(socket, options, context, playback, microphone);
        conversation.attend();
        return conversation;
      } catch (error) {
        microphone.close();
        throw error;
      }
    } catch (error) {
      await context.close().catch(() => undefined);
      throw error;
    }
  }

  /** What is heard and what is said, to be looked at. */
  get sources(): { heard: AudioNode | null; said: AudioNode } {
    return { heard: this.microphone?.source ?? null, said: this.playback.output };
  }

  /** Presses a key of the telephone. */
  digit(digit: string): void {
    this.tell({ type: "dtmf", digit });
  }

  stop(): void {
    this.tell({ type: "hangup" });
    this.over(null);
  }

  private tell(message: unknown): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private send(piece: ArrayBuffer): void {
    if (this.socket.readyState !== WebSocket.OPEN || this.socket.bufferedAmount > MOST_WAITING) return;
    this.socket.send(this.muted ? new ArrayBuffer(piece.byteLength) : piece);
  }

  private attend(): void {
    this.socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data !== "string") return this.playback.play(data);
      const message = parsed(data);
      if (!message) return;
      if (message.type === "clear") this.playback.clear();
      this.options.told(message);
    };
    this.socket.onclose = (event) =>
      this.over(event.code === 1000 ? null : new Ended(event.code === TRY_AGAIN_LATER ? "full" : "lost", event.reason));
  }

  private over(why: Ended | null): void {
    if (this.isOver) return;
    this.isOver = true;
    this.playback.clear();
    this.microphone?.close();
    this.microphone = null;
    this.socket.close();
    void this.context.close().catch(() => undefined);
    this.options.ended?.(why);
  }
}

function parsed(text: string): Told | null {
  try {
    const message: unknown = JSON.parse(text);
    return message && typeof message === "object" && "type" in message ? (message as Told) : null;
  } catch {
    return null;
  }
}

/** Where to connect. A browser's WebSocket sends no key: a ticket that holds for one connection stands in the address. */
async function address(session?: string): Promise<string> {
  const answer = (await (await ask("/api/v1/tickets", { method: "POST" })).json()) as { ticket: string };
  const url = new URL("/api/v1/conversation", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("stream", "1");
  url.searchParams.set("ticket", answer.ticket);
  if (session) url.searchParams.set("session_id", session);
  return url.href;
}

function connect(url: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => resolve(socket);
    // A refusal before the socket is open is not told to a page: whether there was no room is asked for.
    socket.onclose = async (event) =>
      reject(new Ended(event.code === TRY_AGAIN_LATER || (await isFull()) ? "full" : "lost", event.reason));
  });
}

async function isFull(): Promise<boolean> {
  try {
    const health = (await (await ask("/api/v1/health")).json()) as Schema["Health"];
    return health.live_calls >= health.call_limit;
  } catch {
    return false;
  }
}
