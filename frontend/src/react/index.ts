/** `plancast/react`: plans in React components. */
export { PlancastProvider, useClient } from "./provider.js";
export type { PlancastProviderProps } from "./provider.js";
export { useConnection, usePlan, usePlanEvents, usePlanList } from "./plans.js";
export type { EventsOptions, ListOptions, PlanListing } from "./plans.js";
export type { PlanListView } from "./plan_list.js";
export { usePlanInput, usePlanSignal } from "./steering.js";
export type { PlanInput, PlanSignal } from "./steering.js";
