import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { api, ask, data, type Schema } from "../../client/http";
import { fill, useTexts } from "../../language";
import { Confirm } from "../../parts/confirm";
import { Fault } from "../../parts/fault";
import { Icon } from "../../parts/icon";
import { saveResponse } from "../../parts/save";
import { useMay } from "../../queries";

/** What may be done with a campaign, by whoever reads the page and as it is now. */
export function Deeds({ campaign }: { campaign: Schema["Campaign"] }) {
  const t = useTexts();
  const may = useMay();
  const queries = useQueryClient();
  const [, go] = useLocation();
  const [fault, setFault] = useState<unknown>(null);
  const { id, name, state } = campaign;
  const params = { path: { id } };
  const again = async () => {
    await queries.invalidateQueries({ queryKey: ["campaign", id] });
    await queries.invalidateQueries({ queryKey: ["campaigns"] });
  };
  const pause = useMutation({
    mutationFn: async () =>
      state === "paused"
        ? data(api.POST("/api/v1/campaigns/{id}/resume", { params }))
        : data(api.POST("/api/v1/campaigns/{id}/pause", { params })),
    onSettled: again,
  });
  const cancel = useMutation({
    mutationFn: async () => data(api.POST("/api/v1/campaigns/{id}/cancel", { params })),
    onSettled: again,
  });
  const remove = useMutation({
    mutationFn: async () => data(api.DELETE("/api/v1/campaigns/{id}", { params })),
    onSuccess: () => {
      go("/campaigns");
      queries.removeQueries({ queryKey: ["campaign", id] });
      void queries.invalidateQueries({ queryKey: ["campaigns"] });
    },
  });
  const save = async () => {
    setFault(null);
    try {
      await saveResponse(await ask(`/api/v1/campaigns/${id}/results`), "campaign.csv");
    } catch (error) {
      setFault(error);
    }
  };
  const wrong = pause.error ?? cancel.error ?? remove.error;
  return (
    <div className="stack tight">
      <div className="row">
        {may.calls && !campaign.ended && (
          <>
            <button type="button" className="button" disabled={pause.isPending} onClick={() => pause.mutate()}>
              <Icon name={state === "paused" ? "play" : "pause"} />
              {state === "paused" ? t.campaigns.resume : t.campaigns.pause}
            </button>
            <Confirm question={fill(t.campaigns.stop_sure, { name })} confirm={t.campaigns.stop} onConfirm={() => cancel.mutate()}>
              {(open) => (
                <button type="button" className="button danger" disabled={cancel.isPending} onClick={open}>
                  <Icon name="stop" />
                  {t.campaigns.stop}
                </button>
              )}
            </Confirm>
          </>
        )}
        <button type="button" className="button" onClick={() => void save()}>
          <Icon name="download" />
          {t.campaigns.download}
        </button>
        {may.calls && campaign.ended && (
          <Confirm
            question={fill(t.campaigns.delete_sure, { name })}
            confirm={t.common.remove}
            onConfirm={() => remove.mutate()}
          >
            {(open) => (
              <button type="button" className="button danger" disabled={remove.isPending} onClick={open}>
                {t.common.remove}
              </button>
            )}
          </Confirm>
        )}
      </div>
      {wrong && <Fault error={wrong} scope="calls" />}
      {fault !== null && <Fault error={fault} scope="read" />}
    </div>
  );
}
