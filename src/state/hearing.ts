// The law of a session's hearing: whether a swarm that polls also hears what pond replies. Pure.
//
// A poll that arrives proves one way of the line and nothing of the other. It is completed when a later one says that its reply arrived, and counts from when
// that reply was sent: no one can tell when it arrived. A swarm whose polls come and that hears none of the replies is deaf: what it is given it never gets.

export interface Hearing {
  /** When the session's first poll came. Any clock that does not run backwards will do. */
  readonly since: number
  readonly polls: number
  /** `seq` of the newest completed poll; 0 before the first. */
  readonly heard: number
  /** When its reply was sent. */
  readonly completedAt?: number
  /** When it was told that the reply arrived. */
  readonly toldAt?: number
}

export interface Heard {
  readonly seq: number
  /** The newest `seq` whose reply arrived; undefined from a swarm of a step that cannot say. */
  readonly heard: number | undefined
  /** When the reply to `heard` was sent; undefined if this life of pond sent none, and then it proves nothing. */
  readonly answeredAt: number | undefined
}

export function hear(before: Hearing | undefined, { seq, heard, answeredAt }: Heard, now: number): Hearing {
  const known = before ?? { since: now, polls: 0, heard: 0 }
  const hearing = { ...known, polls: known.polls + 1 }
  // Who cannot say is believed: it would hardly poll on if it heard nothing.
  if (heard === undefined) return { ...hearing, completedAt: now, toldAt: now }
  const isNews = heard > known.heard && heard < seq && answeredAt !== undefined
  return isNews ? { ...hearing, heard, completedAt: answeredAt, toldAt: now } : hearing
}

/** A poll was completed less than `withinMs` ago. */
export function isHearing({ completedAt }: Hearing, now: number, withinMs: number): boolean {
  return completedAt !== undefined && now - completedAt < withinMs
}

/** It was answered, and had time enough to say that it heard. One that was long away and has just said so hears. */
export function isDeaf({ polls, toldAt, since }: Hearing, now: number, withinMs: number): boolean {
  return polls > 1 && now - (toldAt ?? since) >= withinMs
}
