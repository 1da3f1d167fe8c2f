/** The text of src/wire/frames.ts, from the schemas in `folder`. */
export function wireTypes(folder: string): Promise<string>;
