import {
  Button,
  Caption1,
  makeStyles,
  mergeClasses,
  ProgressBar,
  Text,
  tokens,
  Tooltip,
} from "@fluentui/react-components";
import { AppsAddInRegular, SubtractSquareRegular } from "@fluentui/react-icons";
import { memo } from "react";
import type { PlanStatus, PlanSummary, PlanView } from "../../client/index.js";
import { usePlan } from "../../react/index.js";
import { ViewLink } from "../navigation.js";
import { StatusMark } from "../plan/status/status_mark.js";
import { planProgress, planStatusLabel } from "../plan/status/labels.js";
import { planHref } from "../routes.js";
import { ago } from "../shell/now.js";

const useStyles = makeStyles({
  row: {
    position: "relative",
    borderRadius: tokens.borderRadiusLarge,
    ":hover": { backgroundColor: tokens.colorNeutralBackground1Hover },
    ":hover .side, :focus-within .side": { opacity: 1 },
  },
  chosen: { backgroundColor: tokens.colorNeutralBackground1Selected },
  link: {
    display: "grid",
    gridTemplateColumns: "16px minmax(0, 1fr)",
    columnGap: tokens.spacingHorizontalS,
    alignItems: "center",
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    paddingRight: "40px",
    color: "inherit",
    textDecorationLine: "none",
    borderRadius: "inherit",
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}`, outlineOffset: "-2px" },
  },
  title: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap" },
  about: {
    gridColumn: 2,
    color: tokens.colorNeutralForeground2,
    overflow: "hidden",
    textOverflow: "ellipsis",
    whiteSpace: "nowrap",
  },
  progress: { gridColumn: 2, marginTop: tokens.spacingVerticalXS },
  side: {
    position: "absolute",
    top: tokens.spacingVerticalS,
    right: tokens.spacingHorizontalXS,
    opacity: 0,
    "@media (hover: none)": { opacity: 1 },
  },
  on: { opacity: 1 },
});

interface RowProps {
  readonly plan: PlanSummary;
  /** Whether to watch the plan, to show its current state. */
  readonly live: boolean;
  readonly now: number;
  readonly chosen: boolean;
  readonly onWall: boolean;
  readonly onToggleWall: (planId: string) => void;
}

interface RowState {
  readonly title: string | null;
  readonly status: PlanStatus;
  readonly progress: number | undefined;
}

/** Not a valid id, so nothing is watched. */
const NO_PLAN = "";

/** A plan in the list: its state as listed, or the current one if `live`. */
export const PlanRow = memo(function PlanRow({ live, ...props }: RowProps) {
  const { plan_id, title, status, progress } = props.plan;
  const now = usePlan(live ? plan_id : NO_PLAN, rowState, sameRowState);
  return <Row {...props} state={now ?? { title, status, progress: progress ?? undefined }} />;
});

function rowState({ snapshot }: PlanView): RowState | null {
  if (!snapshot || snapshot.offset === 0) return null;
  return { title: snapshot.title ?? null, status: snapshot.status, progress: planProgress(snapshot) };
}

function sameRowState(one: RowState | null, other: RowState | null): boolean {
  return one?.title === other?.title && one?.status === other?.status && one?.progress === other?.progress;
}

function Row({
  plan,
  now,
  chosen,
  onWall,
  onToggleWall,
  state,
}: Omit<RowProps, "live"> & { readonly state: RowState }) {
  const styles = useStyles();
  const { title, status, progress } = state;
  const name = title ?? plan.plan_id;
  const wallLabel = onWall ? "Remove from the wall" : "Add to the wall";
  return (
    <li className={mergeClasses(styles.row, chosen && styles.chosen)}>
      <ViewLink href={planHref(plan.plan_id)} className={styles.link} aria-current={chosen ? "page" : undefined}>
        <StatusMark status={status} />
        <Text weight={chosen ? "semibold" : "regular"} className={styles.title} title={name}>
          {name}
        </Text>
        <Caption1 className={styles.about}>
          {planStatusLabel(status)} · {ago(plan.updated_at, now)}
          {plan.owner && ` · ${plan.owner}`}
        </Caption1>
        {status === "in_progress" && progress !== undefined && (
          <ProgressBar
            className={styles.progress}
            value={progress / 100}
            thickness="medium"
            aria-label={`${name}: ${progress} %`}
          />
        )}
      </ViewLink>
      <Tooltip content={wallLabel} relationship="label">
        <Button
          className={mergeClasses("side", styles.side, onWall && styles.on)}
          size="small"
          appearance="subtle"
          aria-label={`${wallLabel}: ${name}`}
          icon={onWall ? <SubtractSquareRegular /> : <AppsAddInRegular />}
          onClick={() => onToggleWall(plan.plan_id)}
        />
      </Tooltip>
    </li>
  );
}
