import { makeStyles, tokens } from "@fluentui/react-components";
import { memo } from "react";
import { type Activity, DOING_WORDS } from "./activity.js";
import { AgentFace, AgentName } from "./agent_name.js";
import { Pulse } from "./pulse.js";

const useStyles = makeStyles({
  strip: { display: "flex", flexWrap: "wrap", columnGap: tokens.spacingHorizontalL, rowGap: tokens.spacingVerticalXS },
  one: {
    display: "inline-flex",
    alignItems: "center",
    gap: tokens.spacingHorizontalS,
    color: tokens.colorNeutralForeground2,
    fontSize: tokens.fontSizeBase200,
  },
});

/** Who is at work, and at what. Not announced: what comes of it is. */
export const ActivityStrip = memo(function ActivityStrip({ activities }: { readonly activities: readonly Activity[] }) {
  const styles = useStyles();
  return (
    <ul className={styles.strip} aria-label="At work" style={{ listStyle: "none", margin: 0, padding: 0 }}>
      {activities.map(({ agent, doing }) => (
        <li key={agent} className={styles.one} data-doing={doing}>
          <AgentFace name={agent} size={20} />
          <AgentName name={agent} small />
          <span>{DOING_WORDS[doing]}</span>
          <Pulse />
        </li>
      ))}
    </ul>
  );
});
