/** A moment of a plan, as a link names it: `?at=epoch.offset`. */
import type { Place } from "../../../client/index.js";

export function momentText({ epoch, offset }: Place): string {
  return `${epoch}.${offset}`;
}

/** null: this names no moment. */
export function momentOf(text: string | null | undefined): Place | null {
  const [, epoch, digits] = /^(.+)\.(\d{1,15})$/.exec(text ?? "") ?? [];
  return epoch === undefined ? null : { epoch, offset: Number(digits) };
}

/** Where a plan's page is, at this moment or (null) as it is now. */
export function momentLink(page: { readonly origin: string }, planId: string, place: Place | null): string {
  const url = new URL(`/plan/${encodeURIComponent(planId)}`, page.origin);
  if (place) url.searchParams.set("at", momentText(place));
  return url.href;
}
