/** The AI SDK's client in the versions that are supported, as far as the tests need it. */
import * as seven from "ai";
import * as six from "ai-6";

/** A part of a message, of any type and version. */
export type Part = Readonly<Record<string, unknown>>;

export interface Message {
  readonly id: string;
  readonly role: string;
  readonly metadata?: unknown;
  readonly parts: readonly Part[];
}

export type Chunk = Readonly<Record<string, unknown>>;

/** What the client makes of some responses, each of which goes on with the same message; and the error that ended it. */
export interface Replayed {
  readonly message: Message | undefined;
  readonly error: string | null;
}

export interface Version {
  readonly name: string;
  readonly replay: (responses: readonly (readonly Chunk[])[]) => Promise<Replayed>;
}

async function validated<T>(
  schema: {
    validate?: (
      value: unknown,
    ) => PromiseLike<{ success: boolean; value?: T; error?: Error }> | { success: boolean; value?: T; error?: Error };
  },
  chunks: readonly Chunk[],
): Promise<ReadableStream<T>> {
  const values: T[] = [];
  for (const chunk of chunks) {
    const result = await schema.validate?.(chunk);
    if (!result?.success || result.value === undefined)
      throw result?.error ?? new Error("the schema validates nothing");
    values.push(result.value);
  }
  return new ReadableStream<T>({
    start(controller) {
      for (const value of values) controller.enqueue(value);
      controller.close();
    },
  });
}

async function replaySix(responses: readonly (readonly Chunk[])[]): Promise<Replayed> {
  let message: six.UIMessage | undefined;
  let error: string | null = null;
  for (const response of responses) {
    const stream = await validated(six.uiMessageChunkSchema(), response);
    const onError = (thrown: unknown) => (error = thrown instanceof Error ? thrown.message : String(thrown));
    for await (const state of six.readUIMessageStream({ stream, onError, ...(message && { message }) }))
      message = state;
  }
  return { message: message as Message | undefined, error };
}

async function replaySeven(responses: readonly (readonly Chunk[])[]): Promise<Replayed> {
  let message: seven.UIMessage | undefined;
  let error: string | null = null;
  for (const response of responses) {
    const stream = await validated(seven.uiMessageChunkSchema(), response);
    const onError = (thrown: unknown) => (error = thrown instanceof Error ? thrown.message : String(thrown));
    for await (const state of seven.readUIMessageStream({ stream, onError, ...(message && { message }) }))
      message = state;
  }
  return { message: message as Message | undefined, error };
}

export const VERSIONS: readonly Version[] = [
  { name: "ai 6", replay: replaySix },
  { name: "ai 7", replay: replaySeven },
];
