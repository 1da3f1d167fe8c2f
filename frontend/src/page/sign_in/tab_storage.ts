export type TabStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** What this tab keeps when it is loaded again; in a browser that keeps nothing, until then. */
export function tabStorage(): TabStorage {
  try {
    return sessionStorage;
  } catch {
    const kept = new Map<string, string>();
    return {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => void kept.set(key, value),
      removeItem: (key) => void kept.delete(key),
    };
  }
}
