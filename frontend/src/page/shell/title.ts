import { useEffect } from "react";

/** The document's title, as long as the caller is shown. */
export function useTitle(title: string | undefined): void {
  useEffect(() => {
    document.title = title ? `${title} · Plancast` : "Plancast";
  }, [title]);
}
