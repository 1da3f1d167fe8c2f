/** Which addresses a page may follow. What agents say is not to be trusted with more. */

export function safeLink(url: string | undefined): string | null {
  return checked(url, (parsed) => parsed.protocol === "http:" || parsed.protocol === "https:");
}

/** Also pictures that come with the data; none that could hold a script. */
export function safeImage(url: string | undefined): string | null {
  return checked(
    url,
    ({ protocol, href }) =>
      protocol === "http:" || protocol === "https:" || /^data:image\/(png|jpeg|gif|webp|avif|bmp)[;,]/i.test(href),
  );
}

function checked(url: string | undefined, isSafe: (parsed: URL) => boolean): string | null {
  if (url === undefined) return null;
  try {
    const parsed = new URL(url, document.baseURI);
    return isSafe(parsed) ? parsed.href : null;
  } catch {
    return null;
  }
}
