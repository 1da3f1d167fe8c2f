import { useCallback, useEffect, useState } from "react";
import type { InputState, Place, PlancastError, SignalName } from "../client/index.js";
import { usePlan } from "./plans.js";
import { useClient } from "./provider.js";

/** The result of `usePlanInput`. */
export interface PlanInput {
  /** The input request; undefined if the plan has no such request, or is not known yet. */
  readonly request: InputState | undefined;
  /** `gone`: the plan has no such request, or is not known yet. */
  readonly state: "open" | "sending" | "answered" | "expired" | "gone";
  /** Sends an answer. Does not throw: a failure is set as `error`. */
  readonly answer: (value: unknown) => Promise<void>;
  /** Why the last answer failed; with `already_answered`, `by` and `at` are those of the accepted answer. */
  readonly error: PlancastError | null;
}

/**
 * An input request of a plan, with a function that answers it.
 *
 * @example
 * ```tsx
 * const { request, state, answer } = usePlanInput(planId, requestId);
 * return <button disabled={state !== "open"} onClick={() => answer(true)}>{request?.prompt}</button>;
 * ```
 */
export function usePlanInput(planId: string, requestId: string): PlanInput {
  const client = useClient();
  const request = usePlan(planId, ({ snapshot }) => snapshot?.inputs.find((one) => one.request_id === requestId));
  const about = `${planId} ${requestId}`;
  const { sending, error, attempt } = useAttempt(about);
  const [accepted, setAccepted] = useState<{ readonly about: string; readonly place: Place | null }>();
  // It was accepted, but its event has not been received yet.
  const offset = (accepted?.about === about && accepted.place?.offset) || 0;
  const waiting = usePlan(planId, ({ place }) => place !== null && place.offset < offset);
  const expired = useIsPast(request?.answered_at ? undefined : request?.expires_at);
  const answer = useCallback(
    (value: unknown) =>
      attempt(async () => setAccepted({ about, place: await client.answer(planId, requestId, value) })),
    [attempt, client, about, planId, requestId],
  );
  return { request, state: stateOf(request, sending || waiting, expired), answer, error };
}

function stateOf(request: InputState | undefined, sending: boolean, expired: boolean): PlanInput["state"] {
  if (!request) return "gone";
  if (request.answered_at !== undefined) return "answered";
  if (sending) return "sending";
  return expired ? "expired" : "open";
}

/** The result of `usePlanSignal`. */
export interface PlanSignal {
  /** Sends `cancel`, `pause` or `resume`. Does not throw: a failure is set as `error`. */
  readonly send: (signal: SignalName) => Promise<void>;
  /** The signal being sent; null: none. */
  readonly sending: SignalName | null;
  /** Why the last signal failed. */
  readonly error: PlancastError | null;
}

/**
 * A function that sends signals to a plan.
 *
 * @example
 * ```tsx
 * const { send, sending } = usePlanSignal(planId);
 * return <button disabled={sending !== null} onClick={() => send("pause")}>Pause</button>;
 * ```
 */
export function usePlanSignal(planId: string): PlanSignal {
  const client = useClient();
  const [signal, setSignal] = useState<SignalName | null>(null);
  const { sending, error, attempt } = useAttempt(planId);
  const send = useCallback(
    (name: SignalName) => {
      setSignal(name);
      return attempt(() => client.signal(planId, name));
    },
    [attempt, client, planId],
  );
  return { send, sending: sending ? signal : null, error };
}

interface Attempts {
  readonly about: string;
  readonly inFlight: number;
  readonly error: PlancastError | null;
}

/** Runs an action and keeps its state (in flight, error) for as long as `about` stays the same. */
function useAttempt(about: string) {
  const [last, setLast] = useState<Attempts>({ about, inFlight: 0, error: null });
  const now = last.about === about ? last : { inFlight: 0, error: null };
  const attempt = useCallback(
    async (work: () => Promise<unknown>) => {
      setLast((was) => ({ about, inFlight: was.about === about ? was.inFlight + 1 : 1, error: null }));
      const error = await work().then(
        () => null,
        (failure: unknown) => failure as PlancastError,
      );
      setLast((was) => (was.about === about ? { about, inFlight: was.inFlight - 1, error } : was));
    },
    [about],
  );
  return { sending: now.inFlight > 0, error: now.error, attempt };
}

/** Whether this time has passed; re-renders when it does. */
function useIsPast(moment: string | undefined): boolean {
  const [past, setPast] = useState<string>();
  useEffect(() => {
    if (moment === undefined) return;
    const left = Math.min(Math.max(0, Date.parse(moment) - Date.now()), 2 ** 31 - 1);
    const timer = setTimeout(() => setPast(moment), left);
    return () => clearTimeout(timer);
  }, [moment]);
  return moment !== undefined && past === moment;
}
