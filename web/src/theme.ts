// Light, dark, or as the device has it.
import { recall, remember } from "./remembered";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export const theme = (): Theme => THEMES.find((known) => known === recall("local", "theme")) ?? "system";

export function applyTheme(chosen: Theme = theme()): void {
  const root = document.documentElement;
  if (chosen === "system") root.removeAttribute("data-theme");
  else root.dataset.theme = chosen;
}

export function switchTheme(chosen: Theme): void {
  remember("local", "theme", chosen === "system" ? "" : chosen);
  applyTheme(chosen);
}
