import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { ChevronRight16Regular, Wrench16Regular } from "@fluentui/react-icons";
import { memo } from "react";
import type { ToolCallState } from "../../../client/index.js";
import { Pulse } from "../agents/pulse.js";
import { JsonView } from "../results/json_view.js";
import { between, duration } from "../status/durations.js";

const useStyles = makeStyles({
  call: {
    borderRadius: tokens.borderRadiusMedium,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    maxWidth: "100%",
    overflow: "hidden",
  },
  head: {
    display: "flex",
    width: "100%",
    alignItems: "center",
    gap: tokens.spacingHorizontalSNudge,
    padding: `5px ${tokens.spacingHorizontalS}`,
    border: "none",
    background: "none",
    color: tokens.colorNeutralForeground2,
    font: "inherit",
    fontSize: tokens.fontSizeBase200,
    textAlign: "left",
    cursor: "pointer",
    ":hover": { backgroundColor: tokens.colorNeutralBackground1Hover },
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}`, outlineOffset: "-2px" },
  },
  chevron: {
    flexShrink: 0,
    transitionProperty: "transform",
    transitionDuration: tokens.durationFast,
    "@media (prefers-reduced-motion: reduce)": { transitionDuration: "0s" },
  },
  open: { transform: "rotate(90deg)" },
  name: { flexShrink: 0, maxWidth: "70%", fontFamily: tokens.fontFamilyMonospace, overflowWrap: "anywhere" },
  about: {
    color: tokens.colorNeutralForeground3,
    overflow: "hidden",
    textOverflow: "ellipsis",
    whiteSpace: "nowrap",
    flexShrink: 1,
    minWidth: 0,
  },
  state: {
    marginLeft: "auto",
    flexShrink: 0,
    color: tokens.colorNeutralForeground3,
    fontVariantNumeric: "tabular-nums",
  },
  failed: { color: tokens.colorStatusDangerForeground1 },
  body: {
    display: "grid",
    gap: tokens.spacingVerticalS,
    padding: tokens.spacingHorizontalS,
    borderTop: `1px solid ${tokens.colorNeutralStroke2}`,
  },
});

interface Props {
  readonly call: ToolCallState;
  readonly open: boolean;
  readonly onToggle: (callId: string) => void;
}

/** A tool call, whose arguments and result can be folded. */
export const ToolRow = memo(function ToolRow({ call, open, onToggle }: Props) {
  const styles = useStyles();
  return (
    <div className={styles.call}>
      <button type="button" className={styles.head} aria-expanded={open} onClick={() => onToggle(call.call_id)}>
        <ChevronRight16Regular className={mergeClasses(styles.chevron, open && styles.open)} />
        <Wrench16Regular aria-hidden style={{ flexShrink: 0 }} />
        <span className={styles.name}>{call.tool_name}</span>
        {!open && <span className={styles.about}>{inShort(call.arguments)}</span>}
        <ToolPhase call={call} />
      </button>
      {open && (
        <div className={styles.body}>
          {call.arguments !== undefined && <JsonView label="Arguments" value={call.arguments} />}
          {call.result !== undefined && (
            <JsonView label={call.phase === "error" ? "Error" : "Result"} value={call.result} />
          )}
          {call.arguments === undefined && call.result === undefined && (
            <span>No arguments or result were published.</span>
          )}
        </div>
      )}
    </div>
  );
});

function ToolPhase({ call }: { readonly call: ToolCallState }) {
  const styles = useStyles();
  if (call.phase === "started") {
    return (
      <span className={styles.state}>
        running <Pulse />
      </span>
    );
  }
  const ms = between(call.started_at, call.ended_at);
  const took = ms === undefined ? "" : duration(ms);
  return call.phase === "error" ? (
    <span className={mergeClasses(styles.state, styles.failed)}>failed {took}</span>
  ) : (
    <span className={styles.state}>{took || "done"}</span>
  );
}

/** A short form of the arguments. */
function inShort(given: unknown): string {
  if (given === undefined || given === null) return "";
  const values = typeof given === "object" ? Object.values(given) : [given];
  return values
    .map((value) => (typeof value === "string" ? value : JSON.stringify(value)))
    .join(", ")
    .slice(0, 160);
}
