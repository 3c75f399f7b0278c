import type { Schema } from "../../client/http";
import { useTexts } from "../../language";
import { settings as shown } from "../system/settings";

/** What the campaign was asked for with, in the words of the API. */
export function Asked({ settings, columns }: { settings: Schema["Campaign"]["settings"]; columns: string[] }) {
  const t = useTexts();
  const set = shown(settings).flatMap(([section, of]) =>
    of.filter(([, value]) => value && value !== "{}").map(([name, value]) => [section ? `${section}.${name}` : name, value] as const),
  );
  const all = [...set, ["list", ["number", ...columns].join(", ")] as const];
  return (
    <details>
      <summary>{t.campaigns.asked}</summary>
      <dl className="facts small">
        {all.map(([name, value]) => (
          <div key={name}>
            <dt>
              <code>{name}</code>
            </dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
