import { useEffect, useRef } from "react";
import { Link } from "wouter";

/** The ways between pages that belong together, one of which is open. */
export function Sections({ label, here, ways }: { label: string; here: string; ways: { to: string; text: string }[] }) {
  const nav = useRef<HTMLElement>(null);
  // On a narrow screen the way to this one may lie outside.
  useEffect(() => {
    nav.current?.querySelector("[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  }, [here]);
  return (
    <nav ref={nav} className="parts" aria-label={label}>
      <ul>
        {ways.map(({ to, text }) => (
          <li key={to}>
            <Link href={to} aria-current={to === here ? "page" : undefined}>
              {text}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}
