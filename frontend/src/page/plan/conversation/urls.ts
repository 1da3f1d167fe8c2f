/** The URLs from agents that the page may link to or load. */

export function safeLink(url: string | undefined): string | null {
  return checked(url, (parsed) => parsed.protocol === "http:" || parsed.protocol === "https:");
}

/** Also data: URLs of images, except types that can contain scripts. */
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
