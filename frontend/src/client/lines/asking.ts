import type { ControlFrame, ErrorCode, ErrorFrame, PlanInputFrame, PlanSignalFrame } from "../../wire/index.js";
import { PlancastError } from "../errors.js";
import { type Http, planPath, said } from "../http.js";

/** An answer or a signal over HTTP: what a hub would say to it on a socket. */
export async function ask(
  http: Http,
  token: string | undefined,
  frame: PlanInputFrame | PlanSignalFrame,
): Promise<ControlFrame> {
  const { plan_id, request_id } = frame;
  try {
    if (frame.type === "plan_signal") {
      const { signal } = frame;
      await http.request(`${planPath(plan_id)}/signals`, { method: "POST", body: { signal }, token });
      return { type: "signal_accepted", plan_id, signal, request_id };
    }
    const path = `${planPath(plan_id)}/inputs/${encodeURIComponent(frame.request_id)}`;
    const body = { answer: frame.answer };
    const place = await http.json<{ epoch: string; offset: number }>(path, { method: "POST", body, token });
    return { type: "input_accepted", plan_id, request_id: frame.request_id, ...place };
  } catch (error) {
    const failure = error instanceof PlancastError ? error : new PlancastError("internal", said(error));
    // Without a status nobody knows whether it arrived. An answer may be said again; a signal may not.
    const unknown = frame.type === "plan_input" ? "unavailable" : "unanswered";
    return asFrame(failure, plan_id, request_id, failure.status === undefined ? unknown : failure.code);
  }
}

/** The error frame that says the same as a problem. */
export function asFrame(
  error: PlancastError,
  plan_id: string,
  request_id: string | undefined,
  code: string = error.code,
): ErrorFrame {
  const { message, retryAfterMs: retry_after_ms, by, at } = error;
  const about = { plan_id, request_id, retry_after_ms, by, at, data: { plan_id, error: message } };
  return { type: "error", code: code as ErrorCode, message, ...about };
}

/** Says that a plan isn't to be had: to the subscription under way, or of the one there was. */
export function refusal(error: PlancastError, plan_id: string, request_id: string | undefined): ControlFrame {
  if (request_id !== undefined) return asFrame(error, plan_id, request_id);
  const code = error.code === "plan_deleted" ? 2404 : 2403;
  return { type: "subscription_ended", plan_id, code, reason: error.message };
}
