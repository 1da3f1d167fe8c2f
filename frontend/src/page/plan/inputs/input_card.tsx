import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { CheckmarkCircle16Filled, Clock16Regular, PersonQuestionMark20Regular } from "@fluentui/react-icons";
import { memo, useEffect, useRef } from "react";
import type { InputState, PlancastError } from "../../../client/index.js";
import { isPlanEnded } from "../../../client/index.js";
import { usePlan, usePlanInput } from "../../../react/index.js";
import { Markdown } from "../conversation/markdown.js";
import { JsonView } from "../results/json_view.js";
import { isFields } from "../results/fields.js";
import { duration, moment } from "../status/durations.js";
import { useNow } from "../../shell/now.js";
import { InputForm } from "./input_form.js";
import { answerLabel } from "./options.js";

const useStyles = makeStyles({
  card: {
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalM,
    padding: tokens.spacingHorizontalL,
    borderRadius: tokens.borderRadiusXLarge,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    backgroundColor: tokens.colorNeutralBackground1,
  },
  open: { border: `1px solid ${tokens.colorBrandStroke1}`, boxShadow: tokens.shadow4 },
  prompt: {
    display: "flex",
    gap: tokens.spacingHorizontalS,
    fontWeight: tokens.fontWeightSemibold,
    lineHeight: tokens.lineHeightBase400,
  },
  icon: { flexShrink: 0, marginTop: "1px", color: tokens.colorBrandForeground1 },
  line: {
    margin: 0,
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: tokens.spacingHorizontalS,
    color: tokens.colorNeutralForeground2,
    fontSize: tokens.fontSizeBase200,
  },
  answer: { color: tokens.colorNeutralForeground1, fontWeight: tokens.fontWeightSemibold, overflowWrap: "anywhere" },
  good: { color: tokens.colorStatusSuccessForeground3 },
  error: { margin: 0, color: tokens.colorStatusDangerForeground1, fontSize: tokens.fontSizeBase200 },
});

interface Props {
  readonly planId: string;
  readonly request: InputState;
  /** Shown at a past position, where it cannot be answered. */
  readonly past: boolean;
}

/** An input request, with its form or its answer. */
export const InputCard = memo(function InputCard({ planId, request, past }: Props) {
  const styles = useStyles();
  const open = request.answered_at === undefined;
  const card = useFocusWhenAnswered(open);
  return (
    <section
      ref={card}
      tabIndex={-1}
      className={mergeClasses(styles.card, open && !past && styles.open)}
      aria-label={KIND_LABELS[request.kind]}
      data-input={request.request_id}
    >
      <div className={styles.prompt}>
        <PersonQuestionMark20Regular className={styles.icon} aria-hidden />
        <Markdown text={request.prompt} />
      </div>
      {open ? (
        past ? (
          <p className={styles.line}>Not answered yet at this moment.</p>
        ) : (
          <Open planId={planId} request={request} />
        )
      ) : (
        <Answered request={request} />
      )}
    </section>
  );
});

/** The focused form disappears when it is answered: moves the focus to the card. */
function useFocusWhenAnswered(open: boolean) {
  const card = useRef<HTMLElement>(null);
  const wasOpen = useRef(open);
  useEffect(() => {
    const answered = wasOpen.current && !open;
    wasOpen.current = open;
    if (answered && document.activeElement === document.body) card.current?.focus({ preventScroll: true });
  }, [open]);
  return card;
}

const KIND_LABELS = { approval: "Approval needed", clarification: "Question", choice: "Choice" } as const;

function Answered({ request }: { readonly request: InputState }) {
  const styles = useStyles();
  return (
    <div className={styles.line}>
      <CheckmarkCircle16Filled className={styles.good} aria-hidden />
      {isFields(request.answer) ? (
        <JsonView value={request.answer} />
      ) : (
        <span className={styles.answer}>{answerLabel(request)}</span>
      )}
      <span>
        {request.by === "the clock" ? "not answered in time" : `answered${request.by ? ` by ${request.by}` : ""}`}
        {request.answered_at && `, ${moment(request.answered_at)}`}
      </span>
    </div>
  );
}

function Open({ planId, request }: { readonly planId: string; readonly request: InputState }) {
  const styles = useStyles();
  const { state, answer, error } = usePlanInput(planId, request.request_id);
  const ended = usePlan(planId, ({ status }) => status !== null && isPlanEnded(status));
  if (ended) return <p className={styles.line}>The plan has ended; this question no longer needs an answer.</p>;
  if (state === "expired") return <p className={styles.line}>The time to answer has expired.</p>;
  return (
    <>
      <InputForm request={request} sending={state === "sending"} onAnswer={(given) => void answer(given)} />
      {request.expires_at && <TimeLeft expiresAt={request.expires_at} />}
      {error && (
        <p className={styles.error} role="alert">
          {errorText(error)}
        </p>
      )}
    </>
  );
}

function TimeLeft({ expiresAt }: { readonly expiresAt: string }) {
  const styles = useStyles();
  const left = Date.parse(expiresAt) - useNow(1_000);
  return (
    <div className={styles.line}>
      <Clock16Regular aria-hidden />
      {left > 0 ? `${duration(left)} left to answer` : "The time to answer has expired."}
    </div>
  );
}

function errorText({ code, message, by, at }: PlancastError): string {
  if (code === "already_answered") return `Already answered${by ? ` by ${by}` : ""}${at ? `, ${moment(at)}` : ""}.`;
  if (code === "forbidden") return "You can watch this plan, but you may not answer its questions.";
  if (code === "request_expired") return "The time to answer has expired.";
  return message;
}
