// A conversation over a WebSocket: `GET /api/v1/conversation?stream=1`. Sound goes and comes as binary messages, 16-bit little-endian mono at
// 16 kHz; all else as JSON.
import { Ended, parsed, query, type Ear, type Line, type Wanted } from "./line";
import { capture } from "./microphone";
import { Playback } from "./playback";
import type { Server } from "./server";

/** The WebSocket close code for a server that cannot take more (RFC 6455, IANA registry: Try Again Later). */
const TRY_AGAIN_LATER = 1013;
/** Sound that waits to be sent, in bytes: beyond three seconds the connection is too slow, and what is said now is dropped. */
const MOST_WAITING = 96_000;

export async function byWebSocket(
  server: Server,
  context: AudioContext,
  microphone: MediaStreamAudioSourceNode,
  worklet: string,
  ear: Ear,
  wanted: Wanted,
): Promise<Line> {
  // What is said while the connection is made is not lost.
  let pieces: ArrayBuffer[] | null = [];
  let socket: WebSocket | null = null;
  const send = (piece: ArrayBuffer) => {
    if (socket?.readyState === WebSocket.OPEN && socket.bufferedAmount <= MOST_WAITING) socket.send(piece);
  };
  const end = await capture(microphone, worklet, (piece) => (pieces ? pieces.push(piece) : send(piece)));
  try {
    const url = query(await server.socket("/api/v1/conversation", "conversation"), wanted);
    wanted.signal?.throwIfAborted();
    url.searchParams.set("stream", "1");
    socket = await connect(url, server, wanted.signal);
  } catch (error) {
    end();
    throw error;
  }
  const open = socket;
  const playback = new Playback(context, ear.speaking);
  for (const piece of pieces) send(piece);
  pieces = null;
  open.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (typeof data !== "string") return playback.play(data);
    const message = parsed(data);
    if (!message) return;
    if (message.type === "clear") playback.clear();
    ear.told(message);
  };
  const close = () => {
    open.onmessage = open.onclose = null;
    end();
    playback.clear();
    open.close();
  };
  open.onclose = ({ code, reason }) => {
    close();
    ear.gone(code === 1000 ? null : new Ended(code === TRY_AGAIN_LATER ? "full" : "lost", reason));
  };
  const tell = (message: object) => {
    if (open.readyState === WebSocket.OPEN) open.send(JSON.stringify(message));
  };
  return {
    output: playback.output,
    tell,
    close: () => {
      tell({ type: "hangup" });
      close();
    },
  };
}

function connect(url: URL, server: Server, signal: AbortSignal | undefined): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    const leave = () => {
      socket.onclose = null;
      socket.close();
      reject(signal?.reason as Error);
    };
    signal?.addEventListener("abort", leave);
    socket.onopen = () => {
      signal?.removeEventListener("abort", leave);
      resolve(socket);
    };
    // A refusal before the socket is open is not told to a page: whether there was no room is asked for.
    socket.onclose = async (event) =>
      reject(new Ended(event.code === TRY_AGAIN_LATER || (await isFull(server)) ? "full" : "lost", event.reason));
  });
}

async function isFull(server: Server): Promise<boolean> {
  try {
    const health = (await (await server.ask("/api/v1/health")).json()) as { live_calls: number; call_limit: number };
    return health.live_calls >= health.call_limit;
  } catch {
    return false;
  }
}
