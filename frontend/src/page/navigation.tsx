/** Where the page is, by the browser's own history; three views need no router. */
import { type ComponentProps, type MouseEvent, useMemo, useSyncExternalStore } from "react";
import { hrefOf, type Route, routeOf } from "./routes.js";

const MOVED = "plancast:moved";

/** Goes there. `replace`: without a step to come back to. */
export function navigate(to: Route | string, { replace = false }: { readonly replace?: boolean } = {}): void {
  const href = typeof to === "string" ? to : hrefOf(to);
  if (href === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", href);
  dispatchEvent(new Event(MOVED));
}

export function useRoute(): Route {
  const href = useSyncExternalStore(subscribe, () => location.pathname + location.search);
  return useMemo(() => {
    const [path = "/", search = ""] = href.split(/\?(.*)/s);
    return routeOf(path, search);
  }, [href]);
}

function subscribe(listener: () => void): () => void {
  addEventListener("popstate", listener);
  addEventListener(MOVED, listener);
  return () => {
    removeEventListener("popstate", listener);
    removeEventListener(MOVED, listener);
  };
}

/** A link to another view: no reload, but all else that links can do (new tab, copied address …). */
export function ViewLink({ href, onClick, ...rest }: ComponentProps<"a"> & { readonly href: string }) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (!isPlainClick(event)) return;
    event.preventDefault();
    navigate(href);
  };
  return <a {...rest} href={href} onClick={follow} />;
}

function isPlainClick(event: MouseEvent<HTMLAnchorElement>): boolean {
  const { defaultPrevented, button, metaKey, ctrlKey, shiftKey, altKey } = event;
  return !defaultPrevented && button === 0 && !metaKey && !ctrlKey && !shiftKey && !altKey;
}
