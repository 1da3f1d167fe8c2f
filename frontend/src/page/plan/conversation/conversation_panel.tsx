import { Button, makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { ArrowDown16Regular, ChatMultipleRegular, PersonQuestionMark16Regular } from "@fluentui/react-icons";
import { defaultRangeExtractor, type Range, type ReactVirtualizer, useVirtualizer } from "@tanstack/react-virtual";
import { memo, useCallback, useMemo, useState } from "react";
import { isPlanEnded, type Snapshot } from "../../../client/index.js";
import { activities } from "../agents/activity.js";
import { ActivityStrip } from "../agents/activity.js";
import { Notice } from "../status/notice.js";
import { Announcer } from "./announcer.js";
import { LineRow } from "./line_row.js";
import { conversation, type Line, newSince } from "./lines.js";
import { type ScrollEnd, useScrollEnd } from "./use_scroll_end.js";

const useStyles = makeStyles({
  panel: { position: "relative", display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, minWidth: 0 },
  scroller: {
    flexGrow: 1,
    minHeight: 0,
    overflowY: "auto",
    overscrollBehavior: "contain",
    overflowAnchor: "none",
    contain: "strict",
  },
  inner: {
    position: "relative",
    maxWidth: "860px",
    margin: "0 auto",
    padding: `0 ${tokens.spacingHorizontalXL}`,
    "@container plan (max-width: 640px)": { padding: `0 ${tokens.spacingHorizontalM}` },
  },
  rows: {
    position: "absolute",
    top: 0,
    left: tokens.spacingHorizontalXL,
    right: tokens.spacingHorizontalXL,
    "@container plan (max-width: 640px)": { left: tokens.spacingHorizontalM, right: tokens.spacingHorizontalM },
  },
  place: { position: "absolute", top: 0, left: 0, right: 0 },
  foot: {
    display: "flex",
    alignItems: "center",
    minHeight: "32px",
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalXL}`,
    borderTop: "1px solid transparent",
  },
  busy: { borderTop: `1px solid ${tokens.colorNeutralStroke3}` },
  jump: {
    position: "absolute",
    bottom: "52px",
    left: 0,
    right: 0,
    display: "flex",
    justifyContent: "center",
    gap: tokens.spacingHorizontalS,
    pointerEvents: "none",
    "& button": { pointerEvents: "auto", boxShadow: tokens.shadow8 },
  },
  omitted: {
    margin: 0,
    padding: tokens.spacingVerticalM,
    textAlign: "center",
    color: tokens.colorNeutralForeground3,
    fontSize: tokens.fontSizeBase200,
  },
});

interface Props {
  readonly plan: Snapshot;
  readonly past: boolean;
}

/** The messages, tool calls, questions and artifacts of a plan. Only visible rows are rendered. */
export const ConversationPanel = memo(function ConversationPanel({ plan, past }: Props) {
  const styles = useStyles();
  const lines = useMemo(() => conversation(plan), [plan]);
  const atWork = useMemo(() => (past ? [] : activities(plan)), [plan, past]);
  const omitted = plan.omitted.messages + plan.omitted.tool_calls;
  return (
    <div className={styles.panel}>
      {lines.length === 0 ? (
        <Notice icon={<ChatMultipleRegular />} title="No messages yet" level="h2">
          Messages from the agents appear here as they are published.
        </Notice>
      ) : (
        <Lines planId={plan.plan_id} lines={lines} past={past} omitted={omitted} />
      )}
      {!past && <Announcer plan={plan} />}
      {!past && !isPlanEnded(plan.status) && (
        <div className={mergeClasses(styles.foot, atWork.length > 0 && styles.busy)}>
          {atWork.length > 0 && <ActivityStrip activities={atWork} />}
        </div>
      )}
    </div>
  );
});

interface LinesProps {
  readonly planId: string;
  readonly lines: readonly Line[];
  readonly past: boolean;
  readonly omitted: number;
}

function Lines({ planId, lines, past, omitted }: LinesProps) {
  const styles = useStyles();
  const [scroller, setScroller] = useState<HTMLElement | null>(null);
  const waiting = useMemo(() => (past ? [] : unanswered(lines)), [lines, past]);
  const virtualizer = useLines(scroller, lines, waiting);
  const size = virtualizer.getTotalSize();
  const end = useScrollEnd(scroller, size);
  const show = (at: number) => {
    end.leave();
    virtualizer.scrollToIndex(at, { align: "center" });
  };
  return (
    <>
      <div
        ref={setScroller}
        className={styles.scroller}
        onScroll={end.scrolled}
        tabIndex={0}
        role="region"
        aria-label="Conversation"
        data-conversation
      >
        {omitted > 0 && (
          <p
            className={styles.omitted}
          >{`${omitted} older entries are not shown here; move the slider below to see them.`}</p>
        )}
        <div className={styles.inner} style={{ height: `${size}px` }}>
          <Rows planId={planId} lines={lines} past={past} virtualizer={virtualizer} />
        </div>
      </div>
      <Jumps lines={lines} waiting={waiting} end={end} onShow={show} />
    </>
  );
}

type Virtualizer = ReactVirtualizer<HTMLElement, HTMLElement>;

function useLines(scroller: HTMLElement | null, lines: readonly Line[], kept: readonly number[]): Virtualizer {
  // It re-renders this component on scroll, and is not passed to memoised components.
  // eslint-disable-next-line react-hooks/incompatible-library
  return useVirtualizer<HTMLElement, HTMLElement>({
    count: lines.length,
    getScrollElement: () => scroller,
    estimateSize: (at) => estimated(lines[at]),
    getItemKey: (at) => lines[at]?.key ?? at,
    // Open questions stay mounted, so that filled-in text is not lost.
    rangeExtractor: (range: Range) => withKept(defaultRangeExtractor(range), kept),
    overscan: 3,
    useFlushSync: false,
    paddingEnd: 20,
    initialRect: { width: 600, height: 600 },
  });
}

interface RowsProps extends Omit<LinesProps, "omitted"> {
  readonly virtualizer: Virtualizer;
}

function Rows({ planId, lines, past, virtualizer }: RowsProps) {
  const styles = useStyles();
  const [unfolded, setUnfolded] = useState<ReadonlySet<string>>(new Set());
  const toggle = useCallback((id: string) => setUnfolded((before) => toggled(before, id)), []);
  return (
    <div className={styles.rows}>
      {virtualizer.getVirtualItems().map(({ index, key, start }) => {
        const line = lines[index];
        if (!line) return null;
        return (
          <div
            key={key}
            ref={virtualizer.measureElement}
            data-index={index}
            className={styles.place}
            style={{ transform: `translateY(${start}px)` }}
          >
            <LineRow
              planId={planId}
              line={line}
              head={line.head}
              past={past}
              open={line.kind === "tool" && unfolded.has(line.part.call_id)}
              onToggle={toggle}
            />
          </div>
        );
      })}
    </div>
  );
}

interface JumpsProps {
  readonly lines: readonly Line[];
  readonly waiting: readonly number[];
  readonly end: ScrollEnd;
  readonly onShow: (at: number) => void;
}

/** Buttons to the newest row and to open questions, while the reader has scrolled up. */
function Jumps({ lines, waiting, end, onShow }: JumpsProps) {
  const styles = useStyles();
  const unseen = useUnseen(lines, end.follows);
  const [question] = waiting;
  if (end.follows) return null;
  return (
    <div className={styles.jump}>
      {question !== undefined && (
        <Button size="small" icon={<PersonQuestionMark16Regular />} onClick={() => onShow(question)}>
          {waiting.length === 1 ? "A question waits for you" : `${waiting.length} questions wait for you`}
        </Button>
      )}
      <Button size="small" appearance="primary" icon={<ArrowDown16Regular />} onClick={end.jump} data-jump>
        {unseen > 0 ? `Jump to latest (${unseen} new)` : "Jump to latest"}
      </Button>
    </div>
  );
}

/** The number of rows added since the reader scrolled up. */
function useUnseen(lines: readonly Line[], follows: boolean): number {
  const [left, setLeft] = useState<string | undefined>(undefined);
  const newest = lines.at(-1)?.key;
  const leftAt = follows ? undefined : (left ?? newest);
  if (left !== leftAt) setLeft(leftAt);
  return useMemo(() => newSince(lines, leftAt), [lines, leftAt]);
}

const MAX_KEPT = 20;

function unanswered(lines: readonly Line[]): readonly number[] {
  return lines
    .flatMap((line, at) => (line.kind === "input" && line.part.answered_at === undefined ? [at] : []))
    .slice(-MAX_KEPT);
}

function withKept(shown: number[], kept: readonly number[]): number[] {
  return kept.length === 0 ? shown : [...new Set([...shown, ...kept])].sort((a, b) => a - b);
}

function toggled(before: ReadonlySet<string>, id: string): ReadonlySet<string> {
  const after = new Set(before);
  if (!after.delete(id)) after.add(id);
  return after;
}

/** An estimate good enough that scrolling does not jump before a row is measured. */
function estimated(line: Line | undefined): number {
  if (!line) return 40;
  const head = line.head ? 36 : 8;
  switch (line.kind) {
    case "message":
      return head + 24 * Math.ceil(line.part.content.length / 90);
    case "tool":
      return head + 34;
    case "artifact":
      return head + 160;
    case "input":
      return head + 150;
    case "result":
      return head + 320;
  }
}
