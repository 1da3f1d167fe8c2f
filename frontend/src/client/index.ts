export { emptySnapshot, fold } from "./fold/fold.js";
export { isPlanEnded } from "./fold/draft.js";
export type * from "../wire/index.js";
