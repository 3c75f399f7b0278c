// Times, durations and numbers as each language writes them. Browsers seldom know how Malagasy does: then as French.
import { useMemo } from "react";
import { useLanguage, type Language } from "./language";

export interface Formats {
  when: (stamp: string) => string;
  clock: (stamp: string) => string;
  number: (value: number, digits?: number) => string;
  /** Milliseconds in the unit in which they are read at a glance. */
  span: (ms: number) => string;
}

export function formats(language: Language): Formats {
  const locales = language === "mg" ? ["mg", "fr"] : [language];
  const when = new Intl.DateTimeFormat(locales, { dateStyle: "medium", timeStyle: "short" });
  const clock = new Intl.DateTimeFormat(locales, { timeStyle: "medium" });
  const number = (value: number, digits = 0) => new Intl.NumberFormat(locales, { maximumFractionDigits: digits }).format(value);
  return {
    when: (stamp) => when.format(new Date(stamp)),
    clock: (stamp) => clock.format(new Date(stamp)),
    number,
    span: (ms) => (ms < 1 ? "< 1 ms" : ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000, 1)} s`),
  };
}

export function useFormats(): Formats {
  const language = useLanguage();
  return useMemo(() => formats(language), [language]);
}

/** Seconds as `1:05` or `1:00:05`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export const between = (from: string, to: string | null | undefined, now = Date.now()): number =>
  ((to ? Date.parse(to) : now) - Date.parse(from)) / 1000;
