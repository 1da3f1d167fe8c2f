import { Avatar, makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { agentGround, agentText } from "./colour.js";

const useStyles = makeStyles({
  name: { fontWeight: tokens.fontWeightSemibold, fontSize: tokens.fontSizeBase300, overflowWrap: "anywhere" },
  small: { fontSize: tokens.fontSizeBase200, fontWeight: tokens.fontWeightMedium },
});

export function AgentName({ name, small = false }: { readonly name: string; readonly small?: boolean }) {
  const styles = useStyles();
  return (
    <span className={mergeClasses(styles.name, small && styles.small)} style={{ color: agentText(name) }}>
      {name}
    </span>
  );
}

/** Decorative, beside the name. */
export function AgentFace({ name, size = 28 }: { readonly name: string; readonly size?: 20 | 28 }) {
  const style = { color: agentText(name), backgroundColor: agentGround(name) };
  return <Avatar aria-hidden name={name} size={size} initials={{ style }} />;
}
