import { makeStyles, Subtitle2, Text, tokens } from "@fluentui/react-components";
import type { ReactNode } from "react";

const useStyles = makeStyles({
  root: {
    display: "flex",
    flexDirection: "column",
    alignItems: "center",
    justifyContent: "center",
    textAlign: "center",
    gap: tokens.spacingVerticalS,
    padding: `${tokens.spacingVerticalXXXL} ${tokens.spacingHorizontalXL}`,
    color: tokens.colorNeutralForeground2,
  },
  title: { margin: 0, color: tokens.colorNeutralForeground1 },
  icon: { fontSize: "32px", lineHeight: 1, color: tokens.colorNeutralForeground3 },
  text: { maxWidth: "34rem", textAlign: "center", textWrap: "balance" },
  actions: {
    display: "flex",
    flexWrap: "wrap",
    justifyContent: "center",
    gap: tokens.spacingHorizontalS,
    marginTop: tokens.spacingVerticalM,
  },
});

interface MessageProps {
  readonly icon?: ReactNode;
  readonly title: string;
  /** The heading's level; 0: not a heading. */
  readonly rank?: 0 | 1 | 2;
  readonly children?: ReactNode;
  readonly actions?: ReactNode;
}

/** Shown in place of content: empty, failed, not found. */
export function Message({ icon, title, rank = 0, children, actions }: MessageProps) {
  const styles = useStyles();
  return (
    <div className={styles.root}>
      {icon && <span className={styles.icon}>{icon}</span>}
      <Subtitle2 as={rank === 1 ? "h1" : rank === 2 ? "h2" : "span"} className={styles.title}>
        {title}
      </Subtitle2>
      {children && <Text className={styles.text}>{children}</Text>}
      {actions && <div className={styles.actions}>{actions}</div>}
    </div>
  );
}
