// Why something was not answered, in the reader's language, with the server's own sentence below, and what to do.
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { Problem } from "../client/http";
import { useKey } from "../access";
import { fill, useTexts } from "../language";
import { KeyForm } from "./key-form";
import { Notice } from "./notice";
import { OwnWords } from "./own-words";

/** The scope that a refusal names. */
const scopeOf = (detail: string): string => /\b(calls|text|read|admin)\b/.exec(detail)?.[1] ?? "admin";

export function Fault({ error, scope }: { error: unknown; scope?: "calls" | "text" | "read" | "admin" }) {
  const t = useTexts();
  const key = useKey();
  const says = error instanceof Problem ? error : new Problem(-1, String(error));
  const own = <OwnWords code={says.code} detail={says.detail} />;
  switch (says.status) {
    case 0:
      return (
        <Notice kind="bad" title={t.fault.away}>
          <p>{t.fault.away_hint}</p>
        </Notice>
      );
    case 401:
      return (
        <Notice kind="plain" title={key ? t.key.wrong : t.key.needed}>
          {says.code && says.code !== "key_needed" && own}
          <KeyForm scope={scope ?? "read"} />
        </Notice>
      );
    case 403:
      return (
        <Notice kind="plain" title={t.key.more}>
          <p>{fill(t.key.scope, { scope: scopeOf(says.detail) })}</p>
          <KeyForm scope={scopeOf(says.detail)} isOther />
        </Notice>
      );
    case 404:
      return (
        <Notice kind="plain" title={t.fault.missing}>
          <p>{t.fault.missing_hint}</p>
          <Link href="/" className="button">
            {t.fault.home}
          </Link>
        </Notice>
      );
    case 429:
      return (
        <Notice kind="bad" title={t.fault.slow}>
          <p>
            <Countdown seconds={says.retryAfter ?? 60} />
          </p>
        </Notice>
      );
    case 503:
      return (
        <Notice kind="bad" title={t.fault.busy}>
          <p>{t.fault.busy_hint}</p>
          {own}
        </Notice>
      );
    case -1:
      return (
        <Notice kind="bad" title={t.fault.broken}>
          <p>{t.fault.broken_hint}</p>
          {own}
        </Notice>
      );
    default:
      return (
        <Notice kind="bad" title={t.fault.refused}>
          {own}
        </Notice>
      );
  }
}

function Countdown({ seconds }: { seconds: number }) {
  const t = useTexts();
  const [left, setLeft] = useState(seconds);
  useEffect(() => {
    const timer = setInterval(() => setLeft((before) => Math.max(0, before - 1)), 1000);
    return () => clearInterval(timer);
  }, []);
  return fill(t.fault.slow_hint, { n: left });
}
