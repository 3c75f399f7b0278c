/** Each section with its settings as `milo.toml` names them. */
export function settings(config: unknown): [section: string, [name: string, value: string][]][] {
  const sections = new Map<string, [string, string][]>();
  const walk = (value: unknown, path: string[]) => {
    if (value && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length) {
      for (const [name, inner] of Object.entries(value)) walk(inner, [...path, name]);
      return;
    }
    const section = path.slice(0, -1).join(".");
    const list = sections.get(section) ?? [];
    list.push([path.at(-1) ?? "", value === null ? "" : JSON.stringify(value)]);
    sections.set(section, list);
  };
  walk(config, []);
  return [...sections].sort(([a], [b]) => a.localeCompare(b));
}
