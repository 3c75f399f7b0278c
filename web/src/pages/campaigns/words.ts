// How campaigns and their numbers are spoken of.
import type { Schema } from "../../client/http";
import { useTexts } from "../../language";

export const STATES = ["waiting", "calling", "done", "skipped", "cancelled"] as const;
export const OUTCOMES = ["answered", "machine", "busy", "no_answer", "refused", "failed", "cancelled", "interrupted"] as const;

export type Kind = "good" | "bad" | "warm" | "";

/** What is known by a word of the API, in the reader's language, and whether that is good; words of a newer Milo stay as they are. */
export type Said = (word: string) => [string, Kind];

const said =
  (words: Record<string, [string, Kind]>): Said =>
  (word) =>
    words[word] ?? [word, ""];

/** The state of a campaign. */
export function useCampaignState(): Said {
  const t = useTexts();
  return said({
    running: [t.campaigns.running, "good"],
    paused: [t.campaigns.paused, "warm"],
    finished: [t.campaigns.finished, ""],
    cancelled: [t.campaigns.stopped, "bad"],
  });
}

/** The state of one of its numbers. */
export function useNumberState(): Said {
  const t = useTexts();
  return said({
    waiting: [t.campaigns.waiting, ""],
    calling: [t.campaigns.calling, "good"],
    done: [t.campaigns.done, ""],
    skipped: [t.campaigns.skipped, "warm"],
    cancelled: [t.campaigns.left_out, "warm"],
  });
}

/** What came of a call of its. */
export function useCameOf(): Said {
  const t = useTexts();
  return said({
    answered: [t.calls.answered, "good"],
    machine: [t.campaigns.machine, "warm"],
    busy: [t.calls.busy, "warm"],
    no_answer: [t.calls.no_answer, "warm"],
    refused: [t.calls.refused, "bad"],
    failed: [t.calls.failed, "bad"],
    cancelled: [t.calls.cancelled, "warm"],
    interrupted: [t.campaigns.interrupted, "bad"],
  });
}

/** How many of its numbers need no call any more. */
export const over = ({ done, skipped, cancelled }: Schema["CampaignCounts"]): number => done + skipped + cancelled;

/** Whether it changes no more: it has ended, and its last call is over. */
export const isSettled = ({ ended, counts }: Schema["Campaign"]): boolean => !!ended && !counts?.calling;
