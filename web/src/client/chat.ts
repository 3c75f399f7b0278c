import { ask, Problem, type Schema } from "./http";
import { events } from "./events";

export type Answer = Schema["ChatAnswer"];

/** Sends a message; `grew` hears the reply as it grows. Resolves with the whole answer. */
export async function chat(order: Schema["Chat"], grew: (reply: string) => void, signal?: AbortSignal): Promise<Answer> {
  const answer = await ask("/api/v1/chat", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...order, stream: true }),
    signal,
  });
  if (!answer.body) throw new Problem(0, "");
  let reply = "";
  for await (const { event, data } of events(answer.body)) {
    const told = JSON.parse(data) as Record<string, unknown>;
    if (event === "token") grew((reply += String(told.text ?? "")));
    if (event === "error") throw new Problem(Number(told.status) || 503, String(told.detail ?? ""));
    if (event === "done") return told as unknown as Answer;
  }
  throw new Problem(0, "");
}
