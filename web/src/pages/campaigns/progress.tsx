import type { Schema } from "../../client/http";
import { useFormats } from "../../format";
import { fill, useTexts } from "../../language";
import { over } from "./words";

/** A bar, and its figures beside it. */
export function Progress({ counts }: { counts: Schema["CampaignCounts"] }) {
  const t = useTexts();
  const { number } = useFormats();
  const says = fill(t.common.of, { n: number(over(counts)), all: number(counts.total) });
  return (
    <span className="progress">
      <progress max={counts.total || 1} value={over(counts)} aria-label={fill(t.campaigns.far, { far: says })} />
      <span className="figure small" aria-hidden="true">
        {says}
      </span>
    </span>
  );
}
