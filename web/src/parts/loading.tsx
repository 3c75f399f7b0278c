import { useTexts } from "../language";

export function Loading() {
  const t = useTexts();
  return (
    <p className="loading" role="status">
      <span className="spinner" aria-hidden="true" />
      {t.common.loading}
    </p>
  );
}
