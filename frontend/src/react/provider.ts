import { createContext, createElement, type ReactNode, useContext, useEffect, useMemo, useState } from "react";
import { type Client, type ClientOptions, createClient } from "../client/index.js";

const ClientContext = createContext<Client | null>(null);

export type PlancastProviderProps = { readonly children?: ReactNode } & (
  { readonly client: Client } | ({ readonly client?: undefined } & ClientOptions)
);

/** Gives a client to everything inside: the one that is handed in, or one of its own, for this `url` and `token`. */
export function PlancastProvider(props: PlancastProviderProps): ReactNode {
  const { client, children, ...options } = props;
  return client
    ? createElement(ClientContext.Provider, { value: client }, children)
    : createElement(OwnClient, { options }, children);
}

/** Another `url` or `token` is another client; of the other options, those of the first time count. */
function OwnClient({
  options,
  children,
}: {
  readonly options: ClientOptions;
  readonly children?: ReactNode;
}): ReactNode {
  const [given] = useState(() => new Given(options));
  useEffect(() => given.set(options));
  const { url, token, fetchToken } = options;
  const fetches = fetchToken !== undefined;
  const client = useMemo(() => given.createClient(url, token, fetches), [given, url, token, fetches]);
  // It lets go of its connection by itself when nobody watches any more.
  return createElement(ClientContext.Provider, { value: client }, children);
}

/** A server renders no page whose origin could be the hub's, and connects to none. */
const NO_PAGE = "http://no-hub-url-was-given.invalid";

/** The options as they were given last: `fetchToken` is likely to be another function with each rendering. */
class Given {
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

/** The client of the provider above. */
export function useClient(): Client {
  const client = useContext(ClientContext);
  if (!client) throw new Error("useClient (or a hook that needs it) is to be called inside <PlancastProvider>");
  return client;
}
