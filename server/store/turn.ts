// One turn of the event loop, the only wait of a store: it gathers a group of works, and shows a work that awaits something foreign.

/** Resolves when the loop has turned once: what arrived until then belongs to the same group. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Calls `run` when the loop has turned once, unless cancelled before. */
export function onNextTurn(run: () => void): () => void {
  const turn = setImmediate(run)
  return () => clearImmediate(turn)
}
