import { DrawerBody, makeStyles, OverlayDrawer, tokens } from "@fluentui/react-components";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Sidebar } from "../plans/sidebar.js";
import { hrefOf, type Route } from "../routes.js";
import { useMedia } from "../theme/preference.js";
import { TopBar } from "./top_bar.js";

/** From this width on, the list fits beside a plan. */
const WIDE = "(min-width: 900px)";

const useStyles = makeStyles({
  root: { height: "100%", display: "flex", flexDirection: "column", minHeight: 0 },
  skip: {
    position: "absolute",
    zIndex: 10,
    top: tokens.spacingVerticalS,
    left: tokens.spacingHorizontalS,
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    borderRadius: tokens.borderRadiusMedium,
    backgroundColor: tokens.colorBrandBackground,
    color: tokens.colorNeutralForegroundOnBrand,
    transform: "translateY(-200%)",
    ":focus": { transform: "none" },
  },
  body: { flex: 1, minHeight: 0, display: "flex" },
  side: {
    width: "320px",
    flexShrink: 0,
    boxSizing: "border-box",
    borderRight: `1px solid ${tokens.colorNeutralStroke2}`,
    backgroundColor: tokens.colorNeutralBackground1,
  },
  main: {
    flex: 1,
    minWidth: 0,
    minHeight: 0,
    overflowY: "auto",
    outlineStyle: "none",
    backgroundColor: tokens.colorNeutralBackground2,
  },
  drawer: { padding: 0 },
});

interface ShellProps {
  readonly route: Route;
  readonly onSignOut?: (() => void) | undefined;
  readonly children: ReactNode;
}

/** The frame around every view, with the list of plans beside it, or in a drawer on narrow screens. */
export function Shell({ route, onSignOut, children }: ShellProps) {
  const styles = useStyles();
  const wide = useMedia(WIDE);
  const [drawerOpen, setDrawerOpen] = useState(false);
  const main = useFocusOnNewView(route);
  const viewKey = viewKeyOf(route);
  const [last, setLast] = useState(viewKey);
  if (last !== viewKey) {
    setLast(viewKey);
    setDrawerOpen(false); // a plan was chosen
  }
  const skip = () => main.current?.focus();
  return (
    <div className={styles.root}>
      <a href="#main" className={styles.skip} onClick={(event) => (event.preventDefault(), skip())}>
        Skip to the plan
      </a>
      <TopBar onMenu={wide ? undefined : () => setDrawerOpen(true)} onSignOut={onSignOut} />
      <div className={styles.body}>
        {wide && (
          <nav className={styles.side} aria-label="Plans">
            <Sidebar route={route} />
          </nav>
        )}
        <main id="main" ref={main} tabIndex={-1} className={styles.main}>
          {children}
        </main>
      </div>
      {!wide && (
        <OverlayDrawer open={drawerOpen} onOpenChange={(_, { open }) => setDrawerOpen(open)} aria-label="Plans">
          <DrawerBody className={styles.drawer}>
            <Sidebar route={route} />
          </DrawerBody>
        </OverlayDrawer>
      )}
    </div>
  );
}

/** Identifies the view: positions of a plan, and selections of the wall, are the same view. */
function viewKeyOf(route: Route): string {
  return route.view === "wall" ? "/wall" : hrefOf(route).replace(/\?.*/, "");
}

/** Moves the focus to the main area after navigation to another view, but not on the first load. */
function useFocusOnNewView(route: Route) {
  const main = useRef<HTMLElement>(null);
  const viewKey = viewKeyOf(route);
  const last = useRef(viewKey);
  useEffect(() => {
    if (last.current === viewKey) return;
    last.current = viewKey;
    main.current?.focus({ preventScroll: true });
    main.current?.scrollTo(0, 0);
  }, [viewKey]);
  return main;
}
