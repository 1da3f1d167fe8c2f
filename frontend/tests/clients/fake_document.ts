/** A document for React in Node, whose own `fetch` and streams stay in use. Import it before React. */
import { Window } from "happy-dom";

const window = new Window({ url: "http://localhost/" });
const { document, navigator } = window;
for (const [name, value] of Object.entries({ window, document, navigator, IS_REACT_ACT_ENVIRONMENT: true }))
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
