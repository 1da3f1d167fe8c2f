/** Navigation with the browser's history; three views need no router library. */
import { type ComponentProps, type MouseEvent, useMemo, useSyncExternalStore } from "react";
import { hrefOf, type Route, routeOf } from "./routes.js";

const MOVED = "plancast:moved";

/** Navigates to a route. `replace`: without a new history entry. */
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

/** A link to another view without a page reload; new tabs, copying the address and so on still work. */
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
