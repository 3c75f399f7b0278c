import { events } from "./events";
import type { components } from "./schema";
import { Problem, type Server } from "./server";

export type Order = components["schemas"]["Chat"];
export type Answer = components["schemas"]["ChatAnswer"];

/** Sends a message; `grew` hears the reply as it grows. Resolves with the whole answer. */
export async function chat(server: Server, order: Order, grew: (reply: string) => void, signal?: AbortSignal): Promise<Answer> {
  const answer = await server.ask(await server.address("/api/v1/chat", "chat"), {
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
    if (event === "error") throw new Problem(Number(told.status) || 503, String(told.detail ?? ""), null, String(told.code ?? ""));
    if (event === "done") return told as unknown as Answer;
  }
  throw new Problem(0, "");
}
