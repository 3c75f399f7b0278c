import { useEffect, useRef, useState } from "react";
import { useQueryClient } from "@tanstack/react-query";
import { isLinked, signOut, useKey } from "../access";
import { fill, LANGUAGES, OWN_NAMES, switchTo, useLanguage, useTexts } from "../language";
import { switchTheme, theme, THEMES } from "../theme";
import { Choice } from "./choice";
import { Icon } from "./icon";
import { KeyForm } from "./key-form";

/** Language, colours and key, behind one button. */
export function Settings() {
  const t = useTexts();
  const language = useLanguage();
  const key = useKey();
  const queries = useQueryClient();
  const [colours, setColours] = useState(theme);
  const place = useRef<HTMLDetailsElement>(null);
  useCloses(place);
  return (
    <details className="settings" ref={place}>
      <summary>
        <Icon name="settings" />
        <span className="unseen">{t.nav.settings} </span>
        <span>{language.toUpperCase()}</span>
      </summary>
      <div className="sheet">
        <Choice
          label={t.nav.interface}
          value={language}
          onChange={switchTo}
          options={LANGUAGES.map((code) => ({ value: code, text: OWN_NAMES[code], lang: code }))}
        />
        <Choice
          label={t.nav.theme}
          value={colours}
          onChange={(chosen) => {
            switchTheme(chosen);
            setColours(chosen);
          }}
          options={THEMES.map((name) => ({ value: name, text: t.nav[name] }))}
        />
        <section>
          <h2>{t.key.title}</h2>
          {key ? (
            <>
              <p>{isLinked(key) ? t.key.signed_in_link : fill(t.key.signed_in, { end: key.slice(-4) })}</p>
              <button
                type="button"
                className="button"
                onClick={() => {
                  signOut();
                  void queries.invalidateQueries();
                }}
              >
                {t.key.sign_out}
              </button>
            </>
          ) : (
            <>
              <p>
                {t.key.open} {t.key.first}
              </p>
              <KeyForm scope="admin" />
            </>
          )}
        </section>
        <p>
          <a href="/docs/">{t.nav.documentation}</a>
        </p>
      </div>
    </details>
  );
}

/** Escape, and a press elsewhere, close it. */
function useCloses(place: React.RefObject<HTMLDetailsElement | null>) {
  useEffect(() => {
    const close = (event: Event) => {
      const details = place.current;
      if (!details?.open) return;
      const leaves = event instanceof KeyboardEvent ? event.key === "Escape" : !details.contains(event.target as Node);
      if (!leaves) return;
      details.open = false;
      if (event instanceof KeyboardEvent) details.querySelector("summary")?.focus();
    };
    document.addEventListener("keydown", close);
    document.addEventListener("pointerdown", close);
    return () => {
      document.removeEventListener("keydown", close);
      document.removeEventListener("pointerdown", close);
    };
  }, [place]);
}
