import { makeStyles, tokens } from "@fluentui/react-components";

const useStyles = makeStyles({
  dots: { display: "inline-flex", gap: "3px", alignItems: "center" },
  dot: {
    width: "5px",
    height: "5px",
    borderRadius: tokens.borderRadiusCircular,
    backgroundColor: "currentColor",
    animationName: { "0%, 100%": { opacity: 0.25 }, "40%": { opacity: 1 } },
    animationDuration: "1.4s",
    animationIterationCount: "infinite",
    "@media (prefers-reduced-motion: reduce)": { animationName: "none", opacity: 0.7 },
  },
});

/** Activity indicator: three pulsing dots. Decorative, beside a text. */
export function Pulse() {
  const styles = useStyles();
  return (
    <span className={styles.dots} aria-hidden>
      {[0, 160, 320].map((delay) => (
        <span key={delay} className={styles.dot} style={{ animationDelay: `${delay}ms` }} />
      ))}
    </span>
  );
}
