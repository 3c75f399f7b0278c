import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { currentKey, setKey } from "../../access";
import { api, data, type Schema } from "../../client/http";
import { useFormats } from "../../format";
import { fill, useTexts } from "../../language";
import { Confirm } from "../../parts/confirm";
import { Copyable } from "../../parts/copyable";
import { Fault } from "../../parts/fault";
import { Icon } from "../../parts/icon";
import { Loading } from "../../parts/loading";
import { every } from "../../queries";

const SCOPES = ["read", "text", "calls", "admin"] as const satisfies readonly Schema["Scope"][];
const TIERS = ["free", "pro", "enterprise"] as const satisfies readonly Schema["Tier"][];
const HOUR = 3600;

export default function Keys() {
  const t = useTexts();
  const [made, setMade] = useState("");
  return (
    <>
      {/* Above all else: from the first key on, this page may need one itself, and what was made is shown only now. */}
      {made && (
        <section className="card stack tight" role="status">
          <p>{t.admin.created}</p>
          <Copyable text={made} />
          <button type="button" className="button plain" onClick={() => setMade("")}>
            <Icon name="close" />
            {t.common.close}
          </button>
        </section>
      )}
      <Known setMade={setMade} />
    </>
  );
}

function Known({ setMade }: { setMade: (key: string) => void }) {
  const t = useTexts();
  const queries = useQueryClient();
  const again = () => queries.invalidateQueries({ queryKey: ["keys"] });
  const keys = useQuery({
    queryKey: ["keys"],
    queryFn: async () => (await data(api.GET("/api/v1/keys"))).keys,
    refetchInterval: every(15_000),
  });
  const rotate = useMutation({
    mutationFn: async (id: string) =>
      data(api.POST("/api/v1/keys/{id}/rotate", { params: { path: { id } }, body: { overlap_s: HOUR } })),
    onSuccess: (rotated) => {
      setMade(rotated.key);
      void again();
    },
  });
  const revoke = useMutation({
    mutationFn: async (id: string) => data(api.DELETE("/api/v1/keys/{id}", { params: { path: { id } } })),
    onSuccess: again,
  });
  if (keys.isPending) return <Loading />;
  if (keys.isError) return <Fault error={keys.error} scope="admin" />;
  const fault = rotate.error ?? revoke.error;
  return (
    <>
      <Create
        onMade={({ key, scopes }) => {
          setMade(key);
          // Whoever needed no key until now is not shut out by the first one.
          if (!currentKey() && scopes.includes("admin")) setKey(key);
          void again();
        }}
      />
      {fault && <Fault error={fault} scope="admin" />}
      {keys.data.length === 0 && (
        <div className="empty">
          <strong>{t.admin.no_keys}</strong>
          <p>{t.admin.no_keys_hint}</p>
        </div>
      )}
      <ul className="stack tight">
        {keys.data.map((key) => (
          <One key={key.id} known={key} onRotate={() => rotate.mutate(key.id)} onRevoke={() => revoke.mutate(key.id)} />
        ))}
      </ul>
    </>
  );
}

function One({ known, onRotate, onRevoke }: { known: Schema["ApiKey"]; onRotate: () => void; onRevoke: () => void }) {
  const t = useTexts();
  const { when } = useFormats();
  const states: Record<string, [string, string]> = {
    active: [t.admin.active, "good"],
    expired: [t.admin.expired, "warm"],
    revoked: [t.admin.revoked, "bad"],
  };
  const [state, kind] = states[known.state] ?? [known.state, ""];
  return (
    <li className="card row middle">
      <div className="grow stack tight">
        <p className="row middle">
          <strong>{known.name}</strong> <span className={`badge ${kind}`}>{state}</span>{" "}
          {known.scopes.map((scope) => (
            <code key={scope} className="badge">
              {scope}
            </code>
          ))}
        </p>
        <p className="quiet small">
          {known.tier} · {t.admin.used}: {known.last_used_at ? when(known.last_used_at) : t.admin.never} · {t.admin.expires_at}:{" "}
          {known.expires_at ? when(known.expires_at) : t.admin.never}
        </p>
      </div>
      {known.state === "active" && (
        <>
          <Confirm question={fill(t.admin.rotate_sure, { name: known.name })} confirm={t.admin.rotate} onConfirm={onRotate}>
            {(open) => (
              <button type="button" className="button small" onClick={open}>
                <Icon name="refresh" />
                {t.admin.rotate}
              </button>
            )}
          </Confirm>
          <Confirm question={fill(t.admin.revoke_sure, { name: known.name })} confirm={t.admin.revoke} onConfirm={onRevoke}>
            {(open) => (
              <button type="button" className="button small danger" onClick={open}>
                {t.admin.revoke}
              </button>
            )}
          </Confirm>
        </>
      )}
    </li>
  );
}

function Create({ onMade }: { onMade: (made: Schema["ApiKeyMade"]) => void }) {
  const t = useTexts();
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<Schema["Scope"][]>(["read", "text"]);
  const [tier, setTier] = useState<Schema["Tier"]>("free");
  const [expires, setExpires] = useState("");
  const may = { read: t.admin.scope_read, text: t.admin.scope_text, calls: t.admin.scope_calls, admin: t.admin.scope_admin };
  const create = useMutation({
    mutationFn: async () =>
      data(
        api.POST("/api/v1/keys", {
          body: {
            name: name.trim(),
            scopes,
            tier,
            ...(expires && { expires_at: new Date(`${expires}T23:59:59`).toISOString() }),
          },
        }),
      ),
    onSuccess: (made) => {
      setName("");
      onMade(made);
    },
  });
  const send = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <section className="card stack" aria-labelledby="new-key">
      <h2 id="new-key">{t.admin.new_key}</h2>
      <form className="stack" onSubmit={send}>
        <div className="row">
          <label className="grow">
            {t.admin.key_name}
            <input required maxLength={100} value={name} onChange={(event) => setName(event.target.value)} />
          </label>
          <label>
            {t.admin.tier}
            <select value={tier} onChange={(event) => setTier(event.target.value as Schema["Tier"])}>
              {TIERS.map((known) => (
                <option key={known}>{known}</option>
              ))}
            </select>
          </label>
          <label>
            {t.admin.expires_at}
            <input type="date" value={expires} onChange={(event) => setExpires(event.target.value)} />
          </label>
        </div>
        <fieldset>
          <legend>{t.admin.scopes}</legend>
          <div className="scopes">
            {SCOPES.map((scope) => (
              <label key={scope} className="check">
                <input
                  type="checkbox"
                  checked={scopes.includes(scope)}
                  onChange={(event) =>
                    setScopes(SCOPES.filter((known) => (known === scope ? event.target.checked : scopes.includes(known))))
                  }
                />
                <span>
                  <code>{scope}</code> <span className="quiet small">{may[scope]}</span>
                </span>
              </label>
            ))}
          </div>
        </fieldset>
        <div>
          <button type="submit" className="button main" disabled={!scopes.length || create.isPending}>
            <Icon name="key" />
            {t.admin.create}
          </button>
        </div>
      </form>
      {create.isError && <Fault error={create.error} scope="admin" />}
    </section>
  );
}
