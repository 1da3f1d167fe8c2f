import { configure } from "@testing-library/react";

/** So long is waited for what is to be shown: generous, for machines that have much else to do. */
configure({ asyncUtilTimeout: 30_000 });
