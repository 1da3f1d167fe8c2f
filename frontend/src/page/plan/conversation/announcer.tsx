import { makeStyles } from "@fluentui/react-components";
import { memo, useState } from "react";
import type { Snapshot } from "../../../client/index.js";
import { type Announced, announced } from "./announcing.js";

const useStyles = makeStyles({
  unseen: {
    position: "absolute",
    width: "1px",
    height: "1px",
    margin: "-1px",
    overflow: "hidden",
    clipPath: "inset(50%)",
    whiteSpace: "nowrap",
  },
});

/** Tells those who listen what agents came to and what they ask: not every thought, and nothing word by word. */
export const Announcer = memo(function Announcer({ plan }: { readonly plan: Snapshot }) {
  const styles = useStyles();
  const [told, setTold] = useState<Announced>(() => announced(null, plan));
  const now = announced(told, plan);
  if (now !== told) setTold(now);
  return (
    <div role="log" aria-live="polite" aria-label="What is new" className={styles.unseen}>
      {now.lines.map(({ key, text }) => (
        <p key={key}>{text}</p>
      ))}
    </div>
  );
});
