import { Link } from "wouter";
import { Title } from "../parts/title";
import { useTexts } from "../language";

export function Missing() {
  const t = useTexts();
  return (
    <>
      <Title lede={t.fault.missing_hint}>{t.fault.missing}</Title>
      <Link href="/" className="button main">
        {t.fault.home}
      </Link>
    </>
  );
}
