/**
 * A client's side of the protocol, without I/O: events go in with the time they happened at, effects come out.
 *
 * It holds one line (a WebSocket, or what stands for one) for all plans, finds another when it breaks, and steps down to a
 * plainer transport where something between lets the better one not through, and up again.
 */
import type { ControlFrame, ErrorFrame, EventFrame } from "../../wire/index.js";
import { PlancastError } from "../errors.js";
import { BROKEN, isFinalClose, TOKEN_EXPIRED } from "./codes.js";
import { sameConnection, type Connection, type Transport } from "./connection.js";
import type { Effect, TokenReason } from "./effects.js";
import { Ladder } from "./ladder.js";
import type { LineState } from "./line_state.js";
import { Lines } from "./lines.js";
import { Requests, type Outcome, type RequestFrame } from "./requests.js";
import { Tokens } from "./tokens.js";
import { Tries } from "./tries.js";
import { Watching, type AboutPlan } from "./watching.js";

/** With nothing to watch, it is kept for so long. */
const IDLE_MS = 5_000;

export interface SessionOptions {
  /** Best first; at least one. */
  readonly transports: readonly Transport[];
  readonly token?: string | undefined;
  /** Whether tokens can be fetched. */
  readonly fetches: boolean;
  readonly random: () => number;
}

type Phase = "idle" | "token" | "line" | "pause" | "refused" | "closed";

export class Session {
  readonly watching: Watching;
  connection: Connection = { status: "idle" };
  readonly #lines = new Lines((effect) => this.#out.push(effect));
  readonly #ladder: Ladder;
  readonly #tokens: Tokens;
  readonly #tries: Tries;
  readonly #requests = new Requests();
  readonly #out: Effect[] = [];
  #phase: Phase = "idle";
  #idleAt = Infinity;
  #visible = true;
  #online = true;

  constructor({ transports, token, fetches, random }: SessionOptions) {
    this.#ladder = new Ladder(transports);
    this.#tokens = new Tokens(token, fetches);
    this.#tries = new Tries(random);
    this.watching = new Watching(random);
  }

  // -- what the page wants

  follow(planId: string, now: number): Effect[] {
    this.watching.begin(planId);
    this.#wake(now);
    return this.#done(now);
  }

  leave(planId: string, now: number): Effect[] {
    const subscribed = this.watching.end(planId);
    if (subscribed && this.#lines.ready) this.#lines.say({ type: "unsubscribe_plan", plan_id: planId });
    return this.#done(now);
  }

  /** Says an answer or a signal; its outcome is an effect of this call or a later one. */
  ask(id: number, frame: RequestFrame, now: number, timeoutMs: number): Effect[] {
    const error = this.#deaf() ?? this.#requests.add(id, frame, now, timeoutMs);
    if (error) this.#settle([{ id, error }]);
    else this.#wake(now);
    return this.#done(now);
  }

  /** Somebody wants it to try now. */
  retry(now: number): Effect[] {
    if (this.#phase === "closed") return [];
    this.#tries.startOver();
    this.watching.forgive();
    if (this.#phase === "pause" || this.#phase === "refused") this.#seek(now);
    else this.#wake(now);
    if (this.#lines.ready?.proven) this.#lines.test(now);
    return this.#done(now);
  }

  close(now: number): Effect[] {
    if (this.#phase === "closed") return [];
    this.#hangUp("the client was closed", "closed");
    return this.#done(now);
  }

  // -- what the world does

  /** Whether the page is seen, and the device has a network; `woken`: time may have stood still, and the line is to be tested. */
  world(visible: boolean, online: boolean, woken: boolean, now: number): Effect[] {
    const better = (visible && !this.#visible) || (online && !this.#online) || (woken && visible && online);
    const worse = this.#online && !online;
    this.#visible = visible;
    this.#online = online;
    if (better && this.#phase === "pause") this.#seek(now);
    if ((better || worse) && this.#lines.ready?.proven) this.#lines.test(now);
    return this.#done(now);
  }

  token(token: string, now: number): Effect[] {
    this.#tokens.came(token);
    if (this.#phase === "token") this.#open(now);
    else if (this.#lines.ready) this.#lines.authenticate(this.#tokens.current);
    return this.#done(now);
  }

  tokenFailed(reason: string, now: number): Effect[] {
    this.#tokens.failed(now);
    if (this.#phase === "token") {
      this.#tries.failed(this.#tries.code, `no token could be had: ${reason}`, 0);
      this.#pause(now, undefined);
    }
    return this.#done(now);
  }

  /** Whether the hub answers, though no line comes up: then something between is in the way. */
  hubFound(found: boolean, now: number): Effect[] {
    const waiting = this.#phase === "pause" || this.#lines.current?.proven === false;
    if (found && waiting && this.#ladder.stuck) {
      this.#hangUp("it doesn't get through", "pause");
      this.#ladder.stepDown();
      this.#seek(now);
    }
    return this.#done(now);
  }

  /** A frame came over a line; null: something that is none. */
  frame(line: number, frame: ControlFrame | EventFrame | null, now: number): Effect[] {
    const state = this.#lines.of(line);
    state?.heard(now);
    const inUse = state === this.#lines.current || frame?.type === "connected" || frame?.type === "authenticated";
    if (state && frame && inUse) this.#hear(state, frame, now);
    return this.#done(now);
  }

  closed(line: number, code: number, reason: string, hintMs: number | undefined, now: number): Effect[] {
    const state = this.#lines.of(line);
    if (state) this.#lost(state, code, reason, hintMs, now);
    return this.#done(now);
  }

  // -- time

  /** When `tick` has something to do. */
  due(): number {
    const open = this.#lines.ready !== null;
    return Math.min(
      this.#idleAt,
      this.#requests.due(open),
      this.#lines.due(),
      this.#phase === "pause" && this.#visible ? this.#tries.retryAt : Infinity,
      open ? Math.min(this.#ladder.climbAt, this.watching.due(), this.#tokens.due()) : Infinity,
    );
  }

  tick(now: number): Effect[] {
    this.#settle(this.#requests.expired(now));
    if (this.#lines.candidate) this.#check(this.#lines.candidate, now);
    if (this.#lines.current) this.#check(this.#lines.current, now);
    if (this.#idleAt <= now) this.#hangUp("nothing is watched", "idle");
    if (this.#phase === "pause" && this.#visible && this.#tries.retryAt <= now) this.#seek(now);
    if (this.#lines.ready) {
      if (this.#tokens.due() <= now) this.#fetchToken("expiring");
      if (this.#ladder.climbAt <= now) this.#climb(this.#lines.ready, now);
      this.#catchUp(now);
    }
    return this.#done(now);
  }

  // -- finding a line

  get #wanted(): boolean {
    return this.watching.followers.size > 0 || this.#requests.size > 0;
  }

  /** There is something to do. */
  #wake(now: number): void {
    if (this.#phase === "idle") this.#seek(now);
    else if (this.#lines.ready) this.#catchUp(now);
  }

  #seek(now: number): void {
    this.#phase = "idle";
    if (!this.#wanted) return;
    if (this.#tokens.fetched) {
      this.#phase = "token";
      this.#fetchToken(this.#tries.code === TOKEN_EXPIRED ? "expired" : "connect");
    } else {
      this.#open(now);
    }
  }

  #fetchToken(reason: TokenReason): void {
    if (this.#tokens.begin()) this.#out.push({ do: "fetch_token", reason });
  }

  #open(now: number): void {
    this.#phase = "line";
    const line = (this.#lines.current = this.#lines.open(this.#ladder.transport, this.#tokens.current, now));
    // Over HTTP, each request says who it is from: there is nothing to wait for.
    if (line.transport !== "websocket") this.#begin(line, now);
  }

  /** Plans may be subscribed on this line now. */
  #begin(line: LineState, now: number): void {
    if (line === this.#lines.candidate && !this.#moves(line)) return;
    line.setReady(now);
    this.watching.authenticated(this.#tokens.takenAnew());
    this.#ladder.climbLater(now);
    this.#catchUp(now);
  }

  #lost(line: LineState, code: number, reason: string, hintMs: number | undefined, now: number): void {
    if (line === this.#lines.candidate) {
      this.#lines.dropCandidate(reason);
      this.#tryBetter(now, line.transport);
      return;
    }
    this.#tries.failed(code, reason, now - line.readyAt);
    this.#ladder.ended(line.proven);
    const final = isFinalClose(code) || (code === TOKEN_EXPIRED && !this.#tokens.fetched);
    this.#hangUp(reason, final ? "refused" : "pause");
    if (!final) this.#pause(now, hintMs ?? line.hintMs);
  }

  #pause(now: number, hintMs: number | undefined): void {
    this.#phase = "pause";
    this.#tries.wait(now, hintMs);
    if (this.#ladder.stuck) this.#out.push({ do: "look_for_hub" });
  }

  /** Why nothing can be asked, if so. */
  #deaf(): PlancastError | null {
    if (this.#phase === "closed") return new PlancastError("closed", "this client was closed; create another one");
    const { code, reason } = this.#tries;
    return this.#phase === "refused" ? new PlancastError("refused", reason || `the hub refused (${code})`) : null;
  }

  /** No line any more: neither this nor that which was tried beside it. */
  #hangUp(reason: string, phase: Phase): void {
    this.#lines.hangUp(reason);
    this.#phase = phase;
    this.#idleAt = Infinity;
    this.#part();
    const deaf = this.#deaf();
    if (deaf) this.#settle(this.#requests.dropAll(deaf));
  }

  /** What was subscribed and asked on the line is so no longer. */
  #part(): void {
    this.watching.apart();
    for (const planId of this.watching.followers.keys()) this.#changed(planId);
    this.#settle(this.#requests.broken());
  }

  // -- a better transport

  #climb(line: LineState, now: number): void {
    this.#ladder.climbLater(now);
    // Nobody looks at a hidden page.
    if (this.#visible && line.proven && !this.#lines.candidate) this.#tryBetter(now);
  }

  #tryBetter(now: number, tried?: Transport): void {
    const transport = this.#ladder.better(tried);
    const [first] = this.watching.followers.values();
    if (!transport || !first) {
      this.#ladder.climbMuchLater(now);
      return;
    }
    const line = (this.#lines.candidate = this.#lines.open(transport, this.#tokens.current, now));
    // A stream shows only with a plan in it whether it gets through.
    const probe = { type: "subscribe_plan", plan_id: first.planId, since: first.place ?? "now" } as const;
    if (transport !== "websocket") this.#lines.say(probe, line);
  }

  /** Unless a request would be torn off: then the next try is soon enough. */
  #moves(line: LineState): boolean {
    if (this.#requests.size > 0) {
      this.#lines.dropCandidate("something is under way");
      return false;
    }
    this.#lines.promote("moved to a better transport");
    this.#ladder.stepUp(line.transport);
    this.#part();
    return true;
  }

  // -- on a line

  #catchUp(now: number): void {
    for (const frame of [...this.watching.joinAll(now), ...this.#requests.ready(now)]) this.#lines.say(frame);
  }

  #check(line: LineState, now: number): void {
    const health = line.check(now);
    if (health === "ping") this.#lines.say({ type: "ping" }, line);
    const reason = line.ready ? "nothing was heard for too long" : "no answer in time";
    if (health === "dead") this.#lost(line, BROKEN, reason, undefined, now);
  }

  #hear(line: LineState, frame: ControlFrame | EventFrame, now: number): void {
    switch (frame.type) {
      case "connected":
        line.setHeartbeat(frame.heartbeat_s);
        this.#tokens.connected(frame, now);
        if (line.transport === "websocket" && this.#tokens.current)
          this.#lines.authenticate(this.#tokens.current, line);
        else if (!line.ready) this.#begin(line, now);
        break;
      case "authenticated":
        this.#tokens.setExpiry(frame.expires_at, now);
        this.#requests.authenticated();
        this.watching.authenticated(this.#tokens.takenAnew());
        if (line.ready) this.#catchUp(now);
        else this.#begin(line, now);
        break;
      case "going_away":
        line.hintMs = frame.reconnect_after_ms;
        break;
      case "input_accepted":
      case "signal_accepted":
        this.#settle([this.#requests.accepted(frame)]);
        break;
      case "error":
        this.#failed(line, frame, now);
        break;
      case "pong":
        break;
      default:
        this.#tell(frame, now);
    }
  }

  #tell(frame: AboutPlan, now: number): void {
    const said = this.watching.hear(frame, now);
    for (const one of said ?? []) this.#lines.say(one);
    if (said) this.#changed(frame.plan_id);
  }

  #failed(line: LineState, frame: ErrorFrame, now: number): void {
    if (this.watching.refused(frame, now)) this.#changed(frame.plan_id ?? "");
    else if (frame.request_id === Lines.AUTHENTICATION) this.#tokenRefused(line, frame, now);
    else this.#settle([this.#requests.refused(frame, now)]);
    if (frame.code === "token_expired" && line.ready) this.#fetchToken("expired");
  }

  #tokenRefused(line: LineState, frame: ErrorFrame, now: number): void {
    if (line.ready && frame.code !== "forbidden") this.#tokens.failed(now, frame.retry_after_ms);
    // It could not be checked; or it is somebody else's, who needs a connection of their own.
    else if (frame.code === "unavailable" || frame.code === "forbidden") {
      this.#lost(line, BROKEN, frame.message, frame.retry_after_ms, now);
    } // else a close follows
  }

  #settle(outcomes: readonly (Outcome | null)[]): void {
    for (const outcome of outcomes) if (outcome) this.#out.push({ do: "settle", outcome });
  }

  #changed(planId: string): void {
    this.#out.push({ do: "plan_changed", planId });
  }

  /** Ends each call. */
  #done(now: number): Effect[] {
    if (this.#phase === "pause" && !this.#wanted) this.#phase = "idle";
    const { ready, current } = this.#lines;
    if (ready && !ready.caughtUp) ready.caughtUp = this.watching.live;
    if (!current || this.#wanted) this.#idleAt = Infinity;
    else if (this.#idleAt === Infinity) this.#idleAt = now + IDLE_MS;
    const connection = this.#describe();
    if (!sameConnection(connection, this.connection)) {
      this.connection = connection;
      this.#out.push({ do: "connection_changed" });
    }
    return this.#out.splice(0);
  }

  #describe(): Connection {
    const { code, reason } = this.#tries;
    switch (this.#phase) {
      case "idle":
      case "closed":
        return { status: this.#phase };
      case "refused":
        return { status: "refused", code, reason };
      case "pause":
        return this.#tries.describe(this.#online);
      default:
        return this.#lines.current?.describe() ?? { status: "connecting", transport: this.#ladder.transport };
    }
  }
}
