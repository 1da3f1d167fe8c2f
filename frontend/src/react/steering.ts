import { useCallback, useEffect, useState } from "react";
import type { InputState, Place, PlancastError, SignalName } from "../client/index.js";
import { usePlan } from "./plans.js";
import { useClient } from "./provider.js";

export interface PlanInput {
  /** What is asked; undefined: the plan asks no such question, or isn't known yet. */
  readonly request: InputState | undefined;
  readonly state: "open" | "sending" | "answered" | "expired" | "gone";
  /** Answers it. Doesn't throw: what goes wrong is `error`. */
  readonly answer: (value: unknown) => Promise<void>;
  /** Why the last answer was not taken; of `already_answered`, `by` and `at` say whose was. */
  readonly error: PlancastError | null;
}

/** A question of a plan's, to be answered in place. */
export function usePlanInput(planId: string, requestId: string): PlanInput {
  const client = useClient();
  const request = usePlan(planId, ({ snapshot }) => snapshot?.inputs.find((one) => one.request_id === requestId));
  const about = `${planId} ${requestId}`;
  const { sending, error, attempt } = useAttempt(about);
  const [taken, setTaken] = useState<{ readonly about: string; readonly place: Place | null }>();
  // It was taken, but the event that says so isn't here yet.
  const offset = (taken?.about === about && taken.place?.offset) || 0;
  const waiting = usePlan(planId, ({ place }) => place !== null && place.offset < offset);
  const expired = useIsPast(request?.answered_at ? undefined : request?.expires_at);
  const answer = useCallback(
    (value: unknown) => attempt(async () => setTaken({ about, place: await client.answer(planId, requestId, value) })),
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

export interface PlanSignal {
  /** Asks the plan to stop, to pause or to go on. Doesn't throw: what goes wrong is `error`. */
  readonly send: (signal: SignalName) => Promise<void>;
  /** The signal that is on its way. */
  readonly sending: SignalName | null;
  readonly error: PlancastError | null;
}

/** Signals to a plan. */
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
  readonly underWay: number;
  readonly error: PlancastError | null;
}

/** Something that is tried, and may go wrong. What becomes of it is shown as long as it is `about` the same. */
function useAttempt(about: string) {
  const [last, setLast] = useState<Attempts>({ about, underWay: 0, error: null });
  const now = last.about === about ? last : { underWay: 0, error: null };
  const attempt = useCallback(
    async (work: () => Promise<unknown>) => {
      setLast((was) => ({ about, underWay: was.about === about ? was.underWay + 1 : 1, error: null }));
      const error = await work().then(
        () => null,
        (failure: unknown) => failure as PlancastError,
      );
      setLast((was) => (was.about === about ? { about, underWay: was.underWay - 1, error } : was));
    },
    [about],
  );
  return { sending: now.underWay > 0, error: now.error, attempt };
}

/** Whether this moment has passed; renders again when it does. */
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
