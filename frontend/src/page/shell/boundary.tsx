import { Button } from "@fluentui/react-components";
import { Component, type ReactNode } from "react";
import { Message } from "./message.js";

interface BoundaryProps {
  /** Another key is another try. */
  readonly about: string;
  readonly children: ReactNode;
}

interface BoundaryState {
  readonly about: string;
  readonly failed: boolean;
}

/** A view that breaks takes nothing else with it. It may also be gone: an update changes what the page is made of. */
export class Boundary extends Component<BoundaryProps, BoundaryState> {
  override state: BoundaryState = { about: this.props.about, failed: false };

  static getDerivedStateFromError(): Partial<BoundaryState> {
    return { failed: true };
  }

  static getDerivedStateFromProps({ about }: BoundaryProps, state: BoundaryState): BoundaryState | null {
    return state.about === about ? null : { about, failed: false };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return (
      <Message
        rank={1}
        title="This view broke"
        actions={<Button onClick={() => location.reload()}>Load it again</Button>}
      >
        That is our mistake, not yours; the plan itself is not touched. If the hub was just updated, loading again is
        enough.
      </Message>
    );
  }
}
