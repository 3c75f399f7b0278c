// The SIP messages of a call, in the order in which they passed: an arrow each, with its text behind it.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, ask, data, Problem, type Schema } from "../../client/http";
import { fill, useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Icon } from "../../parts/icon";
import { saveResponse } from "../../parts/save";
import { every } from "../../queries";

export function Ladder({ id, live }: { id: string; live: boolean }) {
  const t = useTexts();
  const [fault, setFault] = useState<unknown>(null);
  const ladder = useQuery({
    queryKey: ["sip", id],
    queryFn: async () => (await data(api.GET("/api/v1/calls/{id}/sip", { params: { path: { id } } }))) as Schema["Ladder"],
    refetchInterval: live && every(4000),
    retry: false,
  });
  const isGone = ladder.error instanceof Problem && ladder.error.status === 404;
  const messages = ladder.data?.messages ?? [];
  const capture = async () => {
    try {
      await saveResponse(await ask(`/api/v1/calls/${id}/sip?format=pcap`), `${id}.pcap`);
    } catch (error) {
      setFault(error);
    }
  };
  return (
    <section className="stack" aria-labelledby="ladder">
      <div className="row middle">
        <h2 id="ladder" className="grow">
          {t.call.ladder}
        </h2>
        {messages.length > 0 && (
          <button type="button" className="button small" onClick={() => void capture()}>
            <Icon name="download" />
            {t.call.capture}
          </button>
        )}
      </div>
      {(isGone || (ladder.data && !messages.length)) && <p className="quiet">{t.call.no_ladder}</p>}
      {ladder.isError && !isGone && <Fault error={ladder.error} scope="read" />}
      {fault !== null && <Fault error={fault} scope="read" />}
      {messages.length > 0 && (
        <ol className="ladder">
          {messages.map((message, index) => (
            <Message key={index} message={message} start={messages[0]?.at ?? message.at} />
          ))}
        </ol>
      )}
      {ladder.data && ladder.data.left_out > 0 && (
        <p className="quiet small">{fill(t.call.left_out, { n: ladder.data.left_out })}</p>
      )}
    </section>
  );
}

function Message({ message, start }: { message: Schema["SipMessage"]; start: string }) {
  const t = useTexts();
  const after = ((Date.parse(message.at) - Date.parse(start)) / 1000).toFixed(3);
  return (
    <li className={message.direction === "in" ? "inward" : "outward"}>
      <details>
        <summary>
          <span className="figure quiet">{after} s</span>
          <span className="arrow">
            <Icon name={message.direction === "in" ? "incoming" : "outgoing"} />
            <code>{message.start_line.replace(/ SIP\/2\.0$/, "").replace(/^SIP\/2\.0 /, "")}</code>
            {message.again && <span className="badge">{t.call.again}</span>}
          </span>
          <span className="quiet small remote">
            {message.remote} {message.transport.toUpperCase()}
          </span>
        </summary>
        <pre tabIndex={0} aria-label={t.call.text}>
          {message.text}
        </pre>
      </details>
    </li>
  );
}
