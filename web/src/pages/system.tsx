// How Milo is and how it is set up, in parts with an address each.
import { useParams } from "wouter";
import { lazy, Suspense } from "react";
import { useTexts } from "../language";
import { Loading } from "../parts/loading";
import { Sections } from "../parts/sections";
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
const toPart = (name: keyof typeof PARTS): string => (name === "overview" ? "/system" : `/system/${name}`);

export default function System() {
  const t = useTexts();
  const { part = "overview" } = useParams();
  if (!isPart(part)) return <Missing />;
  const Part = PARTS[part];
  return (
    <>
      <Title>{t.admin.title}</Title>
      <Sections
        label={t.admin.sections}
        here={toPart(part)}
        ways={(Object.keys(PARTS) as (keyof typeof PARTS)[]).map((name) => ({ to: toPart(name), text: t.admin[name] }))}
      />
      <Suspense fallback={<Loading />}>
        <Part />
      </Suspense>
    </>
  );
}
