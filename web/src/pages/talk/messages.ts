// What was said in this tab's conversation.
import type { Answer } from "../../client/chat";

export interface Said {
  id: number;
  by: "you" | "milo";
  text: string;
  /** Still growing. */
  grows?: boolean;
  language?: string;
  /** Of a spoken reply that was interrupted: what was heard of it. */
  heard?: string;
  mode?: "local" | "cloud";
  /** How long it took, in milliseconds. */
  took?: number;
  cut?: boolean;
  ends?: boolean;
  /** The call in which it was said; else it was written. */
  call?: string;
  /** Its sound, as it was heard. */
  sound?: Blob;
  /** Which turn of the call or of the session it is, counted from 1. */
  turn?: number;
}

export type Change =
  | { is: "restored"; exchanges: { message: string; reply?: string | null }[]; language: string }
  | { is: "asked"; text: string }
  | { is: "grew"; text: string }
  | { is: "answered"; answer: Answer }
  | { is: "failed" }
  | { is: "heard"; text: string; partial: boolean; language?: string }
  | { is: "clause"; text: string; call: string }
  | { is: "replied"; text: string; heard?: string; interrupted?: boolean; took?: number; call: string }
  | { is: "mode"; mode: "local" | "cloud" }
  | { is: "sound"; sound: Blob; call: string; turn: number }
  | { is: "emptied" };

/** Replies whose sound is kept. */
const KEPT = 20;

export function changed(before: Said[], change: Change): Said[] {
  const last = before.at(-1);
  const id = (last?.id ?? 0) + 1;
  switch (change.is) {
    case "restored":
      return change.exchanges.flatMap(({ message, reply }, index) => [
        { id: index * 2 + 1, by: "you" as const, text: message },
        ...(reply ? [{ id: index * 2 + 2, by: "milo" as const, text: reply, language: change.language, turn: index + 1 }] : []),
      ]);
    case "asked": {
      const turn = before.filter((said) => said.by === "you").length + 1;
      return [...before, { id, by: "you", text: change.text }, { id: id + 1, by: "milo", text: "", grows: true, turn }];
    }
    case "grew":
      return before.map((said) => (said.grows ? { ...said, text: change.text } : said));
    case "answered": {
      const { reply: text, language, mode, processing_ms: took, cut, ends } = change.answer;
      return before.map((said) => (said.grows ? { ...said, text, language, mode, took, cut, ends, grows: false } : said));
    }
    case "failed":
      return before.filter((said) => !said.grows || said.text).map((said) => ({ ...said, grows: false }));
    case "heard":
      return grown(before, { by: "you", text: change.text, grows: change.partial, language: change.language });
    case "clause": {
      const begun = last?.by === "milo" && last.grows ? `${last.text} ` : "";
      return grown(before, { ...turnOf(before, change.call), by: "milo", text: begun + change.text.trim(), grows: true });
    }
    case "replied": {
      const heard = change.interrupted ? change.heard : undefined;
      return grown(before, {
        ...turnOf(before, change.call),
        by: "milo",
        text: change.text,
        heard,
        took: change.took,
        grows: false,
      });
    }
    case "mode":
      return before.map((said) => (said === last && said.by === "milo" ? { ...said, mode: change.mode } : said));
    case "sound": {
      const heard = before.map((said) =>
        said.by === "milo" && said.call === change.call && said.turn === change.turn ? { ...said, sound: change.sound } : said,
      );
      const oldest = heard.filter((said) => said.sound).slice(0, -KEPT);
      return oldest.length ? heard.map((said) => (oldest.includes(said) ? { ...said, sound: undefined } : said)) : heard;
    }
    case "emptied":
      return [];
  }
}

/** The next reply's place in its call. */
function turnOf(before: Said[], call: string): Pick<Said, "call" | "turn"> {
  return { call, turn: before.filter((said) => said.by === "milo" && said.call === call && !said.grows).length + 1 };
}

/** The last words of one side are replaced while they grow; behind the other side's, new ones begin. */
function grown(before: Said[], now: Omit<Said, "id">): Said[] {
  const last = before.at(-1);
  return last?.by === now.by && last.grows
    ? [...before.slice(0, -1), { ...now, id: last.id }]
    : [...before, { ...now, id: (last?.id ?? 0) + 1 }];
}
