// How Milo is and how it is set up, in parts with an address each.
import { Link, useParams } from "wouter";
import { lazy, Suspense, useEffect, useRef } from "react";
import { useTexts } from "../language";
import { Loading } from "../parts/loading";
import { Title } from "../parts/title";
import { Missing } from "./missing";
import { Overview } from "./system/overview";
import "./system/system.css";

const PARTS = {
  overview: Overview,
  trunks: lazy(() => import("./system/trunks")),
  plans: lazy(() => import("./system/plans")),
  keys: lazy(() => import("./system/keys")),
  webhooks: lazy(() => import("./system/webhooks")),
  bans: lazy(() => import("./system/bans")),
  config: lazy(() => import("./system/config")),
} as const;

const isPart = (name: string): name is keyof typeof PARTS => Object.hasOwn(PARTS, name);

export default function System() {
  const t = useTexts();
  const { part = "overview" } = useParams();
  const ways = useRef<HTMLElement>(null);
  // On a narrow screen the way to this part may lie outside.
  useEffect(() => {
    ways.current?.querySelector("[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  }, [part]);
  if (!isPart(part)) return <Missing />;
  const Part = PARTS[part];
  return (
    <>
      <Title>{t.admin.title}</Title>
      <nav ref={ways} className="parts" aria-label={t.admin.sections}>
        <ul>
          {(Object.keys(PARTS) as (keyof typeof PARTS)[]).map((name) => (
            <li key={name}>
              <Link href={name === "overview" ? "/system" : `/system/${name}`} aria-current={name === part ? "page" : undefined}>
                {t.admin[name]}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <Suspense fallback={<Loading />}>
        <Part />
      </Suspense>
    </>
  );
}
