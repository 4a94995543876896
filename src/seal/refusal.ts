// The one error of everything that is sealed or signed. What it says outside is always the same; the reason is for who may know it.

/**
 * `not_for_you`: sealed to other keys. `damaged`: not what was sealed, or not whole. `wrong_place`: genuine, but sealed for another place.
 * `bad_signature`: no signature, or not by the key it must be. `untrusted`: by a key that nobody here trusts. `unnamed_recipient`: somebody
 * else could read it too. `bad_key`: nothing can be sealed to this key.
 */
export type SealReason =
  | 'not_for_you'
  | 'damaged'
  | 'wrong_place'
  | 'bad_signature'
  | 'untrusted'
  | 'unnamed_recipient'
  | 'bad_key'

export class SealError extends Error {
  override readonly name = 'SealError'
  readonly #reason: SealReason

  constructor(reason: SealReason) {
    super('what is sealed or signed here was refused')
    this.#reason = reason
  }

  /** No field: whoever prints or serialises the whole error does not give it away. */
  get reason(): SealReason {
    return this.#reason
  }
}
