// The language of the pages: what was chosen here, else the first of the browser's that there is, else English.
import { useSyncExternalStore } from "react";
import { recall, remember } from "./remembered";
import type { Texts } from "./texts/en";

export const LANGUAGES = ["mg", "fr", "en"] as const;
export type Language = (typeof LANGUAGES)[number];

/** A language in its own words. */
export const OWN_NAMES: Record<Language, string> = { mg: "Malagasy", fr: "Français", en: "English" };

const loaders: Record<Language, () => Promise<Texts>> = {
  en: () => import("./texts/en").then((it) => it.en),
  fr: () => import("./texts/fr").then((it) => it.fr),
  mg: () => import("./texts/mg").then((it) => it.mg),
};

const isLanguage = (code: string): code is Language => (LANGUAGES as readonly string[]).includes(code);

export const preferred = (remembered: string, browser: readonly string[]): Language =>
  [remembered, ...browser.map((code) => code.slice(0, 2).toLowerCase())].find(isLanguage) ?? "en";

interface Chosen {
  language: Language;
  texts: Texts;
}

let chosen: Chosen | null = null;
const listeners = new Set<() => void>();

export async function choose(language: Language): Promise<void> {
  const texts = await loaders[language]();
  chosen = { language, texts };
  document.documentElement.lang = language;
  for (const listener of listeners) listener();
}

export const begin = (): Promise<void> => choose(preferred(recall("local", "language"), navigator.languages));

export function switchTo(language: Language): void {
  remember("local", "language", language);
  void choose(language);
}

function useChosen(): Chosen {
  const now = useSyncExternalStore(subscribe, () => chosen);
  if (!now) throw new Error("the texts are asked for before they have been loaded");
  return now;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useTexts = (): Texts => useChosen().texts;
export const useLanguage = (): Language => useChosen().language;

/** A text with its `{places}` filled. */
export const fill = (text: string, values: Record<string, string | number>): string =>
  text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
