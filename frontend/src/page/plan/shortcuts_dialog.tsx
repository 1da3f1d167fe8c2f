import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  makeStyles,
  Switch,
  tokens,
} from "@fluentui/react-components";
import { useEffect, useLayoutEffect, useRef } from "react";
import { SHORTCUTS } from "./shortcuts.js";

const useStyles = makeStyles({
  list: {
    display: "grid",
    gridTemplateColumns: "auto 1fr",
    gap: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalL}`,
    margin: `${tokens.spacingVerticalM} 0 ${tokens.spacingVerticalL}`,
    alignItems: "center",
  },
  key: {
    display: "inline-block",
    minWidth: "24px",
    padding: "1px 7px",
    textAlign: "center",
    border: `1px solid ${tokens.colorNeutralStroke1}`,
    borderRadius: tokens.borderRadiusMedium,
    fontFamily: tokens.fontFamilyMonospace,
  },
});

interface Props {
  readonly open: boolean;
  readonly enabled: boolean;
  readonly onClose: () => void;
  readonly onEnabled: (enabled: boolean) => void;
}

/** Returns the focus to where it was before the dialog, which a key may have opened. */
function useFocusBack(open: boolean): void {
  const before = useRef<Element | null>(null);
  useLayoutEffect(() => {
    if (open) before.current = document.activeElement;
  }, [open]);
  useEffect(() => {
    if (!open) return;
    return () => {
      if (before.current instanceof HTMLElement) before.current.focus();
    };
  }, [open]);
}

export function ShortcutsDialog({ open, enabled, onClose, onEnabled }: Props) {
  const styles = useStyles();
  useFocusBack(open);
  if (!open) return null;
  return (
    <Dialog open onOpenChange={(_, state) => !state.open && onClose()}>
      <DialogSurface>
        <DialogBody>
          <DialogTitle>Keyboard shortcuts</DialogTitle>
          <DialogContent>
            <dl className={styles.list}>
              {SHORTCUTS.map(({ keys, label }) => (
                <div key={keys} style={{ display: "contents" }}>
                  <dt>
                    <kbd className={styles.key}>{keys}</kbd>
                  </dt>
                  <dd style={{ margin: 0 }}>{label}</dd>
                </div>
              ))}
            </dl>
            <Switch checked={enabled} label="Use these shortcuts" onChange={(_, { checked }) => onEnabled(checked)} />
          </DialogContent>
          <DialogActions>
            <Button appearance="primary" onClick={onClose}>
              Close
            </Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
