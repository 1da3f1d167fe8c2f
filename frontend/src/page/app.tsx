import { FluentProvider } from "@fluentui/react-components";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { createClient } from "../client/index.js";
import { PlancastProvider } from "../react/index.js";
import { useRoute } from "./navigation.js";
import { Shell } from "./shell/shell.js";
import { Doorkeeper } from "./sign_in/doorkeeper.js";
import { Renewal } from "./sign_in/renewal.js";
import { SessionStore } from "./sign_in/session.js";
import { SignIn } from "./sign_in/sign_in.js";
import { tabStorage } from "./sign_in/tab_storage.js";
import { useIsDark } from "./theme/preference.js";
import { darkTheme, lightTheme } from "./theme/themes.js";
import { View } from "./view.js";

/** Not a class: that would be given to every portal, too, and a tooltip would cover the page. */
const FULL = { height: "100%" };

export function App() {
  const dark = useIsDark();
  useEffect(() => {
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
  }, [dark]);
  return (
    <FluentProvider theme={dark ? darkTheme : lightTheme} style={FULL}>
      <Doorway />
    </FluentProvider>
  );
}

/** Whoever the hub doesn't know is asked for a token; the others get the page. */
function Doorway() {
  const [store] = useState(() => new SessionStore(tabStorage()));
  const session = useSyncExternalStore(store.subscribe, store.getSnapshot);
  const route = useRoute();
  const { token, visit, door } = session;
  const signedIn = token !== undefined;
  // Another visit is another client; a fresh token of the same visit is not.
  const client = useMemo(
    () =>
      visit >= 0 && signedIn
        ? createClient({ fetchToken: store.fetchToken, environment: { fetch: store.fetch } })
        : createClient(),
    [visit, signedIn, store],
  );
  if (door.state === "closed") return <SignIn door={door} session={store} />;
  return (
    <PlancastProvider client={client}>
      <Doorkeeper session={store} />
      <Renewal session={session} store={store} />
      <Shell route={route} onSignOut={signedIn ? () => store.leave() : undefined}>
        <View route={route} />
      </Shell>
    </PlancastProvider>
  );
}
