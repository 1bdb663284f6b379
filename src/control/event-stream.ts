/** Turns records of the event ring into what the control socket tells its readers, each with a filter and a queue of its own. */
import { flowMatcher } from '../api/filter.js'
import type { EventRequest, FlowChange, FlowEvent, FlowEventType } from '../api/types.js'
import {
  EVENT_DESTROY, EVENT_NEW, EVENT_UPDATE, type EventConsumer, FLAG_REQUESTED, RECORD_FLAGS, RECORD_FLOW, RECORD_SECOND, RECORD_SIDES,
  RECORD_STATE, RECORD_TIME, RECORD_TYPE, WANT_FLOWS,
} from '../nat/event-ring.js'
import { HEADER_NOW } from '../nat/flow-table.js'
import type { EventHub, EventListener } from './event-hub.js'
import { type FlowView, readFlow } from './flow-reader.js'

/** Events that wait for a reader at most; later ones are lost to it, and counted. */
const QUEUE = 16384

const TYPES: Readonly<Record<number, FlowEventType>> = { [EVENT_NEW]: 'new', [EVENT_UPDATE]: 'update', [EVENT_DESTROY]: 'destroy' }

export interface EventSources {
  readonly hub: EventHub
  /** Idle seconds by class. */
  readonly timeouts: Int32Array
  /** Of the flow table. */
  readonly capacity: number
  /** Milliseconds since 1970 of a time on the data plane's clock. */
  readonly wallTime: (time: number) => number
}

/** Makes events of records, each once, however many readers there are. */
const describer = ({ timeouts, capacity, wallTime }: EventSources): ((consumer: EventConsumer) => FlowChange | null) => {
  let known: { readonly view: FlowView; readonly consumer: EventConsumer } | undefined
  return (consumer) => {
    const { words } = consumer
    const type = TYPES[words[RECORD_TYPE]!]
    if (type === undefined) return null
    known ??= { consumer, view: viewOf(consumer, capacity) }
    known.view.header[HEADER_NOW] = words[RECORD_SECOND]!
    const flow = readFlow(known.view, 0, timeouts, words[RECORD_FLOW])
    if (flow === null) return null
    const requested = (words[RECORD_FLAGS]! & FLAG_REQUESTED) !== 0
    return { type, time: wallTime(consumer.times[RECORD_TIME]!), flow, ...(requested ? { portid: process.pid } : {}) }
  }
}

const viewOf = ({ words, times }: EventConsumer, capacity: number): FlowView => ({
  capacity,
  header: new Int32Array(HEADER_NOW + 1),
  sides: words.subarray(RECORD_SIDES, RECORD_STATE),
  bytes: times.subarray(RECORD_SIDES / 2, RECORD_STATE / 2),
  flows: words.subarray(RECORD_STATE),
})

interface Reader {
  readonly request: EventRequest
  readonly matches: ReturnType<typeof flowMatcher>
  queue: FlowEvent[]
  lost: number
  /** Called when something has come. */
  wake: () => void
}

export class EventStreams {
  readonly #hub: EventHub
  readonly #readers = new Set<Reader>()
  readonly #listener: EventListener

  constructor(sources: EventSources) {
    const describe = describer(sources)
    this.#hub = sources.hub
    this.#listener = {
      wants: WANT_FLOWS,
      take: (consumer) => {
        const event = describe(consumer)
        if (event !== null) for (const reader of this.#readers) give(reader, event)
      },
      lose: (count) => {
        for (const reader of this.#readers) reader.lost += count
      },
      rest: () => {
        for (const reader of this.#readers) if (reader.queue.length > 0 || reader.lost > 0) reader.wake()
      },
    }
  }

  get readers(): number {
    return this.#readers.size
  }

  /** Events as they come, from this call on, until `signal` aborts. */
  open(request: EventRequest, signal: AbortSignal): AsyncGenerator<FlowEvent[]> {
    const reader: Reader = { request, matches: flowMatcher(request.filter), queue: [], lost: 0, wake: () => {} }
    // What came before is not for this one.
    if (this.#readers.size === 0) this.#hub.add(this.#listener)
    else this.#hub.drainAll()
    this.#readers.add(reader)
    signal.addEventListener('abort', () => this.#end(reader), { once: true })
    if (signal.aborted) this.#end(reader)
    return this.#read(reader, signal)
  }

  async *#read(reader: Reader, signal: AbortSignal): AsyncGenerator<FlowEvent[]> {
    try {
      for (;;) {
        const isLast = signal.aborted
        const events = takeAll(reader)
        if (events.length > 0) yield events
        if (isLast) return
        if (reader.queue.length === 0 && reader.lost === 0 && !signal.aborted) await new Promise<void>((resolve) => (reader.wake = resolve))
      }
    } finally {
      this.#end(reader)
    }
  }

  /** The reader keeps what has come until now. */
  #end(reader: Reader): void {
    if (!this.#readers.has(reader)) return
    if (this.#readers.size === 1) this.#hub.remove(this.#listener)
    else this.#hub.drainAll()
    this.#readers.delete(reader)
    reader.wake()
  }
}

const give = (reader: Reader, event: FlowChange): void => {
  if (!reader.request.types.includes(event.type) || !reader.matches(event.flow)) return
  if (reader.queue.length < QUEUE) reader.queue.push(event)
  else reader.lost++
}

/** What waits for the reader, and how much of what came after it was lost. */
const takeAll = (reader: Reader): FlowEvent[] => {
  const events = reader.queue
  if (reader.lost > 0) events.push({ type: 'lost', count: reader.lost })
  reader.queue = []
  reader.lost = 0
  return events
}
