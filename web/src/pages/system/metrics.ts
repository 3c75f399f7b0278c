// The text that /metrics gives (Prometheus exposition format, version 0.0.4), and what is reckoned from its histograms.

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface Summary {
  count: number;
  /** Seconds; none where nothing was counted. */
  median: number | null;
  slow: number | null;
}

export interface Metrics {
  /** All values of a name whose labels are these. */
  sum: (name: string, labels?: Record<string, string>) => number;
  /** The histogram `name` for each value of a label. */
  summaries: (name: string, label: string) => Map<string, Summary>;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

export function samples(text: string): Sample[] {
  return text.split("\n").flatMap((line) => {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) return [];
    const [, name = "", labels = "", value = ""] = found;
    const pairs = [...labels.matchAll(LABEL)].map(([, label = "", said = ""]) => [
      label,
      said.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c)),
    ]);
    return [
      { name, labels: Object.fromEntries(pairs) as Record<string, string>, value: value === "+Inf" ? Infinity : Number(value) },
    ];
  });
}

export function parse(text: string): Metrics {
  const all = samples(text);
  const fits = (sample: Sample, labels: Record<string, string>) =>
    Object.entries(labels).every(([label, value]) => sample.labels[label] === value);
  return {
    sum: (name, labels = {}) =>
      all.filter((sample) => sample.name === name && fits(sample, labels)).reduce((total, sample) => total + sample.value, 0),
    summaries: (name, label) => {
      const buckets = new Map<string, [number, number][]>();
      for (const sample of all) {
        if (sample.name !== `${name}_bucket`) continue;
        const of = sample.labels[label] ?? "";
        const list = buckets.get(of) ?? [];
        list.push([sample.labels.le === "+Inf" ? Infinity : Number(sample.labels.le), sample.value]);
        buckets.set(of, list);
      }
      return new Map(
        [...buckets].map(([of, list]) => [
          of,
          { count: list.at(-1)?.[1] ?? 0, median: quantile(list, 0.5), slow: quantile(list, 0.95) },
        ]),
      );
    },
  };
}

/** As Prometheus' `histogram_quantile` reckons it: evenly spread within a bucket; beyond the last bound, that bound. */
export function quantile(buckets: [bound: number, upTo: number][], share: number): number | null {
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const total = sorted.at(-1)?.[1] ?? 0;
  if (!total) return null;
  const rank = share * total;
  let [lower, below] = [0, 0];
  for (const [bound, upTo] of sorted) {
    if (upTo >= rank) return bound === Infinity ? lower : lower + (bound - lower) * ((rank - below) / Math.max(1, upTo - below));
    [lower, below] = [bound, upTo];
  }
  return lower;
}
