import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { CheckmarkCircle16Filled, Clock16Regular, PersonQuestionMark20Regular } from "@fluentui/react-icons";
import { memo, useEffect, useRef } from "react";
import type { InputState, PlancastError } from "../../../client/index.js";
import { isPlanEnded } from "../../../client/index.js";
import { usePlan, usePlanInput } from "../../../react/index.js";
import { Markdown } from "../conversation/markdown.js";
import { JsonView } from "../results/json_view.js";
import { isFields } from "../results/read.js";
import { duration, moment } from "../status/durations.js";
import { useNow } from "../status/use_now.js";
import { InputForm } from "./input_form.js";
import { answerWords } from "./options.js";

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
  /** As it was: not to be answered there. */
  readonly past: boolean;
}

/** A question to people: answered where it was asked. */
export const InputCard = memo(function InputCard({ planId, request, past }: Props) {
  const styles = useStyles();
  const open = request.answered_at === undefined;
  const card = useFocusWhenAnswered(open);
  return (
    <section
      ref={card}
      tabIndex={-1}
      className={mergeClasses(styles.card, open && !past && styles.open)}
      aria-label={KIND_WORDS[request.kind]}
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

/** Who answers stands on what goes away then; from the card they go on. */
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

const KIND_WORDS = { approval: "Approval needed", clarification: "Question", choice: "Choice" } as const;

function Answered({ request }: { readonly request: InputState }) {
  const styles = useStyles();
  return (
    <div className={styles.line}>
      <CheckmarkCircle16Filled className={styles.good} aria-hidden />
      {isFields(request.answer) ? (
        <JsonView value={request.answer} />
      ) : (
        <span className={styles.answer}>{answerWords(request)}</span>
      )}
      <span>
        {request.by === "the clock" ? "nobody answered in time" : `answered${request.by ? ` by ${request.by}` : ""}`}
        {request.answered_at && `, ${moment(request.answered_at)}`}
      </span>
    </div>
  );
}

function Open({ planId, request }: { readonly planId: string; readonly request: InputState }) {
  const styles = useStyles();
  const { state, answer, error } = usePlanInput(planId, request.request_id);
  const ended = usePlan(planId, ({ status }) => status !== null && isPlanEnded(status));
  if (ended) return <p className={styles.line}>The plan has ended; nobody waits for an answer any more.</p>;
  if (state === "expired") return <p className={styles.line}>The time to answer this is over.</p>;
  return (
    <>
      <InputForm request={request} sending={state === "sending"} onAnswer={(given) => void answer(given)} />
      {request.expires_at && <TimeLeft expiresAt={request.expires_at} />}
      {error && (
        <p className={styles.error} role="alert">
          {errorWords(error)}
        </p>
      )}
    </>
  );
}

function TimeLeft({ expiresAt }: { readonly expiresAt: string }) {
  const styles = useStyles();
  const left = Date.parse(expiresAt) - useNow(true);
  return (
    <div className={styles.line}>
      <Clock16Regular aria-hidden />
      {left > 0 ? `${duration(left)} left to answer` : "The time to answer is over."}
    </div>
  );
}

function errorWords({ code, message, by, at }: PlancastError): string {
  if (code === "already_answered")
    return `${by ?? "Somebody"} was faster${at ? `, ${moment(at)}` : ""}. That answer counts.`;
  if (code === "forbidden") return "You may watch this plan, but not answer for it.";
  if (code === "request_expired") return "The time to answer this is over.";
  return message;
}
