import type { ControlFrame, ErrorCode, ErrorFrame, PlanInputFrame, PlanSignalFrame } from "../../wire/index.js";
import { PlancastError } from "../errors.js";
import { type Http, planPath, messageOf } from "../http.js";

/** Sends an answer or a signal over HTTP; returns the frame that a hub would send in response on a socket. */
export async function sendOverHttp(
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
    const failure = error instanceof PlancastError ? error : new PlancastError("internal", messageOf(error));
    // Without a status it is unknown whether it arrived. An answer may be sent again; a signal must not.
    const unknown = frame.type === "plan_input" ? "unavailable" : "unanswered";
    return errorFrame(failure, plan_id, request_id, failure.status === undefined ? unknown : failure.code);
  }
}

/** The error frame for a failed request. */
export function errorFrame(
  error: PlancastError,
  plan_id: string,
  request_id: string | undefined,
  code: string = error.code,
): ErrorFrame {
  const { message, retryAfterMs: retry_after_ms, by, at } = error;
  const about = { plan_id, request_id, retry_after_ms, by, at, data: { plan_id, error: message } };
  return { type: "error", code: code as ErrorCode, message, ...about };
}

/** The frame that refuses a plan: an error for a pending subscription, or the end of an existing one. */
export function refusalFrame(error: PlancastError, plan_id: string, request_id: string | undefined): ControlFrame {
  if (request_id !== undefined) return errorFrame(error, plan_id, request_id);
  const code = error.code === "plan_deleted" ? 2404 : 2403;
  return { type: "subscription_ended", plan_id, code, reason: error.message };
}
