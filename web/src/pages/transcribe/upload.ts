import { currentKey } from "../../access";
import { Problem, type Schema } from "../../client/http";
import { events } from "../../client/events";

export type Transcript = Schema["Transcript"];

export type Progress = { is: "uploading" | "hearing"; share: number };

/** Sends a recording. `fetch` does not say how far an upload has come, so this is XMLHttpRequest; the events come in its growing text. */
export function transcribe(
  file: Blob,
  name: string,
  language: "" | "mg" | "fr",
  progress: (now: Progress) => void,
  signal: AbortSignal,
): Promise<Transcript> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/v1/stt");
    request.setRequestHeader("accept", "text/event-stream");
    if (currentKey()) request.setRequestHeader("authorization", `Bearer ${currentKey()}`);
    request.upload.onprogress = (event) => progress({ is: "uploading", share: event.total ? event.loaded / event.total : 0 });
    request.upload.onload = () => progress({ is: "hearing", share: 0 });
    let seen = 0;
    const said: { writer?: WritableStreamDefaultWriter<Uint8Array> } = {};
    const encoder = new TextEncoder();
    const hear = () => {
      if (request.status !== 200) return;
      if (!said.writer) {
        const pipe = new TransformStream<Uint8Array, Uint8Array>(undefined, { highWaterMark: 1 << 20 });
        said.writer = pipe.writable.getWriter();
        attend(pipe.readable, progress).then(resolve, reject);
      }
      void said.writer.write(encoder.encode(request.responseText.slice(seen))).catch(() => undefined);
      seen = request.responseText.length;
    };
    request.onprogress = hear;
    request.onload = () => {
      if (request.status === 200) {
        hear();
        void said.writer?.close().catch(() => undefined);
        return;
      }
      reject(problem(request));
    };
    request.onerror = () => reject(new Problem(0, ""));
    request.onabort = () => reject(new DOMException("aborted", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    const form = new FormData();
    if (language) form.append("language", language);
    form.append("file", file, name);
    request.send(form);
  });
}

async function attend(body: ReadableStream<Uint8Array>, progress: (now: Progress) => void): Promise<Transcript> {
  for await (const { event, data } of events(body)) {
    const told = JSON.parse(data) as Record<string, unknown>;
    if (event === "progress") progress({ is: "hearing", share: Number(told.done_ms) / Math.max(1, Number(told.duration_ms)) });
    if (event === "error") throw new Problem(Number(told.status) || 503, String(told.detail ?? ""), null, String(told.code ?? ""));
    if (event === "done") return told as unknown as Transcript;
  }
  throw new Problem(0, "");
}

function problem(request: XMLHttpRequest): Problem {
  let said: { detail?: unknown; code?: unknown } = {};
  try {
    said = JSON.parse(request.responseText) as typeof said;
  } catch {
    /* no problem body: the status says enough */
  }
  const detail = String(said.detail ?? request.statusText);
  return new Problem(request.status, detail, Number(request.getResponseHeader("retry-after")) || null, String(said.code ?? ""));
}
