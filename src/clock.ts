/** The time of the data plane: read once a turn, and the same for all that happens in it. */
export class Clock {
  /** Milliseconds, not going back. */
  now = 0
  /** The same in whole seconds. */
  second = -1
}
