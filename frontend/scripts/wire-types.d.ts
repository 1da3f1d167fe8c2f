/** The text of src/wire/frames.ts. `folder` holds the schemas. */
export function wireTypes(folder: string): Promise<string>;
