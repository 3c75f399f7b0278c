// What carries a conversation: WebRTC (webrtc.ts) or a WebSocket (websocket.ts).

/** What the server tells. Sound comes besides, and is played. */
export type Told =
  | { type: "session"; session_id: string; call_id: string }
  /** The caller has begun or ended to speak. */
  | { type: "vad"; speaking: boolean }
  /** What Milo does. */
  | { type: "state"; value: "listening" | "thinking" | "speaking" }
  /** What was understood; `partial` may still change. */
  | { type: "transcript"; text: string; partial: boolean; language: string }
  /** With `partial`, the next clause that is about to be heard; without, the whole reply, and how much of it was heard. */
  | { type: "reply_text"; text: string; partial?: boolean; heard?: string; interrupted?: boolean; total_ms?: number | null }
  | { type: "mode"; value: "local" | "cloud" }
  /** Sound that has not been played shall not be: the caller has interrupted. */
  | { type: "clear" }
  | { type: "dtmf"; digit: string }
  | { type: "error"; error: string; code?: string }
  /** The call is over. */
  | { type: "ended"; reason: string };

/** Why a conversation did not begin, or ended without being told to. */
export class Ended extends Error {
  constructor(
    readonly why: "full" | "lost" | "refused",
    readonly detail: string,
    readonly code = "",
  ) {
    super(detail);
  }
}

/** What is done with what comes. */
export interface Ear {
  told: (message: Told) => void;
  /** Whether Milo is being heard now. */
  speaking: (is: boolean) => void;
  /** It is over; `null`: as it should be. Told once. */
  gone: (why: Ended | null) => void;
}

/** What is called, and as a continuation of what. */
export interface Wanted {
  /** The session to go on with: what was said in it is remembered. */
  session?: string;
  /** Another number than Milo's. */
  number?: string;
  /** Aborted while it begins, it does not: the microphone is let go of. */
  signal?: AbortSignal;
}

export interface Line {
  /** What Milo says, to be looked at. */
  readonly output: AudioNode;
  tell: (message: object) => void;
  /** Hangs up, and lets go of everything but the microphone. */
  close: () => void;
}

export function parsed(text: string): Told | null {
  try {
    const message: unknown = JSON.parse(text);
    return message && typeof message === "object" && "type" in message ? (message as Told) : null;
  } catch {
    return null;
  }
}

export function query(url: URL, { session, number }: Wanted): URL {
  if (session) url.searchParams.set("session_id", session);
  if (number) url.searchParams.set("number", number);
  return url;
}
