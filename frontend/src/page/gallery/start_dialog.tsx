import {
  Accordion,
  AccordionHeader,
  AccordionItem,
  AccordionPanel,
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  makeStyles,
  MessageBar,
  MessageBarBody,
  Spinner,
  Text,
  tokens,
} from "@fluentui/react-components";
import { type SyntheticEvent, useMemo, useState } from "react";
import type { Template } from "../../client/index.js";
import { useClient } from "../../react/index.js";
import { FieldInput } from "../forms/field_input.js";
import { type Filled, fieldsOf, initialOf, inputOf, type SchemaField } from "../forms/schema_fields.js";
import { navigate } from "../navigation.js";

const useStyles = makeStyles({
  fields: {
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalL,
    paddingTop: tokens.spacingVerticalS,
  },
  about: { color: tokens.colorNeutralForeground2 },
});

interface StartDialogProps {
  readonly template: Template;
  readonly onClose: () => void;
}

/** The form of a template's input. It starts the plan and shows it. */
export function StartDialog({ template, onClose }: StartDialogProps) {
  const styles = useStyles();
  const form = useStartForm(template, onClose);
  const needed = form.fields.filter(({ required }) => required);
  const more = form.fields.filter(({ required }) => !required);
  const inputs = (fields: readonly SchemaField[]) =>
    fields.map((field) => (
      <FieldInput
        key={field.name}
        field={field}
        value={form.filled[field.name] ?? ""}
        problem={form.problems[field.name]}
        onValue={(value) => form.fill(field.name, value)}
      />
    ));
  return (
    <Dialog open onOpenChange={(_, { open }) => !open && onClose()}>
      <DialogSurface>
        <form onSubmit={form.submit} noValidate>
          <DialogBody>
            <DialogTitle>{template.title}</DialogTitle>
            <DialogContent className={styles.fields}>
              <Text className={styles.about}>{template.about}</Text>
              {inputs(needed)}
              {more.length > 0 && (
                <Accordion collapsible defaultOpenItems={needed.length === 0 ? "more" : []}>
                  <AccordionItem value="more">
                    <AccordionHeader>More options</AccordionHeader>
                    <AccordionPanel className={styles.fields}>{inputs(more)}</AccordionPanel>
                  </AccordionItem>
                </Accordion>
              )}
              {form.failure && (
                <MessageBar intent="error">
                  <MessageBarBody>{form.failure}</MessageBarBody>
                </MessageBar>
              )}
            </DialogContent>
            <DialogActions>
              <Button type="button" onClick={onClose}>
                Not now
              </Button>
              <Button
                appearance="primary"
                type="submit"
                disabledFocusable={form.starting}
                icon={form.starting ? <Spinner size="tiny" /> : null}
              >
                {form.starting ? "Starting…" : "Start"}
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}

function useStartForm(template: Template, onStarted: () => void) {
  const client = useClient();
  const fields = useMemo(() => fieldsOf(template.input_schema), [template]);
  const [filled, setFilled] = useState<Filled>(() => initialOf(fields));
  const [problems, setProblems] = useState<Readonly<Record<string, string>>>({});
  const [starting, setStarting] = useState(false);
  const [failure, setFailure] = useState<string>();
  const start = async (input: object) => {
    setStarting(true);
    setFailure(undefined);
    try {
      const { planId } = await client.start(template.name, input);
      onStarted();
      navigate({ view: "plan", planId });
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
      setStarting(false);
    }
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (starting) return;
    const outcome = inputOf(fields, filled);
    setProblems(outcome.problems ?? {});
    if (!outcome.problems) void start(outcome.input);
  };
  const fill = (name: string, value: string) => setFilled((was) => ({ ...was, [name]: value }));
  return { fields, filled, fill, problems, starting, failure, submit };
}
