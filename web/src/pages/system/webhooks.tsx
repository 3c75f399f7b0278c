import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "wouter";
import { api, data, type Schema } from "../../client/http";
import { useFormats } from "../../format";
import { fill, useTexts } from "../../language";
import { Confirm } from "../../parts/confirm";
import { Fault } from "../../parts/fault";
import { Icon } from "../../parts/icon";
import { Loading } from "../../parts/loading";
import { every } from "../../queries";

export default function Webhooks() {
  const t = useTexts();
  const webhooks = useQuery({ queryKey: ["webhooks"], queryFn: async () => (await data(api.GET("/api/v1/webhooks"))).webhooks });
  if (webhooks.isPending) return <Loading />;
  if (webhooks.isError) return <Fault error={webhooks.error} scope="read" />;
  return (
    <>
      {webhooks.data.length === 0 && (
        <div className="empty">
          <strong>{t.admin.no_webhooks}</strong>
          <p>{t.admin.no_webhooks_hint}</p>
        </div>
      )}
      <ul className="stack tight">
        {webhooks.data.map((webhook) => (
          <One key={webhook.name} webhook={webhook} />
        ))}
      </ul>
      <Dead />
    </>
  );
}

function One({ webhook }: { webhook: Schema["Webhook"] }) {
  const t = useTexts();
  const { number } = useFormats();
  return (
    <li className="card stack tight">
      <div className="row middle">
        <h2 className="grow">{webhook.name}</h2>
        <span className={`badge ${webhook.dead || webhook.last_error ? "warm" : "good"}`} lang="en">
          {webhook.state}
        </span>
      </div>
      <p>
        <code>{webhook.url}</code>
      </p>
      <dl className="facts small">
        <div>
          <dt>{t.admin.delivered}</dt>
          <dd>{number(webhook.delivered)}</dd>
        </div>
        <div>
          <dt>{t.admin.queue}</dt>
          <dd>{number(webhook.waiting)}</dd>
        </div>
        <div>
          <dt>{t.admin.dead}</dt>
          <dd>{number(webhook.dead)}</dd>
        </div>
      </dl>
      {webhook.last_error && (
        <p className="quiet small">
          {t.admin.last_error}: <span lang="en">{webhook.last_error}</span>
        </p>
      )}
    </li>
  );
}

function Dead() {
  const t = useTexts();
  const { when } = useFormats();
  const queries = useQueryClient();
  const again = () => queries.invalidateQueries({ queryKey: ["webhooks"] });
  const letters = useInfiniteQuery({
    queryKey: ["webhooks", "dead"],
    queryFn: async ({ pageParam }) =>
      data(api.GET("/api/v1/webhooks/dead", { params: { query: { limit: 25, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    refetchInterval: every(15_000),
  });
  const retry = useMutation({
    mutationFn: async (id: string) => data(api.POST("/api/v1/webhooks/dead/{id}/retry", { params: { path: { id } } })),
    onSettled: again,
  });
  const remove = useMutation({
    mutationFn: async (id: string) => data(api.DELETE("/api/v1/webhooks/dead/{id}", { params: { path: { id } } })),
    onSettled: again,
  });
  const list = letters.data?.pages.flatMap((page) => page.dead) ?? [];
  const fault = letters.error ?? retry.error ?? remove.error;
  return (
    <section className="stack tight" aria-labelledby="dead">
      <h2 id="dead">{t.admin.dead_letters}</h2>
      {fault && <Fault error={fault} scope="admin" />}
      {letters.isSuccess && list.length === 0 && <p className="quiet">{t.admin.no_dead}</p>}
      <ul className="stack tight">
        {list.map((letter) => (
          <li key={letter.id} className="card row middle">
            <div className="grow stack tight">
              <p className="row middle">
                <strong>{letter.target}</strong> <code className="badge">{letter.type}</code>{" "}
                <Link href={letter.call ? `/calls/${letter.call}` : `/campaigns/${letter.campaign}`} className="small">
                  {t.calls.details}
                </Link>
              </p>
              <p className="quiet small">
                {when(letter.at)} · {fill(t.admin.attempts, { n: letter.attempts })}
                {letter.error && <span lang="en"> · {letter.error}</span>}
              </p>
            </div>
            <button type="button" className="button small" onClick={() => retry.mutate(letter.id)}>
              <Icon name="refresh" />
              {t.admin.send_again}
            </button>
            <Confirm question={t.admin.delete_sure} confirm={t.common.remove} onConfirm={() => remove.mutate(letter.id)}>
              {(open) => (
                <button type="button" className="button small danger" onClick={open}>
                  {t.common.remove}
                </button>
              )}
            </Confirm>
          </li>
        ))}
      </ul>
      {letters.hasNextPage && (
        <button type="button" className="button" onClick={() => void letters.fetchNextPage()}>
          {t.common.more}
        </button>
      )}
    </section>
  );
}
