// The law of a session's hearing: whether a swarm that polls also hears what pond replies. Pure.
//
// A poll that arrives proves one way of the line and nothing of the other. It is completed when a later one says that its reply arrived. A swarm whose
// polls come and that hears none of the replies is deaf: what it is given it never gets.

export interface Hearing {
  /** When the session's first poll came. Any clock that does not run backwards will do. */
  readonly since: number
  /** `seq` of that poll. What was heard of those before it was said by a former life of pond, and proves nothing of this one. */
  readonly first: number
  readonly polls: number
  /** `seq` of the newest completed poll; 0 before the first. */
  readonly heard: number
  /** When that was told. */
  readonly completedAt?: number
}

export interface Heard {
  readonly seq: number
  /** The newest `seq` whose reply arrived; undefined from a swarm of a step that cannot say. */
  readonly heard: number | undefined
}

export function hear(before: Hearing | undefined, { seq, heard }: Heard, now: number): Hearing {
  const known = before ?? { since: now, first: seq, polls: 0, heard: 0 }
  const hearing = { ...known, polls: known.polls + 1 }
  // Who cannot say is believed: it would hardly poll on if it heard nothing.
  if (heard === undefined) return { ...hearing, completedAt: now }
  const isNews = heard > known.heard && heard >= known.first && heard < seq
  return isNews ? { ...hearing, heard, completedAt: now } : hearing
}

/** A poll was completed less than `withinMs` ago. */
export function isHearing({ completedAt }: Hearing, now: number, withinMs: number): boolean {
  return completedAt !== undefined && now - completedAt < withinMs
}

/** It was answered, and had time enough to hear it. */
export function isDeaf({ polls, completedAt, since }: Hearing, now: number, withinMs: number): boolean {
  return polls > 1 && now - (completedAt ?? since) >= withinMs
}
