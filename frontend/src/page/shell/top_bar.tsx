import { Button, makeStyles, tokens, Tooltip } from "@fluentui/react-components";
import { GridRegular, NavigationRegular, SignOutRegular } from "@fluentui/react-icons";
import { navigate, ViewLink } from "../navigation.js";
import { ThemeMenu } from "../theme/theme_menu.js";
import { rememberedWall } from "../wall/wall_plans.js";
import { Wordmark } from "./wordmark.js";

const useStyles = makeStyles({
  root: {
    display: "flex",
    alignItems: "center",
    gap: tokens.spacingHorizontalXS,
    height: "48px",
    flexShrink: 0,
    boxSizing: "border-box",
    padding: `0 ${tokens.spacingHorizontalM}`,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    backgroundColor: tokens.colorNeutralBackground1,
  },
  home: {
    display: "flex",
    marginRight: "auto",
    padding: tokens.spacingHorizontalXS,
    borderRadius: tokens.borderRadiusMedium,
    textDecorationLine: "none",
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}` },
  },
});

interface TopBarProps {
  /** Opens the list on narrow screens. */
  readonly onMenu?: (() => void) | undefined;
  readonly onSignOut?: (() => void) | undefined;
}

export function TopBar({ onMenu, onSignOut }: TopBarProps) {
  const styles = useStyles();
  return (
    <header className={styles.root}>
      {onMenu && (
        <Tooltip content="Plans" relationship="label">
          <Button appearance="subtle" icon={<NavigationRegular />} aria-label="Plans" onClick={onMenu} />
        </Tooltip>
      )}
      <ViewLink href="/" className={styles.home} aria-label="Plancast, start">
        <Wordmark />
      </ViewLink>
      <Tooltip content="Wall of plans" relationship="label">
        <Button
          appearance="subtle"
          icon={<GridRegular />}
          aria-label="Wall of plans"
          onClick={() => navigate({ view: "wall", plans: rememberedWall() })}
        />
      </Tooltip>
      <ThemeMenu />
      {onSignOut && (
        <Tooltip content="Sign out" relationship="label">
          <Button appearance="subtle" icon={<SignOutRegular />} aria-label="Sign out" onClick={onSignOut} />
        </Tooltip>
      )}
    </header>
  );
}
