import { useQueryClient } from "@tanstack/react-query";
import { useId, useState, type FormEvent } from "react";
import { setKey } from "../access";
import { useTexts } from "../language";
import { Copyable } from "./copyable";

/** Where a key is put in, and how one is got. */
export function KeyForm({ scope, isOther = false }: { scope: string; isOther?: boolean }) {
  const t = useTexts();
  const queries = useQueryClient();
  const id = useId();
  const [value, setValue] = useState("");
  const send = (event: FormEvent) => {
    event.preventDefault();
    setKey(value);
    void queries.invalidateQueries();
  };
  return (
    <div className="key-form">
      {!isOther && <p>{t.key.how}</p>}
      <Copyable text={`milo keys create --name web --scope ${scope}`} />
      <p>{t.key.then}</p>
      {!isOther && <p>{t.key.link}</p>}
      <form onSubmit={send} className="row">
        <label htmlFor={id} className="grow">
          {t.key.label}
          <input
            id={id}
            type="password"
            autoComplete="off"
            spellCheck={false}
            required
            value={value}
            onChange={(event) => setValue(event.target.value)}
          />
        </label>
        <button type="submit" className="button main">
          {t.key.sign_in}
        </button>
      </form>
    </div>
  );
}
