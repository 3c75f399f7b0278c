import { useTexts } from "../../language";
import { Sections } from "../../parts/sections";

/** Between the calls that were, those that Milo is to place, and what callers want of the people of the house. */
export function Ways({ here }: { here: "/calls" | "/campaigns" | "/requests" }) {
  const t = useTexts();
  const ways = [
    { to: "/calls", text: t.calls.title },
    { to: "/campaigns", text: t.campaigns.title },
    { to: "/requests", text: t.requests.title },
  ];
  return <Sections label={t.calls.sections} here={here} ways={ways} />;
}
