import type { ReactNode } from "react";

/** Something that is to be read before the rest. */
export function Notice({ kind, title, children }: { kind: "bad" | "plain" | "warm"; title: string; children?: ReactNode }) {
  return (
    <section className={`notice ${kind}`} role={kind === "bad" ? "alert" : undefined}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}
