/** A position in a plan's history, as in links: `?at=epoch.offset`. */
import type { Place } from "../../../client/index.js";

export function momentText({ epoch, offset }: Place): string {
  return `${epoch}.${offset}`;
}

/** The position; null if the text is not one. */
export function momentOf(text: string | null | undefined): Place | null {
  const [, epoch, digits] = /^(.+)\.(\d{1,15})$/.exec(text ?? "") ?? [];
  return epoch === undefined ? null : { epoch, offset: Number(digits) };
}

/** The address of a plan's page at a position; null: as it is now. */
export function momentLink(page: { readonly origin: string }, planId: string, place: Place | null): string {
  const url = new URL(`/plan/${encodeURIComponent(planId)}`, page.origin);
  if (place) url.searchParams.set("at", momentText(place));
  return url.href;
}
