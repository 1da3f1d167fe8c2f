import { Button, makeStyles, mergeClasses, tokens, Tooltip } from "@fluentui/react-components";
import type { Connection, PlancastError, PlanPhase } from "../../../client/index.js";
import { useClient } from "../../../react/index.js";
import { connectionLabel, type Tone } from "./connection.js";
import { useNow } from "../../shell/now.js";

const useStyles = makeStyles({
  whole: { display: "inline-flex", alignItems: "center", gap: tokens.spacingHorizontalXS, minWidth: 0 },
  tag: {
    display: "inline-flex",
    alignItems: "center",
    gap: tokens.spacingHorizontalSNudge,
    padding: `3px ${tokens.spacingHorizontalMNudge}`,
    borderRadius: tokens.borderRadiusCircular,
    fontSize: tokens.fontSizeBase200,
    lineHeight: tokens.lineHeightBase200,
    fontWeight: tokens.fontWeightMedium,
    fontVariantNumeric: "tabular-nums",
  },
  dot: {
    width: "7px",
    height: "7px",
    flexShrink: 0,
    borderRadius: tokens.borderRadiusCircular,
    backgroundColor: "currentColor",
  },
  breathe: {
    animationName: { "0%, 100%": { opacity: 1 }, "50%": { opacity: 0.35 } },
    animationDuration: "2.4s",
    animationIterationCount: "infinite",
    "@media (prefers-reduced-motion: reduce)": { animationName: "none" },
  },
  good: { color: tokens.colorStatusSuccessForeground1, backgroundColor: tokens.colorStatusSuccessBackground1 },
  busy: { color: tokens.colorBrandForeground2, backgroundColor: tokens.colorBrandBackground2 },
  warning: { color: tokens.colorStatusWarningForeground1, backgroundColor: tokens.colorStatusWarningBackground1 },
  bad: { color: tokens.colorStatusDangerForeground1, backgroundColor: tokens.colorStatusDangerBackground1 },
  quiet: { color: tokens.colorNeutralForeground3, backgroundColor: tokens.colorNeutralBackground4 },
});

const BREATHES: Readonly<Record<Tone, boolean>> = { good: true, busy: true, warning: true, bad: false, quiet: false };

interface Props {
  readonly connection: Connection;
  readonly phase: PlanPhase;
  readonly error?: PlancastError | null;
}

export function ConnectionTag({ connection, phase, error = null }: Props) {
  const styles = useStyles();
  const client = useClient();
  const now = useNow(1_000, connection.status === "reconnecting");
  const { tone, text, detail, mayRetry } = connectionLabel(connection, phase, now, error);
  const tag = (
    <span className={mergeClasses(styles.tag, styles[tone])} data-connection={connection.status}>
      <span className={mergeClasses(styles.dot, BREATHES[tone] && styles.breathe)} aria-hidden />
      {text}
    </span>
  );
  return (
    <span className={styles.whole}>
      {detail ? (
        <Tooltip content={detail} relationship="description">
          {tag}
        </Tooltip>
      ) : (
        tag
      )}
      {mayRetry && (
        <Button size="small" appearance="subtle" onClick={() => client.retry()}>
          Try now
        </Button>
      )}
    </span>
  );
}
