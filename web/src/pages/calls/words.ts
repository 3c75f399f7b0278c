// How calls are spoken of.
import type { Schema } from "../../client/http";
import { useTexts } from "../../language";
import type { Texts } from "../../texts/en";

/** What came of a call, and whether that is good. Calls that came in and were answered have no outcome of their own. */
export function useOutcome() {
  const t = useTexts();
  return (call: Schema["Call"]): [string, "good" | "bad" | "warm" | ""] => {
    if (!call.ended) return [call.answered ? t.calls.on_line : t.calls.not_answered, "good"];
    switch (call.outcome) {
      case "busy":
        return [t.calls.busy, "warm"];
      case "no answer":
        return [t.calls.no_answer, "warm"];
      case "missed":
        return [t.calls.missed, "warm"];
      case "refused":
        return [t.calls.refused, "bad"];
      case "failed":
        return [t.calls.failed, "bad"];
      case "cancelled":
        return [t.calls.cancelled, "warm"];
      default:
        return call.answered ? [t.calls.answered, ""] : [t.calls.not_answered, "warm"];
    }
  };
}

/** Who called: pages have no number. */
export const caller = (t: Texts, from: string): string =>
  from === "webrtc" || from === "websocket" ? t.calls.browser : from || t.common.unknown;

/** The address of the assistant, as it is reached from where the page is read. */
export function dialled(health: Schema["Health"] | undefined): string | null {
  const dial = health?.dial.find((known) => known.number === "milo") ?? health?.dial[0];
  // 0.0.0.0 is everywhere: here it has a name.
  return dial ? dial.uri.replace(/@(0\.0\.0\.0|\[::\])/, `@${location.hostname}`) : null;
}
