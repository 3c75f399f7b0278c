// What this browser remembers. Storage may be switched off or full: then nothing is remembered, and nothing fails.

export function recall(store: "local" | "tab", name: string): string {
  try {
    return (store === "tab" ? sessionStorage : localStorage).getItem(`milo.${name}`) ?? "";
  } catch {
    return "";
  }
}

/** An empty value is forgotten. */
export function remember(store: "local" | "tab", name: string, value: string): void {
  try {
    const place = store === "tab" ? sessionStorage : localStorage;
    if (value) place.setItem(`milo.${name}`, value);
    else place.removeItem(`milo.${name}`);
  } catch {
    /* as said above */
  }
}
