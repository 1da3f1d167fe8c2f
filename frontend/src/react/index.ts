/** `plancast/react`: React hooks for plans. */
export { PlancastProvider, useClient } from "./provider.js";
export type { PlancastProviderProps } from "./provider.js";
export { useConnection, usePlan, usePlanEvents, usePlanList } from "./plans.js";
export type { EventsOptions, ListOptions, PlanListing } from "./plans.js";
export type { PlanListView } from "./plan_list.js";
export { usePlanInput, usePlanSignal } from "./control.js";
export type { PlanInput, PlanSignal } from "./control.js";
