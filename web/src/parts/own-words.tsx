import { useTexts } from "../language";

/** What the server says went wrong: in the reader's language where that is known, else in its own words. */
export function OwnWords({ code, detail }: { code: string; detail: string }) {
  const t = useTexts();
  const known = (t.problem as Record<string, string>)[code];
  if (known) return <p>{known}</p>;
  return detail ? (
    <p className="own-words" lang="en">
      {detail}
    </p>
  ) : null;
}
