import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  DialogTrigger,
  makeStyles,
  tokens,
} from "@fluentui/react-components";
import { PauseRegular, PlayRegular, StopRegular } from "@fluentui/react-icons";
import type { PlancastError, Snapshot } from "../../../client/index.js";
import { obeys } from "../../../client/index.js";
import { usePlanSignal } from "../../../react/index.js";
import { acknowledgedSignal } from "./labels.js";

const useStyles = makeStyles({
  row: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalS },
  error: {
    flexBasis: "100%",
    color: tokens.colorStatusDangerForeground1,
    fontSize: tokens.fontSizeBase200,
  },
});

/** The buttons to pause, resume and cancel a plan, as far as that would be obeyed. Their effect shows in the plan's events. */
export function PlanActions({ plan }: { readonly plan: Snapshot }) {
  const styles = useStyles();
  const { send, sending, error } = usePlanSignal(plan.plan_id);
  const signal = acknowledgedSignal(plan);
  const paused = signal === "pause";
  const pauses = obeys(plan, paused ? "resume" : "pause");
  const cancels = obeys(plan, "cancel");
  if (!pauses && !cancels) return null;
  return (
    <>
      <div className={styles.row} role="group" aria-label="Plan actions">
        {pauses && (
          <Button
            size="small"
            icon={paused ? <PlayRegular /> : <PauseRegular />}
            disabledFocusable={sending !== null}
            onClick={() => void send(paused ? "resume" : "pause")}
          >
            {paused ? "Resume" : "Pause"}
          </Button>
        )}
        {cancels && (
          <CancelButton disabled={sending !== null || signal === "cancel"} onCancel={() => void send("cancel")} />
        )}
      </div>
      {error && (
        <span className={styles.error} role="alert">
          {signalErrorText(error)}
        </span>
      )}
    </>
  );
}

function signalErrorText({ code, message }: PlancastError): string {
  if (code === "not_supported") return "Nothing that obeys this works on the plan at the moment.";
  if (code === "forbidden") return "You can watch this plan, but you may not control it.";
  return message;
}

function CancelButton({ disabled, onCancel }: { readonly disabled: boolean; readonly onCancel: () => void }) {
  return (
    <Dialog>
      <DialogTrigger disableButtonEnhancement>
        <Button size="small" appearance="subtle" icon={<StopRegular />} disabledFocusable={disabled}>
          Cancel plan
        </Button>
      </DialogTrigger>
      <DialogSurface>
        <DialogBody>
          <DialogTitle>Cancel this plan?</DialogTitle>
          <DialogContent>The agents stop where they are. Their messages and results so far are kept.</DialogContent>
          <DialogActions>
            <DialogTrigger disableButtonEnhancement>
              <Button>Keep running</Button>
            </DialogTrigger>
            <DialogTrigger disableButtonEnhancement>
              <Button appearance="primary" onClick={onCancel}>
                Cancel the plan
              </Button>
            </DialogTrigger>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
