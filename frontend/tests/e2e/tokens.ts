import { createHmac } from "node:crypto";

/** The settings of a hub that requires tokens. */
export const AUTH_SETTINGS = {
  PLANCAST_AUTH_SECRET: "a secret that is long enough for everybody",
  PLANCAST_AUTH_LEEWAY: "0",
};
const EVERYTHING = { "*": ["read", "input", "signal", "publish", "start"] };

/** A token that expires after this many seconds. */
export function token(seconds: number, sub = "ann", plans: object = EVERYTHING): string {
  const text = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1_000) + seconds;
  const body = `${text({ alg: "HS256", typ: "JWT" })}.${text({ sub, plans, exp })}`;
  return `${body}.${createHmac("sha256", AUTH_SETTINGS.PLANCAST_AUTH_SECRET).update(body).digest("base64url")}`;
}
