import { makeStyles, tokens } from "@fluentui/react-components";
import { DocumentSearchRegular } from "@fluentui/react-icons";
import { memo, useMemo } from "react";
import type { ArtifactState, Snapshot } from "../../../client/index.js";
import { AgentName } from "../agents/agent_name.js";
import { ArtifactCard } from "../conversation/artifact_row.js";
import { Notice } from "../status/notice.js";
import type { Fields } from "./fields.js";
import { ResultView } from "./result_view.js";
import { resultIn } from "./step_result.js";

const useStyles = makeStyles({
  panel: {
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalXXL,
    minHeight: 0,
    flexGrow: 1,
    overflowY: "auto",
    padding: tokens.spacingHorizontalXL,
    "@container plan (max-width: 640px)": { padding: tokens.spacingHorizontalM },
  },
  heading: {
    margin: `0 0 ${tokens.spacingVerticalS}`,
    display: "flex",
    flexWrap: "wrap",
    alignItems: "baseline",
    gap: tokens.spacingHorizontalS,
    fontSize: tokens.fontSizeBase400,
    lineHeight: tokens.lineHeightBase400,
    fontWeight: tokens.fontWeightSemibold,
  },
  artifacts: { display: "grid", gap: tokens.spacingVerticalM },
});

export interface Result {
  readonly key: string;
  readonly title: string;
  readonly agent: string | undefined;
  readonly data: Fields;
}

/** The plan's result, then the results of its steps, the last first, without those equal to the plan's. */
export function resultsOf(plan: Pick<Snapshot, "result" | "steps">): readonly Result[] {
  const own = resultIn(plan.result);
  const ownJson = own && JSON.stringify(own);
  const ofSteps = plan.steps.flatMap((step) => {
    const data = resultIn(step.data);
    return data && (ownJson === null || JSON.stringify(data) !== ownJson)
      ? [{ key: `step ${step.step_id}`, title: step.title ?? step.step_id, agent: step.agent_name, data }]
      : [];
  });
  return [...(own ? [{ key: "plan", title: "Result", agent: undefined, data: own }] : []), ...ofSteps.reverse()];
}

interface Props {
  readonly results: readonly Result[];
  readonly artifacts: readonly ArtifactState[];
}

export const ResultsPanel = memo(function ResultsPanel({ results, artifacts }: Props) {
  const styles = useStyles();
  const newestFirst = useMemo(() => [...artifacts].reverse(), [artifacts]);
  if (results.length + artifacts.length === 0) {
    return (
      <Notice icon={<DocumentSearchRegular />} title="No results yet" level="h2">
        Results of the steps, and artifacts, appear here.
      </Notice>
    );
  }
  return (
    <div className={styles.panel} tabIndex={0} role="group" aria-label="Results">
      {results.map(({ key, title, agent, data }) => (
        <section key={key} aria-label={title}>
          <h2 className={styles.heading}>
            {title} {agent && <AgentName name={agent} small />}
          </h2>
          <ResultView data={data} />
        </section>
      ))}
      {newestFirst.length > 0 && (
        <section aria-label="Artifacts" className={styles.artifacts}>
          <h2 className={styles.heading}>Artifacts</h2>
          {newestFirst.map((artifact) => (
            <ArtifactCard key={artifact.artifact_id} artifact={artifact} />
          ))}
        </section>
      )}
    </div>
  );
});
