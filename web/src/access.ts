// The key of this tab. It goes with the tab, and never into the address, a cookie or localStorage.
import { useSyncExternalStore } from "react";
import { ask, Problem, useKey as sendKey } from "./client/http";
import { recall, remember } from "./remembered";

let key = recall("tab", "key");
sendKey(key);
const listeners = new Set<() => void>();

/** What became of the link that this page was opened by. */
export type Linked = "none" | "signed_in" | Problem;
let linked: Linked = "none";

export const setKey = (next: string): void => sign(next, "none");

/** With another key, or none, what became of the link is over. */
function sign(next: string, by: Linked): void {
  key = next.trim();
  linked = by;
  remember("tab", "key", key);
  sendKey(key);
  for (const listener of listeners) listener();
}

/** A key that came of the terminal's link: it ends with being signed in. */
export const isLinked = (of: string): boolean => of.startsWith("session_");

export function signOut(): void {
  if (isLinked(key)) void ask("/api/v1/sign-in", { method: "DELETE" }).catch(() => undefined);
  setKey("");
}

/** Milo prints a link in the terminal that it starts in: what stands behind its `#` is exchanged for a key, once. */
export async function signInByLink(): Promise<void> {
  const link = /^#sign-in=([\w-]+)$/.exec(location.hash)?.[1];
  if (!link) return;
  // Nobody finds it in the history, or sends it on with the address.
  history.replaceState(null, "", location.pathname + location.search);
  const order = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ link }) };
  try {
    const answer = (await (await ask("/api/v1/sign-in", order)).json()) as { key: string };
    sign(answer.key, "signed_in");
  } catch (error) {
    sign(key, error instanceof Problem ? error : new Problem(0, ""));
  }
}

export const currentKey = (): string => key;
export const linkedBy = (): Linked => linked;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useKey = (): string => useSyncExternalStore(subscribe, currentKey);
export const useLinked = (): Linked => useSyncExternalStore(subscribe, linkedBy);
