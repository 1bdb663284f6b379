/** What left at one time, and the list of what is in flight by the time that it left last. */

export const IN_FLIGHT = 0
export const SACKED = 1
export const LOST = 2

export type SentState = typeof IN_FLIGHT | typeof SACKED | typeof LOST

export class Sent {
  start = 0
  end = 0
  state: SentState = IN_FLIGHT
  /** When it left last, in milliseconds. */
  at = 0
  /** Grows with each that leaves: tells what left first within the same millisecond. Parts of one that was split have the same. */
  order = 0
  /** It was sent more than once. */
  again = false
  /** Neighbours by time; both null when it is not in flight, or alone. */
  earlier: Sent | null = null
  later: Sent | null = null
}

export const lengthOf = (record: Sent): number => (record.end - record.start) | 0

export class SentByTime {
  oldest: Sent | null = null
  newest: Sent | null = null

  append(record: Sent): void {
    this.insert(record, this.newest)
  }

  /** @param before null for the beginning */
  insert(record: Sent, before: Sent | null): void {
    const after = before === null ? this.oldest : before.later
    record.earlier = before
    record.later = after
    if (before !== null) before.later = record
    else this.oldest = record
    if (after !== null) after.earlier = record
    else this.newest = record
  }

  remove(record: Sent): void {
    if (record.earlier !== null) record.earlier.later = record.later
    else this.oldest = record.later
    if (record.later !== null) record.later.earlier = record.earlier
    else this.newest = record.earlier
    record.earlier = null
    record.later = null
  }
}
