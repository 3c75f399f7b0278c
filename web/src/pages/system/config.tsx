import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, data } from "../../client/http";
import { useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Loading } from "../../parts/loading";
import { settings } from "./settings";

export default function Configuration() {
  const t = useTexts();
  const [wanted, setWanted] = useState("");
  const config = useQuery({ queryKey: ["config"], queryFn: async () => data(api.GET("/api/v1/config")), refetchInterval: false });
  if (config.isPending) return <Loading />;
  if (config.isError) return <Fault error={config.error} scope="admin" />;
  const fits = (section: string, name: string) => `${section}.${name}`.includes(wanted.trim().toLowerCase());
  const shown = settings(config.data).flatMap(([section, list]) => {
    const kept = list.filter(([name]) => fits(section, name));
    return kept.length ? [[section, kept] as const] : [];
  });
  return (
    <>
      <p className="quiet">{t.admin.config_hint}</p>
      <label>
        {t.admin.find}
        <input type="search" value={wanted} onChange={(event) => setWanted(event.target.value)} />
      </label>
      {shown.map(([section, list]) => (
        <section key={section} className="card stack tight settings-of">
          {section && (
            <h2>
              <code>[{section}]</code>
            </h2>
          )}
          <dl>
            {list.map(([name, value]) => (
              <div key={name}>
                <dt>
                  <code>{name}</code>
                </dt>
                <dd>{value ? <code>{value}</code> : <span className="quiet">–</span>}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </>
  );
}
