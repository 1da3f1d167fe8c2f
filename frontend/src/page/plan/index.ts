/** The page of one plan. */
export { PlanPage } from "./plan_page.js";
export type { PlanPageProps } from "./plan_page.js";
