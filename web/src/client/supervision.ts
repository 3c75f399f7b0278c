// A call that somebody supervises by ear: listened to (`GET /api/v1/calls/{id}/audio`), or taken over (`GET /api/v1/calls/{id}/takeover`).
import { Ended } from "./line";
import { capture, microphone, silence } from "./microphone";
import { Playback } from "./playback";
import type { Server } from "./server";

export type Way = "audio" | "takeover";

/** What the server tells. */
type Message =
  | { type: "listening" | "taken_over" | "given_back" }
  /** Sound was left out, since it was not read in time. */
  | { type: "missed"; ms: number }
  /** What the caller says; `partial`: so far. */
  | { type: "transcript"; text: string; partial: boolean }
  /** What Milo said. */
  | { type: "reply_text"; text: string }
  | { type: "error"; error: string };

/** What was understood of the caller, or said by Milo. */
export interface Words {
  by: "caller" | "milo";
  text: string;
  /** They may go on. */
  partial: boolean;
}

/** Who is told what becomes of it. */
export interface Follower {
  /** The caller is heard, and where the call is taken over they hear what is said. */
  begun: () => void;
  /** So many milliseconds of sound are missing. */
  missed: (ms: number) => void;
  /** This was just said; told to whoever listens. */
  said: (words: Words) => void;
  /** It is over; `null`: as it should be. Told once. */
  ended: (why: Ended | null) => void;
}

export interface Supervision {
  /** Leaves: a call that was taken over is the agent's again. */
  stop: () => void;
}

/** The WebSocket close code of a server that cannot do it now (IANA registry: Try Again Later). */
const TRY_AGAIN_LATER = 1013;
/** Seconds of sound that wait to be heard: after a stall of the network more is not worth hearing late. */
const MOST_BEHIND = 1;
/** Sound that waits to be sent, in bytes: beyond three seconds the connection is too slow, and what is said now is dropped. */
const MOST_WAITING = 96_000;

/** Begins to. To be called where a button was pressed, so that the browser lets it sound. `worklet` is where capture.worklet.js lies. */
export async function supervise(
  server: Server,
  call: string,
  way: Way,
  worklet: string,
  follower: Follower,
  signal: AbortSignal,
): Promise<Supervision> {
  const context = new AudioContext();
  let stream: MediaStream | null = null;
  let socket: WebSocket | null = null;
  let mute: () => void = () => undefined;
  const leave = () => {
    mute();
    if (stream) silence(stream);
    void context.close().catch(() => undefined);
  };
  try {
    // Where sound goes both ways there must be a microphone before the agent is told to be silent.
    if (way === "takeover") stream = await microphone();
    await context.resume();
    if (stream)
      mute = await capture(context.createMediaStreamSource(stream), worklet, (piece) => {
        if (socket?.readyState === WebSocket.OPEN && socket.bufferedAmount <= MOST_WAITING) socket.send(piece);
      });
    signal.throwIfAborted();
    socket = await connect(await server.socket(`/api/v1/calls/${call}/${way}`, "supervision"), signal);
    // Nothing is waited for between this and the first message.
    const open = socket;
    const playback = new Playback(context, undefined, way === "audio" ? 2 : 1);
    open.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data !== "string") {
        if (playback.ahead > MOST_BEHIND) playback.clear();
        return playback.play(data);
      }
      const message = JSON.parse(data) as Message;
      if (message.type === "listening" || message.type === "taken_over") follower.begun();
      if (message.type === "missed") follower.missed(message.ms);
      if (message.type === "transcript")
        follower.said({ by: "caller", text: message.text, partial: message.partial });
      if (message.type === "reply_text") follower.said({ by: "milo", text: message.text, partial: false });
    };
    open.onclose = ({ code, reason }) => {
      leave();
      follower.ended(code === 1000 ? null : new Ended(code === TRY_AGAIN_LATER ? "refused" : "lost", reason));
    };
    return {
      stop: () => {
        open.onmessage = open.onclose = null;
        if (way === "takeover" && open.readyState === WebSocket.OPEN) open.send(JSON.stringify({ type: "give_back" }));
        leave();
        open.close();
        follower.ended(null);
      },
    };
  } catch (error) {
    leave();
    socket?.close();
    throw error;
  }
}

/** A refusal before the socket is open is not told to a page: the call may be over, or nobody may take it. */
function connect(url: URL, signal: AbortSignal): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    // The page may have been left while the ticket was fetched: that is told by no event any more.
    signal.throwIfAborted();
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    const leave = () => {
      socket.onclose = null;
      socket.close();
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", leave);
    socket.onopen = () => {
      signal.removeEventListener("abort", leave);
      resolve(socket);
    };
    socket.onclose = ({ reason }) => reject(new Ended("refused", reason));
  });
}
