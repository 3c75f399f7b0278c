import { describe, expect, it } from "vitest";
import { between, duration, formats } from "../format";
import { fill, preferred } from "../language";
import { header, wav } from "../sound/wav";
import { peaks } from "../sound/peaks";
import { heardOf } from "./call/heard";
import { inWords } from "./call/in-words";
import { query } from "./calls/query";
import { blank, newKey, order } from "./campaigns/order";
import { over } from "./campaigns/words";
import { settings } from "./system/settings";
import { parse, quantile } from "./system/metrics";
import { changed, type Change, type Said } from "./talk/messages";
import { srt, stamp, txt, vtt } from "./transcribe/exports";

describe("languages", () => {
  it("are the remembered one, else the browser's first that there is, else English", () => {
    expect(preferred("fr", ["mg-MG"])).toBe("fr");
    expect(preferred("", ["de-DE", "mg-MG", "fr"])).toBe("mg");
    expect(preferred("xx", ["de"])).toBe("en");
  });

  it("fill the places of a text, and leave those that nothing is for", () => {
    expect(fill("{n} of {all}, {other}", { n: 1, all: 2 })).toBe("1 of 2, {other}");
  });

  it("write numbers in their own way", () => {
    expect(formats("fr").span(1234)).toBe("1,2 s");
    expect(formats("en").span(0.4)).toBe("< 1 ms");
  });
});

it("durations are read at a glance", () => {
  expect([duration(0), duration(65.4), duration(3605), duration(-3)]).toEqual(["0:00", "1:05", "1:00:05", "0:00"]);
  expect(between("2026-11-29T17:00:00Z", null, Date.parse("2026-11-29T17:00:07Z"))).toBe(7);
});

describe("what was heard of a reply", () => {
  const reply = { said: "Misokatra amin'ny valo ora.", interrupted: true };
  it("is all of it where nobody interrupted", () => {
    expect(heardOf({ said: "Eny.", said_heard: "Eny.", interrupted: false })).toEqual(["Eny.", ""]);
    expect(heardOf({ said: "Eny.", said_heard: null, interrupted: false })).toEqual(["Eny.", ""]);
  });
  it("ends where it was cut off, and the rest is shown as not heard", () => {
    expect(heardOf({ ...reply, said_heard: "Misokatra amin'ny—" })).toEqual(["Misokatra amin'ny", " valo ora."]);
    expect(heardOf({ ...reply, said_heard: "" })).toEqual(["", reply.said]);
  });
});

it("a filter's days become the moments at which they begin and end here", () => {
  expect(query({ since: "2026-11-01", until: "2026-11-02", text: "birao", number: "" })).toEqual({
    since: new Date(2026, 10, 1).toISOString(),
    until: new Date(2026, 10, 3).toISOString(),
    text: "birao",
  });
});

describe("a campaign", () => {
  it("is asked for without what was left empty", () => {
    const draft = { ...blank(), name: " Reminders ", hours: [], zone: " ", retries: { ...blank().retries, busy: { times: "0", minutes: "5" } } };
    expect(order(draft)).toEqual({ name: "Reminders", at_once: 1, ring_timeout_s: 30, open: { hours: [] }, retries: {} });
  });
  it("has its hours by spans of days, and its pauses in seconds", () => {
    const filled = {
      ...blank(),
      name: "n",
      plan: "reminder",
      trunk: "carrier",
      caller_id: "0201234567 ",
      paused: true,
      privacy: true,
      at_once: "5",
      leave: "0",
      holidays: "06-26, 2027-03-29",
      hours: [
        { first: "mon", last: "fri", from: "08:00", to: "17:00" } as const,
        { first: "sat", last: "sat", from: "08:00", to: "12:00" } as const,
      ],
      retries: { ...blank().retries, no_answer: { times: "2", minutes: "1.5" } },
    };
    expect(order(filled)).toEqual({
      name: "n",
      plan: "reminder",
      trunk: "carrier",
      caller_id: "0201234567",
      paused: true,
      privacy: true,
      at_once: 5,
      leave: 0,
      ring_timeout_s: 30,
      open: {
        zone: "Indian/Antananarivo",
        holidays: ["06-26", "2027-03-29"],
        hours: [
          { days: ["mon-fri"], from: "08:00", to: "17:00" },
          { days: ["sat"], from: "08:00", to: "12:00" },
        ],
      },
      retries: { no_answer: { times: 2, after_s: 90 } },
    });
  });
  it("is as far as numbers are over, however they are, and each order has a key of its own", () => {
    const counts = { total: 9, waiting: 1, again: 1, calling: 1, done: 3, skipped: 2, cancelled: 1, outcomes: {} };
    expect(over(counts)).toBe(6);
    expect(newKey()).toMatch(/^[0-9a-f]{32}$/);
    expect(newKey()).not.toBe(newKey());
  });
});

it("an event's detail is a line", () => {
  expect(inWords({ by: "caller", cause: 16, tags: ["a"] })).toBe('by caller, cause 16, tags ["a"]');
  expect(inWords(null)).toBe("");
});

it("a configuration is shown by its sections", () => {
  expect(
    settings({ data_dir: "/d", http: { listen: "x", tls: null }, engines: { llm: { threads: 0 } }, sip: { trunks: [] } }),
  ).toEqual([
    ["", [["data_dir", '"/d"']]],
    ["engines.llm", [["threads", "0"]]],
    [
      "http",
      [
        ["listen", '"x"'],
        ["tls", ""],
      ],
    ],
    ["sip", [["trunks", "[]"]]],
  ]);
});

describe("metrics", () => {
  const text = [
    "# HELP a_total what",
    'a_total{x="1",y="q\\"uote"} 3',
    'a_total{x="2"} 4',
    't_bucket{s="one",le="0.1"} 5',
    't_bucket{s="one",le="0.2"} 10',
    't_bucket{s="one",le="+Inf"} 10',
    't_bucket{s="none",le="+Inf"} 0',
  ].join("\n");
  it("are added up over the labels that are not named", () => {
    expect(parse(text).sum("a_total")).toBe(7);
    expect(parse(text).sum("a_total", { x: "2" })).toBe(4);
    expect(parse(text).sum("a_total", { y: 'q"uote' })).toBe(3);
  });
  it("give medians as Prometheus reckons them", () => {
    const one = parse(text).summaries("t", "s").get("one");
    expect(one?.count).toBe(10);
    expect(one?.median).toBeCloseTo(0.1);
    expect(one?.slow).toBeCloseTo(0.19);
    expect(parse(text).summaries("t", "s").get("none")).toEqual({ count: 0, median: null, slow: null });
    expect(
      quantile(
        [
          [1, 0],
          [Infinity, 4],
        ],
        0.5,
      ),
    ).toBe(1);
  });
});

describe("transcripts as files", () => {
  const segments = [
    { start_ms: 0, end_ms: 1500, text: "Salama\n\ntompoko" },
    { start_ms: 3_661_042, end_ms: 3_662_000, text: "a --> b & <c>" },
  ];
  it("have times that players read", () => {
    expect(stamp(3_661_042, ",")).toBe("01:01:01,042");
    expect(srt(segments)).toBe(
      "1\n00:00:00,000 --> 00:00:01,500\nSalama tompoko\n\n2\n01:01:01,042 --> 01:01:02,000\na → b & <c>\n",
    );
  });
  it("hold no words that a player takes for marks", () => {
    expect(vtt(segments)).toBe(
      "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nSalama tompoko\n\n01:01:01.042 --> 01:01:02.000\na → b &amp; &lt;c&gt;\n",
    );
    expect(txt(segments)).toBe("Salama tompoko\na → b & <c>\n");
  });
});

describe("sound", () => {
  it("is shown by its loudest samples", () => {
    expect(peaks(Float32Array.of(0, 0.5, -1, 0.25), 2)).toEqual([0.5, 1]);
    expect(peaks(new Float32Array(), 4)).toEqual([]);
  });
  it("is found behind a WAV header, and only when that is whole", async () => {
    const file = new Uint8Array(await wav(Float32Array.of(0, 1, -1)).arrayBuffer());
    expect(file.length).toBe(50);
    expect(header(file)).toEqual({ from: 44, rate: 16_000 });
    expect(header(file.subarray(0, 40))).toBeNull();
    expect(new Int16Array(file.buffer, 44)).toEqual(Int16Array.of(0, 32767, -32767));
  });
});

describe("a conversation", () => {
  const after = (...changes: Change[]) => changes.reduce<Said[]>(changed, []);
  const answer = {
    reply: "Salama!",
    session_id: "s",
    mode: "local" as const,
    language: "mg" as const,
    ends: false,
    cut: false,
    processing_ms: 4,
  };

  it("grows with the reply, which then bears how it was given", () => {
    const growing = after({ is: "asked", text: "Salama" }, { is: "grew", text: "Sala" });
    expect(growing.map(({ by, text, grows }) => [by, text, grows])).toEqual([
      ["you", "Salama", undefined],
      ["milo", "Sala", true],
    ]);
    const whole = changed(growing, { is: "answered", answer });
    expect(whole.at(-1)).toMatchObject({ text: "Salama!", grows: false, turn: 1, mode: "local", took: 4 });
  });
  it("keeps what was said when no answer comes", () => {
    expect(after({ is: "asked", text: "Salama" }, { is: "failed" })).toMatchObject([{ by: "you", text: "Salama" }]);
  });
  it("replaces spoken words while they grow, and begins anew behind those of the other", () => {
    const spoken = after(
      { is: "clause", text: "Salama!", call: "c" },
      { is: "replied", text: "Salama!", call: "c" },
      { is: "heard", text: "ama", partial: true },
      { is: "heard", text: "firy ny", partial: false },
      { is: "clause", text: "Iray alina", call: "c" },
      { is: "clause", text: " ny tapakila.", call: "c" },
    );
    expect(spoken.map(({ by, text, grows }) => [by, text, grows])).toEqual([
      ["milo", "Salama!", false],
      ["you", "firy ny", false],
      ["milo", "Iray alina ny tapakila.", true],
    ]);
    const told = [
      { is: "replied", text: "Iray alina ny tapakila.", heard: "Iray—", interrupted: true, took: 450, call: "c" },
      { is: "mode", mode: "local" },
    ] satisfies Change[];
    const whole = told.reduce<Said[]>(changed, spoken);
    expect(whole).toHaveLength(3);
    expect(whole.at(-1)).toMatchObject({ heard: "Iray—", took: 450, mode: "local", call: "c", turn: 2, grows: false });
    expect(new Set(whole.map(({ id }) => id)).size).toBe(3);
  });
  it("is numbered on where it was restored", () => {
    const restored = after(
      {
        is: "restored",
        language: "mg",
        exchanges: [
          { message: "a", reply: "b" },
          { message: "c", reply: null },
        ],
      },
      { is: "asked", text: "d" },
    );
    expect(restored.map(({ by, turn }) => [by, turn])).toEqual([
      ["you", undefined],
      ["milo", 1],
      ["you", undefined],
      ["you", undefined],
      ["milo", 3],
    ]);
    expect(after({ is: "asked", text: "a" }, { is: "emptied" })).toEqual([]);
  });
});
