import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, data } from "../../client/http";
import { useFormats } from "../../format";
import { fill, useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Loading } from "../../parts/loading";

export default function Bans() {
  const t = useTexts();
  const { number } = useFormats();
  const queries = useQueryClient();
  const bans = useQuery({ queryKey: ["bans"], queryFn: async () => (await data(api.GET("/api/v1/bans"))).bans });
  const lift = useMutation({
    mutationFn: async (address: string) => data(api.DELETE("/api/v1/bans/{address}", { params: { path: { address } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["bans"] }),
  });
  if (bans.isPending) return <Loading />;
  if (bans.isError) return <Fault error={bans.error} scope="read" />;
  return (
    <>
      {lift.isError && <Fault error={lift.error} scope="admin" />}
      {bans.data.length === 0 && (
        <div className="empty">
          <strong>{t.admin.no_bans}</strong>
          <p>{t.admin.no_bans_hint}</p>
        </div>
      )}
      <ul className="stack tight">
        {bans.data.map((ban) => (
          <li key={ban.address} className="card row middle">
            <div className="grow">
              <p>
                <code>{ban.address}</code> <span lang="en">{ban.why}</span>
              </p>
              <p className="quiet small">
                {fill(t.admin.ends_in, { n: number(ban.ends_in_s) })} · {fill(t.admin.dropped, { n: number(ban.dropped) })}
              </p>
            </div>
            <button type="button" className="button small" onClick={() => lift.mutate(ban.address)}>
              {t.admin.lift}
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}
