/**
 * The client's side of the protocol, without I/O: inputs carry the current time, and effects are returned.
 *
 * It keeps one link (a WebSocket, or an HTTP transport in its place) for all plans, and opens another when it breaks. Where the
 * network blocks a transport, it falls back to a simpler one, and later moves back up.
 */
import type { ControlFrame, ErrorFrame, EventFrame } from "../../wire/index.js";
import { PlancastError } from "../errors.js";
import { BROKEN, isFinalClose, TOKEN_EXPIRED } from "./codes.js";
import { sameConnection, type Connection, type Transport } from "./connection.js";
import type { Effect, TokenReason } from "./effects.js";
import { Links, type LinkState } from "./links.js";
import { Requests, type Outcome, type RequestFrame } from "./requests.js";
import { Retries } from "./retries.js";
import { Subscriptions, type PlanFrame } from "./subscriptions.js";
import { Tokens } from "./tokens.js";
import { TransportChoice } from "./transport_choice.js";

/** How long the connection is kept when no plan is watched. */
const IDLE_MS = 5_000;

export interface SessionOptions {
  /** Best first; at least one. */
  readonly transports: readonly Transport[];
  readonly token?: string | undefined;
  /** Whether tokens can be fetched. */
  readonly fetches: boolean;
  readonly random: () => number;
}

type Phase = "idle" | "token" | "link" | "pause" | "refused" | "closed";

export class Session {
  readonly subscriptions: Subscriptions;
  connection: Connection = { status: "idle" };
  readonly #links = new Links((effect) => this.#out.push(effect));
  readonly #choice: TransportChoice;
  readonly #tokens: Tokens;
  readonly #retries: Retries;
  readonly #requests = new Requests();
  readonly #out: Effect[] = [];
  #phase: Phase = "idle";
  #idleAt = Infinity;
  #visible = true;
  #online = true;

  constructor({ transports, token, fetches, random }: SessionOptions) {
    this.#choice = new TransportChoice(transports);
    this.#tokens = new Tokens(token, fetches);
    this.#retries = new Retries(random);
    this.subscriptions = new Subscriptions(random);
  }

  // -- calls of the page

  follow(planId: string, now: number): Effect[] {
    this.subscriptions.begin(planId);
    this.#wake(now);
    return this.#done(now);
  }

  leave(planId: string, now: number): Effect[] {
    const subscribed = this.subscriptions.end(planId);
    if (subscribed && this.#links.ready) this.#links.send({ type: "unsubscribe_plan", plan_id: planId });
    return this.#done(now);
  }

  /** Sends an answer or a signal; its outcome is an effect of this call or a later one. */
  request(id: number, frame: RequestFrame, now: number, timeoutMs: number): Effect[] {
    const error = this.#failure() ?? this.#requests.add(id, frame, now, timeoutMs);
    if (error) this.#settle([{ id, error }]);
    else this.#wake(now);
    return this.#done(now);
  }

  /** Connects now, also after a refusal. */
  retry(now: number): Effect[] {
    if (this.#phase === "closed") return [];
    this.#retries.reset();
    this.subscriptions.retryRefused();
    if (this.#phase === "pause" || this.#phase === "refused") this.#connect(now);
    else this.#wake(now);
    if (this.#links.ready?.proven) this.#links.test(now);
    return this.#done(now);
  }

  close(now: number): Effect[] {
    if (this.#phase === "closed") return [];
    this.#closeAll("the client was closed", "closed");
    return this.#done(now);
  }

  // -- events from outside

  /** The page's visibility and network; `woken`: the device may have slept, so the link must be tested. */
  pageChanged(visible: boolean, online: boolean, woken: boolean, now: number): Effect[] {
    const better = (visible && !this.#visible) || (online && !this.#online) || (woken && visible && online);
    const worse = this.#online && !online;
    this.#visible = visible;
    this.#online = online;
    if (better && this.#phase === "pause") this.#connect(now);
    if ((better || worse) && this.#links.ready?.proven) this.#links.test(now);
    return this.#done(now);
  }

  token(token: string, now: number): Effect[] {
    this.#tokens.received(token);
    if (this.#phase === "token") this.#open(now);
    else if (this.#links.ready) this.#links.authenticate(this.#tokens.current);
    return this.#done(now);
  }

  tokenFailed(reason: string, now: number): Effect[] {
    this.#tokens.failed(now);
    if (this.#phase === "token") {
      this.#retries.failed(this.#retries.code, `no token: ${reason}`, 0);
      this.#pause(now, undefined);
    }
    return this.#done(now);
  }

  /** The result of `probe_hub`. If the hub answers while no link gets through, the network blocks the transport. */
  hubFound(found: boolean, now: number): Effect[] {
    const waiting = this.#phase === "pause" || this.#links.current?.proven === false;
    if (found && waiting && this.#choice.stuck) {
      this.#closeAll("the transport is blocked", "pause");
      this.#choice.stepDown();
      this.#connect(now);
    }
    return this.#done(now);
  }

  /** Handles a frame from a link; null: something else was received. */
  frame(link: number, frame: ControlFrame | EventFrame | null, now: number): Effect[] {
    const state = this.#links.of(link);
    state?.received(now);
    const inUse = state === this.#links.current || frame?.type === "connected" || frame?.type === "authenticated";
    if (state && frame && inUse) this.#receive(state, frame, now);
    return this.#done(now);
  }

  closed(link: number, code: number, reason: string, hintMs: number | undefined, now: number): Effect[] {
    const state = this.#links.of(link);
    if (state) this.#lost(state, code, reason, hintMs, now);
    return this.#done(now);
  }

  // -- time

  /** When `tick` must be called next. */
  due(): number {
    const open = this.#links.ready !== null;
    return Math.min(
      this.#idleAt,
      this.#requests.due(open),
      this.#links.due(),
      this.#phase === "pause" && this.#visible ? this.#retries.retryAt : Infinity,
      open ? Math.min(this.#choice.upgradeAt, this.subscriptions.due(), this.#tokens.due()) : Infinity,
    );
  }

  tick(now: number): Effect[] {
    this.#settle(this.#requests.expired(now));
    if (this.#links.candidate) this.#check(this.#links.candidate, now);
    if (this.#links.current) this.#check(this.#links.current, now);
    if (this.#idleAt <= now) this.#closeAll("nothing is watched", "idle");
    if (this.#phase === "pause" && this.#visible && this.#retries.retryAt <= now) this.#connect(now);
    if (this.#links.ready) {
      if (this.#tokens.due() <= now) this.#fetchToken("expiring");
      if (this.#choice.upgradeAt <= now) this.#upgrade(this.#links.ready, now);
      this.#catchUp(now);
    }
    return this.#done(now);
  }

  // -- connecting

  get #wanted(): boolean {
    return this.subscriptions.all.size > 0 || this.#requests.size > 0;
  }

  /** Connects if needed, and sends what is due. */
  #wake(now: number): void {
    if (this.#phase === "idle") this.#connect(now);
    else if (this.#links.ready) this.#catchUp(now);
  }

  #connect(now: number): void {
    this.#phase = "idle";
    if (!this.#wanted) return;
    if (this.#tokens.fetched) {
      this.#phase = "token";
      this.#fetchToken(this.#retries.code === TOKEN_EXPIRED ? "expired" : "connect");
    } else {
      this.#open(now);
    }
  }

  #fetchToken(reason: TokenReason): void {
    if (this.#tokens.begin()) this.#out.push({ do: "fetch_token", reason });
  }

  #open(now: number): void {
    this.#phase = "link";
    const link = (this.#links.current = this.#links.open(this.#choice.transport, this.#tokens.current, now));
    // Over HTTP every request carries the token, so there is no authentication to wait for.
    if (link.transport !== "websocket") this.#begin(link, now);
  }

  /** The link is ready: plans may be subscribed on it. */
  #begin(link: LinkState, now: number): void {
    if (link === this.#links.candidate && !this.#promote(link)) return;
    link.setReady(now);
    this.subscriptions.authenticated(this.#tokens.takeChanged());
    this.#choice.scheduleUpgrade(now);
    this.#catchUp(now);
  }

  #lost(link: LinkState, code: number, reason: string, hintMs: number | undefined, now: number): void {
    if (link === this.#links.candidate) {
      this.#links.dropCandidate(reason);
      this.#tryBetter(now, link.transport);
      return;
    }
    this.#retries.failed(code, reason, now - link.readyAt);
    this.#choice.ended(link.proven);
    const final = isFinalClose(code) || (code === TOKEN_EXPIRED && !this.#tokens.fetched);
    this.#closeAll(reason, final ? "refused" : "pause");
    if (!final) this.#pause(now, hintMs ?? link.hintMs);
  }

  #pause(now: number, hintMs: number | undefined): void {
    this.#phase = "pause";
    this.#retries.wait(now, hintMs);
    if (this.#choice.stuck) this.#out.push({ do: "probe_hub" });
  }

  /** Why requests fail in this phase; null: they do not. */
  #failure(): PlancastError | null {
    if (this.#phase === "closed") return new PlancastError("closed", "this client was closed; create another");
    const { code, reason } = this.#retries;
    return this.#phase === "refused" ? new PlancastError("refused", reason || `the hub refused (${code})`) : null;
  }

  /** Closes both links and enters a phase without one. */
  #closeAll(reason: string, phase: Phase): void {
    this.#links.closeAll(reason);
    this.#phase = phase;
    this.#idleAt = Infinity;
    this.#disconnected();
    const failure = this.#failure();
    if (failure) this.#settle(this.#requests.dropAll(failure));
  }

  /** Marks the subscriptions and requests of the link as lost. */
  #disconnected(): void {
    this.subscriptions.disconnected();
    for (const planId of this.subscriptions.all.keys()) this.#changed(planId);
    this.#settle(this.#requests.broken());
  }

  // -- a better transport

  #upgrade(link: LinkState, now: number): void {
    this.#choice.scheduleUpgrade(now);
    // A hidden page needs no better transport.
    if (this.#visible && link.proven && !this.#links.candidate) this.#tryBetter(now);
  }

  #tryBetter(now: number, tried?: Transport): void {
    const transport = this.#choice.better(tried);
    const [first] = this.subscriptions.all.values();
    if (!transport || !first) {
      this.#choice.postponeUpgrade(now);
      return;
    }
    const link = (this.#links.candidate = this.#links.open(transport, this.#tokens.current, now));
    // Without a plan in it, a stream delivers nothing that would show it gets through.
    const probe = { type: "subscribe_plan", plan_id: first.planId, since: first.place ?? "now" } as const;
    if (transport !== "websocket") this.#links.send(probe, link);
  }

  /** Moves to the candidate; false if requests are in flight, which would be lost. */
  #promote(link: LinkState): boolean {
    if (this.#requests.size > 0) {
      this.#links.dropCandidate("requests are pending");
      return false;
    }
    this.#links.promote("moved to a better transport");
    this.#choice.stepUp(link.transport);
    this.#disconnected();
    return true;
  }

  // -- frames

  #catchUp(now: number): void {
    for (const frame of [...this.subscriptions.subscribeAll(now), ...this.#requests.ready(now)])
      this.#links.send(frame);
  }

  #check(link: LinkState, now: number): void {
    const health = link.check(now);
    if (health === "ping") this.#links.send({ type: "ping" }, link);
    const reason = link.ready ? "nothing received for too long" : "no answer in time";
    if (health === "dead") this.#lost(link, BROKEN, reason, undefined, now);
  }

  #receive(link: LinkState, frame: ControlFrame | EventFrame, now: number): void {
    switch (frame.type) {
      case "connected":
        link.setHeartbeat(frame.heartbeat_s);
        this.#tokens.connected(frame, now);
        if (link.transport === "websocket" && this.#tokens.current)
          this.#links.authenticate(this.#tokens.current, link);
        else if (!link.ready) this.#begin(link, now);
        break;
      case "authenticated":
        this.#tokens.setExpiry(frame.expires_at, now);
        this.#requests.authenticated();
        this.subscriptions.authenticated(this.#tokens.takeChanged());
        if (link.ready) this.#catchUp(now);
        else this.#begin(link, now);
        break;
      case "going_away":
        link.hintMs = frame.reconnect_after_ms;
        break;
      case "input_accepted":
      case "signal_accepted":
        this.#settle([this.#requests.accepted(frame)]);
        break;
      case "error":
        this.#failed(link, frame, now);
        break;
      case "pong":
        break;
      default:
        this.#planFrame(frame, now);
    }
  }

  #planFrame(frame: PlanFrame, now: number): void {
    const replies = this.subscriptions.receive(frame, now);
    for (const one of replies ?? []) this.#links.send(one);
    if (replies) this.#changed(frame.plan_id);
  }

  #failed(link: LinkState, frame: ErrorFrame, now: number): void {
    if (this.subscriptions.refused(frame, now)) this.#changed(frame.plan_id ?? "");
    else if (frame.request_id === Links.AUTHENTICATION) this.#tokenRefused(link, frame, now);
    else this.#settle([this.#requests.refused(frame, now)]);
    if (frame.code === "token_expired" && link.ready) this.#fetchToken("expired");
  }

  #tokenRefused(link: LinkState, frame: ErrorFrame, now: number): void {
    if (link.ready && frame.code !== "forbidden") this.#tokens.failed(now, frame.retry_after_ms);
    // The token could not be checked, or belongs to another user, who needs a separate connection.
    else if (frame.code === "unavailable" || frame.code === "forbidden") {
      this.#lost(link, BROKEN, frame.message, frame.retry_after_ms, now);
    } // otherwise the hub closes the link
  }

  #settle(outcomes: readonly (Outcome | null)[]): void {
    for (const outcome of outcomes) if (outcome) this.#out.push({ do: "settle", outcome });
  }

  #changed(planId: string): void {
    this.#out.push({ do: "plan_changed", planId });
  }

  /** Updates the derived state and returns the effects; ends every call. */
  #done(now: number): Effect[] {
    if (this.#phase === "pause" && !this.#wanted) this.#phase = "idle";
    const { ready, current } = this.#links;
    if (ready && !ready.caughtUp) ready.caughtUp = this.subscriptions.live;
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
    const { code, reason } = this.#retries;
    switch (this.#phase) {
      case "idle":
      case "closed":
        return { status: this.#phase };
      case "refused":
        return { status: "refused", code, reason };
      case "pause":
        return this.#retries.describe(this.#online);
      default:
        return this.#links.current?.describe() ?? { status: "connecting", transport: this.#choice.transport };
    }
  }
}
