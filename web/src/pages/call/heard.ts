import type { Schema } from "../../client/http";

/** What of a reply was heard, and what was cut off behind it. */
export function heardOf({
  said,
  said_heard: heard,
  interrupted,
}: Pick<Schema["Turn"], "said" | "said_heard" | "interrupted">): [string, string] {
  const whole = said ?? "";
  if (!interrupted || heard == null) return [heard ?? whole, ""];
  const reached = heard.replace(/—$/, "").trimEnd();
  return whole.startsWith(reached) ? [reached, whole.slice(reached.length)] : [heard, ""];
}
