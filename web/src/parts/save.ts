// Handing a file to whoever reads the page.

export function save(content: Blob, name: string): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser has taken it up by then.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** An answer as a file, under the name that it bears. */
export async function saveResponse(answer: Response, name: string): Promise<void> {
  const named = /filename="?([^";]+)"?/.exec(answer.headers.get("content-disposition") ?? "")?.[1];
  save(await answer.blob(), named ?? name);
}
