// One campaign: how far it is, what came of its numbers, and what may be done with it.
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "wouter";
import { api, data, type Schema } from "../client/http";
import { useFormats } from "../format";
import { useTexts } from "../language";
import { Fault } from "../parts/fault";
import { Icon } from "../parts/icon";
import { Loading } from "../parts/loading";
import { Title } from "../parts/title";
import { every } from "../queries";
import { Asked } from "./campaign/asked";
import { Deeds } from "./campaign/deeds";
import { Numbers } from "./campaign/numbers";
import { Progress } from "./campaigns/progress";
import { isSettled, useCameOf, useCampaignState } from "./campaigns/words";
import "./call/call.css";
import "./calls/calls.css";
import "./campaigns/campaigns.css";

export default function CampaignPage() {
  const t = useTexts();
  const { id = "" } = useParams();
  const campaign = useQuery({
    queryKey: ["campaign", id],
    queryFn: async () => data(api.GET("/api/v1/campaigns/{id}", { params: { path: { id } } })),
    // One that has ended changes no more once its last call is over.
    refetchInterval: (query) => (query.state.data && isSettled(query.state.data) ? false : every(2000)(query)),
  });
  return (
    <>
      <Link href="/campaigns" className="way-back">
        <Icon name="back" />
        {t.campaigns.back}
      </Link>
      <Title>{campaign.data?.name ?? t.campaigns.title}</Title>
      {campaign.isPending && <Loading />}
      {campaign.isError && <Fault error={campaign.error} scope="read" />}
      {campaign.data && <Whole campaign={campaign.data} />}
    </>
  );
}

function Whole({ campaign }: { campaign: Schema["Campaign"] }) {
  const t = useTexts();
  return (
    <>
      <Facts campaign={campaign} />
      {campaign.waits && (
        <p className="waits">
          {t.campaigns.waits}{" "}
          <span className="own-words" lang="en">
            {campaign.waits}
          </span>
        </p>
      )}
      <Deeds campaign={campaign} />
      {campaign.counts && <Counts counts={campaign.counts} />}
      <Numbers id={campaign.id} isSettled={isSettled(campaign)} />
      <Asked settings={campaign.settings} columns={campaign.columns} />
    </>
  );
}

function Facts({ campaign }: { campaign: Schema["Campaign"] }) {
  const t = useTexts();
  const { when } = useFormats();
  const [said, kind] = useCampaignState()(campaign.state);
  const facts: [string, string][] = [
    [t.campaigns.begun, when(campaign.created)],
    ...(campaign.ended ? [[t.campaigns.ended, when(campaign.ended)] satisfies [string, string]] : []),
    [t.campaigns.by, campaign.who],
  ];
  return (
    <dl className="facts">
      <div>
        <dt>{t.common.state}</dt>
        <dd>
          <span className={`badge ${kind} dot`}>{said}</span>
        </dd>
      </div>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Counts({ counts }: { counts: Schema["CampaignCounts"] }) {
  const t = useTexts();
  const { number } = useFormats();
  const cameOf = useCameOf();
  const figures: [string, number][] = [
    [t.campaigns.total, counts.total],
    [t.campaigns.waiting, counts.waiting],
    [t.campaigns.again, counts.again],
    [t.campaigns.calling, counts.calling],
    [t.campaigns.done, counts.done],
    [t.campaigns.skipped, counts.skipped],
    [t.campaigns.left_out, counts.cancelled],
  ];
  const outcomes = Object.entries(counts.outcomes).sort(([, one], [, other]) => other - one);
  return (
    <section className="stack" aria-labelledby="results">
      <h2 id="results">{t.campaigns.results}</h2>
      <Progress counts={counts} />
      <dl className="figures">
        {figures
          .filter(([name, count]) => count > 0 || name === t.campaigns.total)
          .map(([name, count]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd className="figure">{number(count)}</dd>
            </div>
          ))}
      </dl>
      {outcomes.length > 0 && (
        <dl className="facts">
          {outcomes.map(([outcome, count]) => (
            <div key={outcome}>
              <dt>{cameOf(outcome)[0]}</dt>
              <dd className="figure">{number(count)}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}
