import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { memo, type ReactNode } from "react";
import { AgentFace, AgentName } from "../agents/agent_name.js";
import { InputCard } from "../inputs/input_card.js";
import { ResultView } from "../results/result_view.js";
import { resultIn } from "../results/step_result.js";
import { moment } from "../status/durations.js";
import { ArtifactCard } from "./artifact_row.js";
import type { Line } from "./lines.js";
import { MESSAGE_TYPE_LABELS, MessageRow } from "./message_row.js";
import { ToolRow } from "./tool_row.js";

const useStyles = makeStyles({
  row: {
    display: "grid",
    gridTemplateColumns: "28px minmax(0, 1fr)",
    columnGap: tokens.spacingHorizontalM,
    paddingTop: tokens.spacingVerticalSNudge,
  },
  head: { paddingTop: tokens.spacingVerticalL },
  names: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "baseline",
    columnGap: tokens.spacingHorizontalS,
    marginBottom: "2px",
  },
  quiet: { color: tokens.colorNeutralForeground3, fontSize: tokens.fontSizeBase200 },
  result: {
    padding: tokens.spacingHorizontalL,
    borderRadius: tokens.borderRadiusXLarge,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    backgroundColor: tokens.colorNeutralBackground2,
  },
  resultTitle: {
    margin: `0 0 ${tokens.spacingVerticalM}`,
    fontSize: tokens.fontSizeBase300,
    lineHeight: tokens.lineHeightBase300,
    fontWeight: tokens.fontWeightSemibold,
  },
});

interface Props {
  readonly planId: string;
  readonly line: Line;
  readonly head: boolean;
  readonly past: boolean;
  readonly open: boolean;
  readonly onToggle: (callId: string) => void;
}

/** One row of the conversation. Re-renders only when its part changes. */
export const LineRow = memo(
  function LineRow(props: Props) {
    const styles = useStyles();
    const { line, head } = props;
    const face = head && line.agent !== undefined && line.kind !== "input";
    return (
      <div className={mergeClasses(styles.row, head && styles.head)}>
        <div>{face && <AgentFace name={line.agent} />}</div>
        <div style={{ minWidth: 0 }}>
          {head && <Head line={line} />}
          <Body {...props} />
        </div>
      </div>
    );
  },
  (one, other) =>
    one.line.part === other.line.part &&
    one.head === other.head &&
    one.past === other.past &&
    one.open === other.open &&
    one.planId === other.planId &&
    one.line.agent === other.line.agent,
);

function Head({ line }: { readonly line: Line }) {
  const styles = useStyles();
  const about = aboutOf(line);
  if (line.agent === undefined && !about) return null;
  return (
    <div className={styles.names}>
      {line.agent !== undefined && <AgentName name={line.agent} />}
      {about && <span className={styles.quiet}>{about}</span>}
      <span className={styles.quiet}>{whenOf(line)}</span>
    </div>
  );
}

function aboutOf(line: Line): string {
  switch (line.kind) {
    case "message":
      return line.part.data?.["signal"] === undefined ? MESSAGE_TYPE_LABELS[line.part.message_type] : "asks";
    case "input":
      return line.agent === undefined ? "The plan asks" : "asks";
    case "artifact":
      return "Artifact";
    case "result":
      return "Result";
    case "tool":
      return "Acting";
  }
}

function whenOf(line: Line): string {
  if (line.kind === "result") return line.part.ended_at ? moment(line.part.ended_at) : "so far";
  return moment(line.kind === "tool" ? line.part.started_at : line.part.at);
}

function Body({ planId, line, past, open, onToggle }: Props): ReactNode {
  switch (line.kind) {
    case "message":
      return <MessageRow message={line.part} past={past} />;
    case "tool":
      return <ToolRow call={line.part} open={open} onToggle={onToggle} />;
    case "artifact":
      return <ArtifactCard artifact={line.part} />;
    case "input":
      return <InputCard planId={planId} request={line.part} past={past} />;
    case "result":
      return <StepResult line={line} />;
  }
}

function StepResult({ line }: { readonly line: Extract<Line, { readonly kind: "result" }> }) {
  const styles = useStyles();
  const data = resultIn(line.part.data);
  return (
    <section className={styles.result} aria-label={`Result of ${line.part.title ?? line.part.step_id}`}>
      <h3 className={styles.resultTitle}>{line.part.title ?? line.part.step_id}</h3>
      {data && <ResultView data={data} />}
    </section>
  );
}
