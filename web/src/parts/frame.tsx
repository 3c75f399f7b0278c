// What surrounds every page: the ways to the others, and the settings.
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, type ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { useLinked } from "../access";
import { Problem } from "../client/http";
import { useHealth } from "../queries";
import { useTexts } from "../language";
import { Icon, type IconName } from "./icon";
import { Notice } from "./notice";
import { OwnWords } from "./own-words";
import { Settings } from "./settings";

const WAYS = [
  ["/", "talk"],
  ["/transcribe", "transcribe"],
  ["/speak", "speak"],
  ["/translate", "translate"],
  ["/calls", "calls"],
  ["/system", "system"],
] as const satisfies readonly (readonly [string, IconName])[];

/** What is reached by another way than its own. */
const BESIDE: Record<string, string[]> = { "/calls": ["/campaigns", "/requests"] };

const isWithin = (path: string, way: string): boolean =>
  way === "/"
    ? path === "/"
    : [way, ...(BESIDE[way] ?? [])].some((one) => path === one || path.startsWith(`${one}/`));

export function Frame({ children }: { children: ReactNode }) {
  const t = useTexts();
  const [path] = useLocation();
  const names = {
    talk: t.nav.talk,
    transcribe: t.nav.transcribe,
    speak: t.nav.speak,
    translate: t.nav.translate,
    calls: t.nav.calls,
    system: t.nav.admin,
  };
  return (
    <div className="frame">
      <a
        className="skip"
        href="#content"
        onClick={(event) => {
          event.preventDefault();
          document.querySelector<HTMLElement>("main h1")?.focus();
        }}
      >
        {t.nav.skip}
      </a>
      <header className="top">
        <Link href="/" className="brand">
          <img src="/milo.svg" alt="" width="32" height="32" />
          Milo
        </Link>
        <Settings />
      </header>
      <nav className="ways" aria-label={t.nav.label}>
        <ul>
          {WAYS.map(([way, icon]) => (
            <li key={way}>
              <Link href={way} aria-current={isWithin(path, way) ? "page" : undefined}>
                <Icon name={icon} />
                <span>{names[icon]}</span>
                {icon === "calls" && <Live />}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <main id="content">
        <Away />
        <Linked />
        {children}
      </main>
    </div>
  );
}

/** How many are on the line, where somebody is. */
function Live() {
  const t = useTexts();
  const calls = useHealth().data?.live_calls;
  return calls ? (
    <span className="live-count">
      <span aria-hidden="true">{calls}</span>
      <span className="unseen">
        ({calls} {t.calls.on_line})
      </span>
    </span>
  ) : null;
}

/** Whoever came by the terminal's link learns what became of it. */
function Linked() {
  const t = useTexts();
  const became = useLinked();
  if (became === "none") return null;
  return became === "signed_in" ? (
    <p className="quiet small" role="status">
      {t.key.linked}
    </p>
  ) : (
    <Notice kind="bad" title={t.key.link_used}>
      <OwnWords code={became.code} detail={became.detail} />
    </Notice>
  );
}

function Away() {
  const t = useTexts();
  const health = useHealth();
  const queries = useQueryClient();
  const was = useRef(health.isError);
  useEffect(() => {
    // It is back: what failed meanwhile is asked again.
    if (was.current && !health.isError) void queries.invalidateQueries();
    was.current = health.isError;
  }, [health.isError, queries]);
  return health.error instanceof Problem && health.error.status === 0 ? (
    <p className="away" role="status">
      <strong>{t.fault.away}.</strong> {t.fault.away_hint}
    </p>
  ) : null;
}
