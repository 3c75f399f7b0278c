// A transcript as files.
import type { Schema } from "../../client/http";

type Segment = Pick<Schema["Segment"], "start_ms" | "end_ms" | "text">;

/** `00:01:02.345`; SRT has a comma in place of the dot. */
export function stamp(ms: number, mark: "." | ","): string {
  const whole = Math.max(0, Math.round(ms));
  const pad = (value: number, width: number) => String(value).padStart(width, "0");
  return `${pad(Math.floor(whole / 3_600_000), 2)}:${pad(Math.floor(whole / 60_000) % 60, 2)}:${pad(Math.floor(whole / 1000) % 60, 2)}${mark}${pad(whole % 1000, 3)}`;
}

/** A line of a cue: an empty one would end it, an arrow would be taken for times (WebVTT, section 4.1). */
const line = (text: string): string => text.replace(/\s+/g, " ").replaceAll("-->", "→").trim();

export const srt = (segments: Segment[]): string =>
  segments
    .map(
      ({ start_ms: from, end_ms: to, text }, index) => `${index + 1}\n${stamp(from, ",")} --> ${stamp(to, ",")}\n${line(text)}\n`,
    )
    .join("\n");

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export const vtt = (segments: Segment[]): string =>
  `WEBVTT\n\n${segments.map(({ start_ms: from, end_ms: to, text }) => `${stamp(from, ".")} --> ${stamp(to, ".")}\n${escaped(line(text))}\n`).join("\n")}`;

export const txt = (segments: Segment[]): string => segments.map(({ text }) => `${line(text)}\n`).join("");
