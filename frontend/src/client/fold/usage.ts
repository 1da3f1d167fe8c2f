/** Adds what events report of the use of language models. It follows the rules of broadcasters/usage_fold.py. */
import type { AgentUsage, StepState, Usage, UsageSum } from "../../wire/index.js";
import type { Draft, Mutable } from "./draft.js";

const MAX_ENTRIES = 32;
const MAX_CURRENCIES = 8;
const PLACES = 12;
const COUNTS = ["input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "requests"] as const;

/** Adds usage to the sums of the plan, the agent and the step, if that is known. */
export function countUsage(draft: Draft, usage: Usage, agent?: string, stepId?: string): void {
  const { plan } = draft;
  plan.usage = plus(plan.usage, usage);
  plan.usage_by_agent = plusForAgent(plan.usage_by_agent ?? [], usage, agent);
  const step: StepState | undefined = stepId == null ? undefined : draft.steps.get(stepId);
  if (step) draft.steps.set({ ...step, usage: plus(step.usage, usage) });
}

function plusForAgent(sums: readonly AgentUsage[], usage: Usage, agent?: string): readonly AgentUsage[] {
  const known = sums.find((one) => one.agent_name == agent && one.model == usage.model);
  if (known) return sums.map((one) => (one === known ? plus(one, usage) : one));
  if (sums.length < MAX_ENTRIES || (agent == null && usage.model == null)) {
    return [...sums, plus<AgentUsage>(agent == null ? {} : { agent_name: agent }, usage)];
  }
  return plusForAgent(sums, { ...usage, model: undefined });
}

export function plus<Sum extends UsageSum>(sum: Sum | undefined, usage: Usage): Sum {
  const added = { ...sum } as Mutable<Sum>;
  if (usage.model != null) added.model = usage.model;
  for (const name of COUNTS) {
    const count = usage[name];
    if (count != null) added[name] = (sum?.[name] ?? 0) + count;
  }
  if (usage.cost != null) added.costs = withCost(sum?.costs ?? {}, usage.cost, usage.currency ?? "USD");
  return added;
}

function withCost(costs: Readonly<Record<string, string>>, cost: string, currency: string): Record<string, string> {
  const known = costs[currency];
  if (known == null && Object.keys(costs).length >= MAX_CURRENCIES) return costs;
  const digits = `${scaled(known ?? "0") + scaled(cost)}`.padStart(PLACES + 1, "0");
  const sum = `${digits.slice(0, -PLACES)}.${digits.slice(-PLACES)}`.replace(/\.?0+$/, "");
  return { ...costs, [currency]: sum };
}

/** The amount in units of its last decimal place: exact, unlike a number. */
function scaled(amount: string): bigint {
  const [whole = "", fraction = ""] = amount.split(".");
  return BigInt(whole + fraction.padEnd(PLACES, "0"));
}
