export type TabStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** The tab's session storage; in memory if the browser blocks it. */
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
