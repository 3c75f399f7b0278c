import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { api, data, type Schema } from "../../client/http";
import { useFormats } from "../../format";
import { useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Loading } from "../../parts/loading";
import { More } from "../../parts/more";
import { every } from "../../queries";
import { OUTCOMES, STATES, useCameOf, useNumberState } from "../campaigns/words";

/** The numbers of a campaign, by their state and by what came of their last call. */
export function Numbers({ id, isSettled }: { id: string; isSettled: boolean }) {
  const t = useTexts();
  const [state, setState] = useState("");
  const [outcome, setOutcome] = useState("");
  const [stateOf, cameOf] = [useNumberState(), useCameOf()];
  return (
    <section className="stack numbers" aria-labelledby="numbers">
      <h2 id="numbers">{t.campaigns.numbers}</h2>
      <div className="filter-grid">
        <label>
          {t.common.state}
          <select value={state} onChange={(event) => setState(event.target.value)}>
            <option value="">{t.calls.any}</option>
            {STATES.map((one) => (
              <option key={one} value={one}>
                {stateOf(one)[0]}
              </option>
            ))}
          </select>
        </label>
        <label>
          {t.calls.outcome}
          <select value={outcome} onChange={(event) => setOutcome(event.target.value)}>
            <option value="">{t.calls.any}</option>
            {OUTCOMES.map((one) => (
              <option key={one} value={one}>
                {cameOf(one)[0]}
              </option>
            ))}
          </select>
        </label>
      </div>
      <List id={id} state={state} outcome={outcome} isSettled={isSettled} />
    </section>
  );
}

function List({ id, state, outcome, isSettled }: { id: string; state: string; outcome: string; isSettled: boolean }) {
  const t = useTexts();
  const queries = useQueryClient();
  // What came of the last call is asked for once more when nothing follows it.
  useEffect(() => {
    if (isSettled) void queries.invalidateQueries({ queryKey: ["campaign", id, "numbers"] });
  }, [queries, id, isSettled]);
  const pages = useInfiniteQuery({
    queryKey: ["campaign", id, "numbers", state, outcome],
    queryFn: async ({ pageParam }) => {
      const query = { limit: 50, cursor: pageParam, ...(state && { state }), ...(outcome && { outcome }) };
      return data(api.GET("/api/v1/campaigns/{id}/numbers", { params: { path: { id }, query } }));
    },
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    refetchInterval: (query) => (isSettled || (query.state.data?.pages.length ?? 0) > 1 ? false : every(2000)(query)),
  });
  if (pages.isPending) return <Loading />;
  if (pages.isError) return <Fault error={pages.error} scope="read" />;
  const numbers = pages.data.pages.flatMap((page) => page.numbers);
  if (!numbers.length) return <p className="quiet">{t.campaigns.no_number}</p>;
  return (
    <>
      <div className="table" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" className="end">
                {t.campaigns.line}
              </th>
              <th scope="col">{t.calls.number}</th>
              <th scope="col">{t.common.state}</th>
              <th scope="col">{t.calls.outcome}</th>
              <th scope="col">{t.calls.title}</th>
            </tr>
          </thead>
          <tbody>
            {numbers.map((number) => (
              <Row key={number.line} number={number} />
            ))}
          </tbody>
        </table>
      </div>
      <More pages={pages} />
    </>
  );
}

function Row({ number }: { number: Schema["CampaignNumber"] }) {
  const { clock } = useFormats();
  const state = useNumberState()(number.state)[0];
  const cameOf = useCameOf();
  const [outcome, kind] = number.outcome ? cameOf(number.outcome) : ["", ""];
  return (
    <tr>
      <td className="end">{number.line}</td>
      <td>{number.number}</td>
      <td>{state}</td>
      <td>
        {outcome && <span className={`badge ${kind}`}>{outcome}</span>} <Why number={number} />
      </td>
      <td>
        {number.tried.map(({ call, began, outcome }) => (
          <span key={began}>
            {call ? (
              <Link href={`/calls/${call}`} aria-label={`${clock(began)}, ${number.number}: ${cameOf(outcome)[0]}`}>
                {clock(began)}
              </Link>
            ) : (
              clock(began)
            )}{" "}
          </span>
        ))}
      </td>
    </tr>
  );
}

/** Why its last call came to nothing, where the outcome does not say it. */
function Why({ number }: { number: Schema["CampaignNumber"] }) {
  const why = number.tried.at(-1)?.detail;
  return why ? (
    <span className="quiet small" lang="en">
      {why}
    </span>
  ) : null;
}
