// The lists of numbers that Milo calls by itself, how far each is, and the form with which one begins.
import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { api, data, type Schema } from "../client/http";
import { useFormats } from "../format";
import { useTexts } from "../language";
import { Fault } from "../parts/fault";
import { Icon } from "../parts/icon";
import { Loading } from "../parts/loading";
import { More } from "../parts/more";
import { Title } from "../parts/title";
import { every, useMay } from "../queries";
import { NewCampaign } from "./campaigns/new";
import { Progress } from "./campaigns/progress";
import { isSettled, useCampaignState } from "./campaigns/words";
import { Ways } from "./calls/ways";
import "./calls/calls.css";
import "./campaigns/campaigns.css";

export default function Campaigns() {
  const t = useTexts();
  const may = useMay();
  const queries = useQueryClient();
  const [, go] = useLocation();
  const [isNew, setNew] = useState(false);
  const begin = may.calls && !isNew && (
    <button type="button" className="button main" onClick={() => setNew(true)}>
      <Icon name="plus" />
      {t.campaigns.add}
    </button>
  );
  return (
    <>
      <Title lede={t.campaigns.lede} aside={begin}>
        {t.campaigns.title}
      </Title>
      <Ways here="/campaigns" />
      {may.calls && isNew && (
        <NewCampaign
          onClose={() => setNew(false)}
          onAdded={(id) => {
            void queries.invalidateQueries({ queryKey: ["campaigns"] });
            go(`/campaigns/${id}`);
          }}
        />
      )}
      <List mayBegin={may.calls} />
    </>
  );
}

function List({ mayBegin }: { mayBegin: boolean }) {
  const t = useTexts();
  const pages = useInfiniteQuery({
    queryKey: ["campaigns"],
    queryFn: async ({ pageParam }) => data(api.GET("/api/v1/campaigns", { params: { query: { limit: 25, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    // Whoever reads older pages is not disturbed by newer rows.
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 0) > 1 ? false : every(4000)(query)),
  });
  if (pages.isPending) return <Loading />;
  if (pages.isError) return <Fault error={pages.error} scope="read" />;
  const campaigns = pages.data.pages.flatMap((page) => page.campaigns);
  if (!campaigns.length)
    return (
      <div className="empty">
        <strong>{t.campaigns.none}</strong>
        <p>{mayBegin ? t.campaigns.none_hint : t.campaigns.none_read}</p>
      </div>
    );
  return (
    <>
      <ul className="log">
        {campaigns.map((campaign) => (
          <Row key={campaign.id} campaign={campaign} />
        ))}
      </ul>
      <More pages={pages} />
    </>
  );
}

function Row({ campaign }: { campaign: Schema["Campaign"] }) {
  const { when } = useFormats();
  const [said, kind] = useCampaignState()(campaign.state);
  // How far it is: of one that has ended, and whose last call is over, that is asked once.
  const counts = useQuery({
    queryKey: ["campaign", campaign.id, campaign.state],
    queryFn: async () => data(api.GET("/api/v1/campaigns/{id}", { params: { path: { id: campaign.id } } })),
    refetchInterval: (query) => (query.state.data && isSettled(query.state.data) ? false : every(10_000)(query)),
  }).data?.counts;
  return (
    <li>
      <Link href={`/campaigns/${campaign.id}`} className="log-row campaign-row">
        <Icon name="outgoing" />
        <span className="who">{campaign.name}</span>
        <span className="what">
          <span className={`badge ${kind}`}>{said}</span>
          <span>{campaign.who}</span>
        </span>
        <span className="when">{when(campaign.created)}</span>
        <span className="far">{counts && <Progress counts={counts} />}</span>
      </Link>
    </li>
  );
}
