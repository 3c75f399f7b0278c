// The key of this tab. It goes with the tab, and never into the address, a cookie or localStorage.
import { useSyncExternalStore } from "react";
import { useKey as sendKey } from "./client/http";
import { recall, remember } from "./remembered";

let key = recall("tab", "key");
sendKey(key);
const listeners = new Set<() => void>();

export function setKey(next: string): void {
  key = next.trim();
  remember("tab", "key", key);
  sendKey(key);
  for (const listener of listeners) listener();
}

export const currentKey = (): string => key;

export const useKey = (): string =>
  useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, currentKey);
