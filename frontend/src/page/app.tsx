import { FluentProvider } from "@fluentui/react-components";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { createClient } from "../client/index.js";
import { PlancastProvider } from "../react/index.js";
import { useRoute } from "./navigation.js";
import { Shell } from "./shell/shell.js";
import { AuthWatcher } from "./sign_in/renewal.js";
import { Renewal } from "./sign_in/renewal.js";
import { SessionStore } from "./sign_in/session.js";
import { SignIn } from "./sign_in/sign_in.js";
import { tabStorage } from "./sign_in/tab_storage.js";
import { useIsDark } from "./theme/preference.js";
import { darkTheme, lightTheme } from "./theme/themes.js";
import { View } from "./view.js";

/** A style, not a class: portals inherit classes, and a tooltip would cover the page. */
const FULL = { height: "100%" };

export function App() {
  const dark = useIsDark();
  useEffect(() => {
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
  }, [dark]);
  return (
    <FluentProvider theme={dark ? darkTheme : lightTheme} style={FULL}>
      <AuthGate />
    </FluentProvider>
  );
}

/** Shows the sign-in view if the hub requires a token, and otherwise the page. */
function AuthGate() {
  const [store] = useState(() => new SessionStore(tabStorage()));
  const session = useSyncExternalStore(store.subscribe, store.getSnapshot);
  const route = useRoute();
  const { token, signIns, access } = session;
  const signedIn = token !== undefined;
  // Each sign-in gets a new client; a renewed token does not.
  const client = useMemo(
    () =>
      signIns >= 0 && signedIn
        ? createClient({ fetchToken: store.fetchToken, environment: { fetch: store.fetch } })
        : createClient(),
    [signIns, signedIn, store],
  );
  if (access.state === "closed") return <SignIn access={access} session={store} />;
  return (
    <PlancastProvider client={client}>
      <AuthWatcher session={store} />
      <Renewal session={session} store={store} />
      <Shell route={route} onSignOut={signedIn ? () => store.signOut() : undefined}>
        <View route={route} />
      </Shell>
    </PlancastProvider>
  );
}
