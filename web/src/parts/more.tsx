import { useTexts } from "../language";

/** Fetches the next page of a list, where there is one. */
export function More({ pages }: { pages: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => Promise<unknown> } }) {
  const t = useTexts();
  if (!pages.hasNextPage) return null;
  return (
    <button type="button" className="button" disabled={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
      {t.common.more}
    </button>
  );
}
