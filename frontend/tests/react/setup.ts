import { configure } from "@testing-library/react";

/** The timeout of waiting for elements: generous, for busy machines. */
configure({ asyncUtilTimeout: 120_000 });
