import { makeStyles, tokens } from "@fluentui/react-components";
import type { StepState } from "../../../client/index.js";
import { StatusMark } from "../status/status_mark.js";
import type { Edge, TimelineRow } from "./lanes.js";

const LANE = 20;
const FIRST = 12;
/** The distance of the step's icon from the top of its row. */
const MARK_Y = 20;

const useStyles = makeStyles({
  rail: { position: "relative", flexShrink: 0, alignSelf: "stretch" },
  lines: { position: "absolute", inset: 0, width: "100%", height: "100%", overflow: "visible" },
  mark: {
    position: "absolute",
    top: `${MARK_Y}px`,
    transform: "translate(-50%, -50%)",
    display: "grid",
    placeItems: "center",
    width: "22px",
    height: "22px",
    borderRadius: tokens.borderRadiusCircular,
    backgroundColor: tokens.colorNeutralBackground1,
  },
});

/** The graph beside a step: edges from the steps it needs, and to those that need it. Decorative. */
export function StepGraph({ row, lanes }: { readonly row: TimelineRow; readonly lanes: number }) {
  const styles = useStyles();
  const { step, lane, arrive, pass, leaves } = row;
  return (
    <div className={styles.rail} style={{ width: `${FIRST * 2 + (Math.min(lanes, 8) - 1) * LANE}px` }} aria-hidden>
      <svg className={styles.lines} fill="none" strokeWidth={2}>
        {pass.map((edge) => (
          <line key={edge.from} x1={x(edge.from)} x2={x(edge.from)} y1={0} y2="100%" stroke={colour(edge.done)} />
        ))}
        {arrive.map((edge) => (
          <path key={edge.from} d={curve(edge)} stroke={colour(edge.done)} />
        ))}
        {leaves && <line x1={x(lane)} x2={x(lane)} y1={MARK_Y} y2="100%" stroke={colour(isDone(step))} />}
      </svg>
      <span className={styles.mark} style={{ left: `${x(lane)}px` }}>
        <StatusMark status={step.status} size={20} />
      </span>
    </div>
  );
}

/** More than eight lanes share the last one. */
function x(lane: number): number {
  return FIRST + Math.min(lane, 7) * LANE;
}

function curve({ from, to }: Edge): string {
  const [a, b] = [x(from), x(to)];
  return a === b ? `M${a} 0V${MARK_Y}` : `M${a} 0C${a} ${MARK_Y * 0.7} ${b} 0 ${b} ${MARK_Y}`;
}

function isDone({ status }: StepState): boolean {
  return status === "completed" || status === "skipped";
}

function colour(done: boolean): string {
  return done ? tokens.colorBrandStroke1 : tokens.colorNeutralStroke2;
}
