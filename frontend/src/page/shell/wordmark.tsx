import { makeStyles, tokens } from "@fluentui/react-components";

const useStyles = makeStyles({
  root: {
    display: "inline-flex",
    alignItems: "center",
    gap: tokens.spacingHorizontalS,
    fontSize: tokens.fontSizeBase400,
    fontWeight: tokens.fontWeightSemibold,
    letterSpacing: "-0.01em",
    color: tokens.colorNeutralForeground1,
  },
  lines: { stroke: tokens.colorNeutralForegroundOnBrand, strokeWidth: 2.6, strokeLinecap: "round" },
  tile: { fill: tokens.colorBrandBackground },
  dot: { fill: "#86efac" },
});

export function Wordmark() {
  const styles = useStyles();
  return (
    <span className={styles.root}>
      <svg width="24" height="24" viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="9" className={styles.tile} />
        <path d="M8 11h10M8 16h16M8 21h6" className={styles.lines} />
        <circle cx="24" cy="11" r="2.4" className={styles.dot} />
      </svg>
      Plancast
    </span>
  );
}
