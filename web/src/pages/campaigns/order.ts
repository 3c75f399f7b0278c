// What a campaign is asked for with: as the form has it, and as the API takes it.
import type { Schema } from "../../client/http";

export const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
/** What may come of a call after which somebody can be called again. */
export const RETRIED = ["busy", "no_answer", "machine", "refused", "failed", "interrupted"] as const;

export type Day = (typeof DAYS)[number];
export interface Hours {
  first: Day;
  last: Day;
  from: string;
  to: string;
}
/** How often, and after how many minutes. */
export interface Again {
  times: string;
  minutes: string;
}

/** Every field as it was typed: what is empty is left out of the order. */
export interface Draft {
  name: string;
  plan: string;
  trunk: string;
  caller_id: string;
  privacy: boolean;
  paused: boolean;
  at_once: string;
  leave: string;
  ring_timeout_s: string;
  zone: string;
  holidays: string;
  hours: Hours[];
  retries: Record<(typeof RETRIED)[number], Again>;
}

export const WORKDAY: Hours = { first: "mon", last: "fri", from: "08:00", to: "17:00" };
const never: Again = { times: "", minutes: "60" };

export const blank = (): Draft => ({
  name: "",
  plan: "",
  trunk: "",
  caller_id: "",
  privacy: false,
  paused: false,
  at_once: "1",
  leave: "",
  ring_timeout_s: "30",
  zone: "Indian/Antananarivo",
  holidays: "",
  hours: [WORKDAY],
  retries: { busy: never, no_answer: never, machine: never, refused: never, failed: never, interrupted: never },
});

/** The order without its list, which goes beside it. */
type Order = Omit<Schema["CampaignOrder"], "list" | "retries"> & { retries: Partial<Schema["CampaignRetries"]> };

export function order(draft: Draft): Order {
  const holidays = draft.holidays.split(/[\s,;]+/).filter(Boolean);
  const retries = Object.fromEntries(
    RETRIED.flatMap((outcome) => {
      const { times, minutes } = draft.retries[outcome];
      return Number(times) ? [[outcome, { times: Number(times), after_s: Math.round(Number(minutes) * 60) }]] : [];
    }),
  );
  return {
    name: draft.name.trim(),
    ...(draft.plan && { plan: draft.plan }),
    ...(draft.trunk && { trunk: draft.trunk }),
    ...(draft.caller_id.trim() && { caller_id: draft.caller_id.trim() }),
    ...(draft.privacy && { privacy: true }),
    ...(draft.paused && { paused: true }),
    at_once: Number(draft.at_once),
    ...(draft.leave && { leave: Number(draft.leave) }),
    ring_timeout_s: Number(draft.ring_timeout_s),
    open: {
      ...(draft.zone.trim() && { zone: draft.zone.trim() }),
      ...(holidays.length && { holidays }),
      hours: draft.hours.map(({ first, last, from, to }) => ({
        days: [first === last ? first : `${first}-${last}`],
        from,
        to,
      })),
    },
    retries,
  };
}

/** A name for one order, so that sending it twice begins one campaign. */
export function newKey(): string {
  // Pages by http have no `randomUUID`.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
