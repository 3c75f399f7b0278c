// What the log is searched by. It stands in the address, so that a search can be kept and passed on.
export const FIELDS = ["text", "number", "since", "until", "outcome", "direction", "dialplan"] as const;
export type Filter = Partial<Record<(typeof FIELDS)[number], string>>;

export const OUTCOMES = ["answered", "missed", "busy", "no answer", "refused", "failed", "cancelled"] as const;

/** The filter as the API takes it: days become the moments at which they begin and end here. */
export function query(filter: Filter) {
  const day = (date: string, later: number) => {
    const [year = 0, month = 1, of = 1] = date.split("-").map(Number);
    return new Date(year, month - 1, of + later).toISOString();
  };
  const known = Object.fromEntries(FIELDS.flatMap((field) => (filter[field] ? [[field, filter[field]]] : [])));
  if (filter.since) known.since = day(filter.since, 0);
  if (filter.until) known.until = day(filter.until, 1);
  return known as { outcome?: (typeof OUTCOMES)[number]; direction?: "in" | "out" } & Filter;
}
