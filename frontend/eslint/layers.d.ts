import type { Rule } from "eslint";

export const noRestrictedPaths: Rule.RuleModule;
