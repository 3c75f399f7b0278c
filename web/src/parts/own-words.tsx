import { useTexts } from "../language";

/** The codes of problems of which no more is known than their status: what exactly is wrong stands in the server's own words only. */
export const GENERAL = [
  "bad_request",
  "key_needed",
  "forbidden",
  "not_found",
  "method_not_allowed",
  "not_acceptable",
  "conflict",
  "precondition_failed",
  "too_large",
  "unsupported_media_type",
  "unprocessable",
  "upgrade_required",
  "precondition_required",
  "too_many",
  "unavailable",
  "problem",
];

/** What the server says went wrong: in the reader's language as far as that is known, and the rest in its own words. */
export function OwnWords({ code, detail }: { code: string; detail: string }) {
  const t = useTexts();
  const known = (t.problem as Record<string, string>)[code];
  return (
    <>
      {known && <p>{known}</p>}
      {detail && (!known || GENERAL.includes(code)) && (
        <p className="own-words" lang="en">
          {detail}
        </p>
      )}
    </>
  );
}
