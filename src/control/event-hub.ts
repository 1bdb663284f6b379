/**
 * The main thread's end of the event ring: while anybody listens, the ring is emptied 50 times a second and what was in it handed
 * to each listener. A listener is a function that gets every record; readers of the event stream are built on it
 * (event-stream.ts), and so is the log of bindings (binding-log.ts).
 *
 * Each turn takes at most so many records and then lets the event loop go on; the ring holds the others meanwhile.
 */
import { EVENT_RECORDS, EventConsumer } from '../nat/event-ring.js'

/** Milliseconds between two looks at the ring. */
const PAUSE = 20
/** Records handed out without a break. */
const TURN = 4096

export interface EventListener {
  /** WANT_* bits. */
  readonly wants: number
  /** Gets each record while it is `consumer.words`, of whatever kind. */
  take(consumer: EventConsumer): void
  /** The data plane could not hand over so many records. */
  lose(count: number): void
  /** No more records for the moment. */
  rest(): void
}

export class EventHub {
  readonly #consumer: EventConsumer
  readonly #listeners = new Set<EventListener>()
  #timer: NodeJS.Timeout | undefined
  #missed = 0

  constructor(ring: SharedArrayBuffer) {
    this.#consumer = new EventConsumer(ring)
  }

  /** Records that the data plane could not hand over since the start. */
  get missed(): number {
    return this.#consumer.missed
  }

  /** The listener gets what comes from now on. */
  add(listener: EventListener): void {
    this.drainAll()
    this.#listeners.add(listener)
    this.#adjust()
  }

  /** The listener gets what has come until now, and nothing after. */
  remove(listener: EventListener): void {
    this.drainAll()
    this.#listeners.delete(listener)
    this.#adjust()
  }

  /** Empties the ring of what is in it now. */
  drainAll(): void {
    for (let turn = 0; turn < EVENT_RECORDS / TURN && !this.drain(); turn++);
  }

  /** Empties the ring, at most one turn's worth. Returns false when there is more. */
  drain(): boolean {
    const consumer = this.#consumer
    const { missed } = consumer
    let left = TURN
    while (left > 0 && consumer.read()) {
      left--
      for (const listener of this.#listeners) listener.take(consumer)
    }
    const lost = (missed - this.#missed) >>> 0
    this.#missed = missed
    for (const listener of this.#listeners) {
      if (lost > 0) listener.lose(lost)
      listener.rest()
    }
    return left > 0
  }

  #adjust(): void {
    let wanted = 0
    for (const { wants } of this.#listeners) wanted |= wants
    this.#consumer.want(wanted)
    if (wanted === 0) {
      clearTimeout(this.#timer)
      this.#timer = undefined
    } else {
      this.#timer ??= this.#later(PAUSE)
    }
  }

  #later(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => {
      const isEmpty = this.drain()
      this.#timer = this.#listeners.size === 0 ? undefined : this.#later(isEmpty ? PAUSE : 0)
    }, milliseconds)
  }
}
