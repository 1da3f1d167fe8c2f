import { createContext, createElement, type ReactNode, useContext, useEffect, useMemo, useState } from "react";
import { type Client, type ClientOptions, createClient } from "../client/index.js";

const ClientContext = createContext<Client | null>(null);

/** Either a `client`, or the options to create one. */
export type PlancastProviderProps = { readonly children?: ReactNode } & (
  { readonly client: Client } | ({ readonly client?: undefined } & ClientOptions)
);

/**
 * Provides a client to the hooks inside: the given `client`, or one that it creates from `url`, `token` and the other options.
 *
 * @example
 * ```tsx
 * <PlancastProvider url="http://localhost:8000"><App /></PlancastProvider>
 * ```
 */
export function PlancastProvider(props: PlancastProviderProps): ReactNode {
  const { client, children, ...options } = props;
  return client
    ? createElement(ClientContext.Provider, { value: client }, children)
    : createElement(OwnClient, { options }, children);
}

/** Creates a new client when `url` or `token` changes; changes of the other options have no effect. */
function OwnClient({
  options,
  children,
}: {
  readonly options: ClientOptions;
  readonly children?: ReactNode;
}): ReactNode {
  const [latest] = useState(() => new LatestOptions(options));
  useEffect(() => latest.set(options));
  const { url, token, fetchToken } = options;
  const fetches = fetchToken !== undefined;
  const client = useMemo(() => latest.createClient(url, token, fetches), [latest, url, token, fetches]);
  // No cleanup: a client disconnects by itself when no plan is watched.
  return createElement(ClientContext.Provider, { value: client }, children);
}

/** Used on a server, where there is no page origin and no connection is made. */
const NO_PAGE = "http://no-hub-url-was-given.invalid";

/** The options of the last render: `fetchToken` is often a new function each time. */
class LatestOptions {
  #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  set(options: ClientOptions): void {
    this.#options = options;
  }

  createClient(url: string | undefined, token: string | undefined, fetches: boolean): Client {
    const fetchToken: ClientOptions["fetchToken"] = (why) => this.#options.fetchToken?.(why) ?? "";
    const address = url ?? (typeof location === "undefined" ? NO_PAGE : undefined);
    return createClient({ ...this.#options, url: address, token, fetchToken: fetches ? fetchToken : undefined });
  }
}

/**
 * The client of the enclosing `<PlancastProvider>`.
 *
 * @throws Error outside of a provider.
 */
export function useClient(): Client {
  const client = useContext(ClientContext);
  if (!client) throw new Error("useClient and the other hooks must be called inside <PlancastProvider>");
  return client;
}
